//! The catalog alongside Rancher, under a host name of its own.

use http::StatusCode;

use super::app::BesideApp;
use super::rancher::Fault;
use super::rancher_state::{CREDENTIAL, OTHER, OWNER, RancherState, UNAUTHORIZED};

const SIZES_PATH: &str = "/api/v1/vm-sizes?region=eastus&q=d2s&cloudCredentialId=cattle-global-data:cc-aaaaa";

/// A server with the catalog at a host. The tests send requests to `norman.test`.
async fn app_with_catalog_at(host: &str) -> BesideApp {
    let state = RancherState::new();
    BesideApp::builder(state.serve().await).setting("NORMAN_AKS_CATALOG_HOST", host).start().await
}

#[tokio::test]
async fn catalog_is_served_at_its_host_as_rancher_decides() {
    let app = app_with_catalog_at("norman.test").await;
    let response = app.get(SIZES_PATH, OWNER).send().await.expect(200);
    assert_eq!(response.header("x-api-cattle-auth"), "true");
    assert!(!response.json()["data"].as_array().unwrap().is_empty());
    let denied = app.get(SIZES_PATH, OTHER).send().await;
    assert_eq!((denied.status, denied.header("x-api-cattle-auth")), (StatusCode::NOT_FOUND, "true"));
    let unknown = app.get(SIZES_PATH, "token-none:unknown").send().await;
    assert_eq!((unknown.status, unknown.text().as_str()), (StatusCode::UNAUTHORIZED, UNAUTHORIZED));
    assert_eq!(unknown.header("x-api-cattle-auth"), "false");
    // The actions are still served.
    assert_eq!(app.get_versions(CREDENTIAL, OWNER).send().await.status, StatusCode::OK);
    // Paths that need a database are not.
    assert_eq!(app.get("/api/v1/audit", OWNER).send().await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn catalog_accepts_only_bearer_tokens() {
    let app = app_with_catalog_at("norman.test").await;
    let cookie = format!("R_SESS={OWNER}");
    app.get(SIZES_PATH, OWNER).anonymous().header("cookie", &cookie).send().await.expect(401);
    assert_eq!(app.rancher.requests().len(), 0);
    app.post(SIZES_PATH, OWNER).send().await.expect(405);
}

#[tokio::test]
async fn other_hosts_have_no_catalog() {
    for app in
        [app_with_catalog_at("catalog.example.org").await, BesideApp::with_state(&RancherState::new()).await]
    {
        let response = app.get(SIZES_PATH, OWNER).send().await.expect(404);
        assert!(
            response.json()["error"].as_str().unwrap().contains("serves only the actions"),
            "{}",
            response.text()
        );
        assert_eq!(app.rancher.requests().len(), 0);
    }
}

#[tokio::test]
async fn unavailable_rancher_is_reported() {
    let app = app_with_catalog_at("norman.test").await;
    app.rancher.set_fault(Fault::Cut);
    let response = app.get(SIZES_PATH, OWNER).send().await;
    assert_eq!((response.status, response.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "2"));
    assert_eq!(response.header("x-api-cattle-auth"), "");
}
