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
use utoipa::openapi::OpenApiBuilder;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt};

use super::auth::{Authenticated, Refused};
use super::norman::error::Error;
use super::request::RequestId;
use super::state::AppState;
use crate::service::actor::Actor;

/// Everything below `/v3`, with full paths.
pub fn router() -> OpenApiRouter<AppState> {
    let document = OpenApiBuilder::new().components(Some(docs::components())).build();
    OpenApiRouter::with_openapi(document)
        .merge(root::router())
        .merge(cloud_credentials::router())
        .merge(clusters::router())
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::to_value(router().into_openapi()).unwrap()
    }

    /// Every value of the key anywhere in the document.
    fn all<'a>(value: &'a Value, key: &str, out: &mut Vec<&'a Value>) {
        match value {
            Value::Object(object) => {
                out.extend(object.get(key));
                object.values().for_each(|value| all(value, key, out));
            }
            Value::Array(list) => list.iter().for_each(|value| all(value, key, out)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = document();
        let mut references = Vec::new();
        all(&document, "$ref", &mut references);
        assert!(references.len() > 40, "{}", references.len());
        for reference in references {
            let path = reference.as_str().unwrap().strip_prefix('#').unwrap();
            assert!(document.pointer(path).is_some(), "{path}");
        }
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_every_answer_a_description() {
        let document = document();
        let mut names = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{name} occurs twice");
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let description = response["description"].as_str().unwrap_or_default();
                    assert!(!description.is_empty(), "{method} {path} {status}");
                }
            }
        }
        assert_eq!(names.len(), 15, "{names:?}");
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
