//! Kubeconfigs for callers: access to one cluster through this server, with a token that is restricted to it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use super::actor::Actor;
use super::audit::{Action, AuditLog};
use super::clusters::{Cluster, Clusters, OBJECT_TYPE};
use super::metadata::Metadata;
use super::public_address::PublicAddress;
use super::settings::Settings;
use super::tokens::{TokenSpec, Tokens};
use super::{Invalid, Result};

/// The name of the action.
pub const ACTION: &str = "generateKubeconfig";

/// The TTL of kubeconfig tokens if the setting is invalid: 30 days.
const DEFAULT_TTL_MINUTES: u64 = 43_200;

/// The service that generates kubeconfigs. Clones share everything.
#[derive(Clone)]
pub struct Kubeconfigs {
    inner: Arc<Inner>,
}

struct Inner {
    clusters: Clusters,
    tokens: Tokens,
    settings: Settings,
    audit_log: AuditLog,
    address: PublicAddress,
}

/// The server of a kubeconfig.
struct Server {
    /// `https://host[:port][/path]`, without a trailing slash.
    url: String,
    /// CA certificates in PEM; empty for those of the system.
    authorities: String,
}

/// The outcome of the action.
#[derive(Debug)]
pub enum Generated {
    /// A kubeconfig, as YAML.
    Kubeconfig(SecretString),
    /// No kubeconfig, because clients send tokens over TLS only and the server has no https URL; with the remedy.
    Unreachable(Invalid),
}

impl Kubeconfigs {
    /// Kubeconfigs for the clusters of `clusters`.
    pub fn new(
        clusters: Clusters,
        tokens: Tokens,
        settings: Settings,
        audit_log: AuditLog,
        address: PublicAddress,
    ) -> Self {
        Self { inner: Arc::new(Inner { clusters, tokens, settings, audit_log, address }) }
    }

    /// Whether kubeconfigs have no CA certificates, so that clients use those of their system.
    pub async fn uses_system_authorities(&self) -> bool {
        self.inner.address.authorities().await.trim().is_empty()
    }

    /// Generates a kubeconfig with a new token for a cluster that the caller may see, in any state. `request_origin` is the
    /// scheme and host of the request.
    pub async fn generate(&self, by: &Actor, cluster_id: &str, request_origin: &str) -> Result<Generated> {
        let generated = self.try_generate(by, cluster_id, request_origin).await;
        let action = Action::Call(ACTION);
        if let Ok(Generated::Unreachable(invalid)) = &generated {
            let rejected: Result<()> = Err(invalid.clone().into());
            self.inner.audit_log.record_failure(by, action, OBJECT_TYPE, cluster_id, rejected).await.ok();
        }
        self.inner.audit_log.record_failure(by, action, OBJECT_TYPE, cluster_id, generated).await
    }

    async fn try_generate(&self, by: &Actor, cluster_id: &str, request_origin: &str) -> Result<Generated> {
        let inner = &self.inner;
        let cluster = inner.clusters.get(&by.caller, cluster_id).await?;
        let Some(url) = inner.address.https_url(Some(request_origin)).await else {
            return Ok(Generated::Unreachable(no_https()));
        };
        let server = Server { url, authorities: inner.address.authorities().await };
        let minutes = inner.settings.value("kubeconfig-default-token-ttl-minutes").await;
        let spec = TokenSpec {
            prefix: "kubeconfig-user-",
            ttl: parse_ttl(&minutes),
            description: "created for a kubeconfig",
            cluster_id: Some(&cluster.id),
            metadata: Metadata::default(),
        };
        let audit = |token: &str, now_ms| {
            let detail = format!("with the token {token}");
            by.audit_with_detail(Action::Call(ACTION), OBJECT_TYPE, &cluster.id, &detail, now_ms)
        };
        let token = inner.tokens.create_for_caller(&by.caller, &spec, audit).await?;
        Ok(Generated::Kubeconfig(to_yaml(&cluster, &server, &token.to_bearer())))
    }
}

/// The TTL of a token; `None` (no expiry) if the setting is 0.
fn parse_ttl(minutes: &str) -> Option<Duration> {
    let minutes = minutes.trim().parse().unwrap_or(DEFAULT_TTL_MINUTES);
    (minutes > 0).then(|| Duration::from_secs(minutes.saturating_mul(60)))
}

fn no_https() -> Invalid {
    let message = "kubeconfigs need an https URL of this server, because Kubernetes clients send no token over plain HTTP: \
                   set the setting server-url, or let the server listen with TLS itself \
                   (--tls-listen)";
    Invalid::field("InvalidState", "server-url", message)
}

/// Quotes a string: JSON strings are valid YAML.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn to_yaml(cluster: &Cluster, server: &Server, token: &SecretString) -> SecretString {
    let name = quote(if cluster.name.is_empty() { &cluster.id } else { &cluster.name });
    let server_url = quote(&format!("{}/k8s/clusters/{}", server.url, cluster.id));
    let ca_line = match server.authorities.trim() {
        "" => String::new(),
        pem => format!(
            "    certificate-authority-data: {}\n",
            quote(&BASE64_STANDARD.encode(format!("{pem}\n")))
        ),
    };
    let token = quote(token.expose_secret());
    SecretString::from(format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: {server_url}\n{ca_line}\
         users:\n- name: {name}\n  user:\n    token: {token}\n\
         contexts:\n- name: {name}\n  context:\n    user: {name}\n    cluster: {name}\n\
         current-context: {name}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_follows_the_setting() {
        for (text, expected) in [
            ("", Some(DEFAULT_TTL_MINUTES)),
            ("rubbish", Some(DEFAULT_TTL_MINUTES)),
            ("-1", Some(DEFAULT_TTL_MINUTES)),
            ("60", Some(60)),
            ("0", None),
        ] {
            assert_eq!(parse_ttl(text), expected.map(|minutes| Duration::from_secs(minutes * 60)), "{text}");
        }
    }
}
