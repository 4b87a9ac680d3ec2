//! `/v3/projects`: the two projects of every cluster that was active once (`docs/contract/terraform.md#projects`).

use aks::projects::{Project as Kept, of_cluster};
use aks::status::State as ClusterState;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ListQuery, PartQuery, ReadFailures};
use super::schemas::PROJECT;
use super::{asked_path, cluster_of_part, spelled};
use crate::api::auth::Authenticated;
use crate::api::norman::collection::Collection;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::input::Object;
use crate::api::norman::links::Links;
use crate::api::norman::openapi::{Form, documented};
use crate::api::norman::reply;
use crate::api::norman::resource::{Resource, Rights};
use crate::api::state::AppState;
use crate::service::clusters::Cluster;

documented!(
    /// A project of a cluster.
    Project,
    &PROJECT,
    Form::Answer
);
documented!(
    /// A list of projects.
    ProjectCollection,
    [Project]
);

pub(super) fn router() -> OpenApiRouter<AppState> {
    let api = spelled(OpenApiRouter::new(), routes!(list_projects), &[]);
    let api = spelled(api, routes!(get_project), &[]);
    spelled(api, routes!(list_projects_of_cluster), &[])
}

/// The projects of the clusters that the caller sees.
#[utoipa::path(
    get,
    path = "/v3/projects",
    operation_id = "listProjects",
    tag = "Parts of clusters",
    params(ListQuery, PartQuery),
    responses((status = 200, description = "One page of the list", body = ProjectCollection), ReadFailures),
)]
async fn list_projects(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let clusters = state.clusters().list(&caller).await?;
    let objects = clusters.iter().flat_map(|cluster| views(cluster, &links)).collect();
    Ok(Collection::page(&PROJECT, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// The projects of one cluster.
#[utoipa::path(
    get,
    path = "/v3/clusters/{id}/projects",
    operation_id = "listProjectsOfCluster",
    tag = "Parts of clusters",
    params(("id" = String, Path, description = "The cluster", example = "c-x7k9z"), ListQuery),
    responses((status = 200, description = "One page of the list", body = ProjectCollection), ReadFailures),
)]
async fn list_projects_of_cluster(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let cluster = state.clusters().get(&caller, &id).await?;
    let objects = views(&cluster, &links).collect();
    Ok(Collection::page(&PROJECT, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// One project.
#[utoipa::path(
    get,
    path = "/v3/projects/{id}",
    operation_id = "getProject",
    tag = "Parts of clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z:p-q2w4x")),
    responses((status = 200, description = "The project", body = Project), ReadFailures),
)]
async fn get_project(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let (cluster, _) = cluster_of_part(&state, &caller, &id).await?;
    let mut objects = views(&cluster, &links);
    let found = objects.find(|object| object.get("id").is_some_and(|known| *known == *id));
    found.map(|object| reply::json(StatusCode::OK, &object)).ok_or_else(|| Error::not_found(&id))
}

/// The projects are there as long as the cluster is in use.
fn views(cluster: &Cluster, links: &Links) -> impl Iterator<Item = Object> {
    let in_use = matches!(cluster.state, ClusterState::Active | ClusterState::Updating);
    let projects = in_use.then(|| of_cluster(&cluster.uuid));
    projects.into_iter().flatten().map(|project| view(cluster, project, links))
}

fn view(cluster: &Cluster, project: Kept, links: &Links) -> Object {
    let id = format!("{}:{}", cluster.id, project.name);
    let fields = Object::from_iter([
        ("clusterId".to_owned(), json!(cluster.id)),
        ("description".to_owned(), json!(project.description)),
        ("labels".to_owned(), json!({project.label: "true", "cattle.io/creator": "norman"})),
        ("name".to_owned(), json!(project.title)),
        ("state".to_owned(), json!("active")),
        ("transitioning".to_owned(), json!("no")),
    ]);
    let resource = Resource {
        schema: &PROJECT,
        path: &format!("/v3/projects/{id}"),
        id: &id,
        uuid: None,
        creator: None,
        created_ms: Some(cluster.created_ms),
        rights: Rights::NONE,
    };
    resource.object(links, fields)
}
