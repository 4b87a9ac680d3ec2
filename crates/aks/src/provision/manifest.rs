//! Request bodies for Azure: for creating a cluster, for updating it, and for its pools
//! (`docs/contract/provisioning.md#cluster-body`).
//!
//! An update is Azure's response with only the managed keys replaced, so that unknown keys are preserved. No body contains a
//! credential.

mod pools;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use self::pools::pool;
use self::pools::pool_in_cluster;
use super::OWNER_TAG;
use super::difference::canonical_range;
use super::upstream::{self, addon};
use crate::spec::AksConfig;
use crate::versions;

/// The input of a request body besides the specification.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The subscription of the credential.
    pub subscription_id: &'a str,
    /// The value of the tag that marks clusters of this server.
    pub owner: &'a str,
    /// The resource ID of the Log Analytics workspace, if known.
    pub workspace_id: Option<&'a str>,
    /// The cluster in Azure.
    pub cluster: Option<&'a Value>,
}

/// A specification for which there is no valid body; the messages are Rancher's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The network policy is not supported.
    #[error("networkPolicy '{0}' is not supported")]
    Policy(String),
    /// The network plugin is not supported.
    #[error("networkPlugin '{0}' is not supported")]
    Plugin(String),
    /// Kubenet does not support the network policy `azure`.
    #[error("network plugin Kubenet is not compatible with network policy Azure")]
    KubenetWithAzurePolicy,
}

/// The maximum length of the name of a node resource group, in characters.
const MAX_NODE_GROUP_LEN: usize = 80;

/// A JSON object with the entries that have a value.
fn object<const N: usize>(entries: [(&str, Option<Value>); N]) -> Map<String, Value> {
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// Like [`object`], but `None` if no entry has a value.
fn non_empty_object<const N: usize>(entries: [(&str, Option<Value>); N]) -> Option<Value> {
    Some(object(entries)).filter(|object| !object.is_empty()).map(Value::from)
}

/// The object under a key, which is created if it does not exist.
fn object_at<'a>(parent: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    let value = parent.entry(key).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// The tags of the resource: the user's, and the owner tag if there is an owner.
pub fn tags(spec: &AksConfig, owner: Option<&str>) -> BTreeMap<String, String> {
    let mut tags = spec.tags.clone().unwrap_or_default();
    tags.retain(|key, _| !key.eq_ignore_ascii_case(OWNER_TAG));
    tags.extend(owner.map(|owner| (OWNER_TAG.to_owned(), owner.to_owned())));
    tags
}

/// The body of the PUT that creates the cluster.
///
/// # Errors
/// [`SpecError`] for networks that Azure does not support.
pub fn create(spec: &AksConfig, context: Context<'_>) -> Result<Value, SpecError> {
    let pools = spec.pools().iter().map(|pool| pool_in_cluster(pool, spec, context));
    let properties = object([
        ("kubernetesVersion", version(spec.kubernetes_version.as_ref())),
        ("nodeResourceGroup", Some(node_resource_group(spec).into())),
        ("dnsPrefix", to_json(spec.dns_prefix.as_ref())),
        ("networkProfile", Some(network_profile(spec)?)),
        ("agentPoolProfiles", Some(pools.collect())),
        ("linuxProfile", linux_profile(spec)),
        ("addonProfiles", addons(spec, context, &Value::Null).map(Value::from)),
        ("apiServerAccessProfile", access_profile(spec)),
    ]);
    Ok(json!({
        "name": spec.cluster_name,
        "location": spec.resource_location,
        "tags": tags(spec, Some(context.owner)),
        "identity": identity(spec),
        "properties": properties,
    }))
}

/// The body of the PUT that updates a cluster: Azure's response `current`, with version, address ranges and add-ons replaced by
/// those that the specification sets.
pub fn update(current: &Value, spec: &AksConfig, context: Context<'_>) -> Value {
    let mut body = current.clone();
    let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) else { return body };
    let running = upstream::string_at(current, &["properties", "currentKubernetesVersion"]);
    replace_version(properties, "kubernetesVersion", spec.kubernetes_version.as_ref(), running);
    if let Some(ranges) = &spec.authorized_ip_ranges
        && let Some(profile) = object_at(properties, "apiServerAccessProfile")
    {
        profile.insert("authorizedIPRanges".to_owned(), distinct_ranges(ranges));
    }
    if let Some(addons) = addons(spec, context, current)
        && let Some(profiles) = object_at(properties, "addonProfiles")
    {
        profiles.extend(addons);
    }
    body
}

/// The ranges without duplicates.
fn distinct_ranges(ranges: &[String]) -> Value {
    let mut distinct: Vec<&str> = Vec::new();
    for range in ranges {
        if !distinct.iter().any(|other| canonical_range(other) == canonical_range(range)) {
            distinct.push(range);
        }
    }
    distinct.into()
}

fn to_json(value: Option<&String>) -> Option<Value> {
    value.map(|text| text.as_str().into())
}

/// A version in Azure's format.
fn version(value: Option<&String>) -> Option<Value> {
    value.map(|version| versions::canonical(version).into())
}

/// Sets the desired version, unless it is already requested and running: Azure's own value, which may be a minor version, is
/// then preserved. A version lower than the running one is not set, because the cluster was upgraded in Azure.
fn replace_version(
    properties: &mut Map<String, Value>,
    key: &str,
    desired: Option<&String>,
    running: Option<String>,
) {
    let Some(desired) = desired else { return };
    let requested =
        properties.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let running = running.or_else(|| requested.clone());
    let is_running =
        |version: &str| running.as_deref().is_some_and(|running| versions::is_same(version, running));
    let is_unchanged = is_running(desired) && requested.as_deref().is_some_and(is_running);
    let is_upgrade = running.as_deref().is_none_or(|running| versions::requires_upgrade(desired, running));
    if !is_unchanged && (is_running(desired) || is_upgrade) {
        properties.insert(key.to_owned(), versions::canonical(desired).into());
    }
}

/// The resource group of the nodes: the specified one, or Azure's default.
pub fn node_resource_group(spec: &AksConfig) -> String {
    spec.node_resource_group.clone().unwrap_or_else(|| {
        let parts = [&spec.resource_group, &spec.cluster_name, &spec.resource_location];
        let [group, name, location] = parts.map(|part| part.as_deref().unwrap_or_default());
        format!("MC_{group}_{name}_{location}").chars().take(MAX_NODE_GROUP_LEN).collect()
    })
}

fn network_profile(spec: &AksConfig) -> Result<Value, SpecError> {
    let lower = |value: &Option<String>| value.as_deref().map(str::to_ascii_lowercase);
    let plugin = lower(&spec.network_plugin).unwrap_or_else(|| "kubenet".to_owned());
    if !matches!(plugin.as_str(), "azure" | "kubenet") {
        return Err(SpecError::Plugin(spec.network_plugin.clone().unwrap_or_default()));
    }
    let policy = lower(&spec.network_policy);
    match policy.as_deref() {
        None | Some("calico") => {}
        Some("azure") if plugin == "azure" => {}
        Some("azure") => return Err(SpecError::KubenetWithAzurePolicy),
        Some(_) => return Err(SpecError::Policy(spec.network_policy.clone().unwrap_or_default())),
    }
    let outbound = match lower(&spec.outbound_type).as_deref() {
        Some("userdefinedrouting") => "userDefinedRouting",
        Some("managednatgateway") => "managedNATGateway",
        Some("userassignednatgateway") => "userAssignedNATGateway",
        _ => "loadBalancer",
    };
    // With the user's own routes, outgoing traffic does not use Azure's load balancer.
    let load_balancer = match lower(&spec.load_balancer_sku).as_deref() {
        _ if outbound == "userDefinedRouting" => None,
        Some("basic") => Some("Basic"),
        _ => Some("Standard"),
    };
    let if_plugin_is_set =
        |value: &Option<String>| to_json(value.as_ref().filter(|_| spec.network_plugin.is_some()));
    let profile = object([
        ("networkPlugin", Some(plugin.into())),
        ("networkPolicy", policy.map(Value::from)),
        ("outboundType", Some(outbound.into())),
        ("loadBalancerSku", load_balancer.map(Value::from)),
        ("dnsServiceIP", if_plugin_is_set(&spec.dns_service_ip)),
        ("serviceCidr", if_plugin_is_set(&spec.service_cidr)),
        ("podCidr", if_plugin_is_set(&spec.pod_cidr)),
    ]);
    Ok(profile.into())
}

fn linux_profile(spec: &AksConfig) -> Option<Value> {
    let (user, key) = (spec.linux_admin_username.as_ref()?, spec.ssh_public_key.as_ref()?);
    Some(json!({"adminUsername": user, "ssh": {"publicKeys": [{"keyData": key}]}}))
}

/// The add-ons that the specification sets and that do not have the desired state yet, so that the settings of the others are
/// preserved. Their names are spelled as in `current`.
fn addons(spec: &AksConfig, context: Context<'_>, current: &Value) -> Option<Map<String, Value>> {
    let mut addons = Map::new();
    let has_state = |name: &str, desired: bool| {
        let enabled = addon(current, name).and_then(|(_, addon)| addon.get("enabled")?.as_bool());
        !current.is_null() && enabled.unwrap_or(false) == desired
    };
    let mut insert_addon = |name: &str, value: Value| {
        let existing_key = addon(current, name).map(|(key, _)| key);
        addons.insert(existing_key.unwrap_or(name).to_owned(), value);
    };
    if let Some(enabled) =
        spec.http_routing().filter(|enabled| !has_state("httpApplicationRouting", *enabled))
    {
        insert_addon("httpApplicationRouting", json!({"enabled": enabled}));
    }
    let monitoring = spec.monitoring.filter(|enabled| !has_state("omsAgent", *enabled));
    match (monitoring, context.workspace_id) {
        (Some(true), Some(workspace)) => {
            let id = format!("/{}", workspace.trim_matches('/'));
            insert_addon(
                "omsAgent",
                json!({"enabled": true, "config": {"logAnalyticsWorkspaceResourceID": id}}),
            );
        }
        (Some(false), _) => insert_addon("omsAgent", json!({"enabled": false})),
        _ => {}
    }
    Some(addons).filter(|addons| !addons.is_empty())
}

fn access_profile(spec: &AksConfig) -> Option<Value> {
    let private = spec.private_cluster.filter(|private| *private);
    let zone = spec.private_dns_zone.as_ref().filter(|_| private.is_some());
    let ranges = spec.authorized_ip_ranges.clone().filter(|ranges| !ranges.is_empty());
    non_empty_object([
        ("authorizedIPRanges", ranges.map(Value::from)),
        ("enablePrivateCluster", private.map(Value::from)),
        ("privateDNSZone", to_json(zone)),
    ])
}

fn identity(spec: &AksConfig) -> Value {
    match spec.user_identity() {
        Some(id) => json!({"type": "UserAssigned", "userAssignedIdentities": {id: {}}}),
        None => json!({"type": "SystemAssigned"}),
    }
}

/// The subnet of the pools, if the cluster is in the user's own network.
pub fn subnet_id(spec: &AksConfig, subscription_id: &str) -> Option<String> {
    let (network, subnet) = (spec.virtual_network.as_deref()?, spec.subnet.as_deref()?);
    let group = spec.network_group().unwrap_or_default();
    Some(format!(
        "/subscriptions/{subscription_id}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}"
    ))
}
