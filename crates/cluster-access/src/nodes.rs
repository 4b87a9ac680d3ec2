//! Counts and lists the nodes of a cluster.

use aks::nodes::{Node, NodeInfo, StringMap};
use k8s_openapi::api::core::v1::Node as KubernetesNode;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::api::ListParams;

use crate::error::Error;
use crate::kube_client::KubeClient;

/// The page size for counting, and the maximum number of pages: a cluster of AKS has at most 5,000 nodes.
const COUNT_PAGE_SIZE: u32 = 500;
const MAX_COUNT_PAGES: usize = 20;
/// Complete nodes contain lists of images, so their pages are shorter.
const LIST_PAGE_SIZE: u32 = 100;
const MAX_LIST_PAGES: usize = 100;

/// Longer values of labels and annotations are omitted.
const MAX_VALUE_LEN: usize = 4_096;
/// The reason why a node is not ready is truncated to this number of characters.
const MAX_REASON_LEN: usize = 500;
const ENDLESS_LIST: &str = "too many pages in the list of nodes";

/// Counts the nodes; reads only their metadata.
pub(super) async fn count(kube: &KubeClient) -> Result<i64, Error> {
    let api = kube.api::<KubernetesNode>();
    let mut count = 0;
    let mut params = ListParams::default().limit(COUNT_PAGE_SIZE);
    for _ in 0..MAX_COUNT_PAGES {
        let page = api.list_metadata(&params).await.map_err(|error| kube.to_error(error))?;
        count += i64::try_from(page.items.len()).unwrap_or_default();
        match next_page_token(page.metadata) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(count),
        }
    }
    Err(kube.unreadable(ENDLESS_LIST))
}

/// Lists the nodes, sorted by name.
pub(super) async fn list(kube: &KubeClient) -> Result<Vec<Node>, Error> {
    let api = kube.api::<KubernetesNode>();
    let mut nodes = Vec::new();
    let mut params = ListParams::default().limit(LIST_PAGE_SIZE);
    for _ in 0..MAX_LIST_PAGES {
        let page = api.list(&params).await.map_err(|error| kube.to_error(error))?;
        nodes.extend(page.items.into_iter().map(convert_node));
        let Some(token) = next_page_token(page.metadata) else {
            nodes.sort_by(|a: &Node, b| a.name.cmp(&b.name));
            return Ok(nodes);
        };
        params = params.continue_token(&token);
    }
    Err(kube.unreadable(ENDLESS_LIST))
}

fn next_page_token(meta: ListMeta) -> Option<String> {
    meta.continue_.filter(|token| !token.is_empty())
}

fn convert_node(node: KubernetesNode) -> Node {
    let meta = node.metadata;
    let (spec, status) = (node.spec.unwrap_or_default(), node.status.unwrap_or_default());
    let addresses = status.addresses.unwrap_or_default();
    let address = |address_type: &str| {
        let address = addresses.iter().find(|address| address.type_ == address_type);
        address.map(|address| address.address.clone()).filter(|address| !address.is_empty())
    };
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let not_ready = match ready {
        Some(condition) if condition.status == "True" => None,
        Some(condition) => {
            Some(condition.message.iter().flat_map(|message| message.chars()).take(MAX_REASON_LEN).collect())
        }
        None => Some("the node does not report whether it is ready".to_owned()),
    };
    let capacity = quantities(status.capacity);
    let info = status.node_info.map(|info| NodeInfo {
        kubelet_version: info.kubelet_version,
        kube_proxy_version: info.kube_proxy_version,
        container_runtime_version: info.container_runtime_version,
        kernel_version: info.kernel_version,
        os_image: info.os_image,
        ..NodeInfo::default()
    });
    Node {
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        created_ms: meta.creation_timestamp.map(|time| time.0.as_millisecond()),
        labels: short_values(meta.labels),
        annotations: short_values(meta.annotations),
        hostname: address("Hostname"),
        internal_ip: address("InternalIP"),
        external_ip: address("ExternalIP"),
        provider_id: spec.provider_id.filter(|id| !id.is_empty()),
        pod_cidr: spec.pod_cidr.filter(|cidr| !cidr.is_empty()),
        unschedulable: spec.unschedulable.unwrap_or(false),
        not_ready,
        info: info.and_then(|info| info.with_sizes(&capacity)),
        capacity,
        allocatable: quantities(status.allocatable),
    }
}

fn short_values(map: Option<StringMap>) -> StringMap {
    let mut short_values = map.unwrap_or_default();
    short_values.retain(|_, value| value.len() <= MAX_VALUE_LEN);
    short_values
}

fn quantities(map: Option<std::collections::BTreeMap<String, Quantity>>) -> StringMap {
    map.unwrap_or_default().into_iter().map(|(resource, Quantity(amount))| (resource, amount)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use aks::nodes::NodeState;

    fn parse_node(mut object: Value) -> Node {
        object["apiVersion"] = json!("v1");
        object["kind"] = json!("Node");
        convert_node(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn node_is_converted_without_long_annotations() {
        let node = parse_node(json!({
            "metadata": {"name": "aks-a-1-vmss000000", "uid": "u", "creationTimestamp": "2026-08-20T10:11:12Z",
                "labels": {"agentpool": "a"}, "annotations": {"short": "s", "long": "x".repeat(5_000)}},
            "spec": {"podCIDR": "10.244.0.0/24", "providerID": "azure:///a", "unschedulable": true},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "10.0.0.4"}, {"type": "ExternalIP", "address": "20.1.1.1"},
                    {"type": "Hostname", "address": "aks-a-1-vmss000000"}],
                "capacity": {"cpu": "2", "memory": "8144680Ki", "pods": "110"},
                "allocatable": {"cpu": "1900m"},
                "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
                "nodeInfo": {"architecture": "amd64", "bootID": "", "containerRuntimeVersion": "containerd://1.7",
                    "kernelVersion": "5.15", "kubeProxyVersion": "", "kubeletVersion": "v1.33.3", "machineID": "",
                    "operatingSystem": "linux", "osImage": "Ubuntu", "systemUUID": ""},
            },
        }));
        assert_eq!(node.created_ms, Some(1_787_220_672_000));
        assert_eq!(node.annotations.keys().collect::<Vec<_>>(), ["short"]);
        assert_eq!(node.internal_ip.as_deref(), Some("10.0.0.4"));
        assert_eq!(node.external_ip.as_deref(), Some("20.1.1.1"));
        assert_eq!(node.state(), NodeState::Cordoned);
        assert_eq!(node.capacity["memory"], "8144680Ki");
        let info = node.info.unwrap();
        assert_eq!((info.kubelet_version.as_str(), info.cpus, info.memory_kib), ("v1.33.3", 2, 8_144_680));
    }

    #[test]
    fn node_without_status_is_unavailable() {
        let node = parse_node(json!({"metadata": {"name": "a"}}));
        assert_eq!((node.state(), node.info), (NodeState::Unavailable, None));
        assert_eq!(node.not_ready.as_deref(), Some("the node does not report whether it is ready"));
    }
}
