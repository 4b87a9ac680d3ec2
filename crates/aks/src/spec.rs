//! The specification of a cluster: what its user wants.
//!
//! It is kept as the user spelled it, key by key, and read through typed structs where something is decided.
//! How a change is merged into it is in [`merge`], what it must fulfil in [`rules`]. What Azure reports is not
//! here.

mod config;
pub mod defaults;
pub mod merge;
pub mod rules;

pub use config::{AksConfig, NodePool};

use serde_json::{Map, Value};

use super::{pasted, regions};

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
        let aks: AksConfig = serde_json::from_value(config)?;
        Ok(Self { aks: aks.normalised(), body })
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

    /// The AKS part, typed and normalised ([`AksConfig::normalised`]): what decisions rest on and Azure is sent.
    pub fn aks(&self) -> &AksConfig {
        &self.aks
    }
}

/// The one AKS cluster that is meant, whatever the letter case: subscription, resource group and name in lower
/// case, with `/` between. `None` while one of them is not known.
pub fn identity(subscription_id: Option<&str>, aks: &AksConfig) -> Option<String> {
    let subscription_id = subscription_id.map(pasted::id);
    let parts = [subscription_id, aks.resource_group.as_deref(), aks.cluster_name.as_deref()];
    let known: Option<Vec<String>> =
        parts.into_iter().map(|part| part.filter(|text| !text.is_empty()).map(str::to_lowercase)).collect();
    known.map(|parts| parts.join("/"))
}

/// `text`, unless it is empty: Terraform sends `""` for unset fields.
pub fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// Whether two configurations say the same: what is empty text is not said.
pub fn same(one: &AksConfig, other: &AksConfig) -> bool {
    let said = |aks: &AksConfig| {
        let mut said = serde_json::json!(aks);
        unsay(&mut said);
        said
    };
    said(one) == said(other)
}

fn unsay(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| *value != "");
            // A tag or a label may well be empty.
            object.values_mut().filter(|value| !value.is_object()).for_each(unsay);
        }
        Value::Array(list) => list.iter_mut().for_each(unsay),
        _ => {}
    }
}

/// The resource group of the cluster's network. `virtualNetworkResourceGroup` counts only when `networkPlugin` is set
/// (`docs/contract/provisioning.md#pool-body`).
pub fn network_group(aks: &AksConfig) -> Option<&str> {
    let own = given(aks.virtual_network_resource_group.as_ref());
    own.filter(|_| given(aks.network_plugin.as_ref()).is_some()).or(given(aks.resource_group.as_ref()))
}

/// Whether the add-on for routing is to be on or off, where it counts: regions in China do not have it.
pub fn http_application_routing(aks: &AksConfig) -> Option<bool> {
    let region = regions::normalised(given(aks.resource_location.as_ref()).unwrap_or_default());
    aks.http_application_routing.filter(|_| !region.starts_with("china"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn empty_texts_make_no_other_configuration() {
        let is_same = |one: Value, other: Value| {
            same(&serde_json::from_value(one).unwrap(), &serde_json::from_value(other).unwrap())
        };
        let pools = |pool: Value| json!({"nodePools": [pool]});
        assert!(is_same(json!({"subnet": "", "dnsPrefix": "d"}), json!({"dnsPrefix": "d"})));
        assert!(is_same(pools(json!({"name": "a", "maxSurge": ""})), pools(json!({"name": "a"}))));
        assert!(!is_same(json!({"tags": {}}), json!({})), "managed, and not managed");
        assert!(!is_same(json!({"tags": {"a": ""}}), json!({"tags": {}})));
        assert!(!is_same(pools(json!({"nodeLabels": {"a": ""}})), pools(json!({"nodeLabels": {}}))));
        assert!(!is_same(pools(json!({"count": 1})), pools(json!({"count": 2}))));
    }

    #[test]
    fn the_group_of_the_network_is_its_own_only_with_a_plugin() {
        for (aks, group) in [
            (
                json!({"resourceGroup": "g", "virtualNetworkResourceGroup": "n", "networkPlugin": "azure"}),
                Some("n"),
            ),
            (json!({"resourceGroup": "g", "virtualNetworkResourceGroup": "n"}), Some("g")),
            (
                json!({"resourceGroup": "g", "virtualNetworkResourceGroup": "", "networkPlugin": "azure"}),
                Some("g"),
            ),
            (json!({}), None),
        ] {
            assert_eq!(network_group(&serde_json::from_value(aks).unwrap()), group);
        }
    }

    #[test]
    fn china_has_no_routing_add_on() {
        for (region, expected) in
            [("chinaeast2", None), ("ChinaNorth3", None), ("eastus", Some(true)), ("", Some(true))]
        {
            let aks = json!({"httpApplicationRouting": true, "resourceLocation": region});
            assert_eq!(http_application_routing(&serde_json::from_value(aks).unwrap()), expected, "{region}");
        }
    }

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
    fn regions_and_versions_have_one_form_whatever_the_user_wrote() {
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
