//! The bodies of node pools, within the body of a new cluster and separately.

use serde_json::{Map, Value, json};

use super::{Context, object, replace_version, subnet_id, to_json, version};
use crate::provision::upstream;
use crate::spec::{AksConfig, NodePool};

/// The subnet of a pool in a new cluster: its own, or that of the cluster.
fn subnet_of(pool: &NodePool, spec: &AksConfig, context: Context<'_>) -> Option<Value> {
    to_json(pool.vnet_subnet_id.as_ref())
        .or_else(|| subnet_id(spec, context.subscription_id).map(Value::from))
}

/// The subnets of nodes and pods of a new pool in an existing cluster: those that are set, else those of a System pool or another
/// pool, because Azure requires a subnet for all pools or for none.
fn subnets_like_others(pool: &NodePool, spec: &AksConfig, context: Context<'_>) -> [Option<Value>; 2] {
    let profiles: Vec<&Value> = context.cluster.into_iter().flat_map(upstream::profiles).collect();
    if profiles.is_empty() {
        return [subnet_of(pool, spec, context), None];
    }
    let node_subnet = |profile: &Value| upstream::string_at(profile, &["vnetSubnetID"]);
    let is_system = |profile: &&&Value| upstream::string_at(profile, &["mode"]).as_deref() == Some("System");
    let pools_with_subnet =
        profiles.into_iter().filter(|profile| node_subnet(profile).is_some()).collect::<Vec<_>>();
    let template = pools_with_subnet.iter().find(is_system).or(pools_with_subnet.first());
    let network_of = |id: &str| id.to_lowercase().split("/subnets/").next().map(str::to_owned);
    let specified = subnet_id(spec, context.subscription_id).filter(|id| {
        pools_with_subnet
            .iter()
            .filter_map(|profile| node_subnet(profile))
            .any(|other| network_of(&other) == network_of(id))
    });
    let nodes = to_json(pool.vnet_subnet_id.as_ref())
        .or(specified.map(Value::from))
        .or_else(|| node_subnet(template?).map(Value::from));
    let pods = template.and_then(|template| upstream::string_at(template, &["podSubnetID"])).map(Value::from);
    [nodes, pods]
}

/// The value in Azure's spelling, because clients may use any letter case.
fn azure_spelling(value: Option<&String>, spellings: [&'static str; 2]) -> Option<Value> {
    let value = value?;
    let spelling = spellings.into_iter().find(|spelling| spelling.eq_ignore_ascii_case(value));
    Some(spelling.unwrap_or(value.as_str()).into())
}

fn mode(pool: &NodePool) -> Option<Value> {
    azure_spelling(pool.mode.as_ref(), ["System", "User"])
}

/// The common part of both bodies of a new pool.
fn pool_base(pool: &NodePool) -> Map<String, Value> {
    let is_autoscaled = pool.is_autoscaled();
    let labels = pool.node_labels.as_ref().filter(|labels| !labels.is_empty());
    object([
        ("count", pool.count.map(Value::from)),
        ("maxPods", pool.max_pods.map(Value::from)),
        ("osDiskSizeGB", pool.os_disk_size_gb.map(Value::from)),
        ("osDiskType", azure_spelling(pool.os_disk_type.as_ref(), ["Managed", "Ephemeral"])),
        ("osType", azure_spelling(pool.os_type.as_ref(), ["Linux", "Windows"])),
        ("vmSize", to_json(pool.vm_size.as_ref())),
        ("mode", mode(pool)),
        ("nodeLabels", labels.map(|labels| json!(labels))),
        ("nodeTaints", Some(pool.node_taints.clone().unwrap_or_default().into())),
        ("upgradeSettings", to_json(pool.max_surge.as_ref()).map(|surge| json!({"maxSurge": surge}))),
        ("availabilityZones", pool.zones().map(|zones| json!(zones))),
        ("enableAutoScaling", is_autoscaled.then_some(true.into())),
        ("minCount", pool.min_count.filter(|_| is_autoscaled).map(Value::from)),
        ("maxCount", pool.max_count.filter(|_| is_autoscaled).map(Value::from)),
    ])
}

/// The profile of a pool in the body of a new cluster.
pub(super) fn pool_in_cluster(pool: &NodePool, spec: &AksConfig, context: Context<'_>) -> Value {
    let mut profile = pool_base(pool);
    let desired = pool.orchestrator_version.as_ref().or(spec.kubernetes_version.as_ref());
    profile.extend(object([
        ("name", to_json(pool.name.as_ref())),
        ("orchestratorVersion", version(desired)),
        ("vnetSubnetID", subnet_of(pool, spec, context)),
    ]));
    profile.into()
}

/// The body of the PUT of a new or updated pool. If `current` is Azure's profile of the pool, only keys that can be changed and
/// that the specification sets are replaced.
pub fn pool(pool: &NodePool, current: Option<&Value>, spec: &AksConfig, context: Context<'_>) -> Value {
    let properties = match current.and_then(Value::as_object) {
        Some(current) => changed_pool(pool, current.clone()),
        None => new_pool(pool, spec, context),
    };
    json!({ "properties": properties })
}

fn new_pool(pool: &NodePool, spec: &AksConfig, context: Context<'_>) -> Map<String, Value> {
    let mut properties = pool_base(pool);
    let [nodes, pods] = subnets_like_others(pool, spec, context);
    properties.extend(object([
        ("enableAutoScaling", pool.enable_auto_scaling.map(Value::from)),
        ("orchestratorVersion", version(pool.orchestrator_version.as_ref())),
        ("type", Some("VirtualMachineScaleSets".into())),
        ("vnetSubnetID", nodes),
        ("podSubnetID", pods),
    ]));
    properties
}

fn changed_pool(pool: &NodePool, mut properties: Map<String, Value>) -> Map<String, Value> {
    let running = properties.get("currentOrchestratorVersion").and_then(Value::as_str).map(str::to_owned);
    replace_version(&mut properties, "orchestratorVersion", pool.orchestrator_version.as_ref(), running);
    for read_only in
        ["name", "provisioningState", "powerState", "currentOrchestratorVersion", "nodeImageVersion", "eTag"]
    {
        properties.remove(read_only);
    }
    let was_autoscaled = properties.get("enableAutoScaling").and_then(Value::as_bool);
    let is_autoscaled = pool.enable_auto_scaling.or(was_autoscaled).unwrap_or(false);
    if pool.enable_auto_scaling == Some(false) {
        properties.remove("minCount");
        properties.remove("maxCount");
    }
    // The autoscaler controls the count.
    let count = pool.count.filter(|_| !is_autoscaled);
    let limit_if_autoscaled = |limit: Option<i64>| limit.filter(|_| is_autoscaled).map(Value::from);
    let upgrade_settings = to_json(pool.max_surge.as_ref()).map(|surge| {
        let mut settings =
            properties.get("upgradeSettings").and_then(Value::as_object).cloned().unwrap_or_default();
        settings.insert("maxSurge".to_owned(), surge);
        settings.into()
    });
    properties.extend(object([
        ("count", count.map(Value::from)),
        ("enableAutoScaling", pool.enable_auto_scaling.map(Value::from)),
        ("minCount", limit_if_autoscaled(pool.min_count)),
        ("maxCount", limit_if_autoscaled(pool.max_count)),
        ("mode", mode(pool)),
        ("nodeLabels", pool.node_labels.as_ref().map(|labels| json!(labels))),
        ("nodeTaints", pool.node_taints.as_ref().map(|taints| json!(taints))),
        ("upgradeSettings", upgrade_settings),
    ]));
    properties
}
