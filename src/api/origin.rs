//! Where a request came from and under which address the server is known to it. Forwarding headers count only
//! when a trusted proxy sent them.

use std::net::{IpAddr, SocketAddr};

use std::convert::Infallible;

use axum::extract::{ConnectInfo, FromRequestParts};
use http::header::{HOST, HeaderName, HeaderValue};
use http::request::Parts;
use ipnet::IpNet;
use url::Url;

use super::state::AppState;

/// How the server sees its own address and its callers'.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Setting `server-url`, without a slash at the end; empty when the request decides.
    pub server_url: String,
    /// The proxies whose `X-Forwarded-*` and `X-API-Host` headers count.
    pub trusted_proxies: Vec<IpNet>,
}

/// Marks a request that came in over TLS of our own.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const API_HOST: HeaderName = HeaderName::from_static("x-api-host");

impl Origin {
    /// `https://host[:port]`, the start of every link in the response (`docs/contract/norman-api.md#links`).
    pub fn base_url(&self, request: &Parts) -> String {
        if self.server_url.is_empty() { self.request_url(request) } else { self.server_url.clone() }
    }

    /// Whether the header `Origin` names this server itself, by `server-url` or by the address of the request: scheme,
    /// host and port must all be the same.
    pub(super) fn is_own(&self, request: &Parts, origin: &HeaderValue) -> bool {
        let parsed = |text: &str| Url::parse(text).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
        let Some(origin) = origin.to_str().ok().and_then(parsed) else { return false };
        [self.server_url.as_str(), &self.request_url(request)]
            .into_iter()
            .any(|own| parsed(own).is_some_and(|own| own == origin))
    }

    /// `https://host[:port]`, as the request says.
    fn request_url(&self, request: &Parts) -> String {
        let trusted = self.is_trusted(peer(request));
        let forwarded = |name: &HeaderName| if trusted { first(request, name) } else { None };
        let scheme = forwarded(&FORWARDED_PROTO)
            .filter(|scheme| matches!(*scheme, "http" | "https"))
            .unwrap_or(if request.extensions.get::<OverTls>().is_some() { "https" } else { "http" });
        let host = forwarded(&API_HOST)
            .or_else(|| forwarded(&FORWARDED_HOST))
            .filter(|host| is_host(host))
            .or_else(|| first(request, &HOST).filter(|host| is_host(host)))
            .or_else(|| {
                request.uri.authority().map(http::uri::Authority::as_str).filter(|host| is_host(host))
            })
            .unwrap_or("localhost");
        format!("{scheme}://{host}")
    }

    /// The address of the caller: the peer, or what a chain of trusted proxies says stood before it.
    pub fn client(&self, request: &Parts) -> IpAddr {
        let mut client = peer(request);
        // From the nearest proxy outwards: an address counts as long as a trusted one reported it.
        let reported = request.headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let mut chain: Vec<&str> = reported.flat_map(|value| value.split(',')).map(str::trim).collect();
        while self.is_trusted(client) {
            match chain.pop().and_then(|address| address.parse().ok()) {
                Some(before) => client = before,
                None => break,
            }
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address.to_canonical()))
    }
}

/// The address of the client, as [`Origin::client`] finds it, for handlers.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub IpAddr);

impl FromRequestParts<AppState> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        Ok(Self(state.origin().client(parts)))
    }
}

fn peer(request: &Parts) -> IpAddr {
    let peer =
        request.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical());
    peer.unwrap_or(IpAddr::from([0, 0, 0, 0]))
}

/// The first of a list of values, as proxies build them.
fn first<'a>(request: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    request
        .headers
        .get(name)?
        .to_str()
        .ok()?
        .split(',')
        .next()
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

/// Host names, addresses and ports only: the text ends up in links.
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

    fn origin() -> Origin {
        Origin { server_url: String::new(), trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()] }
    }

    #[test]
    fn forwarding_headers_count_only_from_a_trusted_proxy() {
        let headers = [("host", "a:8080"), ("x-forwarded-host", "b"), ("x-forwarded-proto", "https")];
        assert_eq!(origin().base_url(&request("192.0.2.1", &headers)), "http://a:8080");
        assert_eq!(origin().base_url(&request("10.1.1.1", &headers)), "https://b");
        assert_eq!(origin().base_url(&request("::ffff:10.1.1.1", &headers)), "https://b");
        let known = Origin { server_url: "https://known".to_owned(), ..origin() };
        assert_eq!(known.base_url(&request("10.1.1.1", &headers)), "https://known");
    }

    #[test]
    fn only_the_same_scheme_host_and_port_are_the_own_origin() {
        let headers =
            [("host", "aks.example:8080"), ("x-forwarded-host", "b.example"), ("x-forwarded-proto", "https")];
        let is_own = |server_url: &str, peer: &str, value: &str| {
            let origin = Origin { server_url: server_url.to_owned(), ..origin() };
            origin.is_own(&request(peer, &headers), &HeaderValue::from_str(value).unwrap())
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
            assert_eq!(is_own("", "192.0.2.1", value), expected, "{value:?}");
        }
        assert!(is_own("https://known.example/path", "192.0.2.1", "https://known.example"));
        assert!(is_own("https://known.example:443", "192.0.2.1", "https://known.example"));
        assert!(is_own("", "10.1.1.1", "https://b.example"), "a trusted proxy says so");
        assert!(!is_own("", "192.0.2.1", "https://b.example"));
    }

    #[test]
    fn a_host_that_could_not_stand_in_a_link_is_not_used() {
        assert_eq!(origin().base_url(&request("192.0.2.1", &[("host", "a\"><script>")])), "http://localhost");
    }

    #[test]
    fn the_client_is_found_behind_trusted_proxies_and_nobody_can_claim_to_be_another() {
        for (peer, forwarded, client) in [
            ("192.0.2.1", "1.1.1.1", "192.0.2.1"),
            ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
            ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
            ("10.0.0.1", "rubbish", "10.0.0.1"),
        ] {
            let request = request(peer, &[("x-forwarded-for", forwarded)]);
            assert_eq!(origin().client(&request).to_string(), client, "{peer} {forwarded}");
        }
    }
}
