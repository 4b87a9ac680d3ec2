//! `aksUpgrades`: access to the cluster, its version and its region.

use serde_json::{Value, json};

use super::hint;
use crate::support::app::TestApp;
use crate::support::test_clusters;

async fn create_cluster(app: &TestApp, token: &str, config: Value) -> String {
    let credential = app.store_credential(token).await;
    let mut body = test_clusters::absent_body("c", &credential);
    body["aksConfig"].as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    test_clusters::create(app, token, &body).await
}

#[tokio::test]
async fn upgrades_follow_the_running_version() {
    let app = TestApp::with_advisory_review().await;
    let id =
        create_cluster(&app, &app.admin, json!({"kubernetesVersion": app.seed.kubernetes_version})).await;
    let response =
        app.post("/meta/aksUpgrades").json(&app.credential(&json!({"clusterId": id}))).send().await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.text().starts_with(&format!(
        "{{\"currentVersion\":\"{}\",\"upgrades\":[{{\"version\":",
        app.seed.kubernetes_version
    )));
    let json = response.json();
    let target = json["upgrades"]
        .as_array()
        .unwrap()
        .iter()
        .find(|upgrade| upgrade["version"] == app.seed.kubernetes_version_2);
    assert_eq!(target.unwrap()["enabled"], true, "{json}");
}

#[tokio::test]
async fn unknown_or_foreign_cluster_is_an_invalid_id() {
    let app = TestApp::with_advisory_review().await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let anns_cluster = create_cluster(&app, &ann, json!({"kubernetesVersion": "1.31.1"})).await;
    for id in ["", "c-nnnnn", anns_cluster.as_str()] {
        let body = app.credential(&json!({"clusterId": id, "region": "eastus"}));
        let response = app.post("/meta/aksUpgrades").token(&bob).json(&body).send().await;
        assert_eq!(
            (response.status.as_u16(), response.error()),
            (400, "invalid cluster id".to_owned()),
            "{id}"
        );
        assert!(hint(&response).contains("/v3/clusters"), "{}", response.text());
    }
}

#[tokio::test]
async fn cluster_without_known_version_is_an_error() {
    let app = TestApp::with_advisory_review().await;
    let id = create_cluster(&app, &app.admin, json!({})).await;
    let response =
        app.post("/meta/aksUpgrades").json(&app.credential(&json!({"clusterId": id}))).send().await;
    assert_eq!(response.error(), "kubernetes version of the cluster cannot be determined");
}

#[tokio::test]
async fn requested_region_overrides_the_clusters_region() {
    let app = TestApp::with_advisory_review().await;
    let id = create_cluster(&app, &app.admin, json!({"kubernetesVersion": "1.31.1"})).await;
    app.take_azure_requests();
    for (parameters, expected) in [
        (json!({"clusterId": id}), "eastus"),
        (json!({"clusterId": id, "region": "West Europe"}), "westeurope"),
    ] {
        app.post("/meta/aksUpgrades").json(&app.credential(&parameters)).send().await;
        let listing = app
            .take_azure_requests()
            .into_iter()
            .find(|request| request.contains("kubernetesVersions"))
            .unwrap();
        assert!(listing.contains(&format!("/locations/{expected}/")), "{listing}");
    }
}
