//! Rejects methods that a path does not support, in Norman's format.

use axum::extract::FromRequestParts;
use http::Method;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt as _};

use super::auth::Authenticated;
use super::norman::error::Error;
use super::state::AppState;

/// Adds the rejection of all other methods to the routes of a path.
pub(super) fn reject_others(routes: UtoipaMethodRouter<AppState>) -> UtoipaMethodRouter<AppState> {
    reject_others_of::<Authenticated, _>(routes)
}

/// As [`reject_others`], with another extractor for authentication.
pub(super) fn reject_others_of<A, S>(routes: UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S>
where
    A: FromRequestParts<S> + Send + 'static,
    S: Clone + Send + Sync + 'static,
{
    routes.map(|methods| methods.fallback(unsupported::<A>))
}

async fn unsupported<A>(_: A, method: Method) -> Error {
    Error::method(&method)
}
