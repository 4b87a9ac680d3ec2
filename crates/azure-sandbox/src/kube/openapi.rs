//! The documents of the API for machines: every address with its methods, and for every type an object with any
//! fields. Enough for clients that look there whether the server checks fields itself.

use super::value::Keyed as _;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::request::KubeRequest;
use super::resources::{self, Resource, VERSION};
use crate::response::Answer;

/// The answer to an address below `/openapi`; `None` when there is nothing.
pub(crate) fn answer(request: &KubeRequest, version: &str) -> Option<Answer> {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let body = match parts.as_slice() {
        ["openapi", "v3"] => index(),
        ["openapi", "v3", "api", VERSION] => document("", version),
        ["openapi", "v3", "apis", group, VERSION] if resources::groups().contains(group) => {
            document(group, version)
        }
        _ => return None,
    };
    let mut answer = Answer::json(StatusCode::OK, &body);
    answer.set("content-type", "application/json");
    Some(answer)
}

/// Where the documents of the groups are.
fn index() -> Value {
    let mut paths = Map::new();
    for group in std::iter::once("").chain(resources::groups()) {
        let name = base(group).trim_start_matches('/').to_owned();
        paths.insert(name.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{name}")}));
    }
    json!({"paths": paths})
}

fn base(group: &str) -> String {
    if group.is_empty() { format!("/api/{VERSION}") } else { format!("/apis/{group}/{VERSION}") }
}

fn name(resource: &Resource) -> String {
    let group =
        if resource.group.is_empty() { "core" } else { resource.group.split('.').next().unwrap_or_default() };
    format!("io.k8s.api.{group}.{VERSION}.{}", resource.kind)
}

fn identity(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": VERSION, "kind": resource.kind})
}

/// An object with the fields that all have, and any others.
fn schema(resource: &Resource) -> Value {
    json!({
        "description": format!("{} of the sandbox.", resource.kind),
        "type": "object",
        "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}},
        "x-kubernetes-group-version-kind": [identity(resource)],
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// The methods at the address of the type, and at that of one object; the names of parameters are in `parameter`.
fn methods(resource: &'static Resource, parameter: &dyn Fn(&str, &str) -> Value) -> [Value; 2] {
    let operation = |action: &str| {
        let mut operation = json!({
            "operationId": format!("{action}{}{}", resource.group.replace('.', ""), resource.kind),
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": identity(resource),
        });
        if ["post", "put", "patch"].contains(&action) {
            *operation.slot("parameters") = ["dryRun", "fieldManager", "fieldValidation"]
                .map(|name| parameter(name, "query"))
                .to_vec()
                .into();
        }
        operation
    };
    let (mut many, mut one) = (json!({"post": operation("post")}), json!({}));
    if resource.stored {
        *many.slot("get") = operation("list");
        *many.slot("delete") = operation("deletecollection");
        for action in ["get", "put", "patch", "delete"] {
            *one.slot(action) = operation(action);
        }
    }
    if resource.namespaced {
        *many.slot("parameters") = json!([parameter("namespace", "path")]);
        *one.slot("parameters") = json!([parameter("name", "path"), parameter("namespace", "path")]);
    } else {
        *one.slot("parameters") = json!([parameter("name", "path")]);
    }
    [many, one]
}

fn paths(group: &str, parameter: &dyn Fn(&str, &str) -> Value) -> Map<String, Value> {
    let mut paths = Map::new();
    for resource in resources::of_group(group) {
        let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let path = format!("{}{scope}/{}", base(group), resource.plural);
        let [many, one] = methods(resource, parameter);
        if resource.stored {
            paths.insert(format!("{path}/{{name}}"), one);
        }
        paths.insert(path, many);
    }
    paths
}

/// OpenAPI 3 for one group.
fn document(group: &str, version: &str) -> Value {
    let parameter = |name: &str, place: &str| json!({"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}});
    let schemas: Map<_, _> =
        resources::of_group(group).map(|resource| (name(resource), schema(resource))).collect();
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": format!("v{version}")},
        "paths": paths(group, &parameter),
        "components": {"schemas": schemas},
    })
}
