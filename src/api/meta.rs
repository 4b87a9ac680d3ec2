//! THE NINE ACTIONS, one file each. `call` reads the credential and the question, `error` writes failures, and
//! [`answer`] gives every listing the same headers and the same line in the audit.

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

use axum::body::Body;
use axum::extract::{FromRequest as _, Request, State};
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, any};
use http::StatusCode;
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, VARY};
use percent_encoding::percent_decode_str;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use self::call::AzureCall;
pub(crate) use self::error::{Error, MetaError, finished};
use super::shown_path::shown;
use super::state::AppState;
use crate::service::listings::{Freshness, Listed};

/// Every action accepts every method; GET and POST are documented (`docs/contract/meta-actions.md#requests`).
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(
            routes!(check_credentials::post)
                .map(|post| every_method(post.get(check_credentials::other), check_credentials::other)),
        )
        .routes(routes!(clusters::get, clusters::post).map(|known| every_method(known, clusters::list)))
        .routes(routes!(locations::get, locations::post).map(|known| every_method(known, locations::list)))
        .routes(routes!(regions::get, regions::post).map(|known| every_method(known, regions::list)))
        .routes(routes!(upgrades::get, upgrades::post).map(|known| every_method(known, upgrades::list)))
        .routes(routes!(versions::get, versions::post).map(|known| every_method(known, versions::list)))
        .routes(
            routes!(virtual_networks::get, virtual_networks::post)
                .map(|known| every_method(known, virtual_networks::list)),
        )
        .routes(routes!(vm_sizes::get, vm_sizes::post).map(|known| every_method(known, vm_sizes::list)))
        .routes(
            routes!(vm_sizes_v2::get, vm_sizes_v2::post).map(|known| every_method(known, vm_sizes_v2::list)),
        )
        .route("/meta/{resource}", any(unknown))
}

/// Named one by one, because axum puts an `Allow` header, which Rancher never sends, on whatever a fallback answers.
fn every_method<H, T>(known: MethodRouter<AppState>, handler: H) -> MethodRouter<AppState>
where
    H: Handler<T, AppState>,
    T: 'static,
{
    let others = [MethodFilter::PATCH, MethodFilter::OPTIONS, MethodFilter::TRACE, MethodFilter::CONNECT];
    let others = others.into_iter().fold(MethodFilter::PUT.or(MethodFilter::DELETE), MethodFilter::or);
    known.on(others, handler.clone()).fallback(handler)
}

/// The names of the listing actions.
const LISTINGS: [&str; 8] = [
    "aksClusters",
    "aksLocations",
    "aksRegions",
    "aksUpgrades",
    "aksVMSizes",
    "aksVMSizesV2",
    "aksVersions",
    "aksVirtualNetworks",
];

/// The listing action at a path, as the audit names it.
fn name_of(path: &str) -> &'static str {
    let name = path.strip_prefix("/meta/").unwrap_or_default();
    LISTINGS.into_iter().find(|action| *action == name).unwrap_or("aks")
}

/// The name is looked up last: errors of the credential come first
/// (`docs/contract/meta-actions.md#order-of-checks`).
async fn unknown(State(state): State<AppState>, request: Request) -> Result<Error, call::Rejection> {
    let resource = request.uri().path().strip_prefix("/meta/").unwrap_or_default();
    let resource = percent_decode_str(resource).decode_utf8_lossy().into_owned();
    if !resource.starts_with("aks") {
        return Ok(Error::new(
            StatusCode::NOT_FOUND,
            format!("nothing is served at {}", shown(request.uri().path())),
        ));
    }
    AzureCall::from_request(request, &state).await?;
    Ok(Error::new(StatusCode::NOT_FOUND, format!("invalid endpoint {resource}")))
}

/// The answer to a listing action, with where it came from; the use of a stored credential is written down.
async fn answer(
    state: &AppState,
    call: &AzureCall,
    action: &'static str,
    listed: Result<Listed, Error>,
) -> Result<Response, Error> {
    const CACHE: HeaderName = HeaderName::from_static("x-norman-aks-cache");
    call.record(state, action, listed.as_ref().err()).await;
    let listed = listed.map_err(|error| error.asked_instead_of(call.unknown_environment()))?;
    let freshness = match listed.freshness {
        Freshness::Hit => HeaderValue::from_static("hit"),
        Freshness::Miss => HeaderValue::from_static("miss"),
        Freshness::Stale => HeaderValue::from_static("stale"),
    };
    let mut response = Response::new(Body::from(listed.body));
    let headers = response.headers_mut();
    // The door adds some; to make room bit by bit takes longer than to fill it.
    headers.reserve(12);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Authorization, Cookie"));
    headers.insert(AGE, HeaderValue::from(listed.age.as_secs()));
    headers.insert(CACHE, freshness);
    Ok(response)
}
