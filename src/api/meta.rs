//! The nine actions, one file each. `action` serves the listings, `call` reads the credential and the parameters, `error`
//! formats errors.

mod action;
mod body;
mod call;
mod check_credentials;
mod clusters;
mod docs;
mod error;
mod go_json;
mod locations;
mod rancher;
mod regions;
mod upgrades;
mod versions;
mod virtual_networks;
mod vm_sizes;
mod vm_sizes_v2;

use axum::Router;
use axum::extract::{FromRef, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::StatusCode;
use percent_encoding::percent_decode_str;

pub(in crate::api) use self::call::{AuditContext, must_bypass_cache};
use self::error::Error;
pub(crate) use self::error::MetaError;
pub(in crate::api) use self::rancher::RANCHER_UNAVAILABLE;
use super::documented::{DocumentedRouter, routes};
use super::redacted_path::redact;
use super::rejection::Rejection;
use super::source::{MetaState, RancherState};
use super::surface::{CrossSite, Impersonation, REQUEST_TIMEOUT, Surface};
use crate::service::catalog::Renderers;

/// The renderers of the responses that are cached together with their source lists.
pub(super) const RENDERERS: Renderers =
    Renderers { regions: regions::render, versions: versions::render, vm_sizes: vm_sizes_v2::render };

/// The rules for actions.
pub(super) static SURFACE: Surface = RULES;

const RULES: Surface = Surface {
    needs_permit: true,
    timeout: Some(REQUEST_TIMEOUT),
    completes_changes: false,
    accepts_request_ids: true,
    cross_site: CrossSite::RejectAll,
    impersonation: Impersonation::Rejected,
    format_error: error::format,
    redact_path: redact,
};

/// The rules for actions alongside Rancher. As in Rancher, impersonation is accepted, and cross-site requests are not checked:
/// only the authentication of this server's own callers applies `cross_site`.
pub(super) static RANCHER_SURFACE: Surface = Surface { impersonation: Impersonation::Handled, ..RULES };

/// All routes below `/meta`, with full paths.
pub(crate) fn router<S>() -> DocumentedRouter<S>
where
    S: Clone + Send + Sync + 'static,
    MetaState: FromRef<S>,
{
    DocumentedRouter::new()
        .route(routes!(check_credentials::check).map_methods(|_| any(check_credentials::check)))
        .merge(action::router::<clusters::AksClusters, S>())
        .merge(action::router::<locations::AksLocations, S>())
        .merge(action::router::<regions::AksRegions, S>())
        .merge(action::router::<upgrades::AksUpgrades, S>())
        .merge(action::router::<versions::AksVersions, S>())
        .merge(action::router::<virtual_networks::AksVirtualNetworks, S>())
        .merge(action::router::<vm_sizes::AksVmSizes, S>())
        .merge(action::router::<vm_sizes_v2::AksVmSizesV2, S>())
        .undocumented("/meta/{resource}", any(unknown_path))
}

/// The nine actions alongside Rancher. Requests to other paths below `/meta` are forwarded to Rancher.
pub(super) fn rancher_router() -> Router<RancherState> {
    let other_paths = ["/meta/{resource}/", "/meta/{resource}/{*rest}"];
    let actions = Router::from(router::<RancherState>());
    other_paths.into_iter().fold(actions, |router, path| router.route(path, any(unknown_path)))
}

/// Responds to all other paths alongside Rancher.
pub(super) async fn rancher_fallback(State(state): State<RancherState>, request: Request) -> Response {
    rancher::fallback(request, &state).await.into_response()
}

/// Responds to an unknown path below `/meta`. For an unknown action, errors of the credential take precedence
/// (`docs/contract/meta-actions.md#order-of-checks`).
async fn unknown_path(State(state): State<MetaState>, request: Request) -> Result<Error, Rejection> {
    if let MetaState::Rancher(state) = &state {
        return Err(rancher::fallback(request, state).await);
    }
    let path = request.uri().path();
    let resource = path.rsplit('/').next().unwrap_or_default();
    let resource = percent_decode_str(resource).decode_utf8_lossy().into_owned();
    if !resource.starts_with("aks") {
        return Ok(Error::new(StatusCode::NOT_FOUND, format!("nothing is served at {}", redact(path))));
    }
    action::authorize(request, &state, "aks").await?;
    Ok(Error::new(StatusCode::NOT_FOUND, format!("invalid endpoint {resource}")))
}
