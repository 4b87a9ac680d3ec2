//! `/v3/settings` (`docs/contract/settings.md#settings`, `docs/contract/terraform.md#start`).

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ActionQuery, ChangeFailures, ListQuery, PostFailures, ReadFailures};
use super::schemas::SETTING;
use super::{asked_path, spelled};
use crate::api::auth::{Authenticated, Refused};
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
use crate::service::Caller;
use crate::service::actor::Actor;
use crate::service::settings::{Setting as Kept, Source};

documented!(
    /// A named setting.
    Setting,
    &SETTING,
    Form::Answer
);
documented!(
    /// What changes a setting.
    SettingInput,
    &SETTING,
    Form::Input
);
documented!(
    /// A list of settings.
    SettingCollection,
    [Setting]
);

/// The one setting that needs no token: the authorities that sign the server's certificate.
const PUBLIC: &str = "cacerts";

pub(super) fn router() -> OpenApiRouter<AppState> {
    let api = spelled(OpenApiRouter::new(), routes!(list_settings), &[]);
    spelled(api, routes!(get_setting, update_setting, post_setting), &[])
}

/// Every setting.
#[utoipa::path(
    get,
    path = "/v3/settings",
    operation_id = "listSettings",
    tag = "Settings",
    params(ListQuery),
    responses((status = 200, description = "One page of the list", body = SettingCollection), ReadFailures),
)]
async fn list_settings(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let settings = state.settings().list().await?;
    let objects = settings.into_iter().map(|setting| view(setting, Some(&caller), &links)).collect();
    Ok(Collection::page(&SETTING, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// One setting. `cacerts` is answered without a token too: whoever is to trust the server cannot log in before.
#[utoipa::path(
    get,
    path = "/v3/settings/{id}",
    operation_id = "getSetting",
    tag = "Settings",
    params(("id" = String, Path, description = "The name", example = "server-url")),
    responses((status = 200, description = "The setting", body = Setting), ReadFailures),
)]
async fn get_setting(
    State(state): State<AppState>,
    authenticated: Result<Authenticated, Refused>,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let caller = match authenticated {
        Ok(Authenticated(caller)) => Some(caller),
        Err(_) if id == PUBLIC => None,
        Err(refused) => return Ok(refused.into_response()),
    };
    let setting = state.settings().get(&id).await?;
    Ok(reply::json(StatusCode::OK, &view(setting, caller.as_deref(), &links)))
}

/// Changes a setting, as an administrator. Every server of the database works with it within two seconds.
#[utoipa::path(
    put,
    path = "/v3/settings/{id}",
    operation_id = "updateSetting",
    tag = "Settings",
    params(("id" = String, Path, description = "The name", example = "server-url")),
    request_body = SettingInput,
    responses((status = 200, description = "The setting as it stands", body = Setting), ChangeFailures),
)]
async fn update_setting(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
    Body(body): Body,
) -> Result<Response, Error> {
    let mut input = input::convert(&SETTING, body, Operation::Update)?;
    let setting = match input.remove("value") {
        None => state.settings().get(&id).await?,
        Some(value) => state.settings().change(&actor, &id, value.as_str().unwrap_or_default()).await?,
    };
    Ok(reply::json(StatusCode::OK, &view(setting, Some(&actor.caller), &links)))
}

/// Changes a setting, for clients that can only POST.
#[utoipa::path(
    post,
    path = "/v3/settings/{id}",
    operation_id = "postSetting",
    tag = "Settings",
    params(("id" = String, Path, description = "The name", example = "server-url"), ActionQuery),
    request_body = Option<SettingInput>,
    responses((status = 200, description = "As for the method that is meant", body = Setting), PostFailures),
)]
async fn post_setting(
    state: State<AppState>,
    actor: Actor,
    id: Path<String>,
    links: Links,
    query: Query,
    body: Result<Body, Error>,
) -> Result<Response, Error> {
    if query.first("_method") == Some("PUT") {
        return update_setting(state, actor, id, links, body?).await;
    }
    state.settings().get(&id).await?;
    Err(match query.first("action") {
        None => Error::method(&Method::POST),
        Some(action) => Error::no_action(action, &SETTING),
    })
}

fn view(setting: Kept, caller: Option<&Caller>, links: &Links) -> Object {
    let source = match setting.source {
        Source::Default => "default",
        Source::Database => "db",
        // Rancher's word for what is not to be changed by its API.
        Source::Start => "env",
    };
    let fields = Object::from_iter([
        ("customized".to_owned(), Value::Bool(setting.customized)),
        ("default".to_owned(), json!(setting.default)),
        ("name".to_owned(), json!(setting.name)),
        ("readOnly".to_owned(), Value::Bool(setting.read_only)),
        ("source".to_owned(), json!(source)),
        ("value".to_owned(), Value::String(setting.value)),
    ]);
    let resource = Resource {
        schema: &SETTING,
        path: &format!("/v3/settings/{}", setting.name),
        id: setting.name,
        uuid: None,
        creator: None,
        created_ms: None,
        rights: Rights {
            update: caller.is_some_and(|caller| caller.admin) && !setting.read_only,
            remove: false,
        },
    };
    resource.object(links, fields)
}
