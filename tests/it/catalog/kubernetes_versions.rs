//! `GET /api/v1/kubernetes-versions`.

use http::StatusCode;
use serde_json::{Value, json};

use super::test_catalog::TestCatalog;
use crate::support::app::TestApp;

fn names(list: &[Value]) -> Vec<&str> {
    list.iter().map(|minor| minor["version"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn versions_are_listed_with_patches_plans_and_upgrades() {
    let catalog = TestCatalog::start().await;
    let list = catalog.list("kubernetes-versions", "").await;
    assert_eq!(names(&list), ["1.29", "1.30", "1.31", "1.32", "1.33", "1.34", "1.35"]);
    let versions_with_flag = |key: &str| {
        names(&list.iter().filter(|minor| minor[key] == true).cloned().collect::<Vec<_>>()).join(" ")
    };
    assert_eq!(versions_with_flag("isPreview"), "1.35");
    assert_eq!(versions_with_flag("isDefault"), "1.33");
    assert_eq!(versions_with_flag("needsLongTermSupport"), "1.29 1.30 1.31");
    let minor = &list[5];
    assert_eq!(minor["supportPlans"], json!(["AKSLongTermSupport", "KubernetesOfficial"]));
    assert_eq!(
        minor["patches"][2],
        json!({"version": "1.34.2", "upgrades": ["1.34.3", "1.35.0", "1.35.1"]}),
        "{minor}"
    );
}

#[tokio::test]
async fn versions_are_filtered_and_paged() {
    let catalog = TestCatalog::start().await;
    for (query, expected) in [
        ("preview=true", &["1.35"][..]),
        ("preview=false&supportPlan=kubernetesofficial", &["1.32", "1.33", "1.34"]),
        ("supportPlan=AKSLongTermSupport", &["1.29", "1.30", "1.31", "1.32", "1.33", "1.34"]),
        ("marker=1.33", &["1.34", "1.35"]),
    ] {
        assert_eq!(names(&catalog.list("kubernetes-versions", query).await), expected, "{query}");
    }
    let page = catalog.get("kubernetes-versions", "limit=2").await.json();
    let data = page["data"].as_array().unwrap();
    assert_eq!(names(data), ["1.29", "1.30"]);
    assert!(page["next"].as_str().unwrap().ends_with("&limit=2&marker=1.30"), "{page}");
}

#[tokio::test]
async fn invalid_requests_name_the_parameter() {
    let catalog = TestCatalog::start().await;
    for (query, field) in [
        ("preview=maybe", "preview"),
        ("supportPlan=Gold", "supportPlan"),
        ("minVcpus=1", "minVcpus"),
        ("marker=1.99", "marker"),
    ] {
        let response = catalog.get("kubernetes-versions", query).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {}", response.text());
        assert_eq!(response.json()["fieldName"], field, "{query}");
    }
}

#[tokio::test]
async fn list_is_served_from_the_cache_of_aks_versions() {
    let catalog = TestCatalog::start().await;
    let path = format!("/meta/aksVersions?cloudCredentialId={}&region=eastus", catalog.credential);
    assert_eq!(catalog.app.get(&path).send().await.status, StatusCode::OK);
    catalog.app.control.clear_requests();
    let response = catalog.get("kubernetes-versions", "").await;
    assert_eq!(response.header("x-norman-aks-cache"), "hit");
    assert_eq!(catalog.app.take_azure_requests(), [""; 0]);
}

#[tokio::test]
async fn other_users_credential_is_not_found() {
    let app = TestApp::start().await;
    let credential = app.store_credential(&app.token("ann").await).await;
    let path = format!("/api/v1/kubernetes-versions?cloudCredentialId={credential}&region=eastus");
    app.get(&path).token(&app.token("bob").await).send().await.expect(404);
}
