//! The URL of this server for kubeconfigs, agents and stored commands.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use url::{Host, Url};

use super::settings::Settings;

/// The TLS listener of the server.
#[derive(Clone, Debug)]
pub struct HttpsEndpoint {
    /// The host, if only one is valid; otherwise the host of the request is used. Only the sandbox sets it, because its clusters
    /// connect to a loopback address.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
    /// The certificates that clients must trust, PEM; empty if the system's are sufficient.
    pub authority: String,
}

/// There is no URL at which an agent in a cluster reaches this server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentUrlError {
    /// No URL with TLS.
    #[error(
        "agents connect only over TLS: set the setting server-url to the https URL of this server, or configure the server \
         to listen with TLS (--tls-listen, --tls-cert, --tls-key)"
    )]
    NotHttps,
    /// The server listens with TLS, but its host name is not configured.
    #[error(
        "this server does not know the URL at which clusters reach it: set the setting server-url to its https URL"
    )]
    Unknown,
    /// The URL is valid only on this machine.
    #[error(
        "clusters cannot reach this server at {0}, which is a loopback address; set the setting server-url to the https URL \
         at which they reach it"
    )]
    Loopback(String),
}

/// The URL of this server. Clones share everything.
#[derive(Clone)]
pub struct PublicAddress {
    settings: Settings,
    https_endpoint: Arc<OnceLock<HttpsEndpoint>>,
}

impl PublicAddress {
    /// An address without a TLS listener, until [`PublicAddress::set_https_endpoint`].
    pub fn new(settings: Settings) -> Self {
        Self { settings, https_endpoint: Arc::default() }
    }

    /// Records the TLS listener, before requests are served. Its authority becomes the default of the setting `cacerts`. Only the
    /// first call has an effect.
    ///
    /// The authority is stored without a final line break, because agents hash the setting with one line break added.
    pub fn set_https_endpoint(&self, https_endpoint: HttpsEndpoint) {
        let authority = https_endpoint.authority.trim().to_owned();
        if self.https_endpoint.set(https_endpoint).is_ok() && !authority.is_empty() {
            self.settings.set_default("cacerts", authority);
        }
    }

    /// The https URL, without a trailing slash: the setting `server-url`, or the URL that the caller used if the setting is
    /// empty. If that URL is not https, the URL of the TLS listener: with the listener's own host if it has one, otherwise with
    /// the host of that URL.
    pub async fn https_url(&self, request_origin: Option<&str>) -> Option<String> {
        https_url(&self.settings.value("server-url").await, request_origin, self.https_endpoint.get())
    }

    /// As [`PublicAddress::https_url`], or the plain HTTP URL if there is no https URL. For responses with instructions.
    pub async fn url(&self, request_origin: &str) -> String {
        let configured = self.settings.value("server-url").await;
        https_url(&configured, Some(request_origin), self.https_endpoint.get()).unwrap_or_else(|| {
            let url = if configured.is_empty() { request_origin } else { &configured };
            url.trim_end_matches('/').to_owned()
        })
    }

    /// The URL at which agents reach this server.
    ///
    /// # Errors
    /// If there is no URL with TLS, or it is a loopback address.
    pub async fn agent_url(&self) -> Result<String, AgentUrlError> {
        let url_error = if self.https_endpoint.get().is_some() {
            AgentUrlError::Unknown
        } else {
            AgentUrlError::NotHttps
        };
        let url = self.https_url(None).await.ok_or(url_error)?;
        let is_sandbox =
            self.https_endpoint.get().is_some_and(|https_endpoint| https_endpoint.host.is_some());
        if is_loopback(&url) && !is_sandbox { Err(AgentUrlError::Loopback(url)) } else { Ok(url) }
    }

    /// The certificate authorities that clients of [`PublicAddress::https_url`] must trust, PEM; empty if the system's are
    /// sufficient.
    pub async fn authorities(&self) -> String {
        self.settings.value("cacerts").await
    }
}

fn https_url(
    configured: &str,
    request_origin: Option<&str>,
    https_endpoint: Option<&HttpsEndpoint>,
) -> Option<String> {
    let is_https = |url: &&str| url.len() > "https://".len() && url.starts_with("https://");
    let candidate = if configured.is_empty() { request_origin } else { Some(configured) };
    if let Some(url) = candidate.filter(is_https) {
        return Some(url.trim_end_matches('/').to_owned());
    }
    let https_endpoint = https_endpoint?;
    let host = match &https_endpoint.host {
        Some(host) => host.clone(),
        None => Url::parse(candidate?).ok()?.host_str()?.to_owned(),
    };
    Some(format!("https://{host}:{}", https_endpoint.port))
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let is_local = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    match url.host() {
        Some(Host::Ipv4(address)) => is_local(address.into()),
        Some(Host::Ipv6(address)) => is_local(address.to_canonical()),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(host: Option<&str>) -> HttpsEndpoint {
        HttpsEndpoint { host: host.map(str::to_owned), port: 8443, authority: "OWN".to_owned() }
    }

    #[test]
    fn setting_precedes_request_and_tls_listener() {
        let (none, any_host, fixed_host) = (None, Some(listener(None)), Some(listener(Some("127.0.0.1"))));
        for (configured, request_origin, https_endpoint, expected) in [
            ("https://a.example", Some("http://b"), &none, Some("https://a.example")),
            ("https://a.example/p/", Some("http://b"), &none, Some("https://a.example/p")),
            ("", Some("https://b:1"), &none, Some("https://b:1")),
            ("", Some("https://b:1"), &any_host, Some("https://b:1")),
            ("", Some("http://b:8080"), &any_host, Some("https://b:8443")),
            ("http://c:80", Some("http://b:8080"), &any_host, Some("https://c:8443")),
            ("", Some("http://[::1]:8080"), &any_host, Some("https://[::1]:8443")),
            ("", Some("http://b:8080"), &fixed_host, Some("https://127.0.0.1:8443")),
            ("", None, &fixed_host, Some("https://127.0.0.1:8443")),
            ("", None, &any_host, None),
            ("", Some("http://b"), &none, None),
            ("http://a.example", Some("https://b"), &none, None),
            ("https://", Some("http://b"), &none, None),
        ] {
            let url = https_url(configured, request_origin, https_endpoint.as_ref());
            assert_eq!(url.as_deref(), expected, "{configured} {request_origin:?}");
        }
    }

    #[test]
    fn loopback_addresses_are_recognized() {
        for (url, expected) in [
            ("https://localhost:8443", true),
            ("https://a.localhost.", true),
            ("https://127.9.9.9", true),
            ("https://0.0.0.0", true),
            ("https://[::1]", true),
            ("https://[::ffff:127.0.0.1]", true),
            ("https://10.0.0.1", false),
            ("https://localhost.example.org", false),
        ] {
            assert_eq!(is_loopback(url), expected, "{url}");
        }
    }
}
