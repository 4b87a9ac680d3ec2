//! The Secret of a cloud credential, as Rancher's Kubernetes API returns it.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;

/// The prefix of the keys of an Azure credential.
const AZURE_PREFIX: &str = "azurecredentialConfig-";
/// The annotation in which Rancher stores a tenant ID that it looked up.
const TENANT_ANNOTATION: &str = "cluster.management.cattle.io/azure-tenant-id";

/// A Secret that the caller may read.
pub enum Secret {
    /// It belongs to an Azure credential.
    Azure(CredentialFields),
    /// It belongs to a credential of another provider.
    OtherCredential,
    /// It does not belong to a credential.
    NotCredential,
}

/// The fields of an Azure credential. An unset field is empty.
pub struct CredentialFields {
    /// The `resourceVersion` of the Secret, which changes with each update.
    pub version: String,
    pub tenant_id: String,
    pub subscription_id: String,
    pub client_id: String,
    pub client_secret: SecretString,
    pub environment: String,
}

impl fmt::Debug for CredentialFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialFields").field("version", &self.version).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "resourceVersion")]
    resource_version: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Secret {
    /// Parses the response; `None` if its format is unexpected.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let Object { metadata, data } = serde_json::from_slice(body).ok()?;
        let data = data.unwrap_or_default();
        let is_credential =
            |key: &String| key.split_once('-').is_some_and(|(prefix, _)| prefix.ends_with("Config"));
        if !data.keys().any(is_credential) {
            return Some(Self::NotCredential);
        }
        if !data.keys().any(|key| key.starts_with(AZURE_PREFIX)) {
            return Some(Self::OtherCredential);
        }
        let field = |name: &str| match data.get(&format!("{AZURE_PREFIX}{name}")) {
            None => Some(String::new()),
            Some(value) => String::from_utf8(STANDARD.decode(value).ok()?).ok(),
        };
        let mut tenant_id = field("tenantId")?;
        if tenant_id.is_empty() {
            tenant_id =
                metadata.annotations.unwrap_or_default().remove(TENANT_ANNOTATION).unwrap_or_default();
        }
        Some(Self::Azure(CredentialFields {
            version: metadata.resource_version,
            tenant_id,
            subscription_id: field("subscriptionId")?,
            client_id: field("clientId")?,
            client_secret: field("clientSecret")?.into(),
            environment: field("environment")?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    fn parse(data: &serde_json::Value, annotations: &serde_json::Value) -> Option<Secret> {
        let metadata = json!({"name": "cc-a", "resourceVersion": "17", "annotations": annotations});
        Secret::parse(json!({"id": "ns/cc-a", "metadata": metadata, "data": data}).to_string().as_bytes())
    }

    #[test]
    fn missing_tenant_is_read_from_the_annotation() {
        let data = json!({
            "azurecredentialConfig-clientId": "Yw==", "azurecredentialConfig-clientSecret": "Y2FuYXJ5",
            "azurecredentialConfig-subscriptionId": "cw==", "azurecredentialConfig-tenantId": "",
        });
        let Some(Secret::Azure(fields)) = parse(&data, &json!({TENANT_ANNOTATION: "t"})) else { panic!() };
        assert_eq!((&*fields.version, &*fields.tenant_id), ("17", "t"));
        assert_eq!((&*fields.client_id, &*fields.subscription_id, &*fields.environment), ("c", "s", ""));
        assert_eq!(fields.client_secret.expose_secret(), "canary");
        assert!(!format!("{fields:?}").contains("canary"));
    }

    #[test]
    fn other_and_malformed_secrets_are_distinguished() {
        let null = json!(null);
        assert!(matches!(parse(&json!({"password": "eA=="}), &null), Some(Secret::NotCredential)));
        assert!(matches!(parse(&null, &null), Some(Secret::NotCredential)));
        let other = json!({"amazonec2credentialConfig-accessKey": "eA=="});
        assert!(matches!(parse(&other, &null), Some(Secret::OtherCredential)));
        assert!(parse(&json!({"azurecredentialConfig-clientId": "%"}), &null).is_none());
        assert!(parse(&json!({"azurecredentialConfig-clientId": "/w=="}), &null).is_none(), "not UTF-8");
        assert!(Secret::parse(b"{}").is_none() && Secret::parse(b"<html>").is_none());
    }
}
