//! Requests with a method that their path does not have, in Norman's format.

use axum::extract::FromRequestParts;
use http::Method;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt as _};

use super::auth::Authenticated;
use super::norman::error::Error;
use super::state::AppState;

/// The routes of one path, which reject every other method.
pub(super) fn reject_others(routes: UtoipaMethodRouter<AppState>) -> UtoipaMethodRouter<AppState> {
    reject_others_of::<Authenticated, _>(routes)
}

/// The same with another extractor that authenticates the caller.
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
