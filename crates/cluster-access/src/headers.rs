//! Filters headers between clients and clusters. Requests lose the client's credentials for this server, impersonation
//! headers and origin; responses keep only the headers that Kubernetes' clients read, because others could be instructions
//! to browsers or proxies.

use http::Uri;
use http::header::{
    ACCEPT_RANGES, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_DISPOSITION, CONTENT_ENCODING,
    CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, DATE, ETAG, EXPECT, EXPIRES,
    FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, LOCATION, ORIGIN, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, REFERER, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY, VIA,
    WARNING,
};
use url::{Position, Url};

use crate::upgraded::Protocol;

/// Hop-by-hop headers (RFC 9110, section 7.6.1), even if `Connection` does not list them.
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

/// The request headers that are dropped, in addition to [`DROPPED_REQUEST_PREFIXES`]: those that are meant for this server, and
/// those that the HTTP client sets itself (`Host`, `Content-Length`).
const DROPPED_REQUEST_HEADERS: [HeaderName; 11] = [
    AUTHORIZATION,
    COOKIE,
    ORIGIN,
    REFERER,
    FORWARDED,
    VIA,
    HOST,
    EXPECT,
    CONTENT_LENGTH,
    HeaderName::from_static("x-api-host"),
    HeaderName::from_static("x-real-ip"),
];

/// Prefixes of request headers that are dropped. An authenticating proxy asserts the user to Kubernetes in `X-Remote-*`.
const DROPPED_REQUEST_PREFIXES: [&str; 5] =
    ["impersonate-", "x-forwarded-", "x-remote-", "x-api-", "sec-fetch-"];

/// The response headers that are forwarded: those of Kubernetes, and those that describe a body. The list also applies to
/// responses of applications behind `…/proxy/`: the creator of a pod controls them, and clients would attribute them to this
/// server. With `X-Accel-Redirect`, for example, an application could make an nginx in front of this server send local files.
const RESPONSE_HEADERS: [HeaderName; 26] = [
    ACCEPT_RANGES,
    ALLOW,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    // Only as a path inside the cluster.
    LOCATION,
    RETRY_AFTER,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
    VARY,
    WARNING,
    HeaderName::from_static("audit-id"),
    // The flow schema and priority level that the API server chose.
    HeaderName::from_static("x-kubernetes-pf-flowschema-uid"),
    HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid"),
    // The protocol version of a SPDY session, and the supported ones if the negotiation fails.
    HeaderName::from_static("x-stream-protocol-version"),
    HeaderName::from_static("x-accepted-stream-protocol-versions"),
];

/// The prefix of a WebSocket subprotocol that contains a bearer token; Kubernetes accepts tokens in this form.
const BEARER_PROTOCOL_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// The protocols to which a connection may change: those of `exec`, `attach`, `cp` and `port-forward`.
const SUPPORTED_UPGRADES: [(Protocol, &str); 2] =
    [(Protocol::WebSocket, "websocket"), (Protocol::Spdy, "SPDY/3.1")];

/// The protocol to which a request or response changes, if it is one of [`SUPPORTED_UPGRADES`].
pub(super) fn upgrade_protocol(headers: &HeaderMap) -> Option<Protocol> {
    let header = headers.get(UPGRADE)?.to_str().ok()?.trim();
    if !list_elements(headers, &CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade")) {
        return None;
    }
    let mut protocols = SUPPORTED_UPGRADES.into_iter();
    protocols.find(|(_, name)| name.eq_ignore_ascii_case(header)).map(|(protocol, _)| protocol)
}

/// Filters the headers of a request to the cluster at `host`. A WebSocket request gets the origin of the cluster, because
/// Kubernetes rejects a WebSocket watch without `Origin`, and applications may accept only the origin of their host.
pub(super) fn filter_request(headers: &mut HeaderMap, host: &str) {
    let upgrade = upgrade_protocol(headers);
    drop_hop_by_hop(headers);
    for name in &DROPPED_REQUEST_HEADERS {
        headers.remove(name);
    }
    drop_prefixed(headers, &DROPPED_REQUEST_PREFIXES);
    remove_tokens(headers);
    set_upgrade(headers, upgrade);
    if upgrade == Some(Protocol::WebSocket)
        && let Ok(origin) = HeaderValue::try_from(format!("https://{host}"))
    {
        headers.insert(ORIGIN, origin);
    }
}

/// Filters the headers of a response of the cluster at `host`, or of an application in it, to a request for `request_uri`.
pub(super) fn filter_response(headers: &mut HeaderMap, host: &str, request_uri: &Uri, is_application: bool) {
    let upgrade = upgrade_protocol(headers);
    drop_hop_by_hop(headers);
    let dropped: Vec<_> = headers.keys().filter(|name| !RESPONSE_HEADERS.contains(name)).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
    if is_application {
        // As in Kubernetes. Otherwise an application could make a shared cache store responses that require a token.
        headers.remove(EXPIRES);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    }
    rewrite_location(headers, host, request_uri);
    set_upgrade(headers, upgrade);
}

/// Makes `Location` an absolute path in the cluster, or drops it if it leads elsewhere.
fn rewrite_location(headers: &mut HeaderMap, host: &str, request_uri: &Uri) {
    let Some(location) = headers.remove(LOCATION) else { return };
    let base = Url::parse(&format!("https://{host}{request_uri}")).ok();
    let target =
        base.as_ref().zip(location.to_str().ok()).and_then(|(base, location)| base.join(location).ok());
    let target = target.filter(|target| base.is_some_and(|base| base.origin() == target.origin()));
    if let Some(Ok(path)) = target.map(|target| HeaderValue::try_from(&target[Position::BeforePath..])) {
        headers.insert(LOCATION, path);
    }
}

fn set_upgrade(headers: &mut HeaderMap, upgrade: Option<Protocol>) {
    let protocol = SUPPORTED_UPGRADES.into_iter().find(|(protocol, _)| Some(*protocol) == upgrade);
    if let Some((_, name)) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(name));
    }
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> =
        list_elements(headers, &CONNECTION).filter_map(|name| name.parse().ok()).collect();
    for name in listed.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn drop_prefixed(headers: &mut HeaderMap, prefixes: &[&str]) {
    let is_dropped = |name: &&HeaderName| prefixes.iter().any(|prefix| name.as_str().starts_with(prefix));
    let names: Vec<_> = headers.keys().filter(is_dropped).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Removes tokens from the WebSocket subprotocols: browsers send this server's token there, and the cluster must not get it.
fn remove_tokens(headers: &mut HeaderMap) {
    // Values that are not ASCII are dropped too: `list_elements` skips them, so they could hide a token.
    let is_ascii = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().all(|value| value.to_str().is_ok());
    let has_token =
        list_elements(headers, &SEC_WEBSOCKET_PROTOCOL).any(|word| word.starts_with(BEARER_PROTOCOL_PREFIX));
    if is_ascii && !has_token {
        return;
    }
    let kept: Vec<_> = list_elements(headers, &SEC_WEBSOCKET_PROTOCOL)
        .filter(|word| !word.starts_with(BEARER_PROTOCOL_PREFIX))
        .map(str::to_owned)
        .collect();
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Ok(kept) = HeaderValue::try_from(kept.join(", "))
        && !kept.is_empty()
    {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, kept);
    }
}

/// The elements of comma-separated headers, without values that are not ASCII.
fn list_elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    const HOST: &str = "a.azmk8s.io";
    static PATH: LazyLock<Uri> = LazyLock::new(|| Uri::from_static("/api/v1/nodes/n/proxy/app?x=y"));

    fn header_map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
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
    fn headers_for_this_server_are_dropped() {
        let mut headers = header_map(&[
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
        filter_request(&mut headers, HOST);
        assert_eq!(names(&headers), ["accept", "content-type", "kubectl-command", "user-agent"]);
    }

    #[test]
    fn only_upgrades_of_kubernetes_are_forwarded() {
        for (connection, requested, expected) in [
            ("Upgrade", "websocket", Some("websocket")),
            ("keep-alive, Upgrade", "WebSocket", Some("websocket")),
            ("upgrade", "SPDY/3.1", Some("SPDY/3.1")),
            ("Upgrade", "h2c", None),
            ("close", "websocket", None),
        ] {
            let request_filter: &dyn Fn(&mut HeaderMap) = &|headers| filter_request(headers, HOST);
            let response_filter: &dyn Fn(&mut HeaderMap) =
                &|headers| filter_response(headers, HOST, &PATH, false);
            for filter in [request_filter, response_filter] {
                let mut headers = header_map(&[("connection", connection), ("upgrade", requested)]);
                filter(&mut headers);
                let actual = headers.get("upgrade").map(|value| value.to_str().unwrap());
                assert_eq!(actual, expected, "{connection} {requested}");
                assert_eq!(headers.contains_key("connection"), expected.is_some());
            }
        }
    }

    #[test]
    fn token_among_websocket_protocols_is_dropped() {
        let mut headers = header_map(&[
            ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io"),
            ("sec-websocket-key", "a"),
        ]);
        filter_request(&mut headers, HOST);
        assert_eq!(headers["sec-websocket-protocol"], "v5.channel.k8s.io");
        assert!(headers.contains_key("sec-websocket-key"));
        let mut headers =
            header_map(&[("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.c2VjcmV0")]);
        filter_request(&mut headers, HOST);
        assert!(headers.is_empty());
    }

    #[test]
    fn websocket_has_the_origin_of_the_cluster() {
        for (protocol, expected) in [("websocket", Some("https://a.azmk8s.io")), ("SPDY/3.1", None)] {
            let mut headers =
                header_map(&[("connection", "Upgrade"), ("upgrade", protocol), ("origin", "https://evil")]);
            filter_request(&mut headers, HOST);
            assert_eq!(headers.get("origin").map(|value| value.to_str().unwrap()), expected, "{protocol}");
        }
    }

    #[test]
    fn only_listed_response_headers_are_forwarded() {
        let forwarded = [
            ("audit-id", "a"),
            ("cache-control", "no-cache"),
            ("content-disposition", "attachment"),
            ("content-encoding", "gzip"),
            ("content-length", "3"),
            ("content-type", "application/json"),
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("etag", "\"a\""),
            ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("retry-after", "1"),
            ("sec-websocket-accept", "a"),
            ("vary", "Accept"),
            ("warning", "299 - \"deprecated\""),
            ("x-accepted-stream-protocol-versions", "v4.channel.k8s.io"),
            ("x-kubernetes-pf-flowschema-uid", "a"),
            ("x-kubernetes-pf-prioritylevel-uid", "a"),
            ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ];
        let dropped = [
            ("accept-ch", "a"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-origin", "*"),
            ("alt-svc", "h3=\":443\""),
            ("clear-site-data", "*"),
            ("connection", "close"),
            ("content-security-policy", "default-src *"),
            ("cross-origin-opener-policy", "unsafe-none"),
            ("link", "</a>; rel=prefetch"),
            ("nel", "{}"),
            ("permissions-policy", "a"),
            ("refresh", "0; url=https://evil.example"),
            ("report-to", "{}"),
            ("reporting-endpoints", "a=\"https://evil.example\""),
            ("server", "a"),
            ("service-worker-allowed", "/"),
            ("set-cookie", "R_SESS=evil"),
            ("sourcemap", "a"),
            ("speculation-rules", "\"/a\""),
            ("strict-transport-security", "max-age=1"),
            ("transfer-encoding", "chunked"),
            ("www-authenticate", "Basic"),
            ("x-accel-redirect", "/etc/passwd"),
            ("x-invented", "a"),
            ("x-sendfile", "/etc/passwd"),
        ];
        let mut headers = header_map(&[forwarded.as_slice(), &dropped].concat());
        filter_response(&mut headers, HOST, &PATH, false);
        assert_eq!(names(&headers), forwarded.map(|(name, _)| name));
    }

    #[test]
    fn responses_of_applications_are_private() {
        for value in ["public, max-age=3600", "no-store"] {
            let mut headers =
                header_map(&[("cache-control", value), ("expires", "Thu, 01 Dec 2044 16:00:00 GMT")]);
            filter_response(&mut headers, HOST, &PATH, true);
            assert_eq!(names(&headers), ["cache-control"]);
            assert_eq!(headers["cache-control"], "no-cache, private");
        }
    }

    #[test]
    fn locations_stay_in_the_cluster() {
        for (location, expected) in [
            ("/api/", Some("/api/")),
            ("/a?b=c#d", Some("/a?b=c#d")),
            ("https://a.azmk8s.io/a", Some("/a")),
            ("https://a.azmk8s.io:443/a", Some("/a")),
            ("https://user:pass@a.azmk8s.io/a", Some("/a")),
            ("login?next=x", Some("/api/v1/nodes/n/proxy/login?next=x")),
            ("../../../../../../..", Some("/")),
            ("//evil.example", None),
            ("/\\evil.example", None),
            ("https://evil.example", None),
            ("http://a.azmk8s.io/a", None),
            ("https://a.azmk8s.io:8443/a", None),
            ("javascript:alert(1)", None),
        ] {
            let mut headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(location))]);
            filter_response(&mut headers, HOST, &PATH, false);
            assert_eq!(headers.get(LOCATION).map(|value| value.to_str().unwrap()), expected, "{location}");
        }
    }
}
