//! Rancher's `/v3`: cloud credentials, clusters and what clients touch around them, in Norman's style. One file per type;
//! `schemas` has their tables, `root` what lists them.

mod absent;
mod cloud_credentials;
mod clusters;
mod docs;
mod drivers;
mod import;
mod kubeconfig;
mod members;
mod metadata;
mod nodes;
mod projects;
mod registration_tokens;
mod role_templates;
mod root;
pub mod schemas;
mod settings;
mod tokens;
mod users;

pub(super) use clusters::unknown_fields;

use aks::ids;
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
use crate::service::clusters::Cluster;
use crate::service::{self, Caller};

/// Everything below `/v3`, with full paths.
pub fn router() -> OpenApiRouter<AppState> {
    let parts = [
        root::router(),
        absent::router(),
        cloud_credentials::router(),
        clusters::router(),
        drivers::router(),
        import::router(),
        members::router(),
        nodes::router(),
        projects::router(),
        registration_tokens::router(),
        role_templates::router(),
        settings::router(),
        tokens::router(),
        users::router(),
    ];
    parts.into_iter().fold(OpenApiRouter::new(), OpenApiRouter::merge)
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

/// As [`served`], where the other spellings are those of `others`, and each has a slash at the end or has not.
fn spelled(
    api: OpenApiRouter<AppState>,
    routes: UtoipaMethodRouter<AppState>,
    others: &[&str],
) -> OpenApiRouter<AppState> {
    let slashed: Vec<String> = routes
        .1
        .paths
        .keys()
        .map(String::as_str)
        .chain(others.iter().copied())
        .map(|path| format!("{path}/"))
        .collect();
    let all: Vec<&str> = others.iter().copied().chain(slashed.iter().map(String::as_str)).collect();
    served(api, routes, &all)
}

async fn unsupported(_: Authenticated, method: Method) -> Error {
    Error::method(&method)
}

/// The cluster that the ID of a part names before its colon, as the caller sees it, and the name behind the colon.
async fn cluster_of_part<'a>(
    state: &AppState,
    caller: &Caller,
    id: &'a str,
) -> Result<(Cluster, &'a str), Error> {
    let missing = || Error::not_found(id);
    let (cluster_id, name) = ids::split_namespaced(id).ok_or_else(missing)?;
    match state.clusters().get(caller, cluster_id).await {
        Err(service::Error::NotFound { .. }) => Err(missing()),
        found => Ok((found?, name)),
    }
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
        Ok(Self { caller, request_id, remote: Some(state.origin().client(parts)) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::to_value(router().into_openapi()).unwrap()
    }

    #[test]
    fn the_document_knows_what_is_taken_and_what_is_given_back() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        let keys = |name: &str| -> BTreeSet<String> {
            schemas[name]["properties"].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(schemas["AzureCredentialConfig"]["properties"]["clientSecret"]["writeOnly"], true);
        assert!(keys("CloudCredential").is_superset(&keys("CloudCredentialInput")));
        for given_back_only in ["createdTS", "id", "links", "type", "uuid"] {
            assert!(keys("CloudCredential").contains(given_back_only), "{given_back_only}");
            assert!(!keys("CloudCredentialInput").contains(given_back_only), "{given_back_only}");
        }
        assert_eq!(schemas["ClusterInput"]["required"], serde_json::json!(["name"]));
        assert_eq!(schemas["AksNodePool"]["properties"]["count"]["type"], "integer");
        let pools = &schemas["AksClusterConfigSpec"]["properties"]["nodePools"];
        assert_eq!(pools["items"]["$ref"], "#/components/schemas/AksNodePool");
        assert_eq!(
            schemas["ClusterCollection"]["properties"]["data"]["items"]["$ref"],
            "#/components/schemas/Cluster"
        );
    }
}
