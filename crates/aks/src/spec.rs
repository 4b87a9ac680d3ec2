//! The specification of a cluster: its desired state.
//!
//! The raw JSON object preserves the user's spelling; [`ClusterSpec::aks`] is the typed view. [`merge`] applies changes,
//! [`rules`] contains Rancher's validation, [`defaults`] Azure's values for unset keys.

mod config;
pub mod defaults;
pub mod merge;
pub mod rules;

pub use config::{AksConfig, NodePool};

use serde_json::{Map, Value};

use crate::input;

/// A JSON object with its keys in alphabetical order.
pub type Object = Map<String, Value>;

/// The key of the AKS configuration.
pub const AKS_CONFIG: &str = "aksConfig";

/// The body of a cluster without its name: description, labels, annotations, `aksConfig` and other keys. Contains no `null`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSpec {
    body: Object,
    aks: AksConfig,
}

impl ClusterSpec {
    /// Parses a body whose values have the types of the schema.
    ///
    /// # Errors
    /// If `aksConfig` is missing, or a value in it has another type.
    pub fn new(body: Object) -> Result<Self, serde_json::Error> {
        let config = body.get(AKS_CONFIG).cloned().unwrap_or_default();
        let aks: AksConfig = serde_json::from_value(config)?;
        Ok(Self { aks: aks.normalized(), body })
    }

    /// Parses the output of [`ClusterSpec::to_text`].
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        Self::new(serde_json::from_str(text)?)
    }

    /// Serializes the body to JSON for storage.
    pub fn to_text(&self) -> String {
        Value::Object(self.body.clone()).to_string()
    }

    /// The body as the user wrote it.
    pub fn body(&self) -> &Object {
        &self.body
    }

    /// The typed and normalized `aksConfig` ([`AksConfig::normalized`]), on which decisions and requests to Azure are based.
    pub fn aks(&self) -> &AksConfig {
        &self.aks
    }
}

/// The case-insensitive key of an AKS cluster: subscription, resource group and name in lower case, separated by `/`. `None` if
/// one of them is unknown.
pub fn identity(subscription_id: Option<&str>, aks: &AksConfig) -> Option<String> {
    let subscription_id = subscription_id.map(input::trim_id);
    let parts = [subscription_id, aks.resource_group.as_deref(), aks.cluster_name.as_deref()];
    let parts: Option<Vec<String>> =
        parts.into_iter().map(|part| part.filter(|part| !part.is_empty()).map(str::to_lowercase)).collect();
    parts.map(|parts| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::object;

    #[test]
    fn stored_body_round_trips_with_typed_view() {
        let body = object(json!({
            "description": "d",
            "aksConfig": {"resourceGroup": "Grp", "nodePools": [{"name": "b"}, {"name": "a", "count": 2}]},
        }));
        let spec = ClusterSpec::new(body.clone()).unwrap();
        let parsed = ClusterSpec::from_text(&spec.to_text()).unwrap();
        assert_eq!(parsed.body(), &body);
        let pools = parsed.aks().node_pools.as_ref().unwrap();
        assert_eq!(pools[0].name.as_deref(), Some("b"));
        assert_eq!(pools[1].count, Some(2));
    }

    #[test]
    fn typed_view_has_normalized_regions_and_versions() {
        let aks = json!({"resourceLocation": " East-US_2", "kubernetesVersion": "v1.33.5 ",
            "nodePools": [{"orchestratorVersion": " 1.33"}, {"orchestratorVersion": "latest "}, {}]});
        let spec = ClusterSpec::new(object(json!({"aksConfig": aks}))).unwrap();
        assert_eq!(spec.body()["aksConfig"], aks, "responses keep the spelling");
        assert_eq!(spec.aks().resource_location.as_deref(), Some("eastus2"));
        assert_eq!(spec.aks().kubernetes_version.as_deref(), Some("1.33.5"));
        let pools = spec.aks().node_pools.iter().flatten().map(|pool| pool.orchestrator_version.as_deref());
        assert_eq!(pools.collect::<Vec<_>>(), [Some("1.33"), Some("latest"), None]);
    }

    #[test]
    fn body_without_valid_aks_config_is_rejected() {
        for body in [json!({}), json!({"aksConfig": 1}), json!({"aksConfig": {"tags": []}})] {
            assert!(ClusterSpec::new(object(body.clone())).is_err(), "{body}");
        }
    }

    #[test]
    fn identity_ignores_letter_case() {
        let aks = |group: &str, name: &str| AksConfig {
            resource_group: Some(group.to_owned()),
            cluster_name: Some(name.to_owned()),
            ..AksConfig::default()
        };
        assert_eq!(identity(Some("AB-C"), &aks("Grp", "One")).as_deref(), Some("ab-c/grp/one"));
        assert_eq!(identity(Some("ab-c"), &aks("gRP", "oNE")).as_deref(), Some("ab-c/grp/one"));
        assert_eq!(identity(None, &aks("g", "n")), None);
        assert_eq!(identity(Some(""), &aks("g", "n")), None);
        assert_eq!(identity(Some("s"), &aks("", "n")), None);
        assert_eq!(identity(Some("s"), &AksConfig::default()), None);
    }
}
