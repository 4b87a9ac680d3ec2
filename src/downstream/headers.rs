//! What of a request's and an answer's headers passes between a client and a cluster. Who the client is to this server
//! does not, nor whom it would like to be in the cluster, nor where it came from.

use http::header::{
    ACCEPT_CHARSET, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap,
    HeaderName, HeaderValue, ORIGIN, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, REFERER,
    SEC_WEBSOCKET_PROTOCOL, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    VIA, WWW_AUTHENTICATE,
};

/// Between two neighbours only (RFC 9110, section 7.6.1), whatever `Connection` says.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The client's own, besides what [`DROPPED_PREFIXES`] covers. The length is written again by the client of HTTP.
const DROPPED: [HeaderName; 12] = [
    AUTHORIZATION,
    COOKIE,
    ORIGIN,
    REFERER,
    FORWARDED,
    VIA,
    HOST,
    EXPECT,
    CONTENT_LENGTH,
    ACCEPT_CHARSET,
    HeaderName::from_static("x-api-host"),
    HeaderName::from_static("x-real-ip"),
];

/// `x-remote-` is how a proxy that Kubernetes trusts names a user.
const DROPPED_PREFIXES: [&str; 5] = ["impersonate-", "x-forwarded-", "x-remote-", "x-api-", "sec-fetch-"];

/// What a cluster must not tell a browser in this server's name, besides `Access-Control-*`.
const NOT_ANSWERED: [HeaderName; 9] = [
    SET_COOKIE,
    // No browser asks for this server's password because an application in a cluster wants one.
    WWW_AUTHENTICATE,
    HeaderName::from_static("set-cookie2"),
    STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("content-security-policy"),
    HeaderName::from_static("content-security-policy-report-only"),
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("service-worker-allowed"),
    HeaderName::from_static("alt-svc"),
];

/// A bearer token that stands among the protocols of a WebSocket; Kubernetes takes it from there.
const TOKEN_AS_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// The protocols that a connection may change to: those of `exec`, `attach`, `cp` and `port-forward`.
const UPGRADES: [&str; 2] = ["websocket", "SPDY/3.1"];

/// The protocol that a request, or the answer to it, wants to change to, when it is one that passes.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<&'static str> {
    let wanted = headers.get(UPGRADE)?.to_str().ok()?.trim();
    let asked = words(headers, &CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"));
    UPGRADES.into_iter().find(|known| asked && known.eq_ignore_ascii_case(wanted))
}

/// Leaves in a request what is for the cluster.
pub(super) fn to_cluster(headers: &mut HeaderMap) {
    let upgrade = upgrade(headers);
    drop_hop_by_hop(headers);
    for name in &DROPPED {
        headers.remove(name);
    }
    drop_prefixed(headers, &DROPPED_PREFIXES);
    hide_tokens(headers);
    put_upgrade(headers, upgrade);
}

/// Leaves in an answer what is for the client.
pub(super) fn to_client(headers: &mut HeaderMap) {
    let upgrade = upgrade(headers);
    drop_hop_by_hop(headers);
    for name in &NOT_ANSWERED {
        headers.remove(name);
    }
    drop_prefixed(headers, &["access-control-"]);
    put_upgrade(headers, upgrade);
}

fn put_upgrade(headers: &mut HeaderMap, upgrade: Option<&'static str>) {
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(protocol));
    }
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = words(headers, &CONNECTION).filter_map(|name| name.parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn drop_prefixed(headers: &mut HeaderMap, prefixes: &[&str]) {
    let dropped = |name: &&HeaderName| prefixes.iter().any(|prefix| name.as_str().starts_with(prefix));
    let names: Vec<_> = headers.keys().filter(dropped).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// A client that puts this server's token there, as browsers have to, must not hand it to the cluster.
fn hide_tokens(headers: &mut HeaderMap) {
    let is_text = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().all(|value| value.to_str().is_ok());
    let hidden = words(headers, &SEC_WEBSOCKET_PROTOCOL).any(|word| word.starts_with(TOKEN_AS_PROTOCOL));
    if is_text && !hidden {
        return;
    }
    let kept: Vec<_> = words(headers, &SEC_WEBSOCKET_PROTOCOL)
        .filter(|word| !word.starts_with(TOKEN_AS_PROTOCOL))
        .map(str::to_owned)
        .collect();
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Ok(kept) = HeaderValue::try_from(kept.join(", "))
        && !kept.is_empty()
    {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, kept);
    }
}

/// The words of a header that holds lists. Values that are no text have none.
fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<String> {
        let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_is_said_to_this_server_does_not_reach_the_cluster() {
        let mut headers = map(&[
            ("accept", "application/json"),
            ("content-type", "application/json"),
            ("user-agent", "kubectl"),
            ("kubectl-command", "kubectl get"),
            ("authorization", "Bearer a:b"),
            ("cookie", "R_SESS=a:b"),
            ("origin", "https://a"),
            ("referer", "https://a"),
            ("host", "here"),
            ("content-length", "3"),
            ("expect", "100-continue"),
            ("forwarded", "for=a"),
            ("via", "a"),
            ("x-forwarded-for", "a"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "a"),
            ("x-api-host", "a"),
            ("x-api-csrf", "a"),
            ("x-remote-user", "root"),
            ("x-remote-group", "system:masters"),
            ("impersonate-user", "root"),
            ("impersonate-group", "system:masters"),
            ("impersonate-uid", "0"),
            ("impersonate-extra-scopes", "all"),
            ("sec-fetch-site", "cross-site"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("keep-alive", "a"),
            ("proxy-authorization", "a"),
            ("connection", "close, X-Mine"),
            ("x-mine", "a"),
            ("upgrade", "h2c"),
        ]);
        to_cluster(&mut headers);
        assert_eq!(names(&headers), ["accept", "content-type", "kubectl-command", "user-agent"]);
    }

    #[test]
    fn upgrades_of_kubernetes_pass_both_ways_and_others_do_not() {
        for (connection, wanted, passes) in [
            ("Upgrade", "websocket", Some("websocket")),
            ("keep-alive, Upgrade", "WebSocket", Some("websocket")),
            ("upgrade", "SPDY/3.1", Some("SPDY/3.1")),
            ("Upgrade", "h2c", None),
            ("close", "websocket", None),
        ] {
            for pass in [to_cluster as fn(&mut HeaderMap), to_client] {
                let mut headers = map(&[("connection", connection), ("upgrade", wanted)]);
                pass(&mut headers);
                let left = headers.get("upgrade").map(|value| value.to_str().unwrap());
                assert_eq!(left, passes, "{connection} {wanted}");
                assert_eq!(headers.contains_key("connection"), passes.is_some());
            }
        }
    }

    #[test]
    fn a_token_among_the_protocols_of_a_websocket_stays_here() {
        let mut headers = map(&[
            ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io"),
            ("sec-websocket-key", "a"),
        ]);
        to_cluster(&mut headers);
        assert_eq!(headers["sec-websocket-protocol"], "v5.channel.k8s.io");
        assert!(headers.contains_key("sec-websocket-key"));
        let mut headers =
            map(&[("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.c2VjcmV0")]);
        to_cluster(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn a_cluster_sets_no_cookie_and_no_rule_for_the_browser() {
        let mut headers = map(&[
            ("content-type", "application/json"),
            ("audit-id", "a"),
            ("cache-control", "no-cache"),
            ("set-cookie", "R_SESS=evil"),
            ("strict-transport-security", "max-age=1"),
            ("content-security-policy", "default-src *"),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("clear-site-data", "*"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
        ]);
        to_client(&mut headers);
        assert_eq!(names(&headers), ["audit-id", "cache-control", "content-type"]);
    }
}
