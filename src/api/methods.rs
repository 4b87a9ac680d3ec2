//! Requests with a method that their path does not have, in Norman's format.

use http::Method;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt as _};

use super::auth::Authenticated;
use super::norman::error::Error;
use super::state::AppState;

/// The routes of one path, which reject every other method.
pub(super) fn reject_others(routes: UtoipaMethodRouter<AppState>) -> UtoipaMethodRouter<AppState> {
    routes.map(|methods| methods.fallback(unsupported))
}

async fn unsupported(_: Authenticated, method: Method) -> Error {
    Error::method(&method)
}
