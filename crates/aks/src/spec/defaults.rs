//! Keys of `aksConfig` for which Azure chooses a value if the user sets none. Responses contain Azure's value, which corrects
//! clients that store the values they sent, as Terraform does after a rejected change. The value does not become the user's.

use serde_json::Value;

use super::{AKS_CONFIG, AksConfig, Object};

/// Reads Azure's value of a key of `aksConfig`.
type InAzure = for<'a, 'b> fn(&'b Azure<'a>) -> Option<&'a String>;

const KEYS: [(&str, InAzure); 5] = [
    ("dnsServiceIp", |azure| azure.upstream.dns_service_ip.as_ref()),
    ("loadBalancerSku", |azure| azure.upstream.load_balancer_sku.as_ref()),
    ("nodeResourceGroup", |azure| azure.upstream.node_resource_group.as_ref().or(azure.node_resource_group)),
    ("podCidr", |azure| azure.upstream.pod_cidr.as_ref()),
    ("serviceCidr", |azure| azure.upstream.service_cidr.as_ref()),
];

/// The observed state of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Azure<'a> {
    /// The state with the keys of `aksConfig`.
    pub upstream: &'a AksConfig,
    /// The resource group of the nodes.
    pub node_resource_group: Option<&'a String>,
}

/// Whether Azure has a value for a key that users may leave unset.
pub fn has(azure: &Azure<'_>, key: &str) -> bool {
    KEYS.iter().any(|(name, read)| *name == key && read(azure).is_some())
}

/// Adds Azure's values for keys that the user did not set.
pub fn fill(config: &mut Object, azure: &Azure<'_>) {
    for (key, value) in unset(config, azure) {
        config.insert(key.to_owned(), value.into());
    }
}

/// Removes from a change what only repeats a response: Azure's values of keys that the user did not set.
pub fn drop_repeated(stored: &Object, change: &mut Object, azure: &Azure<'_>) {
    let nothing = Object::new();
    let stored = stored.get(AKS_CONFIG).and_then(Value::as_object).unwrap_or(&nothing);
    let Some(change) = change.get_mut(AKS_CONFIG).and_then(Value::as_object_mut) else { return };
    for (key, value) in unset(stored, azure) {
        if change.get(key).and_then(Value::as_str) == Some(value) {
            change.remove(key);
        }
    }
}

fn unset<'a>(config: &Object, azure: &Azure<'a>) -> Vec<(&'static str, &'a str)> {
    let is_set = |key: &str| config.get(key).is_some_and(|value| !value.is_null() && value != "");
    let known = KEYS.iter().filter_map(|(key, read)| Some((*key, read(azure)?.as_str())));
    known.filter(|(key, _)| !is_set(key)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::object;

    #[test]
    fn unset_keys_carry_the_value_of_azure() {
        let upstream = AksConfig {
            service_cidr: Some("10.0.0.0/16".to_owned()),
            load_balancer_sku: Some("standard".to_owned()),
            ..AksConfig::default()
        };
        let group = "MC_a".to_owned();
        let azure = Azure { upstream: &upstream, node_resource_group: Some(&group) };
        let mut config = object(json!({"serviceCidr": "", "loadBalancerSku": "Standard", "tags": {}}));
        fill(&mut config, &azure);
        assert_eq!(
            Value::Object(config),
            json!({"loadBalancerSku": "Standard", "nodeResourceGroup": "MC_a", "serviceCidr": "10.0.0.0/16", "tags": {}})
        );
        assert!(has(&azure, "serviceCidr") && !has(&azure, "podCidr") && !has(&azure, "tags"));
    }

    #[test]
    fn change_loses_only_what_repeats_the_response() {
        let upstream = AksConfig {
            service_cidr: Some("10.0.0.0/16".to_owned()),
            dns_service_ip: Some("10.0.0.10".to_owned()),
            load_balancer_sku: Some("standard".to_owned()),
            ..AksConfig::default()
        };
        let azure = Azure { upstream: &upstream, node_resource_group: None };
        let stored = object(json!({"aksConfig": {"dnsServiceIp": "10.0.0.10"}}));
        let sent =
            json!({"serviceCidr": "10.0.0.0/16", "dnsServiceIp": "10.0.0.10", "loadBalancerSku": "Standard"});
        let mut change = object(json!({"name": "a", "aksConfig": sent}));
        drop_repeated(&stored, &mut change, &azure);
        let left = json!({"dnsServiceIp": "10.0.0.10", "loadBalancerSku": "Standard"});
        assert_eq!(Value::Object(change), json!({"name": "a", "aksConfig": left}));
    }
}
