//! The API document, generated from the routes. `failures` contains the error responses, `bodies` those of their bodies that no
//! handler declares, `examples` the examples of requests and responses, `headers` the response headers.

mod bodies;
mod examples;
pub(in crate::api) mod failures;
mod headers;

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, RefOr, Response,
    SecurityRequirement, ServerBuilder,
};

use self::bodies::{CheckRefusal, UnauthorizedError};
use super::meta::MetaError;
use super::norman::error::ErrorBody;

/// The document without routes.
pub(super) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("norman-aks")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Rancher's AKS actions, Azure cloud credentials and AKS clusters, compatible with Rancher's API; \
             docs/compatibility.md of the project lists every difference.\n\n\
             Everything except the health checks requires a token: enter one under *Authorize*. With \
             `norman-aks serve --sandbox`, `sandbox.json` in the data directory contains a token and the ID of a stored \
             credential, and the sandbox accepts the credential in the examples.",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of the form `token-<name>:<secret>`."))
        .build();
    let basic = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("The name and the secret of a token as user name and password."))
        .build();
    let cookie = ApiKeyValue::with_description("R_SESS", "A token in a browser's cookie.");
    let mut components = ComponentsBuilder::new()
        .schema_from::<MetaError<'_>>()
        .schema_from::<ErrorBody<'_>>()
        .schema_from::<UnauthorizedError>()
        .schema_from::<CheckRefusal>()
        .responses_from_iter(failures::components())
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("basic", SecurityScheme::Http(basic))
        .security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    for (name, header) in headers::components() {
        components = components.header(name, header);
    }
    let schemes =
        ["bearer", "basic", "cookie"].map(|name| SecurityRequirement::new(name, Vec::<String>::new()));
    let tag = |name: &str, text: &str| TagBuilder::new().name(name).description(Some(text)).build();
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([ServerBuilder::new().url("/").description(Some("This server")).build()]))
        .components(Some(components.build()))
        .security(Some(schemes))
        .tags(Some([
            tag(
                "Catalog",
                "The resources that are usable in Azure, with reasons and remedies for the others.",
            ),
            tag("AKS actions", "Rancher's nine actions, which list Azure resources for a credential."),
            tag("Cloud credentials", "Azure credentials, stored encrypted."),
            tag("Clusters", "AKS clusters as Rancher's objects."),
            tag("Members of clusters", "The users who may see and change a cluster."),
            tag("Parts of clusters", "The objects of a cluster: registration tokens, projects, nodes."),
            tag(
                "Settings",
                "The settings that administrators may change while the server runs, and the drivers.",
            ),
            tag("Users and tokens", "The callers and their tokens."),
            tag("Review", "Reviews of clusters before they are created or changed."),
            tag("Audit", "The audit log, for administrators."),
            tag("Schemas", "The types under /v3."),
            tag("Health", "Health checks; they need no token."),
        ]))
        .build()
}

/// Adds the examples of an operation, and the headers of its responses.
fn add_examples_and_headers(operation: &mut Operation) {
    let examples = examples::for_operation(operation.operation_id.as_deref().unwrap_or_default());
    if let Some(RefOr::T(request)) = &mut operation.request_body {
        set_example(request.content.get_mut("application/json"), examples.request);
    }
    let is_listing = operation.tags.iter().flatten().any(|tag| tag == "AKS actions")
        && operation.responses.responses.contains_key("429");
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        add_header(response, headers::REQUEST_ID);
        match status.as_str() {
            "200" | "201" => {
                if is_listing && !response.content.is_empty() {
                    add_header(response, headers::CACHE);
                    add_header(response, headers::AGE);
                }
                for (media_type, content) in &mut response.content {
                    let is_stream =
                        matches!(media_type.as_str(), "text/event-stream" | "application/x-ndjson");
                    let example = if is_stream { examples.stream.clone() } else { examples.response.clone() };
                    set_example(Some(content), example);
                }
            }
            _ => {
                add_header(response, headers::RETRY_AFTER);
                set_example(response.content.values_mut().next(), examples.error.clone());
            }
        }
    }
}

fn set_example(content: Option<&mut RefOr<Content>>, example: Option<serde_json::Value>) {
    if let Some(RefOr::T(content)) = content {
        content.example = example;
    }
}

fn add_header(response: &mut Response, name: &str) {
    response.headers.insert(name.to_owned(), RefOr::Ref(headers::reference(name)));
}

/// Adds examples and headers to the document of all routes, and returns it as indented JSON.
pub(super) fn to_json(mut document: OpenApi) -> String {
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.put, &mut path.post, &mut path.delete];
        operations.into_iter().flatten().for_each(add_examples_and_headers);
    }
    match document.to_pretty_json() {
        Ok(json) => json + "\n",
        // Only a map with keys that are not strings has no representation in JSON, and the document contains none.
        Err(error) => {
            tracing::error!(%error, "the API document cannot be written");
            String::from("{}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    fn document() -> Value {
        serde_json::from_str(&crate::api::openapi_json()).unwrap()
    }

    fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
        document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(|(method, operation)| (method.as_str(), path.as_str(), operation))
        })
    }

    /// The target of a reference.
    fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
        let Some(reference) = value.get("$ref") else { return value };
        let path = reference.as_str().unwrap().strip_prefix('#').unwrap();
        document.pointer(path).unwrap_or_else(|| panic!("{path} leads nowhere"))
    }

    /// Collects all values of `key` at any depth.
    fn collect_values<'a>(value: &'a Value, key: &str, out: &mut Vec<&'a Value>) {
        match value {
            Value::Object(object) => {
                out.extend(object.get(key));
                object.values().for_each(|value| collect_values(value, key, out));
            }
            Value::Array(list) => list.iter().for_each(|value| collect_values(value, key, out)),
            _ => {}
        }
    }

    /// Update the document with `UPDATE_OPENAPI=1 cargo test --lib openapi`.
    #[test]
    fn committed_document_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
        let generated = crate::api::openapi_json();
        #[expect(
            clippy::disallowed_methods,
            reason = "a switch for developers, not a setting of the program"
        )]
        if std::env::var("UPDATE_OPENAPI").is_ok() {
            std::fs::write(path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            generated == committed,
            "openapi/openapi.json is stale: UPDATE_OPENAPI=1 cargo test --lib openapi"
        );
    }

    #[test]
    fn references_resolve_and_components_are_used() {
        let document = document();
        let mut references = Vec::new();
        collect_values(&document, "$ref", &mut references);
        let used: BTreeSet<&str> = references.iter().map(|reference| reference.as_str().unwrap()).collect();
        for reference in &used {
            assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
        }
        for kind in ["headers", "responses", "schemas"] {
            for name in document["components"][kind].as_object().unwrap().keys() {
                assert!(used.contains(format!("#/components/{kind}/{name}").as_str()), "{kind}/{name}");
            }
        }
    }

    #[test]
    fn nine_actions_are_documented() {
        let document = document();
        let actions: BTreeSet<String> = operations(&document)
            .filter_map(|(method, path, _)| Some(format!("{method} {}", path.strip_prefix("/meta/")?)))
            .collect();
        let listing_actions = [
            "aksClusters",
            "aksLocations",
            "aksRegions",
            "aksUpgrades",
            "aksVMSizes",
            "aksVMSizesV2",
            "aksVersions",
            "aksVirtualNetworks",
        ];
        let mut expected: BTreeSet<String> =
            listing_actions.iter().flat_map(|name| [format!("get {name}"), format!("post {name}")]).collect();
        expected.insert("post aksCheckCredentials".to_owned());
        assert_eq!(actions, expected);
    }

    #[test]
    fn operations_are_complete() {
        let document = document();
        let mut operation_ids = BTreeSet::new();
        for (method, path, operation) in operations(&document) {
            let operation_id = operation["operationId"].as_str().unwrap();
            assert!(operation_ids.insert(operation_id), "{operation_id} occurs twice");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{operation_id}");
            assert!(
                document["tags"].as_array().unwrap().iter().any(|tag| tag["name"] == operation["tags"][0])
            );
            if let Some(request) = operation.get("requestBody") {
                assert!(!request["content"]["application/json"]["example"].is_null(), "{operation_id}");
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                let response = resolve(&document, response);
                let description = response["description"].as_str().unwrap_or_default();
                assert!(!description.is_empty(), "{method} {path} {status}");
                assert!(response["headers"].get("X-Request-Id").is_some(), "{method} {path} {status}");
                let Some(content) = response.get("content") else { continue };
                let content = content.as_object().unwrap().values().next().unwrap();
                let has_example = !content["example"].is_null() || content["examples"].is_object();
                assert!(has_example, "{method} {path} {status} has no example");
            }
        }
        assert!(operation_ids.len() > 30, "{operation_ids:?}");
    }

    #[test]
    fn transient_errors_have_retry_after() {
        let document = document();
        for (_, path, operation) in operations(&document) {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let has_header = resolve(&document, response)["headers"].get("Retry-After").is_some();
                assert_eq!(
                    has_header,
                    matches!(status.as_str(), "429" | "503" | "504" | "507"),
                    "{path} {status}"
                );
            }
        }
    }

    #[test]
    fn only_health_checks_and_version_need_no_token() {
        let document = document();
        assert!(document["security"].as_array().is_some_and(|schemes| schemes.len() == 3));
        for (_, path, operation) in operations(&document) {
            let is_open = operation["security"] == serde_json::json!([{}]);
            let needs_token = ["/meta/", "/v3", "/api/"].iter().any(|start| path.starts_with(start));
            assert_eq!(is_open, !needs_token, "{path}");
            assert_eq!(operation["responses"].get("401").is_none(), is_open, "{path}");
        }
    }
}
