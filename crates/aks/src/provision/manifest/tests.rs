//! Tests of request bodies.

use super::*;
use crate::spec::NodePool;
use crate::testing::{cases, config, extended, from_json};

const CONTEXT: Context<'static> =
    Context { subscription_id: "s", owner: "i/c-1", workspace_id: Some("subscriptions/s/w/"), cluster: None };

fn spec(more: Value) -> AksConfig {
    let minimal = json!({"clusterName": "n", "resourceGroup": "g", "resourceLocation": "eastus", "kubernetesVersion": "1.31.8",
        "dnsPrefix": "p"});
    config(extended(minimal, more))
}

/// The properties in the body that creates a cluster.
fn created_properties(more: Value) -> Value {
    create(&spec(more), CONTEXT).unwrap()["properties"].clone()
}

/// The properties in the body of a pool.
fn pool_properties(desired: Value, current: Option<&Value>) -> Value {
    pool(&from_json(desired), current, &spec(json!({})), CONTEXT)["properties"].clone()
}

#[test]
fn minimal_cluster_has_identity_and_owner_and_no_credential() {
    assert_eq!(
        create(&spec(json!({})), CONTEXT).unwrap(),
        json!({"name": "n", "location": "eastus", "tags": {"norman-aks-owner": "i/c-1"}, "identity": {"type": "SystemAssigned"},
            "properties": {"kubernetesVersion": "1.31.8", "dnsPrefix": "p", "nodeResourceGroup": "MC_g_n_eastus", "agentPoolProfiles": [],
                "networkProfile": {"networkPlugin": "kubenet", "outboundType": "loadBalancer", "loadBalancerSku": "Standard"}}})
    );
}

#[test]
fn networks_have_azures_spelling_or_ranchers_error() {
    for (network, expected) in cases! {
        {"networkPlugin": "Azure", "networkPolicy": "AZURE", "serviceCidr": "10.0.0.0/16"} => Ok(json!({"networkPlugin": "azure",
            "networkPolicy": "azure", "outboundType": "loadBalancer", "loadBalancerSku": "Standard", "serviceCidr": "10.0.0.0/16"}));
        {"outboundType": "UserDefinedRouting", "loadBalancerSku": "Basic", "podCidr": "10.244.0.0/16"} =>
            Ok(json!({"networkPlugin": "kubenet", "outboundType": "userDefinedRouting"}));
        {"outboundType": "userassignednatgateway", "loadBalancerSku": "BASIC"} =>
            Ok(json!({"networkPlugin": "kubenet", "outboundType": "userAssignedNATGateway", "loadBalancerSku": "Basic"}));
        {"networkPolicy": "azure"} => Err("network plugin Kubenet is not compatible with network policy Azure");
        {"networkPolicy": "Cilium"} => Err("networkPolicy 'Cilium' is not supported");
        {"networkPlugin": "None"} => Err("networkPlugin 'None' is not supported");
    } {
        let body = create(&spec(network.clone()), CONTEXT);
        let profile =
            body.map(|body| body["properties"]["networkProfile"].clone()).map_err(|error| error.to_string());
        assert_eq!(profile, expected.map_err(str::to_owned), "{network}");
    }
}

#[test]
fn pools_of_a_new_cluster_have_version_zones_subnet_and_scaling() {
    let properties = created_properties(
        json!({"networkPlugin": "azure", "virtualNetwork": "v", "subnet": "x", "virtualNetworkResourceGroup": "vg",
        "nodePools": [{"name": "a", "count": 2, "mode": "System", "orchestratorVersion": "", "availabilityZones": ["1"], "maxSurge": "1",
            "enableAutoScaling": true, "minCount": 1, "maxCount": 3, "nodeLabels": {"k": "v"}},
            {"name": "b", "enableAutoScaling": false, "minCount": 1, "orchestratorVersion": "1.30.1"},
            {"name": "c", "vnetSubnetID": "/own"}]}),
    );
    let subnet = "/subscriptions/s/resourceGroups/vg/providers/Microsoft.Network/virtualNetworks/v/subnets/x";
    assert_eq!(
        properties["agentPoolProfiles"],
        json!([{"name": "a", "count": 2, "mode": "System", "orchestratorVersion": "1.31.8", "availabilityZones": ["1"], "nodeTaints": [],
            "upgradeSettings": {"maxSurge": "1"}, "enableAutoScaling": true, "minCount": 1, "maxCount": 3, "nodeLabels": {"k": "v"}, "vnetSubnetID": subnet},
            {"name": "b", "orchestratorVersion": "1.30.1", "nodeTaints": [], "vnetSubnetID": subnet},
            {"name": "c", "orchestratorVersion": "1.31.8", "nodeTaints": [], "vnetSubnetID": "/own"}])
    );
}

#[test]
fn new_pool_gets_the_subnets_of_the_other_pools() {
    let id = |network: &str, subnet: &str| {
        format!(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}"
        )
    };
    let user = json!({"name": "u", "mode": "User", "vnetSubnetID": id("v", "users")});
    let system = json!({"name": "s", "mode": "System", "vnetSubnetID": id("V", "nodes"), "podSubnetID": id("V", "pods")});
    let in_other_network = json!({"name": "s", "mode": "System", "vnetSubnetID": id("other", "n")});
    let in_network = json!({"networkPlugin": "azure", "virtualNetwork": "v", "subnet": "x"});
    for (pools, more, own, expected) in [
        (json!([user, system]), json!({}), "", [Some(id("V", "nodes")), Some(id("V", "pods"))]),
        (json!([user]), json!({}), "", [Some(id("v", "users")), None]),
        (json!([user]), json!({}), "/own", [Some("/own".to_owned()), None]),
        (json!([user]), in_network.clone(), "", [Some(id("v", "x")), None]),
        // The subnet in the specification has no effect if the cluster is in another network, or in Azure's own.
        (json!([in_other_network]), in_network.clone(), "", [Some(id("other", "n")), None]),
        (json!([{"name": "s", "mode": "System"}]), in_network, "", [None, None]),
    ] {
        let cluster = json!({"properties": {"agentPoolProfiles": pools}});
        let context = Context { cluster: Some(&cluster), ..CONTEXT };
        let new: NodePool = from_json(json!({"vnetSubnetID": own}));
        let body = pool(&new, None, &spec(more.clone()), context);
        let subnets =
            ["vnetSubnetID", "podSubnetID"].map(|key| body["properties"][key].as_str().map(str::to_owned));
        assert_eq!(subnets, expected, "{cluster} {more}");
    }
}

#[test]
fn default_node_resource_group_is_truncated() {
    assert_eq!(node_resource_group(&spec(json!({"clusterName": "n".repeat(70)}))).len(), 80);
    assert_eq!(node_resource_group(&spec(json!({"nodeResourceGroup": "own"}))), "own");
}

#[test]
fn change_replaces_managed_keys_and_keeps_unknown_ones() {
    let current = json!({"future": 1, "tags": {"a": "b"}, "properties": {"kubernetesVersion": "1.30.0", "unknown": {"x": [1]},
        "agentPoolProfiles": [{"name": "a", "novel": true}], "addonProfiles": {"omsagent": {"enabled": true}, "other": {"enabled": true}},
        "apiServerAccessProfile": {"authorizedIPRanges": ["9.9.9.9/32"], "enablePrivateCluster": false}}});
    let desired = spec(
        json!({"monitoring": false, "authorizedIpRanges": ["1.2.3.4/32"], "httpApplicationRouting": true}),
    );
    let mut expected = current.clone();
    expected["properties"]["kubernetesVersion"] = "1.31.8".into();
    expected["properties"]["apiServerAccessProfile"]["authorizedIPRanges"] = json!(["1.2.3.4/32"]);
    expected["properties"]["addonProfiles"]["omsagent"] = json!({"enabled": false});
    expected["properties"]["addonProfiles"]["httpApplicationRouting"] = json!({"enabled": true});
    assert_eq!(update(&current, &desired, CONTEXT), expected);
    // Unset keys are unchanged, and duplicate ranges are sent once.
    let ranges = json!(["9.9.9.9/32", "1.2.3.4/32", "9.9.9.9"]);
    let desired = spec(json!({"kubernetesVersion": "", "authorizedIpRanges": ranges}));
    let properties = &update(&current, &desired, CONTEXT)["properties"];
    assert_eq!(properties["kubernetesVersion"], "1.30.0");
    let sent = &properties["apiServerAccessProfile"]["authorizedIPRanges"];
    assert_eq!(sent, &json!(["9.9.9.9/32", "1.2.3.4/32"]));
}

#[test]
fn version_is_replaced_unless_same_as_requested_or_a_downgrade() {
    for (requested, running, desired, expected) in [
        ("1.33", "1.33.6", "1.33.6", "1.33"),
        ("1.33.6", "1.33.6", " v1.33 ", "1.33.6"),
        ("1.33", "1.33.6", "1.33.8", "1.33.8"),
        ("1.33.6", "1.33.6", "v1.34.1", "1.34.1"),
        // Upgraded in Azure in the meantime.
        ("1.33.6", "1.33.6", "1.33.3", "1.33.6"),
        // A failed upgrade is requested again, or taken back.
        ("1.34.1", "1.33.6", "1.34.1", "1.34.1"),
        ("1.34.1", "1.33.6", "1.33.6", "1.33.6"),
        ("1.34.1", "1.33.6", "1.33.5", "1.34.1"),
    ] {
        let cluster =
            json!({"properties": {"kubernetesVersion": requested, "currentKubernetesVersion": running}});
        let body = update(&cluster, &spec(json!({"kubernetesVersion": desired})), CONTEXT);
        assert_eq!(body["properties"]["kubernetesVersion"], expected, "{requested} {running} {desired}");
        let current = json!({"orchestratorVersion": requested, "currentOrchestratorVersion": running});
        let pool = pool_properties(json!({"name": "a", "orchestratorVersion": desired}), Some(&current));
        assert_eq!(pool["orchestratorVersion"], expected, "{requested} {running} {desired}");
    }
    let new = created_properties(json!({"kubernetesVersion": " v1.33.5", "nodePools": [{"name": "a"}]}));
    assert_eq!(new["kubernetesVersion"], "1.33.5");
    assert_eq!(new["agentPoolProfiles"][0]["orchestratorVersion"], "1.33.5");
}

#[test]
fn update_accepts_a_malformed_response() {
    for (current, expected) in cases! {
        {} => json!({});
        {"properties": null} => json!({"properties": null});
        {"properties": {"addonProfiles": null, "apiServerAccessProfile": 1, "kubernetesVersion": "1.31.8"}} => json!({"properties":
            {"addonProfiles": {"omsAgent": {"enabled": true, "config": {"logAnalyticsWorkspaceResourceID": "/subscriptions/s/w"}}},
                "apiServerAccessProfile": {"authorizedIPRanges": []}, "kubernetesVersion": "1.31.8"}});
    } {
        let desired = spec(json!({"monitoring": true, "authorizedIpRanges": []}));
        assert_eq!(update(&current, &desired, CONTEXT), expected);
    }
}

#[test]
fn monitoring_needs_its_workspace_and_china_has_no_http_routing() {
    let on = json!({"monitoring": true, "httpApplicationRouting": true, "resourceLocation": "chinanorth3"});
    let addon = json!({"omsAgent": {"enabled": true, "config": {"logAnalyticsWorkspaceResourceID": "/subscriptions/s/w"}}});
    assert_eq!(created_properties(on.clone())["addonProfiles"], addon);
    let without = create(&spec(on), Context { workspace_id: None, ..CONTEXT }).unwrap();
    assert_eq!(without["properties"].get("addonProfiles"), None);
}

#[test]
fn pool_body_keeps_azures_keys_and_the_autoscalers_count() {
    let current = json!({"name": "a", "count": 5, "provisioningState": "Succeeded", "novel": 1, "orchestratorVersion": "1.30.0", "minCount": 1});
    let on = json!({"name": "a", "count": 2, "enableAutoScaling": true, "minCount": 2, "maxCount": 4});
    assert_eq!(
        pool_properties(on, Some(&current)),
        json!({"count": 5, "novel": 1, "orchestratorVersion": "1.30.0", "minCount": 2, "maxCount": 4, "enableAutoScaling": true})
    );
    let off = json!({"name": "a", "count": 2, "enableAutoScaling": false});
    let changed = pool_properties(off.clone(), Some(&current));
    assert_eq!((&changed["count"], changed.get("minCount")), (&json!(2), None));
    let new =
        json!({"count": 2, "enableAutoScaling": false, "type": "VirtualMachineScaleSets", "nodeTaints": []});
    assert_eq!(pool_properties(off, None), new);
}

#[test]
fn pool_is_changed_only_in_set_and_changeable_keys() {
    let current = json!({"vmSize": "Standard_D2s_v3", "maxPods": 30, "osDiskSizeGB": 128, "mode": "User", "count": 3,
        "nodeTaints": ["a=b:NoSchedule"], "nodeLabels": {"x": "y"}, "enableAutoScaling": true, "minCount": 1, "maxCount": 5,
        "upgradeSettings": {"maxSurge": "10%", "drainTimeoutInMinutes": 7}});
    let same = json!({"name": "a", "vmSize": "standard_d2S_v3", "maxPods": 30, "osDiskSizeGB": 0, "osType": "linux", "count": 7});
    assert_eq!(pool_properties(same, Some(&current)), current);
    let emptied = json!({"mode": "system", "nodeTaints": [], "nodeLabels": {}, "maxSurge": "1"});
    let mut expected =
        extended(current.clone(), json!({"mode": "System", "nodeTaints": [], "nodeLabels": {}}));
    expected["upgradeSettings"]["maxSurge"] = json!("1");
    assert_eq!(pool_properties(emptied, Some(&current)), expected);
}

#[test]
fn addon_in_the_desired_state_keeps_its_settings() {
    let current = json!({"properties": {"addonProfiles": {"omsagent": {"enabled": true, "config": {"useAADAuth": "true"}}}}});
    let desired = spec(json!({"monitoring": true, "httpApplicationRouting": false, "kubernetesVersion": ""}));
    assert_eq!(update(&current, &desired, CONTEXT), current);
}

#[test]
fn user_cannot_set_the_owner_tag() {
    let desired = spec(json!({"tags": {"Norman-AKS-Owner": "me", "a": "b"}}));
    assert_eq!(json!(tags(&desired, Some("i/c-1"))), json!({"a": "b", "norman-aks-owner": "i/c-1"}));
}
