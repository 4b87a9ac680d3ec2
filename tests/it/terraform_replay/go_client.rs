//! The types of the provider's Go client.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The error of decoding a cluster as the Go client does.
pub(super) fn decode_error(cluster: &Value) -> Option<String> {
    serde_json::from_value::<GoCluster>(cluster.clone()).err().map(|error| error.to_string())
}

/// The fields of a cluster whose types the Go client checks; a wrong type fails the whole response.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only deserialization is tested")]
struct GoCluster {
    actions: Option<BTreeMap<String, String>>,
    agent_env_vars: Option<Vec<Map<String, Value>>>,
    aks_config: GoConfig,
    aks_status: Option<Map<String, Value>>,
    annotations: Option<BTreeMap<String, Option<String>>>,
    api_endpoint: Option<String>,
    applied_spec: Option<Map<String, Value>>,
    ca_cert: Option<String>,
    conditions: Option<Vec<BTreeMap<String, Option<String>>>>,
    created: Option<String>,
    creator_id: Option<String>,
    description: Option<String>,
    driver: String,
    enable_network_policy: Option<bool>,
    id: String,
    internal: Option<bool>,
    istio_enabled: Option<bool>,
    labels: Option<BTreeMap<String, Option<String>>>,
    links: Option<BTreeMap<String, String>>,
    local_cluster_auth_endpoint: Option<Map<String, Value>>,
    name: String,
    node_count: Option<i64>,
    provider: Option<String>,
    state: String,
    transitioning: Option<String>,
    transitioning_message: Option<String>,
    r#type: String,
    uuid: Option<String>,
    version: Option<BTreeMap<String, Value>>,
    windows_prefered_cluster: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only deserialization is tested")]
struct GoConfig {
    authorized_ip_ranges: Option<Vec<String>>,
    http_application_routing: Option<bool>,
    imported: Option<bool>,
    monitoring: Option<bool>,
    node_pools: Option<Vec<GoPool>>,
    private_cluster: Option<bool>,
    tags: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only deserialization is tested")]
struct GoPool {
    availability_zones: Option<Vec<String>>,
    count: Option<i64>,
    enable_auto_scaling: Option<bool>,
    max_count: Option<i64>,
    max_pods: Option<i64>,
    max_surge: Option<String>,
    min_count: Option<i64>,
    node_labels: Option<BTreeMap<String, Option<String>>>,
    node_taints: Option<Vec<String>>,
    #[serde(rename = "osDiskSizeGB")]
    os_disk_size_gb: Option<i64>,
}
