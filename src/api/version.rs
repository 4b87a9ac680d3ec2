//! `GET /rancherversion`: the version of Rancher's API.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{AuthError, Authenticated};
use super::documented::{DocumentedRouter, routes};
use super::norman::error::Error;
use super::state::AppState;

pub(crate) fn router() -> DocumentedRouter<AppState> {
    DocumentedRouter::new().route(routes!(get_version))
}

/// The version of Rancher whose API this server provides.
#[derive(Serialize, ToSchema)]
struct RancherVersion {
    /// The version of Rancher in the setting `server-version`.
    #[serde(rename = "Version")]
    #[schema(example = "v2.12.1")]
    version: String,
    /// This program and its version, instead of a commit.
    #[serde(rename = "GitCommit")]
    #[schema(example = "norman-aks-0.1.0")]
    git_commit: &'static str,
    /// Always `false`, as a string.
    #[serde(rename = "RancherPrime")]
    #[schema(example = "false")]
    rancher_prime: &'static str,
}

/// Returns the version of the API, from which clients derive the supported features.
///
/// Requires no token. With a token, the header `X-API-Cattle-Auth` shows whether it is valid.
#[utoipa::path(
    get,
    path = "/rancherversion",
    operation_id = "getRancherVersion",
    tag = "Health",
    security(()),
    responses((status = 200, description = "The version", body = RancherVersion)),
)]
async fn get_version(
    State(state): State<AppState>,
    _authenticated: Result<Authenticated, AuthError>,
) -> Result<Response, Error> {
    let version = state.settings.get("server-version").await?.value;
    let body = Json(RancherVersion {
        version,
        git_commit: concat!("norman-aks-", env!("CARGO_PKG_VERSION")),
        rancher_prime: "false",
    });
    Ok(body.into_response())
}
