//! `GET /rancherversion`: the version of Rancher's API.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{AuthError, Authenticated};
use super::norman::error::Error;
use super::state::AppState;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(version))
}

/// The version of Rancher whose API is spoken here.
#[derive(Serialize, ToSchema)]
struct RancherVersion {
    /// The version of Rancher, as the setting `server-version` has it.
    #[serde(rename = "Version")]
    #[schema(example = "v2.12.1")]
    version: String,
    /// The program and its own version, in the place of the commit.
    #[serde(rename = "GitCommit")]
    #[schema(example = "norman-aks-0.1.0")]
    git_commit: &'static str,
    /// Always `false`, as text.
    #[serde(rename = "RancherPrime")]
    #[schema(example = "false")]
    rancher_prime: &'static str,
}

/// Which API this is, for clients that decide by it what they may ask.
///
/// Needs no token. With one, the header `X-API-Cattle-Auth` tells whether it is good.
#[utoipa::path(
    get,
    path = "/rancherversion",
    operation_id = "getRancherVersion",
    tag = "Health",
    security(()),
    responses((status = 200, description = "The version", body = RancherVersion)),
)]
async fn version(
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
