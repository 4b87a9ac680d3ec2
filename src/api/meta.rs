//! The nine actions, one file each. `action` serves the listings, `call` reads credential and parameters, `error` writes
//! errors.

mod action;
mod body;
mod call;
mod check_credentials;
mod clusters;
mod docs;
mod error;
mod go_json;
mod locations;
mod regions;
mod upgrades;
mod versions;
mod virtual_networks;
mod vm_sizes;
mod vm_sizes_v2;

use axum::extract::{Request, State};
use axum::routing::any;
use http::StatusCode;
use percent_encoding::percent_decode_str;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use self::call::{AzureCall, Rejection};
use self::error::Error;
pub(crate) use self::error::MetaError;
use super::redacted_path::redact;
use super::state::AppState;
use super::surface::{CrossSite, REQUEST_TIMEOUT, Surface};

/// The rules for actions.
pub(super) static SURFACE: Surface = Surface {
    needs_permit: true,
    timeout: Some(REQUEST_TIMEOUT),
    completes_changes: false,
    accepts_request_ids: true,
    cross_site: CrossSite::RejectAll,
    format_error: error::format,
    redact_path: redact,
};

/// All routes below `/meta`, with full paths.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(check_credentials::check).map(|_| any(check_credentials::check)))
        .merge(action::router::<clusters::AksClusters>())
        .merge(action::router::<locations::AksLocations>())
        .merge(action::router::<regions::AksRegions>())
        .merge(action::router::<upgrades::AksUpgrades>())
        .merge(action::router::<versions::AksVersions>())
        .merge(action::router::<virtual_networks::AksVirtualNetworks>())
        .merge(action::router::<vm_sizes::AksVmSizes>())
        .merge(action::router::<vm_sizes_v2::AksVmSizesV2>())
        .route("/meta/{resource}", any(unknown))
}

/// An action that does not exist. Errors of the credential come first (`docs/contract/meta-actions.md#order-of-checks`).
async fn unknown(State(state): State<AppState>, request: Request) -> Result<Error, Rejection> {
    let path = request.uri().path();
    let resource = path.rsplit('/').next().unwrap_or_default();
    let resource = percent_decode_str(resource).decode_utf8_lossy().into_owned();
    if !resource.starts_with("aks") {
        return Ok(Error::new(StatusCode::NOT_FOUND, format!("nothing is served at {}", redact(path))));
    }
    AzureCall::read(request, &state, "aks").await?;
    Ok(Error::new(StatusCode::NOT_FOUND, format!("invalid endpoint {resource}")))
}
