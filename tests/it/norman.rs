//! `/v3` in general: roots, schemas, headers, methods, invalid bodies.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::app::{TestApp, TestResponse};

fn assert_norman_headers(response: &TestResponse) {
    assert_eq!(response.header("content-type"), "application/json", "{}", response.text());
    assert_eq!(response.header("expires"), "Wed 24 Feb 1982 18:42:00 GMT");
    assert_eq!(response.header("x-api-schemas"), "http://norman.test/v3/schemas");
}

/// The error for a cloud credential that does not exist or belongs to another user: Rancher's words, then the remedy.
pub(crate) const NO_CREDENTIAL: &str = "error accessing cloud credential: not found; use an ID that \
                                        /v3/cloudcredentials lists (cattle-global-data:cc-…)";

/// The body of an error response.
#[derive(Debug)]
pub(crate) struct NormanError {
    pub(crate) code: String,
    pub(crate) field: String,
    pub(crate) message: String,
}

/// Parses an error, and checks the fields that all errors have.
pub(crate) fn norman_error(response: &TestResponse) -> NormanError {
    let body = response.json();
    let string = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(body["status"], response.status.as_u16(), "{body}");
    assert_eq!((string("type").as_str(), string("baseType").as_str()), ("error", "error"), "{body}");
    assert!(response.text().ends_with("}\n"), "{:?}", response.text());
    NormanError { code: string("code"), field: string("fieldName"), message: string("message") }
}

#[tokio::test]
async fn responses_below_v3_have_normans_headers() {
    let app = TestApp::with_advisory_review().await;
    for path in ["/v3", "/v3/schemas", "/v3/clusters", "/v3/clusters/c-none", "/v3/schemas/none"] {
        assert_norman_headers(&app.get(path).send().await);
    }
    let unauthenticated = app.get("/v3/clusters").anonymous().send().await.expect(401);
    assert_norman_headers(&unauthenticated);
    assert_norman_headers(&app.call(Method::PATCH, "/v3/clusters").send().await);
}

#[tokio::test]
async fn root_links_to_every_collection() {
    let app = TestApp::with_advisory_review().await;
    for path in ["/v3", "/v3/"] {
        let root = app.get(path).send().await.json();
        assert_eq!(root["type"], "apiRoot");
        for (name, link) in root["links"].as_object().unwrap() {
            let path = link.as_str().unwrap().strip_prefix("http://norman.test").unwrap();
            assert_eq!(app.get(path).send().await.status, StatusCode::OK, "{name}");
        }
        assert_eq!(root["links"]["cloudCredentials"], "http://norman.test/v3/cloudcredentials");
    }
}

#[tokio::test]
async fn go_clients_find_what_they_need_in_the_schemas() {
    let app = TestApp::with_advisory_review().await;
    let list = app.get("/v3/schemas").send().await.json();
    assert_eq!((&list["type"], &list["resourceType"]), (&json!("collection"), &json!("schema")));
    let find =
        |id: &str| list["data"].as_array().unwrap().iter().find(|schema| schema["id"] == id).unwrap().clone();
    for (id, collection) in [("cloudCredential", "cloudcredentials"), ("cluster", "clusters")] {
        let schema = find(id);
        assert_eq!(schema["resourceMethods"], json!(["GET", "PUT", "DELETE"]));
        assert_eq!(schema["collectionMethods"], json!(["GET", "POST"]));
        assert_eq!(schema["links"]["collection"], format!("http://norman.test/v3/{collection}"));
        assert_eq!(app.get(&format!("/v3/schemas/{id}")).send().await.json(), schema);
        assert_eq!(app.get(&format!("/v3/schemas/{}/", id.to_uppercase())).send().await.json(), schema);
    }
    assert_eq!(find("azurecredentialconfig")["resourceFields"]["clientSecret"]["type"], "password");
    assert_eq!(find("aksClusterConfigSpec")["resourceFields"]["nodePools"]["type"], "array[aksNodePool]");
    let unknown = app.get("/v3/schemas/nodeTemplate").send().await.expect(404);
    assert_eq!(norman_error(&unknown).message, "nodeTemplate not found");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let app = TestApp::with_advisory_review().await;
    for path in ["/v3", "/v3/schemas", "/v3/clusters", "/v3/cloudCredentials/"] {
        let (get, head) = (app.get(path).send().await, app.call(Method::HEAD, path).send().await);
        assert_eq!((get.status, head.status), (StatusCode::OK, StatusCode::OK), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"));
        assert!(head.body.is_empty());
    }
}

#[tokio::test]
async fn unsupported_methods_have_normans_error() {
    let app = TestApp::with_advisory_review().await;
    for (method, path) in [
        (Method::POST, "/v3"),
        (Method::DELETE, "/v3/schemas"),
        (Method::PUT, "/v3/clusters"),
        (Method::DELETE, "/v3/cloudCredentials/"),
        (Method::PATCH, "/v3/clusters/c-none"),
    ] {
        let response = app.call(method.clone(), path).send().await;
        assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        let expected = format!("Method {method} not supported");
        let NormanError { code, field, message } = norman_error(&response);
        assert_eq!((code.as_str(), field.as_str(), message), ("MethodNotAllow", "", expected));
    }
}

#[tokio::test]
async fn body_that_is_not_an_object_is_rejected() {
    let app = TestApp::with_advisory_review().await;
    let too_long = format!("{{\"name\":\"{}\"}}", "x".repeat(2 << 20));
    for path in ["/v3/clusters", "/v3/cloudcredentials"] {
        for body in ["", "null", "[]", "1", "{", "name: x", "name=x", "\u{0}", &"[".repeat(100_000)] {
            let response = app.post(path).body(body.to_owned()).send().await;
            assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {body:.20}");
            let NormanError { code, message, .. } = norman_error(&response);
            assert_eq!(code, "InvalidBodyContent");
            assert!(message.starts_with("Failed to parse body: "), "{message}");
        }
        let response = app.post(path).body(too_long.clone()).send().await.expect(413);
        assert_eq!(norman_error(&response).code, "InvalidBodyContent");
        assert_eq!(app.get(path).send().await.json()["data"], json!([]));
    }
}

#[tokio::test]
async fn malformed_values_never_cause_5xx() {
    let app = TestApp::with_advisory_review().await;
    let values = [
        json!(null),
        json!(1.5e300),
        json!(true),
        json!("\u{0}"),
        json!([null]),
        json!([[]]),
        json!({"a": {}}),
        json!({"": null}),
    ];
    for (path, keys) in [
        (
            "/v3/cloudcredentials",
            &["name", "labels", "azurecredentialConfig", "namespaceId", "description"][..],
        ),
        (
            "/v3/clusters",
            &["name", "labels", "aksConfig", "enableNetworkPolicy", "agentEnvVars", "importedConfig"][..],
        ),
    ] {
        for key in keys {
            for value in &values {
                let mut body =
                    json!({"name": "n", "azurecredentialConfig": {"clientId": "c"}, "aksConfig": {}});
                body[*key] = value.clone();
                let nested = json!({"name": "n", "azurecredentialConfig": {"clientId": value},
                    "aksConfig": {"nodePools": [{"count": value, "nodeLabels": value}], "tags": value}});
                for body in [&body, &nested] {
                    let response = app.post(path).json(body).send().await;
                    assert!(response.status.as_u16() < 500, "{body}: {}", response.text());
                    if !response.status.is_success() {
                        norman_error(&response);
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn lists_are_paged_sorted_and_filtered() {
    let app = TestApp::with_advisory_review().await;
    for name in ["b", "a", "c"] {
        let body = json!({"name": name, "azurecredentialConfig": {"clientId": "x"}});
        assert_eq!(app.post("/v3/cloudcredentials").json(&body).send().await.status, StatusCode::CREATED);
    }
    let names = |list: &Value| -> Vec<String> {
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|credential| credential["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = app.get("/v3/cloudCredentials?sort=name").send().await.json();
    assert_eq!(names(&all), ["a", "b", "c"]);
    assert_eq!(all["pagination"], json!({"limit": 1000, "total": 3}));
    assert_eq!(all["links"]["self"], "http://norman.test/v3/cloudCredentials");
    assert_eq!(all["createTypes"]["cloudCredential"], "http://norman.test/v3/cloudcredentials");

    let first = app.get("/v3/cloudcredentials?sort=name&order=desc&limit=2").send().await.json();
    assert_eq!(names(&first), ["c", "b"]);
    let next = first["pagination"]["next"].as_str().unwrap().strip_prefix("http://norman.test").unwrap();
    assert_eq!(names(&app.get(next).send().await.json()), ["a"]);

    let filtered = app.get("/v3/cloudcredentials?name=b").send().await.json();
    assert_eq!(names(&filtered), ["b"]);
    assert_eq!(filtered["filters"]["name"], json!([{"modifier": "eq", "value": "b"}]));
    assert_eq!(names(&app.get("/v3/cloudcredentials?name=none").send().await.json()), Vec::<String>::new());
    let invalid_limit = app.get("/v3/cloudcredentials?limit=x").send().await;
    assert_eq!(norman_error(&invalid_limit).field, "limit");
}
