//! `aksCheckCredentials` (`docs/contract/meta-actions.md#akscheckcredentials`).

use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::{IntoResponse, Response};
use azure::DiscoveryPurpose;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};

use super::call::read_credential;
use super::docs::CredentialBody;
use super::error::Error;
use super::rancher::PendingRequest;
use crate::api::auth::Authenticated;
use crate::api::openapi::failures::CheckFailures;
use crate::api::rejection::Rejection;
use crate::api::source::MetaState;
use crate::service;

/// Checks that a credential can log in and read its subscription.
///
/// Always sends a request to Azure, with a new token. A success does not prove the right to create anything.
#[utoipa::path(
    post,
    path = "/meta/aksCheckCredentials",
    operation_id = "postAksCheckCredentials",
    tag = "AKS actions",
    request_body = CredentialBody,
    responses((status = 200, description = "The credential is valid; the body is empty"), CheckFailures),
)]
pub(super) async fn check(State(state): State<MetaState>, request: Request) -> Result<Response, Rejection> {
    let request = authenticate(request, &state).await?;
    if request.method() != Method::POST {
        return Err(Error::new(StatusCode::METHOD_NOT_ALLOWED, "use POST for this endpoint").into());
    }
    let body = read_credential(request.into_body(), state.http().body_limit, "must provide").await?;
    let access = state.resolver().resolve(body.credential, None, DiscoveryPurpose::Check).await;
    let access = access.map_err(|error| Error::from_credential_check(error.into()))?;
    state.listings().check(&access).await.map_err(|error| {
        // A response that did not come from Azure says nothing about the credential.
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

/// Returns the request if its caller is authenticated.
async fn authenticate(request: Request, state: &MetaState) -> Result<Request, Rejection> {
    match state {
        MetaState::Own(state) => {
            let (mut parts, body) = request.into_parts();
            Authenticated::from_request_parts(&mut parts, state).await?;
            Ok(Request::from_parts(parts, body))
        }
        MetaState::Rancher(state) => {
            let (_, PendingRequest { parts, body, .. }) =
                PendingRequest::new(request, state).await?.authenticate(state).await?;
            Ok(Request::from_parts(parts, body))
        }
    }
}
