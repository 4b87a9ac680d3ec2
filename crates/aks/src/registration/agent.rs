//! The input of an agent's manifest, and the names and labels of its objects.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::spec::Object;

/// The namespace of the agent.
pub const NAMESPACE: &str = "cattle-system";

/// The name of its deployment.
pub const AGENT_NAME: &str = "cattle-cluster-agent";

/// The label of every object except the namespace. Its value is [`installation()`]; objects of another server lack the label or
/// have another value. It is also part of the deployment's selector, which is immutable, so that Kubernetes itself rejects this
/// manifest if the cluster has the agent of another server.
pub const INSTALLATION_LABEL: &str = "norman-aks.io/installation";

/// The `namespace` of the credentials: empty, as in Rancher's import manifest.
pub(super) const CREDENTIALS_NAMESPACE: &str = "";

/// The input of a manifest.
#[derive(Clone, Copy)]
pub struct Agent<'a> {
    /// The URL of this server, without a slash at the end.
    pub server: &'a str,
    /// The registration token.
    pub token: &'a str,
    /// The CA certificates that the agent must trust, PEM; empty for the public ones.
    pub ca_certificates: &'a str,
    /// The default image, for a cluster without `desiredAgentImage`.
    pub image: &'a str,
    /// `<host>:<port>` of the cluster's API server, the only address to which this server can connect through the agent.
    pub api_server: Option<&'a str>,
    /// The setting `server-version`.
    pub server_version: &'a str,
    /// The setting `install-uuid`.
    pub install_uuid: &'a str,
    /// The body of the cluster object.
    pub cluster: &'a Object,
}

impl Agent<'_> {
    /// The value of [`INSTALLATION_LABEL`].
    pub(super) fn installation(&self) -> String {
        installation(self.install_uuid)
    }

    /// The name of the service account, which has no rights, and of the network policy. No other agent has objects with this
    /// name, neither Rancher's, whose service account is `cattle`, nor that of another installation.
    pub(super) fn service_account_name(&self) -> String {
        format!("norman-aks-agent-{}", self.installation())
    }

    /// Rancher's name of the secret: it changes with server and token, so that the pod is replaced.
    pub(super) fn secret_name(&self) -> String {
        let content = format!("{}.{}.{CREDENTIALS_NAMESPACE}", self.server, self.token);
        format!("cattle-credentials-{}", short_hash(&sha256(&content)))
    }
}

/// The value of [`INSTALLATION_LABEL`] for the setting `install-uuid`.
pub fn installation(install_uuid: &str) -> String {
    short_hash(&sha256(install_uuid))
}

/// The metadata of an object in the namespace.
pub(super) fn metadata(agent: &Agent<'_>, name: &str) -> Value {
    json!({"name": name, "namespace": NAMESPACE, "labels": {INSTALLATION_LABEL: agent.installation()}})
}

/// The SHA-256 checksum of CA certificates, which agents compute after trimming them and adding one line break. Empty without
/// certificates.
pub fn ca_checksum(certificates: &str) -> String {
    match certificates.trim() {
        "" => String::new(),
        certificates => sha256(&format!("{certificates}\n")),
    }
}

pub(super) fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hexadecimal, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hexadecimal, "{byte:02x}");
        hexadecimal
    })
}

/// The first ten digits of a hash.
pub(super) fn short_hash(hash: &str) -> String {
    hash.chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_of_trimmed_certificates_and_a_line_break() {
        // printf 'PEM\n' | sha256sum
        let expected = "a0278171ab77da84cdf84cc11c10e4d8923a3aadc855775d8aae2b6a9333415e";
        for certificates in ["PEM", "PEM\n", "\n PEM\r\n\n"] {
            assert_eq!(ca_checksum(certificates), expected, "{certificates:?}");
        }
        assert_eq!(ca_checksum(" \n"), "");
    }
}
