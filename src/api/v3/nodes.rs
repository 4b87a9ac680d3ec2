//! `/v3/nodes` (terraform contract, section 5.7). AKS decides about single nodes, and what they are is told by the cluster
//! itself, below `/k8s/clusters/<id>/api/v1/nodes`: nobody here keeps a second list of them, so this one is always empty.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::Uri;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ListQuery, PartQuery, ReadFailures};
use super::schemas::NODE;
use super::{asked_path, spelled};
use crate::api::auth::Authenticated;
use crate::api::norman::collection::Collection;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::links::Links;
use crate::api::norman::openapi::{Form, documented};
use crate::api::state::AppState;

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
    spelled(api, routes!(list_nodes_of_cluster), &[])
}

/// Always empty: nodes are listed by the cluster's own Kubernetes API.
#[utoipa::path(
    get,
    path = "/v3/nodes",
    operation_id = "listNodes",
    tag = "Parts of clusters",
    params(ListQuery, PartQuery),
    responses((status = 200, description = "One page of the list", body = NodeCollection), ReadFailures),
)]
async fn list_nodes(_caller: Authenticated, links: Links, query: Query, uri: Uri) -> Result<Response, Error> {
    Ok(Collection::page(&NODE, &links, asked_path(&uri), &query, Vec::new())?.into_response())
}

/// Always empty: nodes are listed by the cluster's own Kubernetes API.
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
    state.clusters().get(&caller, &id).await?;
    Ok(Collection::page(&NODE, &links, asked_path(&uri), &query, Vec::new())?.into_response())
}
