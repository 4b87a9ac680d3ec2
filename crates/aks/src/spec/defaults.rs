//! Keys of `aksConfig` for which Azure chooses a value if the user sets none. Responses contain Azure's value, which corrects
//! clients that store the values they sent, as Terraform does after a rejected change. The value is not saved as the user's.

use serde_json::Value;

use super::{AKS_CONFIG, AksConfig, Object};

/// Reads Azure's value of a key of `aksConfig`.
type ReadValue = for<'a, 'b> fn(&'b ObservedState<'a>) -> Option<&'a String>;

/// The keys, each with the function that reads Azure's value.
const READERS: [(&str, ReadValue); 5] = [
    ("dnsServiceIp", |observed| observed.upstream.dns_service_ip.as_ref()),
    ("loadBalancerSku", |observed| observed.upstream.load_balancer_sku.as_ref()),
    ("nodeResourceGroup", |observed| {
        observed.upstream.node_resource_group.as_ref().or(observed.node_resource_group)
    }),
    ("podCidr", |observed| observed.upstream.pod_cidr.as_ref()),
    ("serviceCidr", |observed| observed.upstream.service_cidr.as_ref()),
];

/// The observed state of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct ObservedState<'a> {
    /// The state with the keys of `aksConfig`.
    pub upstream: &'a AksConfig,
    /// The resource group of the nodes.
    pub node_resource_group: Option<&'a String>,
}

/// Whether Azure has a value for a key that users may leave unset.
pub fn has_value(observed: &ObservedState<'_>, key: &str) -> bool {
    READERS.iter().any(|(name, read)| *name == key && read(observed).is_some())
}

/// Adds Azure's values for keys that the user did not set.
pub fn add_observed_values(config: &mut Object, observed: &ObservedState<'_>) {
    for (key, value) in values_of_unset_keys(config, observed) {
        config.insert(key.to_owned(), value.into());
    }
}

/// Removes values from a change that only repeat a response: Azure's values of keys that the user did not set.
pub fn remove_repeated_values(stored: &Object, change: &mut Object, observed: &ObservedState<'_>) {
    let empty = Object::new();
    let stored = stored.get(AKS_CONFIG).and_then(Value::as_object).unwrap_or(&empty);
    let Some(change) = change.get_mut(AKS_CONFIG).and_then(Value::as_object_mut) else { return };
    for (key, value) in values_of_unset_keys(stored, observed) {
        if change.get(key).and_then(Value::as_str) == Some(value) {
            change.remove(key);
        }
    }
}

/// Azure's values for the keys that `config` does not set.
fn values_of_unset_keys<'a>(config: &Object, observed: &ObservedState<'a>) -> Vec<(&'static str, &'a str)> {
    let is_set = |key: &str| config.get(key).is_some_and(|value| !value.is_null() && value != "");
    let observed_values = READERS.iter().filter_map(|(key, read)| Some((*key, read(observed)?.as_str())));
    observed_values.filter(|(key, _)| !is_set(key)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::object;

    #[test]
    fn unset_keys_are_filled_with_azures_values() {
        let upstream = AksConfig {
            service_cidr: Some("10.0.0.0/16".to_owned()),
            load_balancer_sku: Some("standard".to_owned()),
            ..AksConfig::default()
        };
        let group = "MC_a".to_owned();
        let observed = ObservedState { upstream: &upstream, node_resource_group: Some(&group) };
        let mut config = object(json!({"serviceCidr": "", "loadBalancerSku": "Standard", "tags": {}}));
        add_observed_values(&mut config, &observed);
        assert_eq!(
            Value::Object(config),
            json!({"loadBalancerSku": "Standard", "nodeResourceGroup": "MC_a", "serviceCidr": "10.0.0.0/16", "tags": {}})
        );
        assert!(
            has_value(&observed, "serviceCidr")
                && !has_value(&observed, "podCidr")
                && !has_value(&observed, "tags")
        );
    }

    #[test]
    fn only_repeated_values_are_removed_from_a_change() {
        let upstream = AksConfig {
            service_cidr: Some("10.0.0.0/16".to_owned()),
            dns_service_ip: Some("10.0.0.10".to_owned()),
            load_balancer_sku: Some("standard".to_owned()),
            ..AksConfig::default()
        };
        let observed = ObservedState { upstream: &upstream, node_resource_group: None };
        let stored = object(json!({"aksConfig": {"dnsServiceIp": "10.0.0.10"}}));
        let sent =
            json!({"serviceCidr": "10.0.0.0/16", "dnsServiceIp": "10.0.0.10", "loadBalancerSku": "Standard"});
        let mut change = object(json!({"name": "a", "aksConfig": sent}));
        remove_repeated_values(&stored, &mut change, &observed);
        let remaining = json!({"dnsServiceIp": "10.0.0.10", "loadBalancerSku": "Standard"});
        assert_eq!(Value::Object(change), json!({"name": "a", "aksConfig": remaining}));
    }
}
