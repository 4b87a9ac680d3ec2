//! `/api/v1`: what Rancher has no words for, one file each. Failures have Norman's form, as everything outside `/meta`.

mod audit;
mod credentials;
mod events;
mod plan;
mod review;
mod users;

pub(crate) use self::audit::AuditRecord;

use utoipa_axum::router::OpenApiRouter;

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
