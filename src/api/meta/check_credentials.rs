//! `aksCheckCredentials` (`docs/contract/meta-actions.md#akscheckcredentials`).

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::call::{inline, sent_along};
use super::docs::{CheckFailures, CredentialBody};
use super::error::Error;
use crate::api::auth::Authenticated;
use crate::api::state::AppState;
use crate::service;
use crate::service::credentials::Via;

/// Whether a credential logs in and may read its subscription.
///
/// Azure is always asked, with a new token. A success does not prove the right to create anything.
#[utoipa::path(
    post,
    path = "/meta/aksCheckCredentials",
    operation_id = "postAksCheckCredentials",
    tag = "AKS actions",
    request_body = CredentialBody,
    responses((status = 200, description = "The credential is good; the body is empty"), CheckFailures),
)]
pub(super) async fn post(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    request: Request,
) -> Result<Response, Error> {
    let sent = sent_along(request.into_body(), &state, "must provide").await?;
    let access = state.credentials().resolve(&caller, Via::Check(inline(sent))).await;
    let access = access.map_err(Error::of_check)?;
    let checked = state.listings().check(&access).await;
    checked.map_err(|error| {
        // A response that is not Azure's says nothing about the credential.
        let status = match &error {
            service::Error::Azure { source, .. } if source.is_unusable_response() => StatusCode::BAD_REQUEST,
            _ => StatusCode::UNAUTHORIZED,
        };
        Error::from(error).refused_as(status).asked_instead_of(access.unknown_environment())
    })?;
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")]).into_response())
}

/// Every other method.
pub(super) async fn other(_: Authenticated) -> Error {
    Error::new(StatusCode::METHOD_NOT_ALLOWED, "use POST for this endpoint")
}
