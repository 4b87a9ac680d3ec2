//! The parts of OpenAPI documents that kubectl reads for `apply` and `explain`.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::request::KubeRequest;
use super::resources::{self, Resource, VERSION};
use crate::response::SandboxResponse;

/// The response to a path below `/openapi`; `None` for other paths.
pub(crate) fn respond(request: &KubeRequest, kubernetes_version: &str) -> Option<SandboxResponse> {
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let body = match segments.as_slice() {
        ["openapi", "v3"] => index(),
        ["openapi", "v3", "api", VERSION] => document("", kubernetes_version),
        ["openapi", "v3", "apis", group, VERSION] if resources::groups().contains(group) => {
            document(group, kubernetes_version)
        }
        _ => return None,
    };
    Some(SandboxResponse::kubernetes_json(StatusCode::OK, &body))
}

/// The index of the documents: their URLs by API path.
fn index() -> Value {
    let mut paths = Map::new();
    for group in std::iter::once("").chain(resources::groups()) {
        let name = base_path(group).trim_start_matches('/').to_owned();
        paths.insert(name.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{name}")}));
    }
    json!({"paths": paths})
}

fn base_path(group: &str) -> String {
    if group.is_empty() { format!("/api/{VERSION}") } else { format!("/apis/{group}/{VERSION}") }
}

fn schema_name(resource: &Resource) -> String {
    let group =
        if resource.group.is_empty() { "core" } else { resource.group.split('.').next().unwrap_or_default() };
    format!("io.k8s.api.{group}.{VERSION}.{}", resource.kind)
}

fn group_version_kind(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": VERSION, "kind": resource.kind})
}

/// The schema of a type: it declares the fields that all objects have, and allows all others.
fn schema(resource: &Resource) -> Value {
    json!({
        "description": format!("{} of the sandbox.", resource.kind),
        "type": "object",
        "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}},
        "x-kubernetes-group-version-kind": [group_version_kind(resource)],
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// OpenAPI 3 for a group. kubectl checks whether PATCH supports `dryRun` and `fieldValidation`.
fn document(group: &str, kubernetes_version: &str) -> Value {
    let parameters = ["dryRun", "fieldManager", "fieldValidation"]
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}));
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for resource in resources::in_group(group) {
        let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let patch = json!({"parameters": parameters, "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": group_version_kind(resource)});
        paths.insert(
            format!("{}{scope}/{}/{{name}}", base_path(group), resource.plural),
            json!({ "patch": patch }),
        );
        schemas.insert(schema_name(resource), schema(resource));
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": format!("v{kubernetes_version}")},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}
