//! The specification of a cluster: what its user wants.
//!
//! It is kept as the user spelled it, key by key, and read through typed structs where something is decided.
//! How a change is merged into it is in [`merge`], what it must fulfil in [`rules`]. What Azure reports is not
//! here.

mod config;
pub mod merge;
pub mod rules;

pub use config::{AksConfig, NodePool};

use serde_json::{Map, Value};

/// A JSON object with its keys in alphabetical order.
pub type Object = Map<String, Value>;

/// The key of the AKS part.
pub const AKS_CONFIG: &str = "aksConfig";

/// The whole body that users see and change, except the name: description, labels, annotations, `aksConfig`
/// and the rest. No value in it is `null`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSpec {
    body: Object,
    aks: AksConfig,
}

impl ClusterSpec {
    /// Takes a body whose values have the kinds that the schema says.
    ///
    /// # Errors
    /// When `aksConfig` is missing, or a value in it has another kind.
    pub fn new(body: Object) -> Result<Self, serde_json::Error> {
        let config = body.get(AKS_CONFIG).cloned().unwrap_or_default();
        Ok(Self { aks: serde_json::from_value(config)?, body })
    }

    /// Reads it back from the text that [`ClusterSpec::to_text`] made.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        Self::new(serde_json::from_str(text)?)
    }

    /// The body as JSON, for keeping.
    pub fn to_text(&self) -> String {
        Value::Object(self.body.clone()).to_string()
    }

    /// The body as the user wrote it.
    pub fn body(&self) -> &Object {
        &self.body
    }

    /// The AKS part, typed.
    pub fn aks(&self) -> &AksConfig {
        &self.aks
    }
}

/// The one AKS cluster that is meant, whatever the letter case: subscription, resource group and name in lower
/// case, with `/` between. `None` while one of them is not known.
pub fn identity(subscription_id: Option<&str>, aks: &AksConfig) -> Option<String> {
    let parts = [subscription_id, aks.resource_group.as_deref(), aks.cluster_name.as_deref()];
    let known: Option<Vec<String>> =
        parts.into_iter().map(|part| part.filter(|text| !text.is_empty()).map(str::to_lowercase)).collect();
    known.map(|parts| parts.join("/"))
}

/// `text`, unless it is empty: clients send `""` for what is not set (terraform contract, section 6).
pub fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_body_comes_back_as_it_was_and_is_read_typed() {
        let body = object(json!({
            "description": "d",
            "aksConfig": {"resourceGroup": "Grp", "nodePools": [{"name": "b"}, {"name": "a", "count": 2}]},
        }));
        let spec = ClusterSpec::new(body.clone()).unwrap();
        let again = ClusterSpec::from_text(&spec.to_text()).unwrap();
        assert_eq!(again.body(), &body);
        let pools = again.aks().node_pools.as_ref().unwrap();
        assert_eq!(pools[0].name.as_deref(), Some("b"));
        assert_eq!(pools[1].count, Some(2));
    }

    #[test]
    fn a_body_without_the_aks_part_is_refused() {
        for body in [json!({}), json!({"aksConfig": 1}), json!({"aksConfig": {"tags": []}})] {
            assert!(ClusterSpec::new(object(body.clone())).is_err(), "{body}");
        }
    }

    #[test]
    fn letter_case_does_not_make_another_cluster() {
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
