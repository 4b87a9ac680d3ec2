//! The stored form of access to a cluster.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cluster_access::{Identity, Kubeconfig, SignIn};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

/// Stored access to a cluster. For a sign-in with Entra, it has the tenant and the server ID, never a token.
#[derive(Clone, Debug)]
pub(super) struct StoredAccess {
    pub(super) kubeconfig: Kubeconfig,
    /// The time of the last fetch from Azure, in milliseconds since 1970.
    pub(super) fetched_ms: i64,
}

impl StoredAccess {
    pub(super) fn to_json(&self) -> SecretString {
        let Kubeconfig { endpoint, ca, sign_in } = &self.kubeconfig;
        let sign_in = match sign_in {
            SignIn::Identity(Identity::Certificate { certificate, key }) => json!({
                "certificate": BASE64_STANDARD.encode(certificate),
                "key": key.expose_secret(),
            }),
            // Never stored: a kubeconfig always has an identity.
            SignIn::Identity(Identity::Anonymous) => json!({}),
            SignIn::Identity(Identity::Token(token)) => json!({"token": token.expose_secret()}),
            SignIn::Entra { server_id, tenant_id } => json!({"serverId": server_id, "tenantId": tenant_id}),
        };
        let ca = BASE64_STANDARD.encode(ca);
        let record =
            json!({"endpoint": endpoint.as_str(), "ca": ca, "signIn": sign_in, "fetchedMs": self.fetched_ms});
        record.to_string().into()
    }

    /// Parses the output of [`StoredAccess::to_json`]; `None` for anything else.
    pub(super) fn from_json(json: &SecretString) -> Option<Self> {
        let record: Value = serde_json::from_str(json.expose_secret()).ok()?;
        let string = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
        let bytes = |pointer: &str| string(pointer).and_then(|text| BASE64_STANDARD.decode(text).ok());
        let sign_in = if let Some(certificate) = bytes("/signIn/certificate") {
            let key = string("/signIn/key")?.into();
            SignIn::Identity(Identity::Certificate { certificate, key })
        } else if let Some(token) = string("/signIn/token") {
            SignIn::Identity(Identity::Token(token.into()))
        } else {
            let (server_id, tenant_id) = (string("/signIn/serverId")?, string("/signIn/tenantId")?);
            SignIn::Entra { server_id: server_id.to_owned(), tenant_id: tenant_id.to_owned() }
        };
        let endpoint = string("/endpoint")?.parse().ok()?;
        let kubeconfig = Kubeconfig { endpoint, ca: bytes("/ca")?, sign_in };
        Some(Self { kubeconfig, fetched_ms: record.get("fetchedMs")?.as_i64()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_read_back_as_written() {
        let certificate = Identity::Certificate { certificate: b"CERT".to_vec(), key: "canary".into() };
        let entra = SignIn::Entra { server_id: "s".to_owned(), tenant_id: "t".to_owned() };
        let token = SignIn::Identity(Identity::Token("canary".into()));
        for sign_in in [SignIn::Identity(certificate), entra, token] {
            let endpoint = "https://a.hcp.eastus.azmk8s.io:443".parse().unwrap();
            let kubeconfig = Kubeconfig { endpoint, ca: b"CA".to_vec(), sign_in };
            let record = StoredAccess { kubeconfig, fetched_ms: 7 };
            assert!(!format!("{record:?}").contains("canary"));
            let json = record.to_json();
            let again = StoredAccess::from_json(&json).unwrap();
            assert_eq!(again.to_json().expose_secret(), json.expose_secret());
            assert_eq!(again.fetched_ms, 7);
        }
    }

    #[test]
    fn unreadable_record_is_none() {
        for json in ["", "{}", "[]", r#"{"endpoint":"x","ca":"","signIn":{"token":"t"},"fetchedMs":1}"#] {
            assert!(StoredAccess::from_json(&json.into()).is_none(), "{json}");
        }
    }
}
