//! `aksCheckCredentials` (`docs/contract/meta-actions.md#akscheckcredentials`).

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};

use super::call::read_credential;
use super::docs::CredentialBody;
use super::error::Error;
use crate::api::auth::Authenticated;
use crate::api::openapi::failures::CheckFailures;
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
pub(super) async fn check(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    request: Request,
) -> Result<Response, Error> {
    if request.method() != Method::POST {
        return Err(Error::new(StatusCode::METHOD_NOT_ALLOWED, "use POST for this endpoint"));
    }
    let body = read_credential(request.into_body(), &state, "must provide").await?;
    let access = state.credentials.resolve(&caller, Via::Check(body.into())).await;
    let access = access.map_err(Error::of_check)?;
    let checked = state.listings.check(&access).await;
    checked.map_err(|error| {
        // A response that is not Azure's says nothing about the credential.
        let status = match &error {
            service::Error::Azure { source, .. } if source.is_unusable_response() => StatusCode::BAD_REQUEST,
            _ => StatusCode::UNAUTHORIZED,
        };
        Error::from(error)
            .with_permanent_status(status)
            .with_unknown_environment(access.unknown_environment())
    })?;
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")]).into_response())
}
