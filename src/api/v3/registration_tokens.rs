//! `/v3/clusterregistrationtokens` (`docs/contract/registration.md#registration-tokens`; Terraform reads one with
//! every cluster, `docs/contract/terraform.md#registration-token`).

use aks::registration::{NODE_COMMAND, commands};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ActionQuery, ChangeFailures, ListQuery, PartQuery, PostFailures, ReadFailures};
use super::schemas::CLUSTER_REGISTRATION_TOKEN as SCHEMA;
use super::{asked_path, spelled};
use crate::api::auth::Authenticated;
use crate::api::norman::body::Body;
use crate::api::norman::collection::Collection;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::input::{self, Object, Operation};
use crate::api::norman::links::Links;
use crate::api::norman::openapi::{Form, documented};
use crate::api::norman::reply;
use crate::api::norman::resource::{Resource, Rights};
use crate::api::state::AppState;
use crate::service::actor::Actor;
use crate::service::registration::RegistrationToken;

documented!(
    /// A registration token of a cluster.
    ClusterRegistrationToken,
    &SCHEMA,
    Form::Answer
);
documented!(
    /// What makes a registration token.
    ClusterRegistrationTokenInput,
    &SCHEMA,
    Form::Input
);
documented!(
    /// A list of registration tokens.
    ClusterRegistrationTokenCollection,
    [ClusterRegistrationToken]
);

pub(super) fn router() -> OpenApiRouter<AppState> {
    let collection = routes!(list_registration_tokens, create_registration_token);
    let api = spelled(OpenApiRouter::new(), collection, &["/v3/clusterRegistrationTokens"]);
    let single = routes!(get_registration_token, delete_registration_token, post_registration_token);
    let api = spelled(api, single, &["/v3/clusterRegistrationTokens/{id}"]);
    let of_cluster = routes!(list_registration_tokens_of_cluster, create_registration_token_of_cluster);
    spelled(api, of_cluster, &["/v3/clusters/{id}/clusterRegistrationTokens"])
}

/// The registration tokens of the clusters that the caller owns.
#[utoipa::path(
    get,
    path = "/v3/clusterregistrationtokens",
    operation_id = "listClusterRegistrationTokens",
    tag = "Parts of clusters",
    params(ListQuery, PartQuery),
    responses((status = 200, description = "One page of the list", body = ClusterRegistrationTokenCollection), ReadFailures),
)]
async fn list_registration_tokens(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let tokens = state.registration().list(&caller, query.first("clusterId")).await?;
    let server = server(&state, &links).await;
    let objects = tokens.iter().map(|token| view(token, &server, &links)).collect();
    Ok(Collection::page(&SCHEMA, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// The registration tokens of one cluster; none for members who are no owners.
#[utoipa::path(
    get,
    path = "/v3/clusters/{id}/clusterregistrationtokens",
    operation_id = "listClusterRegistrationTokensOfCluster",
    tag = "Parts of clusters",
    params(("id" = String, Path, description = "The cluster", example = "c-x7k9z"), ListQuery),
    responses((status = 200, description = "One page of the list", body = ClusterRegistrationTokenCollection), ReadFailures),
)]
async fn list_registration_tokens_of_cluster(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    state.clusters().get(&caller, &id).await?;
    let tokens = state.registration().list(&caller, Some(&id)).await?;
    let server = server(&state, &links).await;
    let objects = tokens.iter().map(|token| view(token, &server, &links)).collect();
    Ok(Collection::page(&SCHEMA, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// Makes another registration token for a cluster, as one of its owners.
#[utoipa::path(
    post,
    path = "/v3/clusterregistrationtokens",
    operation_id = "createClusterRegistrationToken",
    tag = "Parts of clusters",
    request_body = ClusterRegistrationTokenInput,
    responses((status = 201, description = "The token", body = ClusterRegistrationToken), ChangeFailures),
)]
async fn create_registration_token(
    State(state): State<AppState>,
    actor: Actor,
    links: Links,
    Body(body): Body,
) -> Result<Response, Error> {
    let input = input::convert(&SCHEMA, body, Operation::Create)?;
    let text = |key: &str| input.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let cluster_id = text("clusterId").unwrap_or_default();
    let token = state.registration().create(&actor, cluster_id, text("name")).await?;
    let server = server(&state, &links).await;
    Ok(reply::json(StatusCode::CREATED, &view(&token, &server, &links)))
}

/// Makes another registration token for the cluster of the address, as one of its owners.
#[utoipa::path(
    post,
    path = "/v3/clusters/{id}/clusterregistrationtokens",
    operation_id = "createClusterRegistrationTokenOfCluster",
    tag = "Parts of clusters",
    params(("id" = String, Path, description = "The cluster", example = "c-x7k9z")),
    request_body = ClusterRegistrationTokenInput,
    responses((status = 201, description = "The token", body = ClusterRegistrationToken), ChangeFailures),
)]
async fn create_registration_token_of_cluster(
    state: State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
    Body(mut body): Body,
) -> Result<Response, Error> {
    body.insert("clusterId".to_owned(), Value::String(id));
    create_registration_token(state, actor, links, Body(body)).await
}

/// One registration token. `default-token` is there for every cluster.
#[utoipa::path(
    get,
    path = "/v3/clusterregistrationtokens/{id}",
    operation_id = "getClusterRegistrationToken",
    tag = "Parts of clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z:default-token")),
    responses((status = 200, description = "The token", body = ClusterRegistrationToken), ReadFailures),
)]
async fn get_registration_token(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let token = state.registration().get(&caller, &id).await?;
    let server = server(&state, &links).await;
    Ok(reply::json(StatusCode::OK, &view(&token, &server, &links)))
}

/// Removes a registration token: nothing can be registered with it any more. `default-token` comes back with another text.
#[utoipa::path(
    delete,
    path = "/v3/clusterregistrationtokens/{id}",
    operation_id = "deleteClusterRegistrationToken",
    tag = "Parts of clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z:default-token")),
    responses((status = 200, description = "The token as it was", body = ClusterRegistrationToken), ChangeFailures),
)]
async fn delete_registration_token(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let token = state.registration().delete(&actor, &id).await?;
    let server = server(&state, &links).await;
    Ok(reply::json(StatusCode::OK, &view(&token, &server, &links)))
}

/// Removes a registration token, for clients that can only POST.
#[utoipa::path(
    post,
    path = "/v3/clusterregistrationtokens/{id}",
    operation_id = "postClusterRegistrationToken",
    tag = "Parts of clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z:default-token"), ActionQuery),
    responses((status = 200, description = "As for the method that is meant", body = ClusterRegistrationToken), PostFailures),
)]
async fn post_registration_token(
    state: State<AppState>,
    actor: Actor,
    id: Path<String>,
    links: Links,
    query: Query,
) -> Result<Response, Error> {
    if query.first("_method") == Some("DELETE") {
        return delete_registration_token(state, actor, id, links).await;
    }
    state.registration().get(&actor.caller, &id).await?;
    Err(match query.first("action") {
        None => Error::method(&Method::POST),
        Some(action) => Error::no_action(action, &SCHEMA),
    })
}

/// The address of this server in commands that people run later.
async fn server(state: &AppState, links: &Links) -> String {
    state.registration().server(&links.to("")).await
}

fn view(token: &RegistrationToken, server: &str, links: &Links) -> Object {
    let text = token.token.expose_secret();
    let commands = commands(server, text, &token.cluster_id);
    let fields = Object::from_iter(
        [
            ("annotations", json!({})),
            ("clusterId", json!(token.cluster_id)),
            ("command", json!(commands.command)),
            ("insecureCommand", json!(commands.insecure_command)),
            ("insecureNodeCommand", json!(NODE_COMMAND)),
            ("insecureWindowsNodeCommand", json!(NODE_COMMAND)),
            ("labels", json!({"cattle.io/creator": "norman"})),
            ("manifestUrl", json!(commands.manifest_url)),
            ("name", json!(token.name)),
            ("namespaceId", json!(token.cluster_id)),
            ("nodeCommand", json!(NODE_COMMAND)),
            ("state", json!("active")),
            ("token", json!(text)),
            ("transitioning", json!("no")),
            ("windowsNodeCommand", json!(NODE_COMMAND)),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    let resource = Resource {
        schema: &SCHEMA,
        path: &format!("/v3/clusterRegistrationTokens/{}", token.id()),
        id: &token.id(),
        uuid: Some(&token.uuid),
        creator: None,
        created_ms: Some(token.created_ms),
        rights: Rights { update: false, remove: true },
    };
    resource.object(links, fields)
}
