//! `/v3/nodes`: the nodes of clusters, as this server reads them in the background. Every caller sees the nodes of the
//! clusters that it sees, whatever its role there.

use aks::nodes::{Node as ClusterNode, NodeInfo, NodeState};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ListQuery, PartQuery, ReadFailures};
use super::schemas::NODE;
use super::{asked_path, cluster_of_part, spelled};
use crate::api::auth::Authenticated;
use crate::api::norman::collection::Collection;
use crate::api::norman::error::Error;
use crate::api::norman::filters::{Query, Wanted};
use crate::api::norman::input::Object;
use crate::api::norman::links::Links;
use crate::api::norman::openapi::{Form, documented};
use crate::api::norman::reply;
use crate::api::norman::resource::{Resource, Rights, put_text};
use crate::api::state::AppState;
use crate::service::clusters::Cluster;

documented!(
    /// A machine of a cluster.
    Node,
    &NODE,
    Form::Answer
);
documented!(
    /// A list of machines.
    NodeCollection,
    [Node]
);

pub(super) fn router() -> OpenApiRouter<AppState> {
    let api = spelled(OpenApiRouter::new(), routes!(list_nodes), &[]);
    let api = spelled(api, routes!(get_node), &[]);
    spelled(api, routes!(list_nodes_of_cluster), &[])
}

/// The nodes of the clusters that the caller sees. Waits at most two seconds for clusters; what did not come by then is
/// listed as it was read last.
#[utoipa::path(
    get,
    path = "/v3/nodes",
    operation_id = "listNodes",
    tag = "Parts of clusters",
    params(ListQuery, PartQuery),
    responses((status = 200, description = "One page of the list", body = NodeCollection), ReadFailures),
)]
async fn list_nodes(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let wanted = Wanted::parse(&NODE, &query)?;
    let mut clusters = state.clusters().list(&caller).await?;
    clusters.retain(|cluster| wanted.admits("clusterId", &json!(cluster.id)));
    let objects = views(&state, &clusters, &links).await;
    Ok(Collection::page(&NODE, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// The nodes of one cluster.
#[utoipa::path(
    get,
    path = "/v3/clusters/{id}/nodes",
    operation_id = "listNodesOfCluster",
    tag = "Parts of clusters",
    params(("id" = String, Path, description = "The cluster", example = "c-x7k9z"), ListQuery),
    responses((status = 200, description = "One page of the list", body = NodeCollection), ReadFailures),
)]
async fn list_nodes_of_cluster(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let cluster = state.clusters().get(&caller, &id).await?;
    let objects = views(&state, &[cluster], &links).await;
    Ok(Collection::page(&NODE, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// One node.
#[utoipa::path(
    get,
    path = "/v3/nodes/{id}",
    operation_id = "getNode",
    tag = "Parts of clusters",
    params(("id" = String, Path, description = "The ID", example = "c-x7k9z:aks-system-12345678-vmss000000")),
    responses((status = 200, description = "The node", body = Node), ReadFailures),
)]
async fn get_node(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let (cluster, name) = cluster_of_part(&state, &caller, &id).await?;
    let lists = state.nodes().list(std::slice::from_ref(&cluster)).await;
    let found = lists.iter().flat_map(|nodes| nodes.iter()).find(|node| node.name == name);
    found
        .map(|node| reply::json(StatusCode::OK, &view(&cluster, node, &links)))
        .ok_or_else(|| Error::not_found(&id))
}

async fn views(state: &AppState, clusters: &[Cluster], links: &Links) -> Vec<Object> {
    let lists = state.nodes().list(clusters).await;
    let lists = clusters.iter().zip(&lists);
    lists.flat_map(|(cluster, nodes)| nodes.iter().map(|node| view(cluster, node, links))).collect()
}

fn view(cluster: &Cluster, node: &ClusterNode, links: &Links) -> Object {
    let id = format!("{}:{}", cluster.id, node.name);
    let is_unavailable = node.state() == NodeState::Unavailable;
    let mut fields = Object::from_iter([
        ("allocatable".to_owned(), json!(node.allocatable)),
        ("annotations".to_owned(), json!(node.annotations)),
        ("capacity".to_owned(), json!(node.capacity)),
        ("clusterId".to_owned(), json!(cluster.id)),
        ("controlPlane".to_owned(), json!(node.is_control_plane())),
        ("etcd".to_owned(), json!(node.is_etcd())),
        ("hostname".to_owned(), json!(node.hostname.as_ref().unwrap_or(&node.name))),
        ("imported".to_owned(), json!(true)),
        ("labels".to_owned(), json!(node.labels)),
        ("name".to_owned(), json!(node.name)),
        ("nodeName".to_owned(), json!(node.name)),
        ("requestedHostname".to_owned(), json!(node.name)),
        ("state".to_owned(), json!(node.state().name())),
        ("transitioning".to_owned(), json!(if is_unavailable { "error" } else { "no" })),
        ("transitioningMessage".to_owned(), json!(node.not_ready.as_deref().unwrap_or_default())),
        ("unschedulable".to_owned(), json!(node.unschedulable)),
        ("worker".to_owned(), json!(node.is_worker())),
    ]);
    put_text(&mut fields, "ipAddress", node.internal_ip.clone());
    put_text(&mut fields, "externalIpAddress", node.external_ip.clone());
    put_text(&mut fields, "providerId", node.provider_id.clone());
    put_text(&mut fields, "podCidr", node.pod_cidr.clone());
    if let Some(info) = &node.info {
        fields.insert("info".to_owned(), info_view(info));
    }
    let resource = Resource {
        schema: &NODE,
        path: &format!("/v3/nodes/{id}"),
        id: &id,
        uuid: Some(&node.uid),
        creator: None,
        created_ms: node.created_ms,
        rights: Rights::NONE,
    };
    resource.object(links, fields)
}

/// Either all parts or none: Terraform's provider fails on an `info` without `kubernetes` or `os`.
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
