//! HTTP only: take the request apart, make one service call, shape the answer.
//!
//! | here | what |
//! |---|---|
//! | `meta` | the nine actions |
//! | `norman`, `v3` | Norman as such, and the objects under `/v3` |
//! | `native` | `/api/v1`: what Rancher has no words for |
//! | `auth`, `origin`, `query`, `request` | what every request is asked for |
//! | `k8s` | the Kubernetes APIs of clusters, passed on |
//! | `shown_path` | paths without the secrets that get into them |
//! | `edge` | the door: ids, limits, log, metrics, panics |
//! | `impersonation` | requests in somebody else's name, which are rejected everywhere |
//! | `unsupported` | APIs of Rancher that are not here, and say so |
//! | `health`, `version`, `docs`, `openapi` | what needs no token |

pub mod auth;
mod cors;
pub(crate) mod docs;
mod edge;
mod health;
mod impersonation;
mod k8s;
pub(crate) mod meta;
mod methods;
mod native;
pub mod norman;
mod openapi;
pub mod origin;
pub(crate) mod query;
pub mod request;
mod shown_path;
pub mod state;
mod unsupported;
pub mod v3;
mod version;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use http::{Method, StatusCode};
use utoipa_axum::router::OpenApiRouter;

pub(crate) use self::native::AuditRecord;
pub use self::openapi::openapi_json;
pub use self::state::{AppState, Options};

/// Everything that is served, behind the door.
pub fn router(state: AppState) -> Router {
    let (routes, _) = documented().split_for_parts();
    let routes = routes.merge(docs::router()).merge(k8s::router()).merge(unsupported::router());
    let routes = routes.fallback(nothing_here);
    routes.layer(from_fn_with_state(state.clone(), edge::serve)).with_state(state)
}

/// The health checks by themselves.
pub fn health_router(state: AppState) -> Router {
    let (routes, _) = health::router().split_for_parts();
    routes.fallback(nothing_here).with_state(state)
}

/// The routes that the API document tells of.
fn documented() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(meta::router())
        .merge(v3::router())
        .merge(native::router())
        .merge(health::router())
        .merge(version::router())
}

async fn nothing_here(method: Method, uri: http::Uri) -> impl IntoResponse {
    let message = format!(
        "nothing is served at {}; {method} /v3 lists what there is, /docs shows it",
        shown_path::shown(uri.path())
    );
    norman::error::Error::new(StatusCode::NOT_FOUND, "NotFound", message)
}
