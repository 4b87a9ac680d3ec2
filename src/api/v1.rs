//! `/api/v1`: the API that extends Rancher's, one file for each resource. Errors are in Norman's format.

mod audit;
mod catalog;
mod credentials;
mod events;
mod plan;
mod review;
mod upgrade_plan;
mod users;

pub(crate) use self::audit::AuditRecord;

pub(super) use self::catalog::{SURFACE as CATALOG_SURFACE, router as catalog_router};
use super::documented::DocumentedRouter;
use super::state::AppState;

/// All routes below `/api/v1`, with full paths.
pub(super) fn router() -> DocumentedRouter<AppState> {
    DocumentedRouter::new()
        .merge(audit::router())
        .merge(credentials::router())
        .merge(events::router())
        .merge(plan::router())
        .merge(review::router())
        .merge(upgrade_plan::router())
        .merge(users::router())
}
