//! Rejects methods that a path does not support, in Norman's format.

use axum::extract::FromRequestParts;
use http::Method;

use super::auth::Authenticated;
use super::documented::DocumentedRoute;
use super::norman::error::Error;
use super::state::AppState;

/// Adds the rejection of all other methods to the routes of a path.
pub(super) fn reject_others(routes: DocumentedRoute<AppState>) -> DocumentedRoute<AppState> {
    reject_others_with::<Authenticated, _>(routes)
}

/// Like [`reject_others`], with another extractor for authentication.
pub(super) fn reject_others_with<A, S>(routes: DocumentedRoute<S>) -> DocumentedRoute<S>
where
    A: FromRequestParts<S> + Send + 'static,
    S: Clone + Send + Sync + 'static,
{
    routes.map_methods(|methods| methods.fallback(method_not_allowed::<A>))
}

async fn method_not_allowed<A>(_: A, method: Method) -> Error {
    Error::method_not_allowed(&method)
}
