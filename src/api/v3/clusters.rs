//! `/v3/clusters` (contract, sections 13 to 15; terraform contract, sections 4 and 6).

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ActionQuery, ChangeFailures, ChangeQuery, ListQuery, PostFailures, ReadFailures};
use super::kubeconfig;
use super::schemas::CLUSTER;
use super::{asked_path, served};
use crate::api::auth::Authenticated;
use crate::api::norman::body::Body;
use crate::api::norman::collection::Collection;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::input::{self, Object, Operation};
use crate::api::norman::links::Links;
use crate::api::norman::openapi::{Form, documented};
use crate::api::norman::reply;
use crate::api::norman::resource::Resource;
use crate::api::state::AppState;
use crate::domain::spec::merge::Mode;
use crate::domain::status::State as ClusterState;
use crate::service::actor::Actor;
use crate::service::clusters::{Cluster as Kept, ClusterChange};
use crate::service::kubeconfigs;

documented!(
    /// An AKS cluster.
    Cluster,
    &CLUSTER,
    Form::Answer
);
documented!(
    /// What makes or changes a cluster.
    ClusterInput,
    &CLUSTER,
    Form::Input
);
documented!(
    /// A list of clusters.
    ClusterCollection,
    [Cluster]
);

/// What comes back for the POST of a cluster: the cluster, or what the action made.
#[derive(utoipa::ToSchema)]
#[schema(as = PostClusterAnswer)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the two, which post_cluster answers")]
enum PostAnswer {
    /// For another method.
    Cluster(Cluster),
    /// For generateKubeconfig.
    Kubeconfig(kubeconfig::Kubeconfig<'static>),
}

pub(super) fn router() -> OpenApiRouter<AppState> {
    let api = served(OpenApiRouter::new(), routes!(list_clusters, create_cluster), &["/v3/clusters/"]);
    let single = routes!(get_cluster, update_cluster, delete_cluster, post_cluster);
    served(api, single, &["/v3/clusters/{id}/"])
}

/// The clusters of the caller; those of everybody for administrators.
#[utoipa::path(
    get,
    path = "/v3/clusters",
    operation_id = "listClusters",
    tag = "Clusters",
    params(ListQuery),
    responses((status = 200, description = "One page of the list", body = ClusterCollection), ReadFailures),
)]
async fn list_clusters(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let clusters = state.clusters().list(&caller).await?;
    let objects = clusters.iter().map(|cluster| view(cluster, &links)).collect();
    Ok(Collection::page(&CLUSTER, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// Makes a cluster, or registers one that exists. It is kept at once and provisioned afterwards.
#[utoipa::path(
    post,
    path = "/v3/clusters",
    operation_id = "createCluster",
    tag = "Clusters",
    request_body = ClusterInput,
    responses((status = 201, description = "The cluster as it is kept", body = Cluster), ChangeFailures),
)]
async fn create_cluster(
    State(state): State<AppState>,
    actor: Actor,
    links: Links,
    Body(body): Body,
) -> Result<Response, Error> {
    let change = change(body, Operation::Create)?;
    let cluster = state.clusters().create(&actor, change).await?;
    Ok(reply::json(StatusCode::CREATED, &view(&cluster, &links)))
}

/// One cluster.
#[utoipa::path(
    get,
    path = "/v3/clusters/{id}",
    operation_id = "getCluster",
    tag = "Clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z")),
    responses((status = 200, description = "The cluster", body = Cluster), ReadFailures),
)]
async fn get_cluster(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let cluster = state.clusters().get(&caller, &id).await?;
    Ok(reply::json(StatusCode::OK, &view(&cluster, &links)))
}

/// Changes a cluster. What the body does not name stays, except as the query says.
#[utoipa::path(
    put,
    path = "/v3/clusters/{id}",
    operation_id = "updateCluster",
    tag = "Clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z"), ChangeQuery),
    request_body = ClusterInput,
    responses((status = 200, description = "The cluster as it is kept", body = Cluster), ChangeFailures),
)]
async fn update_cluster(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
    query: Query,
    Body(body): Body,
) -> Result<Response, Error> {
    let change = change(body, Operation::Update)?;
    let mode = if query.is_on("_replace") { Mode::Replace } else { Mode::Merge };
    let cluster = state.clusters().update(&actor, &id, change, mode).await?;
    Ok(reply::json(StatusCode::OK, &view(&cluster, &links)))
}

/// Removes a cluster: in Azure too, when it was made here.
#[utoipa::path(
    delete,
    path = "/v3/clusters/{id}",
    operation_id = "deleteCluster",
    tag = "Clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z")),
    responses((status = 200, description = "The cluster as it was", body = Cluster), ChangeFailures),
)]
async fn delete_cluster(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let cluster = state.clusters().delete(&actor, &id).await?;
    Ok(reply::json(StatusCode::OK, &view(&cluster, &links)))
}

/// An action of a cluster; or changes or removes it, for clients that can only POST.
///
/// generateKubeconfig answers in every state of the cluster, with a token that is good for it only. It needs an address of
/// the server that begins with `https://`.
#[utoipa::path(
    post,
    path = "/v3/clusters/{id}",
    operation_id = "postCluster",
    tag = "Clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z"), ActionQuery),
    request_body = Option<ClusterInput>,
    responses(
        (status = 200, description = "What the action made; or as for the method that is meant", body = PostAnswer),
        PostFailures,
    ),
)]
async fn post_cluster(
    state: State<AppState>,
    actor: Actor,
    id: Path<String>,
    links: Links,
    query: Query,
    body: Result<Body, Error>,
) -> Result<Response, Error> {
    match query.first("_method") {
        Some("PUT") => update_cluster(state, actor, id, links, query, body?).await,
        Some("DELETE") => delete_cluster(state, actor, id, links).await,
        _ if query.first("action") == Some(kubeconfigs::ACTION) => {
            let made = state.kubeconfigs().generate(&actor, &id, &links.to("")).await?;
            Ok(kubeconfig::answer(&made))
        }
        _ => {
            state.clusters().get(&actor.caller, &id).await?;
            Err(match query.first("action") {
                None => Error::method(&Method::POST),
                Some(action) => Error::no_action(action),
            })
        }
    }
}

/// The cluster on the wire: what the user said, and around it what is known.
fn view(cluster: &Kept, links: &Links) -> Object {
    let mut fields = cluster.spec.body().clone();
    for (key, value) in [
        ("annotations", json!({})),
        ("dockerRootDir", json!("/var/lib/docker")),
        ("enableNetworkPolicy", json!(false)),
    ] {
        fields.entry(key).or_insert(value);
    }
    if let Some(config) = fields.get_mut("aksConfig").and_then(Value::as_object_mut) {
        add_types(config);
    }
    let (transitioning, message) = transition(cluster);
    for (key, value) in [
        ("aksStatus", status(cluster)),
        ("conditions", json!(cluster.status.conditions)),
        ("driver", json!("AKS")),
        ("internal", json!(false)),
        ("name", json!(cluster.name)),
        ("state", json!(cluster.state.name())),
        ("transitioning", json!(transitioning)),
        ("transitioningMessage", json!(message)),
    ] {
        fields.insert(key.to_owned(), value);
    }
    let resource = Resource {
        schema: &CLUSTER,
        path: &format!("/v3/clusters/{}", cluster.id),
        id: &cluster.id,
        uuid: &cluster.uuid,
        creator: &cluster.owner,
        created_ms: cluster.created_ms,
    };
    resource.object(links, fields)
}

/// Whether the cluster is on its way, and where it is.
fn transition(cluster: &Kept) -> (&'static str, String) {
    let status = &cluster.status;
    match (&status.failure, cluster.state) {
        (Some(failure), _) => ("error", failure.clone()),
        (None, ClusterState::Active) => ("no", String::new()),
        (None, _) => ("yes", status.waiting.as_ref().map(|waiting| waiting.what.clone()).unwrap_or_default()),
    }
}

fn status(cluster: &Kept) -> Value {
    let status = &cluster.status;
    let mut status = json!({
        "review": cluster.review,
        "privateRequiresTunnel": status.private_requires_tunnel,
        "rbacEnabled": status.rbac_enabled,
        "upstreamSpec": status.upstream_spec,
    });
    if let Some(fields) = status.as_object_mut() {
        fields.insert("type".to_owned(), json!("/v3/schemas/aksStatus"));
        if let Some(upstream) = fields.get_mut("upstreamSpec").and_then(Value::as_object_mut) {
            add_types(upstream);
        }
    }
    status
}

/// Norman's names of the types inside.
fn add_types(config: &mut Object) {
    config.insert("type".to_owned(), json!("/v3/schemas/aksClusterConfigSpec"));
    let pools = config.get_mut("nodePools").and_then(Value::as_array_mut);
    for pool in pools.into_iter().flatten().filter_map(Value::as_object_mut) {
        pool.insert("type".to_owned(), json!("/v3/schemas/aksNodePool"));
    }
}

/// What the body says. Empty texts of the top level mean "not set".
fn change(body: Object, operation: Operation) -> Result<ClusterChange, Error> {
    let mut body = input::convert(&CLUSTER, body, operation)?;
    let name = match body.remove("name") {
        Some(Value::String(name)) => Some(name),
        _ => None,
    };
    for value in body.values_mut().filter(|value| value.as_str() == Some("")) {
        *value = Value::Null;
    }
    Ok(ClusterChange { name, body })
}
