//! Rancher's `/v3`: cloud credentials, clusters and related types, in Norman's style. Each type implements `types::V3Type`,
//! from which `routes` builds the routes. `schemas` contains the fields of the types, `root` the index of `/v3`.

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
mod routes;
pub mod schemas;
mod settings;
mod tokens;
mod types;
pub(super) mod unknown_fields;
mod users;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::EXPIRES;
use http::{HeaderName, HeaderValue};

use super::documented::DocumentedRouter;
use super::state::AppState;

/// A date in the past, in Norman's format (`docs/contract/norman-api.md#response-headers`).
const EXPIRED: HeaderValue = HeaderValue::from_static("Wed 24 Feb 1982 18:42:00 GMT");
const API_SCHEMAS: HeaderName = HeaderName::from_static("x-api-schemas");

/// Adds the headers of every response below `/v3`.
pub(super) async fn add_headers(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let schemas = HeaderValue::try_from(format!("{}/v3/schemas", state.base_url(&parts)));
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Ok(schemas) = schemas {
        response.headers_mut().insert(EXPIRES, EXPIRED);
        response.headers_mut().insert(API_SCHEMAS, schemas);
    }
    response
}

/// All routes below `/v3`, with full paths.
pub fn router() -> DocumentedRouter<AppState> {
    DocumentedRouter::new()
        .merge(root::router())
        .merge(import::router())
        .merge(routes::router::<absent::Features>())
        .merge(routes::router::<absent::RkeK8sSystemImages>())
        .merge(routes::router::<cloud_credentials::CloudCredentials>())
        .merge(routes::router::<clusters::Clusters>())
        .merge(routes::router::<drivers::KontainerDrivers>())
        .merge(routes::router::<drivers::NodeDrivers>())
        .merge(routes::router::<members::ClusterRoleTemplateBindings>())
        .merge(routes::router::<nodes::Nodes>())
        .merge(routes::router::<projects::Projects>())
        .merge(routes::router::<registration_tokens::ClusterRegistrationTokens>())
        .merge(routes::router::<role_templates::RoleTemplates>())
        .merge(routes::router::<settings::Settings>())
        .merge(routes::router::<tokens::Tokens>())
        .merge(routes::router::<users::Users>())
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
    fn document_describes_input_and_responses() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        let keys = |name: &str| -> BTreeSet<String> {
            schemas[name]["properties"].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(schemas["AzureCredentialConfig"]["properties"]["clientSecret"]["writeOnly"], true);
        assert!(keys("CloudCredential").is_superset(&keys("CloudCredentialInput")));
        for response_only in ["createdTS", "id", "links", "type", "uuid"] {
            assert!(keys("CloudCredential").contains(response_only), "{response_only}");
            assert!(!keys("CloudCredentialInput").contains(response_only), "{response_only}");
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
