//! The API document against the server that it describes.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::app::TestApp;

/// The paths of the document with their operations for a method.
fn operations<'a>(document: &'a Value, method: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.filter_map(move |(path, methods)| Some((path.as_str(), methods.get(method)?)))
}

/// The keys of a response; those of the first element if it is a list.
fn keys(response: &Value) -> Option<Vec<&String>> {
    let first = response.as_array().map_or(Some(response), |list| list.first())?;
    Some(first.as_object()?.keys().collect())
}

#[tokio::test]
async fn documented_examples_work_on_the_sandbox() {
    let app = TestApp::with_advisory_review().await;
    let document = app.get("/openapi.json").anonymous().send().await.json();
    let stored = app.store_credential(&app.admin).await;
    let config = json!({
        "imported": true,
        "azureCredentialSecret": stored,
        "clusterName": app.seed.imported_cluster_name,
        "kubernetesVersion": app.seed.kubernetes_version,
        "resourceGroup": app.seed.resource_group,
        "resourceLocation": app.seed.location,
    });
    let cluster = app.post("/v3/clusters").json(&json!({"name": "shop", "aksConfig": config})).send().await;
    let mut count = 0;
    for (path, operation) in operations(&document, "post").filter(|(path, _)| path.starts_with("/meta/")) {
        let mut body = operation["requestBody"]["content"]["application/json"]["example"].clone();
        if let Some(id) = body.get_mut("clusterId") {
            *id = cluster.json()["id"].clone();
        }
        let response = app.post(path).json(&body).send().await;
        assert_eq!(response.status, StatusCode::OK, "{path}: {}", response.text());
        count += 1;
        let example = &operation["responses"]["200"]["content"]["application/json"]["example"];
        if !example.is_null() {
            assert_eq!(keys(&response.json()), keys(example), "{path}");
        }
    }
    assert_eq!(count, 9, "the number of actions; update it for a new action");
}

#[tokio::test]
async fn responses_have_the_keys_of_the_examples() {
    let app = TestApp::with_advisory_review().await;
    let document = app.get("/openapi.json").anonymous().send().await.json();
    let operation = |path: &str, method: &str| document["paths"][path][method].clone();
    let request_example =
        |operation: &Value| operation["requestBody"]["content"]["application/json"]["example"].clone();
    let response_example = |operation: &Value, status: &str| {
        operation["responses"][status]["content"]["application/json"]["example"].clone()
    };

    let create = operation("/v3/cloudcredentials", "post");
    let credential =
        app.post("/v3/cloudcredentials").json(&request_example(&create)).send().await.expect(201);
    assert_eq!(keys(&credential.json()), keys(&response_example(&create, "201")));

    let create = operation("/v3/clusters", "post");
    let mut body = request_example(&create);
    body["aksConfig"]["azureCredentialSecret"] = credential.json()["id"].clone();
    let cluster = app.post("/v3/clusters").json(&body).send().await.expect(201);
    assert_eq!(keys(&cluster.json()), keys(&response_example(&create, "201")));

    let update = operation("/v3/clusters/{id}", "put");
    let path = format!("/v3/clusters/{}", cluster.id());
    app.put(&path).json(&request_example(&update)).send().await.expect(200);

    for path in ["/v3", "/v3/clusters", "/v3/cloudcredentials", "/v3/schemas"] {
        let response = app.get(path).send().await;
        assert_eq!(keys(&response.json()), keys(&response_example(&operation(path, "get"), "200")), "{path}");
    }
}

#[tokio::test]
async fn cross_site_error_has_a_message_and_the_request_id() {
    let app = TestApp::with_advisory_review().await;
    let rejected = app.get("/meta/aksLocations").header("sec-fetch-site", "cross-site").send().await;
    assert_eq!(rejected.status, StatusCode::FORBIDDEN);
    let body = rejected.json();
    assert!(body["error"].as_str().unwrap().contains("other sites"), "{body}");
    assert_eq!(body["requestId"].as_str(), rejected.headers["x-request-id"].to_str().ok(), "{body}");
}
