//! `/v3/users`: who there is, for those who may know.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ListQuery, ReadFailures, UserQuery};
use super::schemas::USER;
use super::{asked_path, spelled};
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
use crate::service::Caller;
use crate::service::users::User as Kept;

documented!(
    /// Somebody who has tokens.
    User,
    &USER,
    Form::Answer
);
documented!(
    /// A list of users.
    UserCollection,
    [User]
);

pub(super) fn router() -> OpenApiRouter<AppState> {
    let api = spelled(OpenApiRouter::new(), routes!(list_users), &[]);
    spelled(api, routes!(get_user), &[])
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

fn view(user: Kept, caller: &Caller, links: &Links) -> Object {
    let fields = Object::from_iter([
        ("enabled".to_owned(), Value::Bool(true)),
        ("me".to_owned(), Value::Bool(user.id == caller.user_id)),
        ("name".to_owned(), json!(user.name)),
        ("principalIds".to_owned(), json!([format!("local://{}", user.id)])),
        ("state".to_owned(), json!("active")),
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
        rights: Rights::NONE,
    };
    resource.object(links, fields)
}
