//! Kubeconfigs for callers: the way into one cluster through this server, with a token that is good for nothing else.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use super::actor::Actor;
use super::clusters::{Cluster, Clusters};
use super::events::{Action, Events};
use super::metadata::Metadata;
use super::public_address::PublicAddress;
use super::settings::Settings;
use super::tokens::{TokenSpec, Tokens};
use super::{Invalid, Result};

/// The kind of object in the audit.
const OBJECT: &str = "cluster";

/// The name of the action.
pub const ACTION: &str = "generateKubeconfig";

/// How long tokens of kubeconfigs are good when the setting says nothing: 30 days.
const USUAL_MINUTES: u64 = 43_200;

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
    address: PublicAddress,
}

/// Where a kubeconfig leads to.
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
    pub fn new(
        clusters: Clusters,
        tokens: Tokens,
        settings: Settings,
        events: Events,
        address: PublicAddress,
    ) -> Self {
        Self { inner: Arc::new(Inner { clusters, tokens, settings, events, address }) }
    }

    /// Whether clients are left to the authorities of their system.
    pub async fn name_no_authority(&self) -> bool {
        self.inner.address.authorities().await.trim().is_empty()
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
        let Some(url) = inner.address.https_url(Some(known_as)).await else {
            return Ok(Generated::Unreachable(no_https()));
        };
        let server = Server { url, authority: inner.address.authorities().await };
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

fn no_https() -> Invalid {
    let message = "kubeconfigs need an address that begins with https://, because Kubernetes' clients send no token \
                   over plain HTTP: put it into the setting server-url, or let the server listen with TLS itself \
                   (--tls-listen)";
    Invalid::field("InvalidState", "server-url", message)
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
