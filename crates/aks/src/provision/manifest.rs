//! Request bodies for Azure: the one that creates a cluster, the one that changes it, and those of its pools
//! (`docs/contract/provisioning.md#cluster-body`).
//!
//! A change is Azure's own answer with the managed keys replaced, so that what nobody here knows survives. No
//! credential is ever part of a body.

mod pools;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use self::pools::pool;
use self::pools::pool_in_cluster;
use super::OWNER_TAG;
use super::difference::plain_range as plain;
use super::upstream::{self, addon};
use crate::spec::{AksConfig, given, http_application_routing, network_group};
use crate::versions;

/// What a body needs beside the specification.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The subscription of the credential.
    pub subscription_id: &'a str,
    /// The value of the tag that marks the cluster as made here.
    pub owner: &'a str,
    /// The resource id of the Log Analytics workspace, once it is known.
    pub workspace_id: Option<&'a str>,
    /// The cluster as Azure has it.
    pub cluster: Option<&'a Value>,
}

/// A specification that no body can be made of; the texts are Rancher's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// Holds the policy.
    #[error("networkPolicy '{0}' is not supported")]
    Policy(String),
    /// Holds the plugin.
    #[error("networkPlugin '{0}' is not supported")]
    Plugin(String),
    /// Kubenet has no policy of Azure.
    #[error("network plugin Kubenet is not compatible with network policy Azure")]
    KubenetWithAzurePolicy,
}

/// The longest name of a node resource group.
const LONGEST_GROUP: usize = 80;

/// The tags of the resource: the user's, and the mark where there is one.
pub fn tags(spec: &AksConfig, owner: Option<&str>) -> BTreeMap<String, String> {
    let mut tags = spec.tags.clone().unwrap_or_default();
    tags.retain(|key, _| !key.eq_ignore_ascii_case(OWNER_TAG));
    tags.extend(owner.map(|owner| (OWNER_TAG.to_owned(), owner.to_owned())));
    tags
}

/// The body of the PUT that creates the cluster.
///
/// # Errors
/// [`Impossible`] for networks that Azure does not have.
pub fn create(spec: &AksConfig, context: Context<'_>) -> Result<Value, Impossible> {
    let mut properties = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            properties.insert(key.to_owned(), value);
        }
    };
    put("kubernetesVersion", version(spec.kubernetes_version.as_ref()));
    put("nodeResourceGroup", Some(node_resource_group(spec).into()));
    put("dnsPrefix", text(spec.dns_prefix.as_ref()));
    put("networkProfile", Some(network_profile(spec)?));
    let pools = spec.node_pools.iter().flatten().map(|pool| pool_in_cluster(pool, spec, context));
    put("agentPoolProfiles", Some(pools.collect()));
    put("linuxProfile", linux_profile(spec));
    put("addonProfiles", addons(spec, context, &Value::Null));
    put("apiServerAccessProfile", access_profile(spec));
    Ok(json!({
        "name": spec.cluster_name,
        "location": spec.resource_location,
        "tags": tags(spec, Some(context.owner)),
        "identity": identity(spec),
        "properties": properties,
    }))
}

/// The body of the PUT that changes a cluster: `current`, Azure's own answer, with version, address ranges and add-ons
/// as the specification says, where it says something.
pub fn update(current: &Value, spec: &AksConfig, context: Context<'_>) -> Value {
    let mut body = current.clone();
    let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) else { return body };
    let running = upstream::text(current, &["properties", "currentKubernetesVersion"]);
    replace_version(properties, "kubernetesVersion", spec.kubernetes_version.as_ref(), running);
    if let Some(ranges) = &spec.authorized_ip_ranges {
        let profile = properties.entry("apiServerAccessProfile").or_insert_with(|| json!({}));
        if !profile.is_object() {
            *profile = json!({});
        }
        if let Some(profile) = profile.as_object_mut() {
            profile.insert("authorizedIPRanges".to_owned(), distinct(ranges));
        }
    }
    if let Some(addons) = addons(spec, context, current).as_ref().and_then(Value::as_object) {
        let profiles = properties.entry("addonProfiles").or_insert_with(|| json!({}));
        if !profiles.is_object() {
            *profiles = json!({});
        }
        if let Some(profiles) = profiles.as_object_mut() {
            profiles.extend(addons.clone());
        }
    }
    body
}

/// The ranges, each once.
fn distinct(ranges: &[String]) -> Value {
    let mut distinct: Vec<&str> = Vec::new();
    for range in ranges {
        if !distinct.iter().any(|known| plain(known) == plain(range)) {
            distinct.push(range);
        }
    }
    distinct.into()
}

fn text(value: Option<&String>) -> Option<Value> {
    given(value).map(Value::from)
}

/// A version as Azure writes it.
fn version(value: Option<&String>) -> Option<Value> {
    given(value).map(|version| versions::canonical(version).into())
}

/// Asks for the wanted version, unless it runs already: then Azure keeps its own spelling of it, which may be a minor version
/// alone. A version below the running one is not asked for, because Azure has upgraded past it.
fn replace_version(
    properties: &mut Map<String, Value>,
    key: &str,
    wanted: Option<&String>,
    running: Option<String>,
) {
    let Some(wanted) = given(wanted) else { return };
    let asked =
        properties.get(key).and_then(Value::as_str).filter(|asked| !asked.is_empty()).map(str::to_owned);
    let running = running.or_else(|| asked.clone());
    let is_same =
        |one: Option<&str>| one.zip(running.as_deref()).map(|(one, other)| versions::is_same(one, other));
    let runs = is_same(Some(wanted)) == Some(true) && is_same(asked.as_deref()) == Some(true);
    let below = is_same(Some(wanted)) == Some(false)
        && running.as_deref().is_some_and(|running| !versions::differs(wanted, running));
    if !runs && !below {
        properties.insert(key.to_owned(), versions::canonical(wanted).into());
    }
}

/// The resource group of the machines, as it is asked for.
pub fn node_resource_group(spec: &AksConfig) -> String {
    let part = |value: &Option<String>| value.clone().unwrap_or_default();
    let named = given(spec.node_resource_group.as_ref()).map(str::to_owned);
    named.unwrap_or_else(|| {
        let name = format!(
            "MC_{}_{}_{}",
            part(&spec.resource_group),
            part(&spec.cluster_name),
            part(&spec.resource_location)
        );
        name.chars().take(LONGEST_GROUP).collect()
    })
}

fn network_profile(spec: &AksConfig) -> Result<Value, Impossible> {
    let lower = |value: &Option<String>| given(value.as_ref()).map(str::to_ascii_lowercase);
    let plugin = lower(&spec.network_plugin).unwrap_or_else(|| "kubenet".to_owned());
    if !matches!(plugin.as_str(), "azure" | "kubenet") {
        return Err(Impossible::Plugin(spec.network_plugin.clone().unwrap_or_default()));
    }
    let policy = lower(&spec.network_policy);
    match policy.as_deref() {
        None | Some("calico") => {}
        Some("azure") if plugin == "azure" => {}
        Some("azure") => return Err(Impossible::KubenetWithAzurePolicy),
        Some(_) => return Err(Impossible::Policy(spec.network_policy.clone().unwrap_or_default())),
    }
    let outbound = match lower(&spec.outbound_type).as_deref() {
        Some("userdefinedrouting") => "userDefinedRouting",
        Some("managednatgateway") => "managedNATGateway",
        Some("userassignednatgateway") => "userAssignedNATGateway",
        _ => "loadBalancer",
    };
    let mut profile = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            profile.insert(key.to_owned(), value);
        }
    };
    put("networkPlugin", Some(plugin.into()));
    put("networkPolicy", policy.map(Value::from));
    put("outboundType", Some(outbound.into()));
    // With routing of one's own, Azure's load balancer is not in the way out.
    let basic = lower(&spec.load_balancer_sku).as_deref() == Some("basic");
    let balancer = (outbound != "userDefinedRouting").then_some(if basic { "Basic" } else { "Standard" });
    put("loadBalancerSku", balancer.map(Value::from));
    if given(spec.network_plugin.as_ref()).is_some() {
        put("dnsServiceIP", text(spec.dns_service_ip.as_ref()));
        put("serviceCidr", text(spec.service_cidr.as_ref()));
        put("podCidr", text(spec.pod_cidr.as_ref()));
    }
    Ok(profile.into())
}

fn linux_profile(spec: &AksConfig) -> Option<Value> {
    let (user, key) = (given(spec.linux_admin_username.as_ref())?, given(spec.ssh_public_key.as_ref())?);
    Some(json!({"adminUsername": user, "ssh": {"publicKeys": [{"keyData": key}]}}))
}

/// The add-ons that the specification speaks of, under the names that `current` has for them. One that is on, or off, as it
/// should be keeps its settings.
fn addons(spec: &AksConfig, context: Context<'_>, current: &Value) -> Option<Value> {
    let mut addons = Map::new();
    let stays = |name: &str, wanted: bool| {
        let enabled = addon(current, name).and_then(|(_, it)| it.get("enabled")?.as_bool());
        !current.is_null() && enabled.unwrap_or(false) == wanted
    };
    let mut put = |name: &str, value: Value| {
        let known = addon(current, name).map(|(key, _)| key);
        addons.insert(known.unwrap_or(name).to_owned(), value);
    };
    let routing = http_application_routing(spec);
    if let Some(enabled) = routing.filter(|enabled| !stays("httpApplicationRouting", *enabled)) {
        put("httpApplicationRouting", json!({"enabled": enabled}));
    }
    let monitoring = spec.monitoring.filter(|enabled| !stays("omsAgent", *enabled));
    match (monitoring, context.workspace_id) {
        (Some(true), Some(workspace)) => {
            let id = format!("/{}", workspace.trim_matches('/'));
            put("omsAgent", json!({"enabled": true, "config": {"logAnalyticsWorkspaceResourceID": id}}));
        }
        (Some(false), _) => put("omsAgent", json!({"enabled": false})),
        _ => {}
    }
    (!addons.is_empty()).then(|| addons.into())
}

fn access_profile(spec: &AksConfig) -> Option<Value> {
    let mut profile = Map::new();
    if let Some(ranges) = spec.authorized_ip_ranges.as_ref().filter(|ranges| !ranges.is_empty()) {
        profile.insert("authorizedIPRanges".to_owned(), ranges.clone().into());
    }
    if spec.private_cluster == Some(true) {
        profile.insert("enablePrivateCluster".to_owned(), true.into());
        if let Some(zone) = text(spec.private_dns_zone.as_ref()) {
            profile.insert("privateDNSZone".to_owned(), zone);
        }
    }
    (!profile.is_empty()).then(|| profile.into())
}

fn identity(spec: &AksConfig) -> Value {
    match given(spec.user_assigned_identity.as_ref()).filter(|_| spec.managed_identity == Some(true)) {
        Some(id) => json!({"type": "UserAssigned", "userAssignedIdentities": {id: {}}}),
        None => json!({"type": "SystemAssigned"}),
    }
}

/// The subnet of the pools, when the cluster lies in a network of the user's.
pub fn subnet_id(spec: &AksConfig, subscription_id: &str) -> Option<String> {
    let (network, subnet) = (given(spec.virtual_network.as_ref())?, given(spec.subnet.as_ref())?);
    let group = network_group(spec).unwrap_or_default();
    Some(format!(
        "/subscriptions/{subscription_id}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::NodePool;

    const CONTEXT: Context<'static> = Context {
        subscription_id: "s",
        owner: "i/c-1",
        workspace_id: Some("subscriptions/s/w/"),
        cluster: None,
    };

    fn spec(more: Value) -> AksConfig {
        let mut spec = json!({"clusterName": "n", "resourceGroup": "g", "resourceLocation": "eastus", "kubernetesVersion": "1.31.8",
            "dnsPrefix": "p"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn the_least_cluster_has_an_identity_an_owner_and_no_credential() {
        let body = create(&spec(json!({})), CONTEXT).unwrap();
        assert_eq!(
            body,
            json!({"name": "n", "location": "eastus", "tags": {"norman-aks-owner": "i/c-1"}, "identity": {"type": "SystemAssigned"},
                "properties": {"kubernetesVersion": "1.31.8", "dnsPrefix": "p", "nodeResourceGroup": "MC_g_n_eastus", "agentPoolProfiles": [],
                    "networkProfile": {"networkPlugin": "kubenet", "outboundType": "loadBalancer", "loadBalancerSku": "Standard"}}})
        );
    }

    #[test]
    fn networks_are_sent_as_azure_spells_them_or_refused_in_ranchers_words() {
        for (network, expected) in [
            (
                json!({"networkPlugin": "Azure", "networkPolicy": "AZURE", "serviceCidr": "10.0.0.0/16"}),
                Ok(
                    json!({"networkPlugin": "azure", "networkPolicy": "azure", "outboundType": "loadBalancer", "loadBalancerSku": "Standard", "serviceCidr": "10.0.0.0/16"}),
                ),
            ),
            (
                json!({"outboundType": "UserDefinedRouting", "loadBalancerSku": "Basic", "podCidr": "10.244.0.0/16"}),
                Ok(json!({"networkPlugin": "kubenet", "outboundType": "userDefinedRouting"})),
            ),
            (
                json!({"outboundType": "userassignednatgateway", "loadBalancerSku": "BASIC"}),
                Ok(
                    json!({"networkPlugin": "kubenet", "outboundType": "userAssignedNATGateway", "loadBalancerSku": "Basic"}),
                ),
            ),
            (
                json!({"networkPolicy": "azure"}),
                Err("network plugin Kubenet is not compatible with network policy Azure"),
            ),
            (json!({"networkPolicy": "Cilium"}), Err("networkPolicy 'Cilium' is not supported")),
            (json!({"networkPlugin": "None"}), Err("networkPlugin 'None' is not supported")),
        ] {
            let made = create(&spec(network.clone()), CONTEXT);
            let made = made
                .map(|body| body["properties"]["networkProfile"].clone())
                .map_err(|error| error.to_string());
            assert_eq!(made, expected.map_err(str::to_owned), "{network}");
        }
    }

    #[test]
    fn pools_get_version_zones_subnet_and_scaling_when_they_have_them() {
        let body = create(&spec(json!({"networkPlugin": "azure", "virtualNetwork": "v", "subnet": "x", "virtualNetworkResourceGroup": "vg",
            "nodePools": [{"name": "a", "count": 2, "mode": "System", "orchestratorVersion": "", "availabilityZones": ["1"], "maxSurge": "1",
                "enableAutoScaling": true, "minCount": 1, "maxCount": 3, "nodeLabels": {"k": "v"}}, {"name": "b", "enableAutoScaling": false,
                "minCount": 1, "orchestratorVersion": "1.30.1"}]})), CONTEXT).unwrap();
        let subnet =
            "/subscriptions/s/resourceGroups/vg/providers/Microsoft.Network/virtualNetworks/v/subnets/x";
        assert_eq!(
            body["properties"]["agentPoolProfiles"],
            json!([{"name": "a", "count": 2, "mode": "System", "orchestratorVersion": "1.31.8", "availabilityZones": ["1"], "nodeTaints": [],
                "upgradeSettings": {"maxSurge": "1"}, "enableAutoScaling": true, "minCount": 1, "maxCount": 3, "nodeLabels": {"k": "v"}, "vnetSubnetID": subnet},
                {"name": "b", "orchestratorVersion": "1.30.1", "nodeTaints": [], "vnetSubnetID": subnet}])
        );
    }

    #[test]
    fn a_pool_with_a_subnet_of_its_own_lies_there_from_the_start() {
        let wanted = spec(json!({"networkPlugin": "azure", "virtualNetwork": "v", "subnet": "x",
            "nodePools": [{"name": "a", "vnetSubnetID": "/own"}, {"name": "b", "vnetSubnetID": ""}]}));
        let body = create(&wanted, CONTEXT).unwrap();
        let at =
            |index: usize| body["properties"]["agentPoolProfiles"][index]["vnetSubnetID"].as_str().unwrap();
        assert_eq!(at(0), "/own");
        assert!(at(1).ends_with("/virtualNetworks/v/subnets/x"), "{}", at(1));
    }

    #[test]
    fn a_new_pool_gets_the_subnets_of_the_other_pools() {
        let id = |network: &str, subnet: &str| {
            format!(
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}"
            )
        };
        let profiles = |profiles: Value| json!({"properties": {"agentPoolProfiles": profiles}});
        let user = json!({"name": "u", "mode": "User", "vnetSubnetID": id("v", "users")});
        let system = json!({"name": "s", "mode": "System", "vnetSubnetID": id("V", "nodes"), "podSubnetID": id("V", "pods")});
        let in_network = json!({"networkPlugin": "azure", "virtualNetwork": "v", "subnet": "x"});
        for (cluster, more, own, expected) in [
            (profiles(json!([user, system])), json!({}), "", [Some(id("V", "nodes")), Some(id("V", "pods"))]),
            (profiles(json!([user])), json!({}), "", [Some(id("v", "users")), None]),
            (profiles(json!([user])), json!({}), "/own", [Some("/own".to_owned()), None]),
            (profiles(json!([user])), in_network.clone(), "", [Some(id("v", "x")), None]),
            // What is stated has no effect where the cluster is in another network, or in Azure's own.
            (
                profiles(json!([{"name": "s", "mode": "System", "vnetSubnetID": id("other", "n")}])),
                in_network.clone(),
                "",
                [Some(id("other", "n")), None],
            ),
            (profiles(json!([{"name": "s", "mode": "System"}])), in_network, "", [None, None]),
        ] {
            let new = NodePool { vnet_subnet_id: Some(own.to_owned()), ..NodePool::default() };
            let body = pool(&new, None, &spec(more.clone()), Context { cluster: Some(&cluster), ..CONTEXT });
            let got = ["vnetSubnetID", "podSubnetID"]
                .map(|key| body["properties"][key].as_str().map(str::to_owned));
            assert_eq!(got, expected, "{cluster} {more}");
        }
    }

    #[test]
    fn a_long_node_resource_group_is_cut_and_a_named_one_is_kept() {
        let long = spec(json!({"clusterName": "n".repeat(70)}));
        assert_eq!(node_resource_group(&long).len(), 80);
        assert_eq!(node_resource_group(&spec(json!({"nodeResourceGroup": "own"}))), "own");
    }

    #[test]
    fn a_change_replaces_the_managed_keys_and_keeps_what_nobody_knows() {
        let current = json!({"future": 1, "tags": {"a": "b"}, "properties": {"kubernetesVersion": "1.30.0", "unknown": {"x": [1]},
            "agentPoolProfiles": [{"name": "a", "novel": true}], "addonProfiles": {"omsagent": {"enabled": true}, "other": {"enabled": true}},
            "apiServerAccessProfile": {"authorizedIPRanges": ["9.9.9.9/32"], "enablePrivateCluster": false}}});
        let wanted = spec(
            json!({"monitoring": false, "authorizedIpRanges": ["1.2.3.4/32"], "httpApplicationRouting": true}),
        );
        let body = update(&current, &wanted, CONTEXT);
        let mut expected = current.clone();
        expected["properties"]["kubernetesVersion"] = "1.31.8".into();
        expected["properties"]["apiServerAccessProfile"]["authorizedIPRanges"] = json!(["1.2.3.4/32"]);
        expected["properties"]["addonProfiles"]["omsagent"] = json!({"enabled": false});
        expected["properties"]["addonProfiles"]["httpApplicationRouting"] = json!({"enabled": true});
        assert_eq!(body, expected);
        // What the specification does not speak of stays.
        let silent = spec(
            json!({"kubernetesVersion": "", "authorizedIpRanges": ["9.9.9.9/32", "1.2.3.4/32", "9.9.9.9"]}),
        );
        let body = update(&current, &silent, CONTEXT);
        assert_eq!(body["properties"]["kubernetesVersion"], "1.30.0");
        assert_eq!(
            body["properties"]["apiServerAccessProfile"]["authorizedIPRanges"],
            json!(["9.9.9.9/32", "1.2.3.4/32"])
        );
    }

    #[test]
    fn a_version_that_runs_is_left_in_azures_spelling() {
        for (asked, running, wanted, expected) in [
            ("1.33", "1.33.6", "1.33.6", "1.33"),
            ("1.33.6", "1.33.6", " v1.33 ", "1.33.6"),
            ("1.33", "1.33.6", "1.33.8", "1.33.8"),
            ("1.33.6", "1.33.6", "v1.34.1", "1.34.1"),
            // Upgraded in Azure meanwhile.
            ("1.33.6", "1.33.6", "1.33.3", "1.33.6"),
            // An upgrade that failed is asked for again, or taken back.
            ("1.34.1", "1.33.6", "1.34.1", "1.34.1"),
            ("1.34.1", "1.33.6", "1.33.6", "1.33.6"),
            ("1.34.1", "1.33.6", "1.33.5", "1.34.1"),
        ] {
            let version = json!({"kubernetesVersion": asked, "currentKubernetesVersion": running});
            let body =
                update(&json!({"properties": version}), &spec(json!({"kubernetesVersion": wanted})), CONTEXT);
            assert_eq!(body["properties"]["kubernetesVersion"], expected, "{asked} {running} {wanted}");
            let current = json!({"orchestratorVersion": asked, "currentOrchestratorVersion": running});
            let wanted_pool: NodePool =
                serde_json::from_value(json!({"name": "a", "orchestratorVersion": wanted})).unwrap();
            let body = pool(&wanted_pool, Some(&current), &spec(json!({})), CONTEXT);
            assert_eq!(body["properties"]["orchestratorVersion"], expected, "{asked} {running} {wanted}");
        }
        let new =
            create(&spec(json!({"kubernetesVersion": " v1.33.5", "nodePools": [{"name": "a"}]})), CONTEXT)
                .unwrap();
        assert_eq!(new["properties"]["kubernetesVersion"], "1.33.5");
        assert_eq!(new["properties"]["agentPoolProfiles"][0]["orchestratorVersion"], "1.33.5");
    }

    #[test]
    fn odd_answers_of_azure_do_not_stop_a_change() {
        for current in [
            json!({}),
            json!({"properties": null}),
            json!({"properties": {"addonProfiles": null, "apiServerAccessProfile": 1}}),
        ] {
            let wanted = spec(json!({"monitoring": true, "authorizedIpRanges": []}));
            update(&current, &wanted, CONTEXT);
        }
    }

    #[test]
    fn monitoring_waits_for_its_workspace_and_is_no_addon_in_china_for_routing() {
        let on = spec(
            json!({"monitoring": true, "httpApplicationRouting": true, "resourceLocation": "chinanorth3"}),
        );
        let body = create(&on, CONTEXT).unwrap();
        let expected = json!({"omsAgent": {"enabled": true, "config": {"logAnalyticsWorkspaceResourceID": "/subscriptions/s/w"}}});
        assert_eq!(body["properties"]["addonProfiles"], expected);
        let without = create(&on, Context { workspace_id: None, ..CONTEXT }).unwrap();
        assert_eq!(without["properties"].get("addonProfiles"), None);
    }

    #[test]
    fn a_pools_body_keeps_what_azure_added_and_never_counts_against_the_autoscaler() {
        let current = json!({"name": "a", "count": 5, "provisioningState": "Succeeded", "novel": 1, "orchestratorVersion": "1.30.0", "minCount": 1});
        let wanted: NodePool = serde_json::from_value(
            json!({"name": "a", "count": 2, "enableAutoScaling": true, "minCount": 2, "maxCount": 4}),
        )
        .unwrap();
        let body = pool(&wanted, Some(&current), &spec(json!({})), CONTEXT);
        assert_eq!(
            body,
            json!({"properties": {"count": 5, "novel": 1, "orchestratorVersion": "1.30.0", "minCount": 2, "maxCount": 4, "enableAutoScaling": true}})
        );
        let off: NodePool =
            serde_json::from_value(json!({"name": "a", "count": 2, "enableAutoScaling": false})).unwrap();
        let body = pool(&off, Some(&current), &spec(json!({})), CONTEXT);
        assert_eq!((&body["properties"]["count"], body["properties"].get("minCount")), (&json!(2), None));
        let new = pool(&off, None, &spec(json!({})), CONTEXT);
        assert_eq!(
            new,
            json!({"properties": {"count": 2, "enableAutoScaling": false, "type": "VirtualMachineScaleSets", "nodeTaints": []}})
        );
    }

    #[test]
    fn a_pool_is_changed_only_in_what_is_spoken_of_and_can_be_changed() {
        let current = json!({"vmSize": "Standard_D2s_v3", "maxPods": 30, "osDiskSizeGB": 128, "mode": "User", "count": 3,
            "nodeTaints": ["a=b:NoSchedule"], "nodeLabels": {"x": "y"}, "enableAutoScaling": true, "minCount": 1, "maxCount": 5,
            "upgradeSettings": {"maxSurge": "10%", "drainTimeoutInMinutes": 7}});
        let body = |wanted: Value| {
            let wanted: NodePool = serde_json::from_value(wanted).unwrap();
            pool(&wanted, Some(&current), &spec(json!({})), CONTEXT)["properties"].clone()
        };
        let said = json!({"name": "a", "vmSize": "standard_d2S_v3", "maxPods": 30, "osDiskSizeGB": 0, "osType": "linux", "count": 7});
        assert_eq!(body(said), current);
        let mut expected = current.clone();
        expected["mode"] = json!("System");
        expected["nodeTaints"] = json!([]);
        expected["nodeLabels"] = json!({});
        expected["upgradeSettings"]["maxSurge"] = json!("1");
        let emptied = json!({"mode": "system", "nodeTaints": [], "nodeLabels": {}, "maxSurge": "1"});
        assert_eq!(body(emptied), expected);
    }

    #[test]
    fn an_addon_that_is_as_it_should_be_keeps_its_settings() {
        let current = json!({"properties": {"addonProfiles": {"omsagent": {"enabled": true, "config": {"useAADAuth": "true"}}}}});
        let wanted =
            spec(json!({"monitoring": true, "httpApplicationRouting": false, "kubernetesVersion": ""}));
        assert_eq!(update(&current, &wanted, CONTEXT), current);
    }

    #[test]
    fn the_mark_of_the_owner_cannot_be_set_by_a_user() {
        let wanted = spec(json!({"tags": {"Norman-AKS-Owner": "me", "a": "b"}}));
        assert_eq!(json!(tags(&wanted, Some("i/c-1"))), json!({"a": "b", "norman-aks-owner": "i/c-1"}));
    }
}
