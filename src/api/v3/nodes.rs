//! `/v3/nodes`: the nodes of clusters, which this server reads in the background. Every caller sees the nodes of the
//! clusters that it can see, regardless of its role there.

use aks::nodes::{Node, NodeInfo, NodeState};
use serde_json::{Value, json};

use super::docs::PartQuery;
use super::schemas::NODE;
use super::types::{Call, IdParameter, Operation, V3Type};
use crate::api::norman::error::Error;
use crate::api::norman::filters::ListOptions;
use crate::api::norman::input::Object;
use crate::api::norman::links::Links;
use crate::api::norman::resource::{Resource, Rights, fields, insert_non_empty};
use crate::api::norman::schemas::Schema;
use crate::service::clusters::Cluster;

/// The nodes of clusters.
pub(super) struct Nodes;

impl V3Type for Nodes {
    const SCHEMA: &'static Schema = &NODE;
    const TAG: &'static str = "Parts of clusters";
    const ID: IdParameter =
        IdParameter { description: "The ID", example: "c-x7k9z:aks-system-12345678-vmss000000" };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list(
            "The nodes of the clusters that the caller may see. Waits at most two seconds for clusters; for those that do not respond in\n\
             time, the nodes that were read last are listed.",
        )
        .with_query::<PartQuery>(),
        Operation::get("One node.", "The node"),
        Operation::list_of_cluster("The nodes of one cluster."),
    ];

    async fn list(call: &Call) -> Result<Vec<Object>, Error> {
        let options = ListOptions::parse(&NODE, &call.query)?;
        let mut clusters = call.state.clusters.list(call.caller()).await?;
        clusters.retain(|cluster| options.matches_field("clusterId", &json!(cluster.id)));
        Ok(views(call, &clusters).await)
    }

    async fn list_of_cluster(call: &Call, cluster: Cluster) -> Result<Vec<Object>, Error> {
        Ok(views(call, &[cluster]).await)
    }

    async fn get(call: &Call, id: &str) -> Result<Object, Error> {
        let (cluster, _, name) = call.state.clusters.get_for_part(call.caller(), id).await?;
        let lists = call.state.nodes.list(std::slice::from_ref(&cluster)).await;
        let node = lists.iter().flat_map(|nodes| nodes.iter()).find(|node| node.name == name);
        node.map(|node| view(&cluster, node, &call.links)).ok_or_else(|| Error::not_found(id))
    }
}

async fn views(call: &Call, clusters: &[Cluster]) -> Vec<Object> {
    let lists = call.state.nodes.list(clusters).await;
    let lists = clusters.iter().zip(&lists);
    lists.flat_map(|(cluster, nodes)| nodes.iter().map(|node| view(cluster, node, &call.links))).collect()
}

fn view(cluster: &Cluster, node: &Node, links: &Links) -> Object {
    let is_unavailable = node.state() == NodeState::Unavailable;
    let mut fields = fields([
        ("allocatable", json!(node.allocatable)),
        ("annotations", json!(node.annotations)),
        ("capacity", json!(node.capacity)),
        ("clusterId", json!(cluster.id)),
        ("controlPlane", json!(node.is_control_plane())),
        ("etcd", json!(node.is_etcd())),
        ("hostname", json!(node.hostname.as_ref().unwrap_or(&node.name))),
        ("imported", json!(true)),
        ("labels", json!(node.labels)),
        ("name", json!(node.name)),
        ("nodeName", json!(node.name)),
        ("requestedHostname", json!(node.name)),
        ("state", json!(node.state().name())),
        ("transitioning", json!(if is_unavailable { "error" } else { "no" })),
        ("transitioningMessage", json!(node.not_ready.as_deref().unwrap_or_default())),
        ("unschedulable", json!(node.unschedulable)),
        ("worker", json!(node.is_worker())),
    ]);
    insert_non_empty(&mut fields, "ipAddress", node.internal_ip.clone());
    insert_non_empty(&mut fields, "externalIpAddress", node.external_ip.clone());
    insert_non_empty(&mut fields, "providerId", node.provider_id.clone());
    insert_non_empty(&mut fields, "podCidr", node.pod_cidr.clone());
    if let Some(info) = &node.info {
        fields.insert("info".to_owned(), info_view(info));
    }
    let id = format!("{}:{}", cluster.id, node.name);
    let resource = Resource::new(&NODE, &id, Rights::NONE);
    Resource { uuid: Some(&node.uid), created_ms: node.created_ms, ..resource }.to_object(links, fields)
}

/// The software and size of a node, complete: Terraform's provider fails on an `info` without `kubernetes` or `os`.
fn info_view(info: &NodeInfo) -> Value {
    json!({
        "cpu": {"count": info.cpus},
        "kubernetes": {
            "kubeProxyVersion": info.kube_proxy_version,
            "kubeletVersion": info.kubelet_version,
        },
        "memory": {"memTotalKiB": info.memory_kib},
        "os": {
            "dockerVersion": info.container_runtime_version,
            "kernelVersion": info.kernel_version,
            "operatingSystem": info.os_image,
        },
    })
}
