//! Rancher's `/v3`: cloud credentials and clusters, in Norman's style. One file per type; `schemas` has their
//! tables, `root` what lists them.

mod cloud_credentials;
mod clusters;
mod docs;
mod root;
pub mod schemas;

use axum::extract::FromRequestParts;
use axum::routing::MethodRouter;
use http::request::Parts;
use http::{Method, Uri};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt};

use super::auth::{Authenticated, Refused};
use super::norman::error::Error;
use super::request::RequestId;
use super::state::AppState;
use crate::service::actor::Actor;

/// Everything below `/v3`, with full paths.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(root::router()).merge(cloud_credentials::router()).merge(clusters::router())
}

/// Documents and serves a path, and serves it under its other spellings too: with a slash at the end, and in
/// other letter cases.
fn served(
    api: OpenApiRouter<AppState>,
    routes: UtoipaMethodRouter<AppState>,
    others: &[&str],
) -> OpenApiRouter<AppState> {
    let routes = routes.map(|methods| methods.fallback(unsupported));
    let methods: MethodRouter<AppState> = routes.2.clone();
    others.iter().fold(api.routes(routes), |api, path| api.route(path, methods.clone()))
}

async fn unsupported(_: Authenticated, method: Method) -> Error {
    Error::method(&method)
}

/// The path that was asked, without a slash at the end.
fn asked_path(uri: &Uri) -> &str {
    uri.path().trim_end_matches('/')
}

impl FromRequestParts<AppState> for Actor {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refused> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        let RequestId(request_id) = RequestId::of(parts);
        Ok(Self { caller, request_id, remote: state.origin().client(parts) })
    }
}
