//! APIs of Rancher that this server does not support. Clients retry for minutes after a 404, but not after a 501.

use axum::Router;
use axum::routing::{any, post};
use http::StatusCode;

use super::auth::Authenticated;
use super::norman::error::Error;
use super::state::AppState;

/// The message for paths of Steve, Rancher's newer API: on this server, and in clusters.
pub(super) const STEVE: &str = "Steve, Rancher's API under /v1, is not supported here: resources that need it (apps, catalogs, secrets and clusters of \
     version 2) cannot be used; the objects of this server are under /v3";

pub(super) fn router() -> Router<AppState> {
    let steve = ["/v1", "/v1/", "/v1/{*rest}"];
    let login = ["/v1-public/login", "/v3-public/localProviders/{id}", "/v3-public/localproviders/{id}"];
    let router = steve.into_iter().fold(Router::new(), |router, path| router.route(path, any(reject_steve)));
    login.into_iter().fold(router, |router, path| router.route(path, post(reject_login)))
}

async fn reject_steve(_: Authenticated) -> Error {
    Error::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", STEVE)
}

/// Terraform's `rancher2_bootstrap` retries until its own timeout, and then shows only the code.
async fn reject_login() -> Error {
    let message = "password login and bootstrapping are not supported: create a token with `norman-aks token create` and use it as \
                   the provider's token_key";
    Error::new(StatusCode::NOT_IMPLEMENTED, "PasswordLoginNotSupported", message)
}
