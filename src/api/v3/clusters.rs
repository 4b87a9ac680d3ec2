//! `/v3/clusters` (`docs/contract/clusters.md#the-type-cluster`, `docs/contract/terraform.md#clusters`).

mod view;

use aks::review::UnknownField;
use aks::role::Role;
use aks::spec::AKS_CONFIG;
use aks::spec::merge::Mode;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::view::{abandoned, view};
use super::docs::{
    ActionQuery, ChangeFailures, ChangeQuery, ListQuery, PostFailures, ReadFailures, RemovalQuery,
};
use super::kubeconfig;
use super::schemas::{self, CLUSTER};
use super::{asked_path, served};
use crate::api::auth::{Authenticated, BrowserSession};
use crate::api::norman::body::Body;
use crate::api::norman::collection::Collection;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::input::{self, Object, Operation};
use crate::api::norman::links::Links;
use crate::api::norman::openapi::{Form, documented};
use crate::api::norman::reply;
use crate::api::state::AppState;
use crate::service::Invalid;
use crate::service::actor::Actor;
use crate::service::clusters::ClusterChange;
use crate::service::kubeconfigs::{self, Generated};

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
    let clusters = state.clusters().list_with_roles(&caller).await?;
    let objects = clusters.iter().map(|(cluster, role)| view(cluster, *role, &links)).collect();
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
    Ok(reply::json(StatusCode::CREATED, &view(&cluster, Role::Owner, &links)))
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
    let (cluster, role) = state.clusters().with_role(&caller, &id).await?;
    Ok(reply::json(StatusCode::OK, &view(&cluster, role, &links)))
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
    Ok(reply::json(StatusCode::OK, &view(&cluster, Role::Owner, &links)))
}

/// Removes a cluster: in Azure too, when it was made here, unless the query says otherwise.
#[utoipa::path(
    delete,
    path = "/v3/clusters/{id}",
    operation_id = "deleteCluster",
    tag = "Clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z"), RemovalQuery),
    responses((status = 200, description = "The cluster as it was", body = Cluster), ChangeFailures),
)]
async fn delete_cluster(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
    query: Query,
) -> Result<Response, Error> {
    let cluster = match query.first("force") {
        None | Some("false") => state.clusters().delete(&actor, &id).await?,
        Some("true") => {
            let (cluster, left) = state.clusters().abandon(&actor, &id).await?;
            return Ok(reply::json(StatusCode::OK, &abandoned(&cluster, &left, &links)));
        }
        Some(_) => return Err(Invalid::field("InvalidOption", "force", "force must be true or false").into()),
    };
    Ok(reply::json(StatusCode::OK, &view(&cluster, Role::Owner, &links)))
}

/// An action of a cluster; or changes or removes it, for clients that can only POST.
///
/// generateKubeconfig answers in every state of the cluster, with a token that is good for it only. It needs an address of
/// the server that begins with `https://`. Without one, a browser session gets a 422, and any other caller an empty `config` with
/// the reason in `message`.
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
    session: BrowserSession,
    id: Path<String>,
    links: Links,
    query: Query,
    body: Result<Body, Error>,
) -> Result<Response, Error> {
    match query.first("_method") {
        Some("PUT") => update_cluster(state, actor, id, links, query, body?).await,
        Some("DELETE") => delete_cluster(state, actor, id, links, query).await,
        _ if query.first("action") == Some(kubeconfigs::ACTION) => {
            match (state.kubeconfigs().generate(&actor, &id, &links.to("")).await?, session) {
                (Generated::Kubeconfig(config), _) => Ok(kubeconfig::answer(&config)),
                (Generated::Unreachable(reason), BrowserSession(true)) => Err(reason.into()),
                (Generated::Unreachable(reason), BrowserSession(false)) => Ok(kubeconfig::empty(&reason)),
            }
        }
        _ => {
            state.clusters().get(&actor.caller, &id).await?;
            Err(match query.first("action") {
                None => Error::method(&Method::POST),
                Some(action) => Error::no_action(action, &CLUSTER),
            })
        }
    }
}

/// The keys of `aksConfig` that no field has.
pub(in crate::api) fn unknown_fields(body: &Object) -> Vec<UnknownField> {
    let config = body.get(AKS_CONFIG).and_then(Value::as_object);
    let strays =
        config.into_iter().flat_map(|config| input::strays(&schemas::AKS_CONFIG, config, AKS_CONFIG));
    strays
        .map(|stray| {
            let known = stray.schema.fields.iter().map(|field| field.name);
            UnknownField::new(&stray.place, stray.key, known)
        })
        .collect()
}

/// What the body says. Empty texts of the top level mean "not set".
fn change(body: Object, operation: Operation) -> Result<ClusterChange, Error> {
    let unknown = unknown_fields(&body);
    let mut body = input::convert(&CLUSTER, body, operation)?;
    let name = match body.remove("name") {
        Some(Value::String(name)) => Some(name),
        _ => None,
    };
    for value in body.values_mut().filter(|value| value.as_str() == Some("")) {
        *value = Value::Null;
    }
    Ok(ClusterChange { name, body, unknown })
}
