//! Checks of the fields that the provider reads in each response, and of the differences that its next plan would show
//! (`docs/contract/terraform.md#clean-plans`). Each `check_` function returns descriptions of the problems.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::go_client;

/// Strings of a cluster that the provider repeats in every PUT.
pub(super) const REPEATED_STRINGS: [&str; 5] = [
    "defaultPodSecurityAdmissionConfigurationTemplateName",
    "desiredAgentImage",
    "desiredAuthImage",
    "dockerRootDir",
    "fleetWorkspaceName",
];

/// The attributes of an object that the provider reads. Each string is a list, separated by whitespace.
struct Attributes {
    /// Attributes whose value the server may choose if they are not configured.
    computed: &'static str,
    /// Attributes for which any value is a difference if they are not configured.
    configured: &'static str,
}

/// The attributes of `aksConfig`, except `imported`.
const CONFIG_ATTRIBUTES: Attributes = Attributes {
    computed: "clusterName dnsServiceIp dockerBridgeCidr httpApplicationRouting linuxAdminUsername loadBalancerSku
        logAnalyticsWorkspaceGroup logAnalyticsWorkspaceName monitoring networkPolicy nodeResourceGroup podCidr
        privateCluster serviceCidr sshPublicKey subnet tags virtualNetwork virtualNetworkResourceGroup",
    configured: "authBaseUrl authorizedIpRanges azureCredentialSecret baseUrl dnsPrefix kubernetesVersion networkPlugin
        outboundType resourceGroup resourceLocation",
};

/// The attributes of an imported cluster.
const IMPORTED_ATTRIBUTES: [&str; 4] =
    ["azureCredentialSecret", "clusterName", "resourceGroup", "resourceLocation"];

/// The attributes of a node pool.
const POOL_ATTRIBUTES: Attributes = Attributes {
    computed: "nodeLabels nodeTaints vmSize",
    configured: "availabilityZones count enableAutoScaling maxCount maxPods maxSurge minCount mode name
        orchestratorVersion osDiskSizeGB osDiskType osType",
};

pub(super) fn check_equal(what: &str, ours: &Value, expected: &Value) -> Vec<String> {
    if ours == expected { Vec::new() } else { vec![format!("{what} is {ours} instead of {expected}")] }
}

/// Whether a value is neither absent nor null nor empty.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn is_https_url(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("https://"))
}

/// Checks that the keys are set.
fn check_required(object: &Value, keys: &[&str]) -> Vec<String> {
    let unset = keys.iter().filter(|key| !is_set(&object[**key]));
    unset.map(|key| format!("{key} is not set: {object}")).collect()
}

pub(super) fn check_root(header: &str, base: &str) -> Vec<String> {
    check_equal("X-API-Schemas", &json!(header), &json!(format!("{base}/v3/schemas")))
}

/// Checks that every type that the provider uses has the same URL and at least the same methods.
pub(super) fn check_schemas(ours: &Value, expected: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for expected_schema in expected["data"].as_array().unwrap() {
        let id = &expected_schema["id"];
        let Some(schema) = ours["data"].as_array().unwrap().iter().find(|schema| schema["id"] == *id) else {
            // Types without a collection are only named in actions.
            if expected_schema["links"]["collection"].is_string() {
                problems.push(format!("no schema {id}"));
            }
            continue;
        };
        problems.extend(check_equal(
            &format!("the collection of {id}"),
            &schema["links"]["collection"],
            &expected_schema["links"]["collection"],
        ));
        // The provider does not change or delete objects of other types.
        let is_managed = id == "cluster" || id == "cloudCredential";
        let used_methods = |field: &str| match (field, is_managed, id.as_str().unwrap()) {
            ("resourceMethods", true, _) => vec!["GET", "PUT", "DELETE"],
            ("collectionMethods", true, _)
            | ("collectionMethods", _, "token" | "clusterRegistrationToken") => {
                vec!["GET", "POST"]
            }
            _ => vec!["GET"],
        };
        for field in ["resourceMethods", "collectionMethods"] {
            let offered = schema[field].as_array().cloned().unwrap_or_default();
            for method in used_methods(field) {
                // Nodes and projects are only listed.
                let is_unused = field == "resourceMethods" && (id == "node" || id == "project");
                let is_recorded =
                    expected_schema[field].as_array().is_some_and(|methods| methods.contains(&json!(method)));
                if is_recorded && !is_unused && !offered.contains(&json!(method)) {
                    problems.push(format!("{id} has no {method} in {field}"));
                }
            }
        }
    }
    problems
}

pub(super) fn check_setting(ours: &Value, expected: &Value) -> Vec<String> {
    let mut problems = check_equal("id", &ours["id"], &expected["id"]);
    let Some(value) = ours["value"].as_str() else { return vec![format!("value is not a string: {ours}")] };
    // The provider parses the version with HashiCorp's go-version, and compares it with 2.6.0.
    if ours["id"] == "server-version" {
        let numbers: Vec<&str> =
            value.trim_start_matches('v').split('-').next().unwrap().split('.').collect();
        if numbers.iter().any(|number| number.parse::<u32>().is_err()) {
            problems.push(format!("{value:?} is not a version"));
        }
    }
    problems
}

pub(super) fn check_node_driver(ours: &Value) -> Vec<String> {
    [check_equal("id", &ours["id"], &json!("azure")), check_equal("state", &ours["state"], &json!("active"))]
        .concat()
}

pub(super) fn check_registration_token(ours: &Value, expected: &Value) -> Vec<String> {
    let mut problems =
        check_required(ours, &["command", "nodeCommand", "token", "manifestUrl", "insecureCommand"]);
    for key in ["id", "clusterId", "name", "state"] {
        problems.extend(check_equal(key, &ours[key], &expected[key]));
    }
    let (command, manifest) = (ours["command"].as_str().unwrap(), ours["manifestUrl"].as_str().unwrap());
    if !command.ends_with(manifest) || !is_https_url(&ours["manifestUrl"]) {
        problems.push(format!("{command:?} does not apply {manifest:?}"));
    }
    problems
}

/// Checks the two projects of a cluster, which the provider finds by their labels.
pub(super) fn check_projects(ours: &Value, expected: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for label in ["authz.management.cattle.io/default-project", "authz.management.cattle.io/system-project"] {
        let with_label = |list: &Value| -> Vec<Value> {
            let projects = list["data"].as_array().unwrap().iter();
            projects.filter(|project| project["labels"][label] == "true").cloned().collect()
        };
        let (ours, expected) = (with_label(ours), with_label(expected));
        if ours.len() != expected.len() {
            problems.push(format!("{} projects with {label}", ours.len()));
        }
        for (ours, expected) in ours.iter().zip(&expected) {
            problems.extend(check_equal("clusterId", &ours["clusterId"], &expected["clusterId"]));
            problems.extend(check_required(ours, &["id"]));
        }
    }
    if ours["pagination"]["partial"] == true {
        problems.push("a second page, which the provider does not fetch".to_owned());
    }
    problems
}

pub(super) fn check_token(ours: &Value, expected: &Value) -> Vec<String> {
    let keys = ["id", "enabled", "expired"];
    keys.iter().flat_map(|key| check_equal(key, &ours[*key], &expected[*key])).collect()
}

pub(super) fn check_version(ours: &Value) -> Vec<String> {
    check_required(ours, &["gitVersion", "major", "minor"])
}

/// Checks labels or annotations. Each key must have been written, unless the provider ignores it.
fn check_map(key: &str, ours: &Value, written: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let written = written[key].as_object().cloned().unwrap_or_default();
    for (name, value) in &written {
        problems.extend(check_equal(&format!("{key}.{name}"), &ours[key][name], value));
    }
    for name in ours[key].as_object().into_iter().flat_map(Map::keys) {
        if !is_ignored_key(name) && !written.contains_key(name) {
            problems.push(format!("{key}.{name} was not written"));
        }
    }
    problems
}

/// Whether the provider ignores a label or annotation.
pub(super) fn is_ignored_key(key: &str) -> bool {
    key.contains("cattle.io/") || key.contains("rancher.io/")
}

pub(super) fn check_credential(ours: &Value, written: &Value) -> Vec<String> {
    let mut problems = check_required(ours, &["id", "name", "labels", "azurecredentialConfig"]);
    problems.extend(check_equal("type", &ours["type"], &json!("cloudCredential")));
    problems.extend(check_equal("name", &ours["name"], &written["name"]));
    let description = ours["description"].as_str().unwrap_or_default();
    if description != written["description"].as_str().unwrap_or_default() {
        problems.push(format!("the description is {description:?}"));
    }
    if !ours["annotations"].is_object() {
        problems.push("no annotations".to_owned());
    }
    if !is_https_url(&ours["links"]["self"]) {
        problems.push("no link to itself".to_owned());
    }
    for key in ["labels", "annotations"] {
        problems.extend(check_map(key, ours, written));
    }
    let (config, written) = (&ours["azurecredentialConfig"], &written["azurecredentialConfig"]);
    if config.get("clientSecret").is_some() {
        problems.push("a secret".to_owned());
    }
    for key in ["clientId", "subscriptionId", "tenantId", "environment"] {
        if is_set(&written[key]) {
            problems.extend(check_equal(key, &config[key], &written[key]));
        }
    }
    problems
}

pub(super) fn check_cluster(ours: &Value, written: &Value) -> Vec<String> {
    let mut problems = check_required(ours, &["id", "name", "aksConfig"]);
    problems.extend(go_client::decode_error(ours));
    problems.extend(check_equal("type", &ours["type"], &json!("cluster")));
    problems.extend(check_equal("driver", &ours["driver"], &json!("AKS")));
    problems.extend(check_equal("name", &ours["name"], &written["name"]));
    let description = ours["description"].as_str().unwrap_or_default();
    if description != written["description"].as_str().unwrap_or_default() {
        problems.push(format!("the description is {description:?}"));
    }
    if !is_https_url(&ours["links"]["self"]) || !is_https_url(&ours["actions"]["generateKubeconfig"]) {
        problems.push(format!("no links or actions: {} {}", ours["links"], ours["actions"]));
    }
    for key in ["clusterAgentDeploymentCustomization", "fleetAgentDeploymentCustomization"] {
        problems.extend(check_equal(key, &ours[key], &Value::Null));
    }
    if is_set(&ours["agentEnvVars"]) || ours["windowsPreferedCluster"] == true {
        problems.push("agentEnvVars or windowsPreferedCluster was not written".to_owned());
    }
    for key in ["labels", "annotations"] {
        problems.extend(check_map(key, ours, written));
    }
    problems.extend(check_config(&ours["aksConfig"], &written["aksConfig"]));
    problems
}

/// The keys that the provider takes from the response although they are not configured.
pub(super) fn computed_keys(config: &Value) -> impl Iterator<Item = &'static str> {
    CONFIG_ATTRIBUTES.computed.split_whitespace().filter(|key| is_set(&config[*key]))
}

/// Compares `aksConfig` with what was written.
fn check_config(ours: &Value, written: &Value) -> Vec<String> {
    let is_imported = |config: &Value| config["imported"].as_bool().unwrap_or_default();
    let mut problems = check_equal("imported", &json!(is_imported(ours)), &json!(is_imported(written)));
    if is_imported(written) {
        problems
            .extend(IMPORTED_ATTRIBUTES.iter().flat_map(|key| check_equal(key, &ours[*key], &written[*key])));
        return problems;
    }
    problems.extend(check_attributes("aksConfig", &CONFIG_ATTRIBUTES, ours, written));
    // Pools are compared by position.
    let pools = |config: &Value| config["nodePools"].as_array().cloned().unwrap_or_default();
    let (our_pools, written_pools) = (pools(ours), pools(written));
    if our_pools.len() != written_pools.len() {
        problems.push(format!("{} pools instead of {}", our_pools.len(), written_pools.len()));
    }
    for (index, (ours, written)) in our_pools.iter().zip(&written_pools).enumerate() {
        problems.extend(check_attributes(&format!("pool {index}"), &POOL_ATTRIBUTES, ours, written));
    }
    problems
}

/// Compares Azure's state with what was written, once the cluster is active.
pub(super) fn check_applied(ours: &Value, written: &Value) -> Vec<String> {
    let (upstream, written) = (&ours["aksStatus"]["upstreamSpec"], &written["aksConfig"]);
    let mut problems = check_equal("Azure's name", &upstream["clusterName"], &written["clusterName"]);
    if written["imported"] == true {
        return problems;
    }
    for key in ["kubernetesVersion", "networkPlugin", "authorizedIpRanges", "tags"] {
        if is_set(&written[key]) {
            problems.extend(check_equal(&format!("Azure's {key}"), &upstream[key], &written[key]));
        }
    }
    let pools_by_name = |config: &Value| -> BTreeMap<String, Value> {
        let pools = config["nodePools"].as_array().cloned().unwrap_or_default().into_iter();
        pools.map(|pool| (pool["name"].to_string(), pool)).collect()
    };
    let (upstream_pools, written_pools) = (pools_by_name(upstream), pools_by_name(written));
    problems.extend(check_equal(
        "Azure's pools",
        &json!(upstream_pools.keys().collect::<Vec<_>>()),
        &json!(written_pools.keys().collect::<Vec<_>>()),
    ));
    for (name, pool) in &written_pools {
        for key in ["count", "maxCount", "vmSize", "orchestratorVersion", "nodeLabels", "nodeTaints"] {
            if let Some(upstream) = upstream_pools.get(name).filter(|_| is_set(&pool[key])) {
                problems.extend(check_equal(&format!("Azure's {key} of {name}"), &upstream[key], &pool[key]));
            }
        }
    }
    problems
}

fn check_attributes(parent: &str, attributes: &Attributes, ours: &Value, written: &Value) -> Vec<String> {
    let computed = attributes.computed.split_whitespace().map(|key| (key, true));
    let configured = attributes.configured.split_whitespace().map(|key| (key, false));
    let mut problems = Vec::new();
    for (key, is_computed) in computed.chain(configured) {
        let (ours, written) = (&ours[key], &written[key]);
        let name = format!("{parent}.{key}");
        if is_set(written) {
            // The provider notices a change in Azure only if a written value is returned.
            problems.extend(check_equal(&name, ours, written));
        } else if is_set(ours) && !is_computed {
            problems.push(format!("{name} is {ours} and was not written"));
        }
    }
    problems
}

#[test]
fn check_cluster_finds_every_kind_of_difference() {
    let written = json!({
        "name": "one", "description": "words", "labels": {"team": "a"},
        "aksConfig": {
            "azureCredentialSecret": "cattle-global-data:cc-aaaaa", "clusterName": "one", "dnsPrefix": "one",
            "kubernetesVersion": "1.32.7", "networkPlugin": "azure", "outboundType": "loadBalancer", "monitoring": true,
            "resourceGroup": "Group", "resourceLocation": "eastus", "tags": {"a": "1"},
            "nodePools": [
                {"name": "b", "count": 1, "maxPods": 110, "mode": "System", "availabilityZones": ["1", "2"], "orchestratorVersion": ""},
                {"name": "a", "count": 2, "maxPods": 110, "mode": "User", "nodeLabels": {"x": "y"}},
            ],
        },
    });
    let mut response = written.clone();
    let envelope = json!({"id": "c-aaaaa", "type": "cluster", "driver": "AKS", "state": "active",
        "links": {"self": "https://h/v3/clusters/c-aaaaa"}, "actions": {"generateKubeconfig": "https://h/x"}});
    response.as_object_mut().unwrap().extend(envelope.as_object().unwrap().clone());
    response["labels"]["cattle.io/creator"] = json!("norman");
    response["aksConfig"]["podCidr"] = json!("10.244.0.0/16");
    response["aksConfig"]["nodePools"][0]["vmSize"] = json!("Standard_DS2_v2");
    assert_eq!(check_cluster(&response, &written), Vec::<String>::new());
    for (pointer, value) in [
        ("/actions", json!({})),
        ("/agentEnvVars", json!([{"name": "A", "value": "b"}])),
        ("/aksConfig/authorizedIpRanges", json!(["10.0.0.0/8"])),
        ("/aksConfig/dnsPrefix", json!("One")),
        ("/aksConfig/imported", json!(true)),
        ("/aksConfig/kubernetesVersion", json!("1.32")),
        ("/aksConfig/monitoring", Value::Null),
        ("/aksConfig/nodePools/0/availabilityZones", json!(["2", "1"])),
        ("/aksConfig/nodePools/0/count", json!(1.0)),
        ("/aksConfig/nodePools/0/count", json!(3)),
        ("/aksConfig/nodePools/0/maxSurge", json!("1")),
        ("/aksConfig/nodePools/0/orchestratorVersion", json!("1.32.7")),
        ("/aksConfig/nodePools/1/name", json!("A")),
        ("/aksConfig/nodePools/1/nodeLabels", json!({"x": "y", "z": "1"})),
        ("/aksConfig/nodePools/1", Value::Null),
        ("/aksConfig/nodePools", json!([written["aksConfig"]["nodePools"][0]])),
        ("/aksConfig/tags", json!({"a": "1", "norman-aks-owner": "me"})),
        ("/clusterAgentDeploymentCustomization", json!({})),
        ("/description", json!("")),
        ("/driver", Value::Null),
        ("/labels/provider.cattle.io", json!("aks")),
        ("/labels/team", json!("b")),
        ("/links/self", json!("/v3/clusters/c-aaaaa")),
        ("/name", json!("two")),
        ("/nodeCount", json!("3")),
        ("/type", Value::Null),
        ("/version", json!("v1.32.7")),
    ] {
        let mut changed = response.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match changed.pointer_mut(parent).unwrap() {
            Value::Object(map) => drop(map.insert(key.to_owned(), value.clone())),
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
            other => panic!("{other}"),
        }
        assert!(!check_cluster(&changed, &written).is_empty(), "{value} at {pointer} is not found");
    }
}
