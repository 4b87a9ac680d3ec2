//! The client IP of a request, and the URL of this server as seen by the client. Forwarding headers are accepted only from
//! trusted proxies.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::header::{HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use ipnet::IpNet;
use url::Url;

/// The settings for requests that proxies forward.
#[derive(Clone, Debug, Default)]
pub struct ForwardedConfig {
    /// The setting `server-url` without a trailing slash. If it is unset, links use the URL of the request.
    pub server_url: Option<String>,
    /// The proxies whose `X-Forwarded-*` and `X-API-Host` headers are accepted.
    pub trusted_proxies: Vec<IpNet>,
}

/// Marks a request that arrived over this server's own TLS.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const API_HOST: HeaderName = HeaderName::from_static("x-api-host");

impl ForwardedConfig {
    /// The scheme, host and port at the start of every link in a response (`docs/contract/norman-api.md#links`).
    pub fn base_url(&self, request: &Parts) -> String {
        self.server_url.clone().unwrap_or_else(|| self.request_url(request))
    }

    /// Whether the client uses https, to this server or to a trusted proxy.
    pub(super) fn is_https(&self, request: &Parts) -> bool {
        self.request_url(request).starts_with("https://")
    }

    /// Whether the client sent the request to this host name, ignoring the port.
    pub(super) fn is_at_host(&self, request: &Parts, host: &str) -> bool {
        let url = Url::parse(&self.request_url(request)).ok();
        url.as_ref().and_then(Url::host_str).is_some_and(|own| own.eq_ignore_ascii_case(host))
    }

    /// Whether a trusted proxy reports that the client did not use TLS.
    pub(super) fn is_plaintext_at_proxy(&self, request: &Parts) -> bool {
        let is_trusted = peer(request).is_some_and(|peer| self.is_trusted(peer));
        is_trusted
            && first_value(request, &FORWARDED_PROTO).is_some_and(|scheme| !matches!(scheme, "https" | "wss"))
    }

    /// Whether the header `Origin` is this server, according to `server-url` or the URL of the request. Scheme, host and port
    /// must be equal.
    pub(super) fn is_own_origin(&self, request: &Parts, origin: &HeaderValue) -> bool {
        let parse_origin =
            |text: &str| Url::parse(text).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
        let Some(origin) = origin.to_str().ok().and_then(parse_origin) else { return false };
        let request_url = self.request_url(request);
        let own_urls = [self.server_url.as_deref(), Some(request_url.as_str())];
        own_urls.into_iter().flatten().filter_map(parse_origin).any(|own_origin| own_origin == origin)
    }

    /// The scheme, host and port to which the client sent the request.
    fn request_url(&self, request: &Parts) -> String {
        let is_trusted = peer(request).is_some_and(|peer| self.is_trusted(peer));
        let forwarded = |name: &HeaderName| if is_trusted { first_value(request, name) } else { None };
        let scheme = forwarded(&FORWARDED_PROTO)
            .filter(|scheme| matches!(*scheme, "http" | "https"))
            .unwrap_or(if request.extensions.get::<OverTls>().is_some() { "https" } else { "http" });
        let hosts = [
            forwarded(&API_HOST).or_else(|| forwarded(&FORWARDED_HOST)),
            first_value(request, &HOST),
            request.uri.authority().map(Authority::as_str),
        ];
        let host = hosts.into_iter().flatten().find(|host| is_host(host)).unwrap_or("localhost");
        format!("{scheme}://{host}")
    }

    /// The client IP: the peer, or the client that a chain of trusted proxies reports. `None` if the request has no peer.
    pub fn client_ip(&self, request: &Parts) -> Option<IpAddr> {
        let mut client = peer(request)?;
        // From the nearest proxy outwards: an address is accepted if a trusted proxy reported it.
        let reported = request.headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let mut chain = reported.flat_map(|value| value.split(',')).map(str::trim).rev();
        while self.is_trusted(client) {
            match chain.next().and_then(|address| address.parse().ok()) {
                Some(previous) => client = previous,
                None => break,
            }
        }
        Some(client)
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address.to_canonical()))
    }
}

fn peer(request: &Parts) -> Option<IpAddr> {
    let ConnectInfo(peer) = request.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(peer.ip().to_canonical())
}

/// The first value of a comma-separated header. Each proxy appends its own, so the first one describes the client's request.
fn first_value<'a>(request: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    let values = request.headers.get(name)?.to_str().ok()?;
    values.split(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// Whether a string is a host name or address with an optional port, and safe in links.
fn is_host(text: &str) -> bool {
    text.len() <= 255
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(peer: &str, headers: &[(&'static str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri("/v3");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts.extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
        parts
    }

    fn config() -> ForwardedConfig {
        ForwardedConfig { server_url: None, trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()] }
    }

    #[test]
    fn forwarding_headers_are_used_only_from_trusted_proxies() {
        let headers = [("host", "a:8080"), ("x-forwarded-host", "b"), ("x-forwarded-proto", "https")];
        assert_eq!(config().base_url(&request("192.0.2.1", &headers)), "http://a:8080");
        assert_eq!(config().base_url(&request("10.1.1.1", &headers)), "https://b");
        assert_eq!(config().base_url(&request("::ffff:10.1.1.1", &headers)), "https://b");
        let with_server_url = ForwardedConfig { server_url: Some("https://known".to_owned()), ..config() };
        assert_eq!(with_server_url.base_url(&request("10.1.1.1", &headers)), "https://known");
    }

    #[test]
    fn own_origin_has_the_same_scheme_host_and_port() {
        let headers =
            [("host", "aks.example:8080"), ("x-forwarded-host", "b.example"), ("x-forwarded-proto", "https")];
        let is_own_origin = |server_url: Option<&str>, peer: &str, value: &str| {
            let config = ForwardedConfig { server_url: server_url.map(str::to_owned), ..config() };
            config.is_own_origin(&request(peer, &headers), &HeaderValue::from_str(value).unwrap())
        };
        for (value, expected) in [
            ("http://aks.example:8080", true),
            ("http://AKS.example:8080", true),
            ("https://aks.example:8080", false),
            ("http://aks.example", false),
            ("http://aks.example:8081", false),
            ("http://aks.example.evil:8080", false),
            ("https://known.example", false),
            ("null", false),
            ("", false),
            ("file://", false),
            ("data:text/html,x", false),
        ] {
            assert_eq!(is_own_origin(None, "192.0.2.1", value), expected, "{value:?}");
        }
        assert!(is_own_origin(Some("https://known.example/path"), "192.0.2.1", "https://known.example"));
        assert!(is_own_origin(Some("https://known.example:443"), "192.0.2.1", "https://known.example"));
        assert!(is_own_origin(None, "10.1.1.1", "https://b.example"), "reported by a trusted proxy");
        assert!(!is_own_origin(None, "192.0.2.1", "https://b.example"));
    }

    #[test]
    fn invalid_hosts_are_ignored() {
        assert_eq!(config().base_url(&request("192.0.2.1", &[("host", "a\"><script>")])), "http://localhost");
    }

    #[test]
    fn client_ip_is_taken_from_trusted_proxies_only() {
        for (peer, forwarded, client) in [
            ("192.0.2.1", "1.1.1.1", "192.0.2.1"),
            ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
            ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
            ("10.0.0.1", "rubbish", "10.0.0.1"),
        ] {
            let request = request(peer, &[("x-forwarded-for", forwarded)]);
            assert_eq!(config().client_ip(&request), Some(client.parse().unwrap()), "{peer} {forwarded}");
        }
    }
}
