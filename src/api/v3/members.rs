//! `/v3/clusterroletemplatebindings`: who has which part in a cluster.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ActionQuery, ChangeFailures, ListQuery, PartQuery, PostFailures, ReadFailures};
use super::schemas::CLUSTER_ROLE_TEMPLATE_BINDING as SCHEMA;
use super::{asked_path, metadata, spelled};
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
use crate::service::Invalid;
use crate::service::actor::Actor;
use crate::service::members::{Member, MemberChange, NewMember};

/// What stands before the id of a user in the id of a principal.
const PRINCIPAL: &str = "local://";

documented!(
    /// A user's part in a cluster.
    ClusterRoleTemplateBinding,
    &SCHEMA,
    Form::Answer
);
documented!(
    /// What gives or changes a part in a cluster.
    ClusterRoleTemplateBindingInput,
    &SCHEMA,
    Form::Input
);
documented!(
    /// A list of parts in clusters.
    ClusterRoleTemplateBindingCollection,
    [ClusterRoleTemplateBinding]
);

pub(super) fn router() -> OpenApiRouter<AppState> {
    let collection = routes!(list_members, create_member);
    let api = spelled(OpenApiRouter::new(), collection, &["/v3/clusterRoleTemplateBindings"]);
    let single = routes!(get_member, update_member, delete_member, post_member);
    let api = spelled(api, single, &["/v3/clusterRoleTemplateBindings/{id}"]);
    let other = "/v3/clusters/{id}/clusterRoleTemplateBindings";
    spelled(api, routes!(list_members_of_cluster), &[other])
}

/// The parts in every cluster that the caller sees.
#[utoipa::path(
    get,
    path = "/v3/clusterroletemplatebindings",
    operation_id = "listClusterRoleTemplateBindings",
    tag = "Members of clusters",
    params(ListQuery, PartQuery),
    responses((status = 200, description = "One page of the list", body = ClusterRoleTemplateBindingCollection), ReadFailures),
)]
async fn list_members(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let members = state.members().list(&caller).await?;
    let objects = members.iter().map(|member| view(member, &links)).collect();
    Ok(Collection::page(&SCHEMA, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// The parts in one cluster.
#[utoipa::path(
    get,
    path = "/v3/clusters/{id}/clusterroletemplatebindings",
    operation_id = "listClusterRoleTemplateBindingsOfCluster",
    tag = "Members of clusters",
    params(("id" = String, Path, description = "The cluster", example = "c-x7k9z"), ListQuery),
    responses((status = 200, description = "One page of the list", body = ClusterRoleTemplateBindingCollection), ReadFailures),
)]
async fn list_members_of_cluster(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    state.clusters().get(&caller, &id).await?;
    let mut members = state.members().list(&caller).await?;
    members.retain(|member| member.cluster_id == id);
    let objects = members.iter().map(|member| view(member, &links)).collect();
    Ok(Collection::page(&SCHEMA, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// Gives a user a part in a cluster, as one of its owners.
#[utoipa::path(
    post,
    path = "/v3/clusterroletemplatebindings",
    operation_id = "createClusterRoleTemplateBinding",
    tag = "Members of clusters",
    request_body = ClusterRoleTemplateBindingInput,
    responses((status = 201, description = "The part as it is kept", body = ClusterRoleTemplateBinding), ChangeFailures),
)]
async fn create_member(
    State(state): State<AppState>,
    actor: Actor,
    links: Links,
    Body(body): Body,
) -> Result<Response, Error> {
    let mut input = input::convert(&SCHEMA, body, Operation::Create)?;
    refuse_groups(&mut input)?;
    let new = NewMember {
        user_id: user(&mut input)?.unwrap_or_default(),
        cluster_id: text(&mut input, "clusterId").unwrap_or_default(),
        role: text(&mut input, "roleTemplateId").unwrap_or_default(),
        name: text(&mut input, "name"),
        metadata: metadata::take(&mut input),
    };
    let member = state.members().create(&actor, new).await?;
    Ok(reply::json(StatusCode::CREATED, &view(&member, &links)))
}

/// One part in a cluster.
#[utoipa::path(
    get,
    path = "/v3/clusterroletemplatebindings/{id}",
    operation_id = "getClusterRoleTemplateBinding",
    tag = "Members of clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z:crtb-q2w4x")),
    responses((status = 200, description = "The part", body = ClusterRoleTemplateBinding), ReadFailures),
)]
async fn get_member(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let member = state.members().get(&caller, &id).await?;
    Ok(reply::json(StatusCode::OK, &view(&member, &links)))
}

/// Gives a member another role, as one of the cluster's owners.
#[utoipa::path(
    put,
    path = "/v3/clusterroletemplatebindings/{id}",
    operation_id = "updateClusterRoleTemplateBinding",
    tag = "Members of clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z:crtb-q2w4x")),
    request_body = ClusterRoleTemplateBindingInput,
    responses((status = 200, description = "The part as it is kept", body = ClusterRoleTemplateBinding), ChangeFailures),
)]
async fn update_member(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
    Body(body): Body,
) -> Result<Response, Error> {
    let mut input = input::convert(&SCHEMA, body, Operation::Update)?;
    refuse_groups(&mut input)?;
    let change = MemberChange {
        user_id: user(&mut input)?,
        cluster_id: text(&mut input, "clusterId"),
        role: text(&mut input, "roleTemplateId"),
        metadata: metadata::take(&mut input),
    };
    let member = state.members().update(&actor, &id, change).await?;
    Ok(reply::json(StatusCode::OK, &view(&member, &links)))
}

/// Ends a part in a cluster, as one of the cluster's owners.
#[utoipa::path(
    delete,
    path = "/v3/clusterroletemplatebindings/{id}",
    operation_id = "deleteClusterRoleTemplateBinding",
    tag = "Members of clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z:crtb-q2w4x")),
    responses((status = 200, description = "The part as it was", body = ClusterRoleTemplateBinding), ChangeFailures),
)]
async fn delete_member(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let member = state.members().delete(&actor, &id).await?;
    Ok(reply::json(StatusCode::OK, &view(&member, &links)))
}

/// Changes or ends a part in a cluster, for clients that can only POST.
#[utoipa::path(
    post,
    path = "/v3/clusterroletemplatebindings/{id}",
    operation_id = "postClusterRoleTemplateBinding",
    tag = "Members of clusters",
    params(("id" = String, Path, description = "The id", example = "c-x7k9z:crtb-q2w4x"), ActionQuery),
    request_body = Option<ClusterRoleTemplateBindingInput>,
    responses((status = 200, description = "As for the method that is meant", body = ClusterRoleTemplateBinding), PostFailures),
)]
async fn post_member(
    state: State<AppState>,
    actor: Actor,
    id: Path<String>,
    links: Links,
    query: Query,
    body: Result<Body, Error>,
) -> Result<Response, Error> {
    match query.first("_method") {
        Some("PUT") => update_member(state, actor, id, links, body?).await,
        Some("DELETE") => delete_member(state, actor, id, links).await,
        _ => {
            state.members().get(&actor.caller, &id).await?;
            Err(match query.first("action") {
                None => Error::method(&Method::POST),
                Some(action) => Error::no_action(action, &SCHEMA),
            })
        }
    }
}

fn view(member: &Member, links: &Links) -> Object {
    let mut fields = Object::from_iter([
        ("clusterId".to_owned(), json!(member.cluster_id)),
        ("name".to_owned(), json!(member.name())),
        ("roleTemplateId".to_owned(), json!(member.role.name())),
        ("state".to_owned(), json!("active")),
        ("transitioning".to_owned(), json!("no")),
        ("userId".to_owned(), json!(member.user_id)),
        ("userPrincipalId".to_owned(), json!(format!("{PRINCIPAL}{}", member.user_id))),
    ]);
    metadata::put(&mut fields, &member.metadata);
    let resource = Resource {
        schema: &SCHEMA,
        path: &format!("/v3/clusterRoleTemplateBindings/{}", member.id),
        id: &member.id,
        uuid: member.uuid.as_deref(),
        creator: None,
        created_ms: Some(member.created_ms),
        rights: Rights::all_if(member.changeable),
    };
    resource.object(links, fields)
}

/// A text that says something; clients send empty ones for what is not set.
fn text(input: &mut Object, key: &str) -> Option<String> {
    match input.remove(key) {
        Some(Value::String(text)) => Some(text).filter(|text| !text.is_empty()),
        _ => None,
    }
}

/// The user, whichever way he is named.
fn user(input: &mut Object) -> Result<Option<String>, Invalid> {
    let refuse = |message: &str| Err(Invalid::field("InvalidReference", "userPrincipalId", message));
    let (id, principal) = (text(input, "userId"), text(input, "userPrincipalId"));
    let Some(principal) = principal else { return Ok(id) };
    match (principal.strip_prefix(PRINCIPAL), id) {
        (None, _) => refuse("principals are written local://<userId> here"),
        (Some(named), Some(id)) if named != id => refuse("userId and userPrincipalId name different users"),
        (Some(named), _) => Ok(Some(named.to_owned())),
    }
}

fn refuse_groups(input: &mut Object) -> Result<(), Invalid> {
    for key in ["groupId", "groupPrincipalId"] {
        if text(input, key).is_some() {
            let message = format!("there are no groups here: send userId instead of {key}");
            return Err(Invalid::field("InvalidOption", key, message));
        }
    }
    Ok(())
}
