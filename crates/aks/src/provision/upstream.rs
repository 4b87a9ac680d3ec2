//! The observed state of a cluster with the keys of `aksConfig` (`docs/contract/provisioning.md#upstream-state`). Missing
//! properties remain unset, including those whose absence crashes Rancher.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::OWNER_TAG;
use crate::regions;
use crate::spec::{AksConfig, NodePool};

/// The parts of the observed state that do not come from Azure.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The specification. Names, region and credential are copied from it, and the counts of pools with an operation in progress.
    pub spec: &'a AksConfig,
    /// The Resource Manager endpoint of the cloud, `https://management.azure.com/`.
    pub base_url: &'a str,
    /// The login authority of the cloud, `https://login.microsoftonline.com/`.
    pub auth_base_url: &'a str,
}

/// An incomplete response of Azure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The response has no `kubernetesVersion`; contains the name of the cluster.
    #[error("cannot detect cluster [{0}] upstream kubernetes version")]
    NoVersion(String),
}

/// The value at a path of object keys.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key)).filter(|value| !value.is_null())
}

/// The string at a path; `None` if it is missing or empty.
pub(crate) fn text(value: &Value, path: &[&str]) -> Option<String> {
    at(value, path)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn flag(value: &Value, path: &[&str]) -> Option<bool> {
    at(value, path)?.as_bool()
}

fn texts(value: &Value, path: &[&str]) -> Option<Vec<String>> {
    let list = at(value, path)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn map(value: &Value, path: &[&str]) -> BTreeMap<String, String> {
    let object = at(value, path).and_then(Value::as_object);
    let entries = object.into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// An add-on by name, ignoring letter case: Azure writes `omsagent` and `omsAgent`.
pub(super) fn addon<'a>(cluster: &'a Value, name: &str) -> Option<(&'a str, &'a Value)> {
    let profiles = at(cluster, &["properties", "addonProfiles"])?.as_object()?;
    profiles.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(key, value)| (key.as_str(), value))
}

/// The tags without the owner's.
pub fn visible_tags(cluster: &Value) -> BTreeMap<String, String> {
    let mut tags = map(cluster, &["tags"]);
    tags.retain(|key, _| !key.eq_ignore_ascii_case(OWNER_TAG));
    tags
}

/// The owner of the cluster, from its tag.
pub fn owner(cluster: &Value) -> Option<String> {
    let tags = map(cluster, &["tags"]);
    tags.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(OWNER_TAG)).map(|(_, owner)| owner)
}

/// Reads Azure's response to a GET of the cluster.
///
/// # Errors
/// [`Unreadable::NoVersion`], with Rancher's message.
pub fn read(cluster: &Value, known: Known<'_>) -> Result<AksConfig, Unreadable> {
    let spec = known.spec;
    let name = spec.cluster_name.clone().unwrap_or_default();
    let version = text(cluster, &["properties", "kubernetesVersion"]).ok_or(Unreadable::NoVersion(name))?;
    let network = |key: &str| text(cluster, &["properties", "networkProfile", key]);
    let workspace = addon(cluster, "omsagent").and_then(|(_, agent)| workspace_id(agent));
    let access = |key: &'static str| ["properties", "apiServerAccessProfile", key];
    Ok(AksConfig {
        kubernetes_version: Some(version),
        dns_prefix: text(cluster, &["properties", "dnsPrefix"]),
        tags: Some(visible_tags(cluster)),
        base_url: Some(known.base_url.to_owned()),
        auth_base_url: Some(known.auth_base_url.to_owned()),
        node_pools: Some(pools(cluster, spec)),
        network_plugin: network("networkPlugin"),
        dns_service_ip: network("dnsServiceIP"),
        service_cidr: network("serviceCidr"),
        pod_cidr: network("podCidr"),
        network_policy: network("networkPolicy"),
        outbound_type: network("outboundType"),
        load_balancer_sku: network("loadBalancerSku"),
        linux_admin_username: text(cluster, &["properties", "linuxProfile", "adminUsername"]),
        ssh_public_key: ssh_key(cluster),
        http_application_routing: addon(cluster, "httpApplicationRouting")
            .and_then(|(_, addon)| flag(addon, &["enabled"])),
        monitoring: addon(cluster, "omsagent").and_then(|(_, addon)| flag(addon, &["enabled"])),
        log_analytics_workspace_group: workspace.as_deref().and_then(|id| part_after(id, "/resourcegroups/")),
        log_analytics_workspace_name: workspace.as_deref().and_then(|id| part_after(id, "/workspaces/")),
        private_cluster: Some(flag(cluster, &access("enablePrivateCluster")).unwrap_or(false)),
        private_dns_zone: text(cluster, &access("privateDNSZone")),
        authorized_ip_ranges: Some(texts(cluster, &access("authorizedIPRanges")).unwrap_or_default()),
        managed_identity: at(cluster, &["identity"]).map(|_| true),
        user_assigned_identity: user_identity(cluster, spec),
        cluster_name: spec.cluster_name.clone(),
        resource_location: text(cluster, &["location"])
            .map(|region| regions::normalised(&region))
            .or_else(|| spec.resource_location.clone()),
        resource_group: spec.resource_group.clone(),
        azure_credential_secret: spec.azure_credential_secret.clone(),
        imported: spec.imported,
        ..AksConfig::default()
    })
}

/// The specification with the actual region of the cluster, if known.
pub fn located<'a>(spec: &'a AksConfig, upstream: Option<&AksConfig>) -> Cow<'a, AksConfig> {
    match upstream.map(|upstream| &upstream.resource_location) {
        Some(own) if own.is_some() && *own != spec.resource_location => {
            Cow::Owned(AksConfig { resource_location: own.clone(), ..spec.clone() })
        }
        _ => Cow::Borrowed(spec),
    }
}

/// A user-assigned identity of the cluster: the desired one if it is assigned.
fn user_identity(cluster: &Value, spec: &AksConfig) -> Option<String> {
    let identities = at(cluster, &["identity", "userAssignedIdentities"])?.as_object()?;
    let wanted = spec.user_assigned_identity.as_deref().unwrap_or_default();
    let mut ids = identities.keys();
    ids.clone().find(|id| id.eq_ignore_ascii_case(wanted)).or(ids.next()).cloned()
}

fn ssh_key(cluster: &Value) -> Option<String> {
    let keys = at(cluster, &["properties", "linuxProfile", "ssh", "publicKeys"])?.as_array()?;
    keys.iter().find_map(|key| text(key, &["keyData"]))
}

fn workspace_id(agent: &Value) -> Option<String> {
    let config = at(agent, &["config"])?.as_object()?;
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
    let profiles = at(cluster, &["properties", "agentPoolProfiles"]).and_then(Value::as_array);
    profiles
        .into_iter()
        .flatten()
        .filter(|profile| profile.is_object())
        .map(|profile| pool(profile, spec))
        .collect()
}

/// A pool. While an operation is in progress, or if the pool is autoscaled, its count is the requested one.
fn pool(profile: &Value, spec: &AksConfig) -> NodePool {
    let name = text(profile, &["name"]);
    let number = |key: &str| at(profile, &[key]).and_then(Value::as_i64);
    let autoscaling = flag(profile, &["enableAutoScaling"]);
    let settled = text(profile, &["provisioningState"]).is_some_and(|state| {
        ["Succeeded", "Failed", "Canceled"].iter().any(|end| state.eq_ignore_ascii_case(end))
    });
    let wanted = spec.node_pools.iter().flatten().find(|pool| pool.name == name);
    let count = match wanted {
        Some(wanted) if !settled || autoscaling == Some(true) => wanted.count,
        _ => number("count"),
    };
    NodePool {
        count,
        max_pods: number("maxPods"),
        os_disk_size_gb: number("osDiskSizeGB"),
        vm_size: text(profile, &["vmSize"]),
        os_disk_type: text(profile, &["osDiskType"]),
        os_type: text(profile, &["osType"]),
        mode: text(profile, &["mode"]),
        orchestrator_version: text(profile, &["orchestratorVersion"]),
        availability_zones: texts(profile, &["availabilityZones"]),
        vnet_subnet_id: text(profile, &["vnetSubnetID"]),
        node_labels: Some(map(profile, &["nodeLabels"])),
        node_taints: texts(profile, &["nodeTaints"]),
        max_surge: text(profile, &["upgradeSettings", "maxSurge"]),
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

    fn known(spec: &AksConfig) -> Known<'_> {
        Known { spec, base_url: "https://arm/", auth_base_url: "https://login/" }
    }

    #[test]
    fn missing_properties_stay_unset() {
        let spec = AksConfig { cluster_name: Some("c".into()), ..AksConfig::default() };
        let no_version = Unreadable::NoVersion("c".to_owned());
        assert_eq!(read(&json!({}), known(&spec)), Err(no_version.clone()));
        assert_eq!(no_version.to_string(), "cannot detect cluster [c] upstream kubernetes version");
        for cluster in [
            json!({"properties": {"kubernetesVersion": "1.31.8"}}),
            json!({"tags": null, "identity": null, "properties": {"kubernetesVersion": "1.31.8", "networkProfile": null,
                "agentPoolProfiles": [null, 7], "linuxProfile": {"ssh": {"publicKeys": [null]}}, "addonProfiles": {"omsagent": null}}}),
        ] {
            let read = read(&cluster, known(&spec)).unwrap();
            assert_eq!(read.tags, Some(BTreeMap::new()));
            assert_eq!(read.authorized_ip_ranges, Some(vec![]));
            assert_eq!(read.private_cluster, Some(false));
            assert_eq!((read.node_pools, read.monitoring, read.managed_identity), (Some(vec![]), None, None));
            assert_eq!(read.base_url.as_deref(), Some("https://arm/"));
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
        let read = read(&cluster, known(&AksConfig::default())).unwrap();
        assert_eq!(read.tags.unwrap().into_keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(owner(&cluster).as_deref(), Some("i/c-1"));
        assert_eq!((read.monitoring, read.http_application_routing), (Some(true), Some(false)));
        assert_eq!(read.log_analytics_workspace_group.as_deref(), Some("Wg"));
        assert_eq!(read.log_analytics_workspace_name.as_deref(), Some("W"));
        assert_eq!((read.private_cluster, read.private_dns_zone.as_deref()), (Some(true), Some("system")));
        assert_eq!(read.user_assigned_identity.as_deref(), Some("/ids/x"));
        assert_eq!(
            (read.ssh_public_key.as_deref(), read.linux_admin_username.as_deref()),
            (Some("k"), Some("u"))
        );
        assert_eq!(
            (read.outbound_type.as_deref(), read.network_policy.as_deref()),
            (Some("loadBalancer"), Some("calico"))
        );
    }

    #[test]
    fn region_is_azures_in_canonical_form() {
        for (stated, own, expected) in [
            (Some("westeurope"), json!("eastus"), Some("eastus")),
            (Some("East US"), json!("eastus"), Some("eastus")),
            (Some("east-us"), json!("EastUS"), Some("eastus")),
            (None, json!("eastus"), Some("eastus")),
            (Some("westeurope"), json!(null), Some("westeurope")),
            (None, json!(""), None),
        ] {
            let spec = AksConfig { resource_location: stated.map(str::to_owned), ..AksConfig::default() };
            let cluster = json!({"location": own, "properties": {"kubernetesVersion": "1.31.8"}});
            let read = read(&cluster, known(&spec)).unwrap();
            assert_eq!(read.resource_location.as_deref(), expected, "{stated:?} {own}");
            assert_eq!(located(&spec, Some(&read)).resource_location.as_deref(), expected);
            assert_eq!(located(&spec, None).resource_location, spec.resource_location);
        }
    }

    #[test]
    fn wanted_identity_is_preferred() {
        let cluster = json!({"identity": {"userAssignedIdentities": {"/ids/a": {}, "/ids/b": {}}},
            "properties": {"kubernetesVersion": "1.31.8"}});
        for (wanted, expected) in [(None, "/ids/a"), (Some("/IDS/B"), "/ids/b"), (Some("/ids/c"), "/ids/a")] {
            let spec =
                AksConfig { user_assigned_identity: wanted.map(str::to_owned), ..AksConfig::default() };
            let read = read(&cluster, known(&spec)).unwrap();
            assert_eq!(read.user_assigned_identity.as_deref(), Some(expected));
        }
    }

    #[test]
    fn count_of_a_changing_pool_is_the_requested_one() {
        let wanted =
            |name: &str| NodePool { name: Some(name.to_owned()), count: Some(7), ..NodePool::default() };
        let spec = AksConfig {
            node_pools: Some(vec![wanted("a"), wanted("b"), wanted("c")]),
            ..AksConfig::default()
        };
        let cluster = json!({"properties": {"kubernetesVersion": "1", "agentPoolProfiles": [
            {"name": "a", "count": 3, "provisioningState": "Succeeded"},
            {"name": "b", "count": 3, "provisioningState": "Scaling"},
            {"name": "c", "count": 3, "provisioningState": "Succeeded", "enableAutoScaling": true, "minCount": 1, "maxCount": 5},
            {"name": "d", "count": 3, "provisioningState": "Creating"},
            {"name": "a", "count": 4, "provisioningState": "Failed"},
        ]}});
        let pools = read(&cluster, known(&spec)).unwrap().node_pools.unwrap();
        let counts: Vec<_> = pools.iter().map(|pool| pool.count).collect();
        assert_eq!(counts, [Some(3), Some(7), Some(7), Some(3), Some(4)]);
        assert_eq!((pools[2].min_count, pools[0].min_count), (Some(1), None));
    }
}
