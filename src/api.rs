//! HTTP only: a handler parses the request, makes one service call and builds the response.
//!
//! | module | contents |
//! |---|---|
//! | `meta` | the nine actions |
//! | `v3`, `norman` | the objects under `/v3`, and Norman itself |
//! | `v1` | `/api/v1`, which Rancher does not have |
//! | `k8s` | the kubectl proxy |
//! | `tunnel`, `relay` | the tunnels of agents, and connections for other servers through these tunnels |
//! | `health`, `version`, `docs`, `openapi` | endpoints that need no token, and the API document |
//! | `unsupported`, `methods`, `rejection` | responses to unsupported APIs and methods, and to other rejected requests |
//! | `surface`, `middleware`, `request`, `request_metrics` | the rules of each group of routes, and the layer that applies them |
//! | `auth`, `cors`, `impersonation` | authentication and cross-site checks, CORS, the rejection of impersonation |
//! | `documented` | routes with their documentation |
//! | `state`, `source` | the services and settings that handlers use |
//! | `forwarded`, `query`, `redacted_path` | parts of requests |
//! | `conditional` | responses with entity tags, in an encoding that the client accepts |

pub mod auth;
mod conditional;
mod cors;
pub(crate) mod docs;
mod documented;
pub mod forwarded;
mod health;
mod impersonation;
mod k8s;
pub(crate) mod meta;
mod methods;
mod middleware;
pub mod norman;
mod openapi;
pub(crate) mod query;
mod redacted_path;
mod rejection;
mod relay;
pub mod request;
mod request_metrics;
mod source;
pub mod state;
mod surface;
mod tunnel;
mod unsupported;
mod v1;
pub mod v3;
mod version;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, any};
use bytes::Bytes;
use http::{Method, StatusCode, Uri};

use self::middleware::Middleware;
use self::surface::{Surface, SurfaceError};

pub(crate) use self::relay::PROTOCOL as RELAY_PROTOCOL;
pub use self::source::RancherState;
use self::state::HttpState;
pub use self::state::{AppState, HttpOptions};
pub(crate) use self::v1::AuditRecord;

/// All routes. Each surface has its own middleware. Unknown paths are reported in the format of the surface whose prefix they
/// have, else in Norman's.
pub fn router(state: AppState) -> Router {
    let surfaces = [
        surface_router(
            state.http(),
            &meta::SURFACE,
            meta::router::<AppState>().into(),
            &["/meta/{resource}/", "/meta/{resource}/{*rest}"],
        ),
        surface_router(state.http(), &norman::SURFACE, v3::router().into(), &["/v3/{*rest}"])
            .layer(from_fn_with_state(state.clone(), v3::add_headers)),
        surface_router(state.http(), &norman::SURFACE, v1::router().into(), &["/api/v1/{*rest}"]),
        with_middleware(state.http(), &v1::CATALOG_SURFACE, false, v1::catalog_router::<AppState>().into()),
        surface_router(state.http(), &k8s::SURFACE, k8s::router(), &["/k8s/{*rest}"]),
        with_middleware(state.http(), &tunnel::SURFACE, false, tunnel::router()),
        with_middleware(state.http(), &health::SURFACE, false, health::router().into()),
        with_middleware(state.http(), &norman::SURFACE, false, other_routes()),
    ];
    let fallback = Router::new().fallback_service(not_found(&norman::SURFACE).with_state(()));
    let router = with_middleware(state.http(), &norman::SURFACE, true, fallback);
    surfaces.into_iter().fold(router, Router::merge).with_state(state)
}

/// The routes of the internal listener, without middleware: its clients are other replicas, not users.
pub fn replica_router(state: AppState) -> Router {
    relay::router().with_state(state)
}

/// The health checks without middleware.
pub fn health_router(state: AppState) -> Router {
    let routes = Router::from(health::router());
    routes.fallback_service(not_found(&norman::SURFACE).with_state(())).with_state(state)
}

/// The routes of a server alongside Rancher: the nine actions, health checks, and the catalog at the host `catalog_host`. Other
/// paths belong to Rancher.
pub fn rancher_router(state: RancherState, catalog_host: Option<&str>) -> Router {
    let http = &state.http;
    let actions = with_middleware(http, &meta::RANCHER_SURFACE, false, meta::rancher_router());
    let health = with_middleware(http, &health::SURFACE, false, health::router_without_store());
    let fallback = Router::new().fallback(any(meta::rancher_fallback));
    let fallback = with_middleware(http, &meta::RANCHER_SURFACE, true, fallback);
    let router = fallback.merge(actions).merge(health);
    let router = match catalog_host {
        None => router,
        Some(host) => {
            router.merge(with_middleware(http, &v1::CATALOG_SURFACE, false, catalog_at_host(&state, host)))
        }
    };
    router.with_state(state)
}

/// The routes of the catalog, for requests to `host` only: at Rancher's own host, `/api/v1` belongs to the Kubernetes API.
fn catalog_at_host(state: &RancherState, host: &str) -> Router<RancherState> {
    let (state, host) = (state.clone(), Arc::<str>::from(host));
    let only_at_host = move |request: Request, next: Next| {
        let (state, host) = (state.clone(), Arc::clone(&host));
        async move {
            let (parts, body) = request.into_parts();
            let is_at_host = state.http.forwarded.is_at_host(&parts, &host);
            let request = Request::from_parts(parts, body);
            if is_at_host {
                next.run(request).await
            } else {
                meta::rancher_fallback(State(state), request).await
            }
        }
    };
    Router::from(v1::catalog_router::<RancherState>()).layer(from_fn(only_at_host))
}

/// The health checks of a server alongside Rancher, without middleware.
pub fn rancher_health_router() -> Router {
    health::router_without_store()
}

/// The API document, indented: the contents of `openapi/openapi.json`.
pub fn openapi_json() -> String {
    let routers = [
        meta::router::<AppState>(),
        v3::router(),
        v1::router(),
        v1::catalog_router(),
        health::router(),
        version::router(),
    ];
    let mut document = openapi::base();
    for router in routers {
        document.merge(router.into_openapi());
    }
    openapi::to_json(document)
}

static OPENAPI_JSON: LazyLock<Bytes> = LazyLock::new(|| openapi_json().into());

fn other_routes() -> Router<AppState> {
    Router::from(version::router()).merge(docs::router(&OPENAPI_JSON)).merge(unsupported::router())
}

/// The routes of a surface, and its fallback for all other paths below its prefix.
fn surface_router(
    http: &HttpState,
    surface: &'static Surface,
    routes: Router<AppState>,
    fallback_paths: &[&str],
) -> Router<AppState> {
    let fallback =
        fallback_paths.iter().fold(Router::new(), |router, path| router.route(path, not_found(surface)));
    with_middleware(http, surface, false, routes).merge(with_middleware(http, surface, true, fallback))
}

fn with_middleware<S: Clone + Send + Sync + 'static>(
    http: &HttpState,
    surface: &'static Surface,
    is_fallback: bool,
    routes: Router<S>,
) -> Router<S> {
    routes.layer(Middleware { http: http.clone(), surface, is_fallback })
}

fn not_found<S: Clone + Send + Sync + 'static>(surface: &'static Surface) -> MethodRouter<S> {
    any(async move |method: Method, uri: Uri| {
        let path = (surface.redact_path)(uri.path());
        let message = format!("{method} {path} is not served; GET /v3 lists the API, /docs describes it");
        (surface.format_error)(&SurfaceError {
            status: StatusCode::NOT_FOUND,
            code: "NotFound",
            message: &message,
            request_id: None,
            retry_seconds: None,
        })
    })
}
