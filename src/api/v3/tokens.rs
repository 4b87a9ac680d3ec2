//! `/v3/tokens`: the caller's own. Terraform checks the tokens of its kubeconfigs here
//! (`docs/contract/terraform.md#kubeconfig`).

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ActionQuery, ChangeFailures, ListQuery, PostFailures, ReadFailures};
use super::schemas::TOKEN;
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
use crate::api::norman::resource::{Resource, Rights, date, put_text};
use crate::api::state::AppState;
use crate::service::Caller;
use crate::service::actor::Actor;
use crate::service::own_tokens::OwnToken;
use crate::service::tokens::TokenInfo;

documented!(
    /// A token of the caller.
    Token,
    &TOKEN,
    Form::Answer
);
documented!(
    /// What makes a token.
    TokenInput,
    &TOKEN,
    Form::Input
);
documented!(
    /// A list of tokens.
    TokenCollection,
    [Token]
);

pub(super) fn router() -> OpenApiRouter<AppState> {
    let api = spelled(OpenApiRouter::new(), routes!(list_tokens, create_token), &[]);
    spelled(api, routes!(get_token, delete_token, post_token), &[])
}

/// The caller's tokens, without their secrets.
#[utoipa::path(
    get,
    path = "/v3/tokens",
    operation_id = "listTokens",
    tag = "Users and tokens",
    params(ListQuery),
    responses((status = 200, description = "One page of the list", body = TokenCollection), ReadFailures),
)]
async fn list_tokens(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    let tokens = state.own_tokens().list(&caller).await?;
    let objects = tokens.into_iter().map(|token| view(token, &caller, &links)).collect();
    Ok(Collection::page(&TOKEN, &links, asked_path(&uri), &query, objects)?.into_response())
}

/// Makes a token for the caller. Only this answer has its secret.
#[utoipa::path(
    post,
    path = "/v3/tokens",
    operation_id = "createToken",
    tag = "Users and tokens",
    request_body = TokenInput,
    responses((status = 201, description = "The token with its secret", body = Token), ChangeFailures),
)]
async fn create_token(
    State(state): State<AppState>,
    actor: Actor,
    links: Links,
    Body(body): Body,
) -> Result<Response, Error> {
    let mut input = input::convert(&TOKEN, body, Operation::Create)?;
    let mut text = |key: &str| match input.remove(key) {
        Some(Value::String(text)) => Some(text).filter(|text| !text.is_empty()),
        _ => None,
    };
    let (description, cluster_id) = (text("description").unwrap_or_default(), text("clusterId"));
    let ttl_ms = input.remove("ttl").and_then(|ttl| ttl.as_i64()).unwrap_or_default();
    let metadata = metadata::take(&mut input);
    let token = OwnToken { description, ttl_ms, cluster_id, metadata };
    let (info, made) = state.own_tokens().create(&actor, token).await?;
    let mut object = view(info, &actor.caller, &links);
    put_text(&mut object, "token", Some(made.to_bearer().expose_secret().to_owned()));
    Ok(reply::json(StatusCode::CREATED, &object))
}

/// One token of the caller, without its secret.
#[utoipa::path(
    get,
    path = "/v3/tokens/{id}",
    operation_id = "getToken",
    tag = "Users and tokens",
    params(("id" = String, Path, description = "The public half", example = "token-q2w4x")),
    responses((status = 200, description = "The token", body = Token), ReadFailures),
)]
async fn get_token(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let token = state.own_tokens().get(&caller, &id).await?;
    Ok(reply::json(StatusCode::OK, &view(token, &caller, &links)))
}

/// Revokes a token of the caller, everywhere within two seconds.
#[utoipa::path(
    delete,
    path = "/v3/tokens/{id}",
    operation_id = "deleteToken",
    tag = "Users and tokens",
    params(("id" = String, Path, description = "The public half", example = "token-q2w4x")),
    responses((status = 200, description = "The token as it was", body = Token), ChangeFailures),
)]
async fn delete_token(
    State(state): State<AppState>,
    actor: Actor,
    Path(id): Path<String>,
    links: Links,
) -> Result<Response, Error> {
    let token = state.own_tokens().revoke(&actor, &id).await?;
    Ok(reply::json(StatusCode::OK, &view(token, &actor.caller, &links)))
}

/// Revokes a token of the caller, for clients that can only POST.
#[utoipa::path(
    post,
    path = "/v3/tokens/{id}",
    operation_id = "postToken",
    tag = "Users and tokens",
    params(("id" = String, Path, description = "The public half", example = "token-q2w4x"), ActionQuery),
    responses((status = 200, description = "As for the method that is meant", body = Token), PostFailures),
)]
async fn post_token(
    state: State<AppState>,
    actor: Actor,
    id: Path<String>,
    links: Links,
    query: Query,
) -> Result<Response, Error> {
    if query.first("_method") == Some("DELETE") {
        return delete_token(state, actor, id, links).await;
    }
    state.own_tokens().get(&actor.caller, &id).await?;
    Err(match query.first("action") {
        None => Error::method(&Method::POST),
        Some(action) => Error::no_action(action, &TOKEN),
    })
}

fn view(token: TokenInfo, caller: &Caller, links: &Links) -> Object {
    let ttl = token.expires_ms.map_or(0, |expires_ms| expires_ms.saturating_sub(token.created_ms));
    let mut fields = Object::from_iter([
        ("authProvider".to_owned(), json!("local")),
        ("current".to_owned(), Value::Bool(token.name == caller.token_name)),
        ("description".to_owned(), Value::String(token.description)),
        // A token that is not good any more is not there any more.
        ("enabled".to_owned(), Value::Bool(true)),
        ("expired".to_owned(), Value::Bool(false)),
        ("expiresAt".to_owned(), Value::String(token.expires_ms.map(date).unwrap_or_default())),
        ("isDerived".to_owned(), Value::Bool(true)),
        ("name".to_owned(), json!(token.name)),
        ("ttl".to_owned(), json!(ttl)),
        ("userId".to_owned(), Value::String(token.user_id)),
    ]);
    metadata::put(&mut fields, &token.metadata);
    put_text(&mut fields, "clusterId", token.cluster_id);
    put_text(&mut fields, "lastUsedAt", token.last_used_ms.map(date));
    let resource = Resource {
        schema: &TOKEN,
        path: &format!("/v3/tokens/{}", token.name),
        id: &token.name,
        uuid: None,
        creator: None,
        created_ms: Some(token.created_ms),
        rights: Rights { update: false, remove: true },
    };
    resource.object(links, fields)
}
