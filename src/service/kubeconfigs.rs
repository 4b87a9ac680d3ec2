//! Kubeconfigs for callers: the way into one cluster through this server, with a token that is good for nothing else.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::actor::Actor;
use super::clusters::{Cluster, Clusters};
use super::events::{Action, Events};
use super::metadata::Metadata;
use super::settings::Settings;
use super::tokens::{TokenSpec, Tokens};
use super::{Invalid, Result};

/// The kind of object in the audit.
const OBJECT: &str = "cluster";

/// The name of the action.
pub const ACTION: &str = "generateKubeconfig";

/// How long tokens of kubeconfigs are good when the setting says nothing: 30 days.
const USUAL_MINUTES: u64 = 43_200;

/// How the server can be reached over TLS of its own.
#[derive(Clone, Debug)]
pub struct OverTls {
    /// The host, where only one is right; otherwise it is the one that the caller knows the server by.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
    /// The certificates that clients have to trust, PEM; empty where those of the system are enough.
    pub authority: String,
}

/// Makes kubeconfigs. Clones share everything.
#[derive(Clone)]
pub struct Kubeconfigs {
    inner: Arc<Inner>,
}

struct Inner {
    clusters: Clusters,
    tokens: Tokens,
    settings: Settings,
    events: Events,
    over_tls: OnceLock<OverTls>,
}

/// Where a kubeconfig leads to.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    /// `https://host[:port][/path]`, without a slash at the end.
    url: String,
    /// Certificates, PEM; empty for those of the system.
    authority: String,
}

/// The outcome of the action.
#[derive(Debug)]
pub enum Generated {
    /// A kubeconfig, as YAML.
    Kubeconfig(SecretString),
    /// Clients cannot reach the server over TLS, and they send tokens over nothing else: there is no kubeconfig. Says what to
    /// change.
    Unreachable(Invalid),
}

impl Kubeconfigs {
    /// Kubeconfigs for the clusters of `clusters`.
    pub fn new(clusters: Clusters, tokens: Tokens, settings: Settings, events: Events) -> Self {
        Self { inner: Arc::new(Inner { clusters, tokens, settings, events, over_tls: OnceLock::new() }) }
    }

    /// Tells that the server listens with TLS too. Only the first time counts.
    pub fn serve_over_tls(&self, over_tls: OverTls) {
        // It is called once, before anything is served.
        drop(self.inner.over_tls.set(over_tls));
    }

    /// Whether clients are left to the authorities of their system.
    pub async fn name_no_authority(&self) -> bool {
        let own = self.inner.over_tls.get().is_some_and(|own| !own.authority.is_empty());
        !own && self.inner.settings.value("cacerts").await.trim().is_empty()
    }

    /// A kubeconfig for a cluster that the caller may see, in whatever state it is. `known_as` is scheme and host that the
    /// request was sent to. Every one has a token of its own.
    pub async fn generate(&self, by: &Actor, cluster_id: &str, known_as: &str) -> Result<Generated> {
        let made = self.make(by, cluster_id, known_as).await;
        let action = Action::Call(ACTION);
        match &made {
            Ok(Generated::Unreachable(invalid)) => {
                let rejected: Result<()> = Err(invalid.clone().into());
                self.inner.events.record_failure(by, action, OBJECT, cluster_id, &rejected).await;
            }
            made => self.inner.events.record_failure(by, action, OBJECT, cluster_id, made).await,
        }
        made
    }

    async fn make(&self, by: &Actor, cluster_id: &str, known_as: &str) -> Result<Generated> {
        let inner = &self.inner;
        let cluster = inner.clusters.get(&by.caller, cluster_id).await?;
        let configured = inner.settings.value("server-url").await;
        let authority = inner.settings.value("cacerts").await;
        let server = match server(&configured, &authority, known_as, inner.over_tls.get()) {
            Ok(server) => server,
            Err(invalid) => return Ok(Generated::Unreachable(invalid)),
        };
        let minutes = inner.settings.value("kubeconfig-default-token-ttl-minutes").await;
        let spec = TokenSpec {
            prefix: "kubeconfig-user-",
            ttl: ttl(&minutes),
            description: "made for a kubeconfig",
            cluster_id: Some(&cluster.id),
            metadata: Metadata::default(),
        };
        let audit = |token: &str, now_ms| {
            let event = by.event(Action::Call(ACTION), OBJECT, &cluster.id, &Ok(()));
            event.detail(&format!("with the token {token}")).into_row(now_ms)
        };
        let token = inner.tokens.create_for_caller(&by.caller, &spec, audit).await?;
        Ok(Generated::Kubeconfig(yaml(&cluster, &server, &token.to_bearer())))
    }
}

/// How long a token is good; for ever when the setting is 0.
fn ttl(minutes: &str) -> Option<Duration> {
    let minutes = minutes.trim().parse().unwrap_or(USUAL_MINUTES);
    (minutes > 0).then(|| Duration::from_secs(minutes.saturating_mul(60)))
}

/// Where clients reach the server over TLS: where the setting says, else where the request went, else our own listener.
fn server(
    configured: &str,
    authority: &str,
    known_as: &str,
    over_tls: Option<&OverTls>,
) -> Result<Server, Invalid> {
    let is_https = |url: &&str| url.len() > "https://".len() && url.starts_with("https://");
    let known = if configured.is_empty() { known_as } else { configured };
    let own = over_tls.map(|own| own.authority.as_str()).unwrap_or_default();
    let authority = if authority.trim().is_empty() { own } else { authority };
    if let Some(url) = Some(known).filter(is_https) {
        return Ok(Server { url: url.trim_end_matches('/').to_owned(), authority: authority.to_owned() });
    }
    let Some(over_tls) = over_tls else {
        let message = "kubeconfigs need an address that begins with https://, because Kubernetes' clients send no token \
                       over plain HTTP: put it into the setting server-url, or let the server listen with TLS itself \
                       (--tls-listen)";
        return Err(Invalid::field("InvalidState", "server-url", message));
    };
    let host = match &over_tls.host {
        Some(host) => host.clone(),
        None => Url::parse(known).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default(),
    };
    Ok(Server { url: format!("https://{host}:{}", over_tls.port), authority: authority.to_owned() })
}

/// Texts of JSON are texts of YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn yaml(cluster: &Cluster, server: &Server, token: &SecretString) -> SecretString {
    let name = quoted(if cluster.name.is_empty() { &cluster.id } else { &cluster.name });
    let address = quoted(&format!("{}/k8s/clusters/{}", server.url, cluster.id));
    let authority = match server.authority.trim() {
        "" => String::new(),
        pem => format!(
            "    certificate-authority-data: {}\n",
            quoted(&BASE64_STANDARD.encode(format!("{pem}\n")))
        ),
    };
    let token = quoted(token.expose_secret());
    SecretString::from(format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: {address}\n{authority}\
         users:\n- name: {name}\n  user:\n    token: {token}\n\
         contexts:\n- name: {name}\n  context:\n    user: {name}\n    cluster: {name}\n\
         current-context: {name}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(host: Option<&str>) -> OverTls {
        OverTls { host: host.map(str::to_owned), port: 8443, authority: "OWN".to_owned() }
    }

    #[test]
    fn kubeconfigs_lead_to_https_where_there_is_any() {
        let (none, plain, fixed) = (None, Some(own(None)), Some(own(Some("127.0.0.1"))));
        for (configured, cacerts, known_as, over_tls, expected) in [
            ("https://a.example", "", "http://b", &none, Some(("https://a.example", ""))),
            ("https://a.example/p/", "CA", "http://b", &none, Some(("https://a.example/p", "CA"))),
            ("", "", "https://b:1", &none, Some(("https://b:1", ""))),
            ("", "", "https://b:1", &plain, Some(("https://b:1", "OWN"))),
            ("", "CA", "https://b:1", &plain, Some(("https://b:1", "CA"))),
            ("", "", "http://b:8080", &plain, Some(("https://b:8443", "OWN"))),
            ("http://c:80", "", "http://b:8080", &plain, Some(("https://c:8443", "OWN"))),
            ("", "", "http://[::1]:8080", &plain, Some(("https://[::1]:8443", "OWN"))),
            ("", "", "http://b:8080", &fixed, Some(("https://127.0.0.1:8443", "OWN"))),
            ("", "", "http://b", &none, None),
            ("http://a.example", "", "https://b", &none, None),
            ("https://", "", "http://b", &none, None),
        ] {
            let found = server(configured, cacerts, known_as, over_tls.as_ref());
            let expected = expected.map(|(url, ca)| Server { url: url.to_owned(), authority: ca.to_owned() });
            if let Err(invalid) = &found {
                assert_eq!((invalid.code, invalid.field.as_deref()), ("InvalidState", Some("server-url")));
            }
            assert_eq!(found.ok(), expected, "{configured} {known_as}");
        }
    }

    #[test]
    fn the_setting_says_how_long_the_token_is_good() {
        for (text, expected) in [
            ("", Some(USUAL_MINUTES)),
            ("rubbish", Some(USUAL_MINUTES)),
            ("-1", Some(USUAL_MINUTES)),
            ("60", Some(60)),
            ("0", None),
        ] {
            assert_eq!(ttl(text), expected.map(|minutes| Duration::from_secs(minutes * 60)), "{text}");
        }
    }
}
