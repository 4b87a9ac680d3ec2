//! Health checks.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::Serialize;
use utoipa::ToSchema;

use super::documented::{DocumentedRouter, routes};
use super::norman;
use super::state::AppState;
use super::surface::Surface;
use crate::service::readiness::Check;

/// The rules for health checks. They need no permit, because an orchestrator would restart a server that is only busy.
pub(super) static SURFACE: Surface = Surface { needs_permit: false, ..norman::RULES };

pub(crate) fn router() -> DocumentedRouter<AppState> {
    DocumentedRouter::new()
        .route(routes!(ping))
        .route(routes!(livez))
        .route(routes!(healthz))
        .route(routes!(readyz))
}

/// The health checks of a server without a database. It is ready even if its Rancher does not respond: an ingress without a
/// ready instance of this server would not send its requests to Rancher instead.
pub(crate) fn router_without_store<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let always_ready = async || Json(Ready { ready: true, checks: Vec::new() });
    Router::new()
        .route("/ping", get(ping))
        .route("/livez", get(livez))
        .route("/healthz", get(healthz))
        .route("/readyz", get(always_ready))
}

/// Whether the server responds; clients of Rancher wait for `pong`.
#[utoipa::path(
    get,
    path = "/ping",
    operation_id = "getPing",
    tag = "Health",
    security(()),
    responses((status = 200, description = "The word `pong`", body = String, content_type = "text/plain", example = "pong")),
)]
async fn ping() -> &'static str {
    "pong"
}

/// Whether the process is alive.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "getLivez",
    tag = "Health",
    security(()),
    responses((status = 200, description = "The process is alive", body = String, content_type = "text/plain", example = "ok")),
)]
async fn livez() -> &'static str {
    "ok"
}

/// The same as `/livez`, under Rancher's name.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "getHealthz",
    tag = "Health",
    security(()),
    responses((status = 200, description = "The process is alive", body = String, content_type = "text/plain", example = "ok")),
)]
async fn healthz() -> &'static str {
    "ok"
}

/// The state of the dependencies of the server. Azure is not checked.
#[derive(Serialize, ToSchema)]
struct Ready {
    /// Whether all dependencies that requests need are available.
    ready: bool,
    /// The dependencies.
    checks: Vec<ReadyCheck>,
}

/// A dependency of the server.
#[derive(Serialize, ToSchema)]
struct ReadyCheck {
    /// `database`, `migrations`, `encryption-key`, `disk` (of the database) or `log`.
    #[schema(example = "database")]
    name: &'static str,
    /// Whether it works.
    ok: bool,
    /// The remedy for a failed check, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>)]
    message: Option<&'static str>,
}

/// Whether requests can be served: checks the database, the migrations, the key and the disk space of the database. A log that
/// cannot be written is reported, but requests are served without it.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "getReadyz",
    tag = "Health",
    security(()),
    responses(
        (status = 200, description = "Requests can be served", body = Ready),
        (status = 503, description = "A dependency is unavailable", body = Ready),
    ),
)]
async fn readyz(State(state): State<AppState>) -> Response {
    let checks = state.readiness.check().await;
    let ready = checks.iter().all(|check| check.ok || !check.needed);
    let checks =
        checks.into_iter().map(|Check { name, ok, message, .. }| ReadyCheck { name, ok, message }).collect();
    let body = Json(Ready { ready, checks });
    if ready {
        return ([(CONTENT_TYPE, "application/json")], body).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "2")], body).into_response()
}
