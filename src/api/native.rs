//! `/api/v1`: what Rancher has no words for, one file each. Failures have Norman's form, as everything outside `/meta`.

mod audit;
mod credentials;
mod events;
mod plan;
mod review;
mod users;

pub(crate) use self::audit::AuditRecord;

use http::Method;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt as _};

use super::auth::Authenticated;
use super::norman::error::Error;
use super::state::AppState;

/// Everything below `/api/v1`, with full paths.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(audit::router())
        .merge(credentials::router())
        .merge(events::router())
        .merge(plan::router())
        .merge(review::router())
        .merge(users::router())
}

/// The routes of one path; other methods are refused in Norman's form.
fn served(routes: UtoipaMethodRouter<AppState>) -> UtoipaMethodRouter<AppState> {
    routes.map(|methods| methods.fallback(unsupported))
}

async fn unsupported(_: Authenticated, method: Method) -> Error {
    Error::method(&method)
}
