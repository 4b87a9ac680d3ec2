//! Features of Rancher that this server does not have: clients get an error at once, or an empty list.

use http::StatusCode;
use serde_json::json;

use crate::norman::norman_error;
use crate::support::app::TestApp;

#[tokio::test]
async fn steve_is_not_implemented() {
    let app = TestApp::start().await;
    for path in ["/v1", "/v1/", "/v1/schemas", "/v1/provisioning.cattle.io.clusters/fleet-default/x"] {
        for response in [app.get(path).send().await, app.post(path).json(&json!({})).send().await] {
            assert_eq!(response.status, StatusCode::NOT_IMPLEMENTED, "{path}: {}", response.text());
            assert!(norman_error(&response).message.contains("/v3"), "{path}");
        }
        assert_eq!(app.get(path).anonymous().send().await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in ["/v1", "/v1/", "/v1/schemas?a=b", "/v1/catalog.cattle.io.clusterrepos"] {
        let path = format!("/k8s/clusters/c-none1{path}");
        let response = app.get(&path).send().await;
        assert_eq!(
            (response.status, response.json()["kind"].as_str()),
            (StatusCode::NOT_IMPLEMENTED, Some("Status"))
        );
        assert!(response.json()["message"].as_str().unwrap().contains("not supported"), "{path}");
        assert_eq!(app.get(&path).anonymous().send().await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    app.get("/k8s/clusters/c-none1/v1beta1").send().await.expect(404);
}

#[tokio::test]
async fn password_login_names_the_reason_in_its_code() {
    let app = TestApp::start().await;
    for path in ["/v1-public/login", "/v3-public/localProviders/local?action=login"] {
        let login = json!({"username": "admin", "password": "secret"});
        let response = app.post(path).anonymous().json(&login).send().await;
        assert_eq!(response.status, StatusCode::NOT_IMPLEMENTED, "{path}");
        assert_eq!(norman_error(&response).code, "PasswordLoginNotSupported", "{path}");
    }
}

#[tokio::test]
async fn types_without_objects_are_listed_empty() {
    let app = TestApp::start().await;
    let schemas = app.get("/v3/schemas").send().await.json();
    for (schema_id, path) in [("rkeK8sSystemImage", "/v3/rkek8ssystemimages"), ("feature", "/v3/features")] {
        let schema =
            schemas["data"].as_array().unwrap().iter().find(|schema| schema["id"] == schema_id).unwrap();
        assert_eq!(schema["collectionMethods"], json!(["GET"]), "{schema_id}");
        assert_eq!(schema["links"]["collection"], format!("http://norman.test{path}"), "{schema_id}");
        let list = app.get(path).send().await;
        assert_eq!((list.status, &list.json()["data"]), (StatusCode::OK, &json!([])), "{}", list.text());
    }
    // Terraform removes missing objects from its state.
    let feature = app.get("/v3/features/multi-cluster-management").send().await;
    assert_eq!((feature.status, norman_error(&feature).code), (StatusCode::NOT_FOUND, "NotFound".to_owned()));
    assert!(norman_error(&feature).message.contains("no feature flags"), "{}", feature.text());
}
