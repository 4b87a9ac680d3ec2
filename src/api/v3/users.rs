//! `/v3/users`: users, for those who may see them; administrators enable, disable and remove them. What Rancher's form
//! cannot say is at `/api/v1/users`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ActionQuery, ChangeFailures, ListQuery, PostFailures, ReadFailures, UserQuery};
use super::schemas::USER;
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
use crate::service::users::User as StoredUser;
use crate::service::{Caller, Invalid};

documented!(
    /// Somebody who has tokens.
    User,
    &USER,
    Form::Answer
);
documented!(
    /// Changes a user.
    UserInput,
    &USER,
    Form::Input
);
documented!(
    /// A list of users.
    UserCollection,
    [User]
);

pub(super) fn router() -> OpenApiRouter<AppState> {
    let api = spelled(OpenApiRouter::new(), routes!(list_users), &[]);
    spelled(api, routes!(get_user, update_user, delete_user, post_user), &[])
}

/// The caller; everybody for administrators.
#[utoipa::path(
    get,
    path = "/v3/users",
    operation_id = "listUsers",
    tag = "Users and tokens",
    params(ListQuery, UserQuery),
    responses((status = 200, description = "One page of the list", body = UserCollection), ReadFailures),
)]
async fn list_users(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let users = state.users().list(&caller).await?;
    let objects = users.into_iter().map(|user| view(user, &caller, &links)).collect();
    Ok(Collection::page(&USER, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// One user: the caller, or anybody for administrators.
#[utoipa::path(
    get,
    path = "/v3/users/{id}",
    operation_id = "getUser",
    tag = "Users and tokens",
    params(("id" = String, Path, description = "The id", example = "user-gxwms")),
    responses((status = 200, description = "The user", body = User), ReadFailures),
)]
async fn get_user(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let user = state.users().get(&caller, &id).await?;
    Ok(reply::json(StatusCode::OK, &view(user, &caller, &links)))
}

/// Enables or disables a user, as an administrator.
///
/// A disabled user has no access in any server within two seconds: its tokens are refused, its open streams end. What it
/// owns, its tokens and its memberships stay, and count again when it is enabled.
#[utoipa::path(
    put,
    path = "/v3/users/{id}",
    operation_id = "updateUser",
    tag = "Users and tokens",
    params(("id" = String, Path, description = "The id", example = "user-gxwms")),
    request_body = UserInput,
    responses((status = 200, description = "The user as it is now", body = User), ChangeFailures),
)]
async fn update_user(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
    Body(body): Body,
) -> Result<Response, Error> {
    let input = input::convert(&USER, body, Operation::Update)?;
    let user = state.users().get(&actor.caller, &id).await?;
    for key in ["name", "username"] {
        if let Some(name) = input.get(key).and_then(Value::as_str).filter(|name| *name != user.name) {
            let message = format!("{key} is {} and cannot be changed to {name}", user.name);
            return Err(Invalid::field("InvalidOption", key, message).into());
        }
    }
    let user = match input.get("enabled").and_then(Value::as_bool) {
        Some(enabled) => state.users().set_enabled(&actor, &id, enabled).await?,
        None => user,
    };
    Ok(reply::json(StatusCode::OK, &view(user, &actor.caller, &links)))
}

/// Removes a user who owns nothing, as an administrator.
///
/// Its tokens, memberships and open streams end in every server within two seconds. The removal of a user who owns clusters
/// or cloud credentials is refused with a list of them; `DELETE /api/v1/users/{id}` hands them over.
#[utoipa::path(
    delete,
    path = "/v3/users/{id}",
    operation_id = "deleteUser",
    tag = "Users and tokens",
    params(("id" = String, Path, description = "The id", example = "user-gxwms")),
    responses((status = 200, description = "The user as it was", body = User), ChangeFailures),
)]
async fn delete_user(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let removed = state.users().remove(&actor, &id, None).await?;
    Ok(reply::json(StatusCode::OK, &view(removed.user, &actor.caller, &links)))
}

/// Changes or removes a user, for clients that can only POST.
#[utoipa::path(
    post,
    path = "/v3/users/{id}",
    operation_id = "postUser",
    tag = "Users and tokens",
    params(("id" = String, Path, description = "The id", example = "user-gxwms"), ActionQuery),
    request_body = Option<UserInput>,
    responses((status = 200, description = "As for the method that is meant", body = User), PostFailures),
)]
async fn post_user(
    state: State<AppState>,
    actor: Actor,
    id: Path<String>,
    links: Links,
    query: Query,
    body: Result<Body, Error>,
) -> Result<Response, Error> {
    match query.first("_method") {
        Some("PUT") => update_user(state, actor, id, links, body?).await,
        Some("DELETE") => delete_user(state, actor, id, links).await,
        _ => {
            state.users().get(&actor.caller, &id).await?;
            Err(match query.first("action") {
                None => Error::method(&Method::POST),
                Some(action) => Error::no_action(action, &USER),
            })
        }
    }
}

fn view(user: StoredUser, caller: &Caller, links: &Links) -> Object {
    let is_caller = user.id == caller.user_id;
    let fields = Object::from_iter([
        ("enabled".to_owned(), Value::Bool(user.enabled)),
        ("me".to_owned(), Value::Bool(is_caller)),
        ("name".to_owned(), json!(user.name)),
        ("principalIds".to_owned(), json!([format!("local://{}", user.id)])),
        ("state".to_owned(), json!(if user.enabled { "active" } else { "inactive" })),
        ("transitioning".to_owned(), json!("no")),
        ("username".to_owned(), Value::String(user.name)),
    ]);
    let resource = Resource {
        schema: &USER,
        path: &format!("/v3/users/{}", user.id),
        id: &user.id,
        uuid: None,
        creator: None,
        created_ms: Some(user.created_ms),
        rights: Rights { update: caller.admin, remove: caller.admin && !is_caller },
    };
    resource.object(links, fields)
}
