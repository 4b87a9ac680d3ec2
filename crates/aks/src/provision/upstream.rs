//! The observed state of a cluster with the keys of `aksConfig` (`docs/contract/provisioning.md#upstream-state`). Missing tags,
//! labels, pools and address ranges are empty, and a missing `privateCluster` is `false`. Other missing properties remain
//! unset, including those whose absence crashes Rancher.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::OWNER_TAG;
use crate::regions;
use crate::spec::{AksConfig, NodePool};

/// The parts of the observed state that are not read from Azure.
#[derive(Clone, Copy, Debug)]
pub struct ReadContext<'a> {
    /// The specification. Its names and its credential are copied, its region if Azure reports none, and the counts of pools
    /// that are autoscaled or have an operation in progress.
    pub spec: &'a AksConfig,
    /// The Resource Manager endpoint of the cloud, `https://management.azure.com/`.
    pub base_url: &'a str,
    /// The login authority of the cloud, `https://login.microsoftonline.com/`.
    pub auth_base_url: &'a str,
}

/// An incomplete response of Azure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IncompleteCluster {
    /// The response has no `kubernetesVersion`; contains the name of the cluster.
    #[error("cannot detect cluster [{0}] upstream kubernetes version")]
    NoVersion(String),
}

/// The value at a path of object keys.
pub(crate) fn value_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key)).filter(|value| !value.is_null())
}

/// The string at a path; `None` if it is missing or empty.
pub(crate) fn string_at(value: &Value, path: &[&str]) -> Option<String> {
    value_at(value, path)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(super) fn bool_at(value: &Value, path: &[&str]) -> Option<bool> {
    value_at(value, path)?.as_bool()
}

fn strings_at(value: &Value, path: &[&str]) -> Option<Vec<String>> {
    let list = value_at(value, path)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn string_map_at(value: &Value, path: &[&str]) -> BTreeMap<String, String> {
    let object = value_at(value, path).and_then(Value::as_object);
    let entries = object.into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// An add-on by name, ignoring letter case: Azure writes `omsagent` and `omsAgent`.
pub(super) fn addon<'a>(cluster: &'a Value, name: &str) -> Option<(&'a str, &'a Value)> {
    let profiles = value_at(cluster, &["properties", "addonProfiles"])?.as_object()?;
    profiles.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(key, value)| (key.as_str(), value))
}

/// The tags without the owner tag.
pub fn visible_tags(cluster: &Value) -> BTreeMap<String, String> {
    let mut tags = string_map_at(cluster, &["tags"]);
    tags.retain(|key, _| !key.eq_ignore_ascii_case(OWNER_TAG));
    tags
}

/// The owner of the cluster, from its tag.
pub fn owner(cluster: &Value) -> Option<String> {
    let tags = string_map_at(cluster, &["tags"]);
    tags.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(OWNER_TAG)).map(|(_, owner)| owner)
}

/// Reads Azure's response to a GET of the cluster.
///
/// # Errors
/// [`IncompleteCluster::NoVersion`], with Rancher's message.
pub fn read(cluster: &Value, context: ReadContext<'_>) -> Result<AksConfig, IncompleteCluster> {
    let spec = context.spec;
    let name = spec.cluster_name.clone().unwrap_or_default();
    let version =
        string_at(cluster, &["properties", "kubernetesVersion"]).ok_or(IncompleteCluster::NoVersion(name))?;
    let network = |key: &str| string_at(cluster, &["properties", "networkProfile", key]);
    let workspace = addon(cluster, "omsagent").and_then(|(_, addon)| workspace_id(addon));
    let access_path = |key: &'static str| ["properties", "apiServerAccessProfile", key];
    Ok(AksConfig {
        kubernetes_version: Some(version),
        dns_prefix: string_at(cluster, &["properties", "dnsPrefix"]),
        tags: Some(visible_tags(cluster)),
        base_url: Some(context.base_url.to_owned()),
        auth_base_url: Some(context.auth_base_url.to_owned()),
        node_pools: Some(pools(cluster, spec)),
        network_plugin: network("networkPlugin"),
        dns_service_ip: network("dnsServiceIP"),
        service_cidr: network("serviceCidr"),
        pod_cidr: network("podCidr"),
        network_policy: network("networkPolicy"),
        outbound_type: network("outboundType"),
        load_balancer_sku: network("loadBalancerSku"),
        linux_admin_username: string_at(cluster, &["properties", "linuxProfile", "adminUsername"]),
        ssh_public_key: ssh_key(cluster),
        http_application_routing: addon(cluster, "httpApplicationRouting")
            .and_then(|(_, addon)| bool_at(addon, &["enabled"])),
        monitoring: addon(cluster, "omsagent").and_then(|(_, addon)| bool_at(addon, &["enabled"])),
        log_analytics_workspace_group: workspace.as_deref().and_then(|id| part_after(id, "/resourcegroups/")),
        log_analytics_workspace_name: workspace.as_deref().and_then(|id| part_after(id, "/workspaces/")),
        private_cluster: Some(bool_at(cluster, &access_path("enablePrivateCluster")).unwrap_or(false)),
        private_dns_zone: string_at(cluster, &access_path("privateDNSZone")),
        authorized_ip_ranges: Some(
            strings_at(cluster, &access_path("authorizedIPRanges")).unwrap_or_default(),
        ),
        managed_identity: value_at(cluster, &["identity"]).map(|_| true),
        user_assigned_identity: user_identity(cluster, spec),
        cluster_name: spec.cluster_name.clone(),
        resource_location: string_at(cluster, &["location"])
            .map(|region| regions::normalize(&region))
            .or_else(|| spec.resource_location.clone()),
        resource_group: spec.resource_group.clone(),
        azure_credential_secret: spec.azure_credential_secret.clone(),
        imported: spec.imported,
        ..AksConfig::default()
    })
}

/// The specification with the actual region of the cluster, if known.
pub fn with_actual_region<'a>(spec: &'a AksConfig, upstream: Option<&AksConfig>) -> Cow<'a, AksConfig> {
    match upstream.map(|upstream| &upstream.resource_location) {
        Some(actual) if actual.is_some() && *actual != spec.resource_location => {
            Cow::Owned(AksConfig { resource_location: actual.clone(), ..spec.clone() })
        }
        _ => Cow::Borrowed(spec),
    }
}

/// A user-assigned identity of the cluster: the desired one if it is assigned, else the first.
fn user_identity(cluster: &Value, spec: &AksConfig) -> Option<String> {
    let identities = value_at(cluster, &["identity", "userAssignedIdentities"])?.as_object()?;
    let desired = spec.user_assigned_identity.as_deref().unwrap_or_default();
    let mut ids = identities.keys();
    ids.clone().find(|id| id.eq_ignore_ascii_case(desired)).or(ids.next()).cloned()
}

fn ssh_key(cluster: &Value) -> Option<String> {
    let keys = value_at(cluster, &["properties", "linuxProfile", "ssh", "publicKeys"])?.as_array()?;
    keys.iter().find_map(|key| string_at(key, &["keyData"]))
}

fn workspace_id(addon: &Value) -> Option<String> {
    let config = value_at(addon, &["config"])?.as_object()?;
    let (_, id) =
        config.iter().find(|(key, _)| key.eq_ignore_ascii_case("logAnalyticsWorkspaceResourceID"))?;
    id.as_str().map(str::to_owned)
}

/// The part of a resource ID between `marker` (lower case) and the next slash, ignoring letter case.
fn part_after(id: &str, marker: &str) -> Option<String> {
    let start = id.to_ascii_lowercase().find(marker)? + marker.len();
    id.get(start..)?.split('/').next().filter(|part| !part.is_empty()).map(str::to_owned)
}

fn pools(cluster: &Value, spec: &AksConfig) -> Vec<NodePool> {
    profiles(cluster).filter(|profile| profile.is_object()).map(|profile| pool(profile, spec)).collect()
}

/// The pools of a cluster, as Azure returns them.
pub(crate) fn profiles(cluster: &Value) -> impl Iterator<Item = &Value> {
    value_at(cluster, &["properties", "agentPoolProfiles"]).and_then(Value::as_array).into_iter().flatten()
}

/// Whether an operation is in progress in this state. Azure has many such states, and adds new ones.
pub(super) fn is_busy(state: &str) -> bool {
    !["Succeeded", "Failed", "Canceled"].iter().any(|final_state| state.eq_ignore_ascii_case(final_state))
}

/// A pool. While an operation is in progress, or if the pool is autoscaled, its count is that of the specification.
fn pool(profile: &Value, spec: &AksConfig) -> NodePool {
    let name = string_at(profile, &["name"]);
    let number = |key: &str| value_at(profile, &[key]).and_then(Value::as_i64);
    let autoscaling = bool_at(profile, &["enableAutoScaling"]);
    let is_settled = string_at(profile, &["provisioningState"]).is_some_and(|state| !is_busy(&state));
    let desired = spec.node_pools.iter().flatten().find(|pool| pool.name == name);
    let count = match desired {
        Some(desired) if !is_settled || autoscaling == Some(true) => desired.count,
        _ => number("count"),
    };
    NodePool {
        count,
        max_pods: number("maxPods"),
        os_disk_size_gb: number("osDiskSizeGB"),
        vm_size: string_at(profile, &["vmSize"]),
        os_disk_type: string_at(profile, &["osDiskType"]),
        os_type: string_at(profile, &["osType"]),
        mode: string_at(profile, &["mode"]),
        orchestrator_version: string_at(profile, &["orchestratorVersion"]),
        availability_zones: strings_at(profile, &["availabilityZones"]),
        vnet_subnet_id: string_at(profile, &["vnetSubnetID"]),
        node_labels: Some(string_map_at(profile, &["nodeLabels"])),
        node_taints: strings_at(profile, &["nodeTaints"]),
        max_surge: string_at(profile, &["upgradeSettings", "maxSurge"]),
        enable_auto_scaling: autoscaling,
        min_count: number("minCount").filter(|_| autoscaling.is_some()),
        max_count: number("maxCount").filter(|_| autoscaling.is_some()),
        name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn context(spec: &AksConfig) -> ReadContext<'_> {
        ReadContext { spec, base_url: "https://arm/", auth_base_url: "https://login/" }
    }

    #[test]
    fn missing_properties_are_unset_or_empty() {
        let spec = AksConfig { cluster_name: Some("c".into()), ..AksConfig::default() };
        let no_version = IncompleteCluster::NoVersion("c".to_owned());
        assert_eq!(read(&json!({}), context(&spec)), Err(no_version.clone()));
        assert_eq!(no_version.to_string(), "cannot detect cluster [c] upstream kubernetes version");
        for cluster in [
            json!({"properties": {"kubernetesVersion": "1.31.8"}}),
            json!({"tags": null, "identity": null, "properties": {"kubernetesVersion": "1.31.8", "networkProfile": null,
                "agentPoolProfiles": [null, 7], "linuxProfile": {"ssh": {"publicKeys": [null]}}, "addonProfiles": {"omsagent": null}}}),
        ] {
            let observed = read(&cluster, context(&spec)).unwrap();
            assert_eq!(observed.tags, Some(BTreeMap::new()));
            assert_eq!(observed.authorized_ip_ranges, Some(vec![]));
            assert_eq!(observed.private_cluster, Some(false));
            assert_eq!(
                (observed.node_pools, observed.monitoring, observed.managed_identity),
                (Some(vec![]), None, None)
            );
            assert_eq!(observed.base_url.as_deref(), Some("https://arm/"));
        }
    }

    #[test]
    fn every_property_is_read() {
        let cluster = json!({
        "tags": {"a": "b", "Norman-Aks-Owner": "i/c-1"},
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {"/ids/x": {}}},
        "properties": {
            "kubernetesVersion": "1.31.8", "dnsPrefix": "p", "enableRBAC": true,
            "networkProfile": {"networkPlugin": "azure", "dnsServiceIP": "10.0.0.10", "serviceCidr": "10.0.0.0/16",
                "podCidr": "10.244.0.0/16", "networkPolicy": "calico", "outboundType": "loadBalancer", "loadBalancerSku": "standard"},
            "linuxProfile": {"adminUsername": "u", "ssh": {"publicKeys": [{"keyData": "k"}]}},
            "addonProfiles": {"omsagent": {"enabled": true, "config": {"logAnalyticsWorkspaceResourceID":
                "/subscriptions/s/resourceGroups/Wg/providers/x/workspaces/W"}}, "httpApplicationRouting": {"enabled": false}},
            "apiServerAccessProfile": {"enablePrivateCluster": true, "privateDNSZone": "system", "authorizedIPRanges": ["1.2.3.4/32"]},
        }});
        let observed = read(&cluster, context(&AksConfig::default())).unwrap();
        assert_eq!(observed.tags.unwrap().into_keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(owner(&cluster).as_deref(), Some("i/c-1"));
        assert_eq!((observed.monitoring, observed.http_application_routing), (Some(true), Some(false)));
        assert_eq!(observed.log_analytics_workspace_group.as_deref(), Some("Wg"));
        assert_eq!(observed.log_analytics_workspace_name.as_deref(), Some("W"));
        assert_eq!(
            (observed.private_cluster, observed.private_dns_zone.as_deref()),
            (Some(true), Some("system"))
        );
        assert_eq!(observed.user_assigned_identity.as_deref(), Some("/ids/x"));
        assert_eq!(
            (observed.ssh_public_key.as_deref(), observed.linux_admin_username.as_deref()),
            (Some("k"), Some("u"))
        );
        assert_eq!(
            (observed.outbound_type.as_deref(), observed.network_policy.as_deref()),
            (Some("loadBalancer"), Some("calico"))
        );
    }

    #[test]
    fn region_is_azures_normalized_value() {
        for (specified, actual, expected) in [
            (Some("westeurope"), json!("eastus"), Some("eastus")),
            (Some("East US"), json!("eastus"), Some("eastus")),
            (Some("east-us"), json!("EastUS"), Some("eastus")),
            (None, json!("eastus"), Some("eastus")),
            (Some("westeurope"), json!(null), Some("westeurope")),
            (None, json!(""), None),
        ] {
            let spec = AksConfig { resource_location: specified.map(str::to_owned), ..AksConfig::default() };
            let cluster = json!({"location": actual, "properties": {"kubernetesVersion": "1.31.8"}});
            let observed = read(&cluster, context(&spec)).unwrap();
            assert_eq!(observed.resource_location.as_deref(), expected, "{specified:?} {actual}");
            assert_eq!(with_actual_region(&spec, Some(&observed)).resource_location.as_deref(), expected);
            assert_eq!(with_actual_region(&spec, None).resource_location, spec.resource_location);
        }
    }

    #[test]
    fn desired_identity_is_preferred() {
        let cluster = json!({"identity": {"userAssignedIdentities": {"/ids/a": {}, "/ids/b": {}}},
            "properties": {"kubernetesVersion": "1.31.8"}});
        for (desired, expected) in [(None, "/ids/a"), (Some("/IDS/B"), "/ids/b"), (Some("/ids/c"), "/ids/a")]
        {
            let spec =
                AksConfig { user_assigned_identity: desired.map(str::to_owned), ..AksConfig::default() };
            let observed = read(&cluster, context(&spec)).unwrap();
            assert_eq!(observed.user_assigned_identity.as_deref(), Some(expected));
        }
    }

    #[test]
    fn count_of_a_changing_pool_is_the_requested_one() {
        let desired =
            |name: &str| NodePool { name: Some(name.to_owned()), count: Some(7), ..NodePool::default() };
        let spec = AksConfig {
            node_pools: Some(vec![desired("a"), desired("b"), desired("c")]),
            ..AksConfig::default()
        };
        let cluster = json!({"properties": {"kubernetesVersion": "1", "agentPoolProfiles": [
            {"name": "a", "count": 3, "provisioningState": "Succeeded"},
            {"name": "b", "count": 3, "provisioningState": "Scaling"},
            {"name": "c", "count": 3, "provisioningState": "Succeeded", "enableAutoScaling": true, "minCount": 1, "maxCount": 5},
            {"name": "d", "count": 3, "provisioningState": "Creating"},
            {"name": "a", "count": 4, "provisioningState": "Failed"},
        ]}});
        let pools = read(&cluster, context(&spec)).unwrap().node_pools.unwrap();
        let counts: Vec<_> = pools.iter().map(|pool| pool.count).collect();
        assert_eq!(counts, [Some(3), Some(7), Some(7), Some(3), Some(4)]);
        assert_eq!((pools[2].min_count, pools[0].min_count), (Some(1), None));
    }
}
