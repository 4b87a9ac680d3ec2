//! `/api/v1`: the API that extends Rancher's, one file for each resource. Errors are in Norman's format.

mod audit;
mod catalog;
mod credentials;
mod events;
mod parameters;
mod plan;
mod review;
mod upgrade_plan;
mod users;

pub(crate) use self::audit::AuditRecord;

pub(super) use self::catalog::{SURFACE as CATALOG_SURFACE, router as catalog_router};
use super::documented::{DocumentedRouter, routes};
use super::methods::reject_others;
use super::state::AppState;

/// All routes below `/api/v1`, with full paths.
pub(super) fn router() -> DocumentedRouter<AppState> {
    let routes = [
        routes!(audit::list_audit),
        routes!(credentials::list_pending_credentials),
        routes!(events::list_cluster_events),
        routes!(plan::get_cluster_plan),
        routes!(review::review_cluster),
        routes!(upgrade_plan::get_upgrade_plan),
        routes!(users::list_user_accounts),
        routes!(users::get_user_account, users::delete_user_account),
    ];
    routes.into_iter().map(reject_others).fold(DocumentedRouter::new(), DocumentedRouter::route)
}
