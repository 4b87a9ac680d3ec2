//! `DELETE /v3/clusters/<id>?force=true`: only the object is deleted, and the resources that remain in Azure are listed.

use std::time::Duration;

use azure_sandbox::Fault;
use http::StatusCode;
use norman_aks::store::audit::Filter;
use norman_aks::store::{self, Store, clusters, sqlite_url};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::norman::{NormanError, norman_error};
use crate::support::app::TestApp;
use crate::support::audit_row;
use crate::support::test_clusters;

fn path(id: &str) -> String {
    format!("/v3/clusters/{id}")
}

async fn open_database(app: &TestApp) -> Store {
    Store::connect(&sqlite_url(&app.data_dir.path().join("norman-aks.db")), &store::Options::default())
        .await
        .unwrap()
}

/// The events of a deleted cluster from the database, because the API no longer returns them.
async fn events(store: &Store, id: &str) -> Vec<(String, String, Value)> {
    let rows = store::cluster_events::list(store, id, "", 1_000).await.unwrap();
    rows.into_iter().map(|row| (row.kind, row.message, serde_json::from_str(&row.data).unwrap())).collect()
}

/// Requests to Azure that change something.
fn writes(app: &TestApp) -> Vec<String> {
    let writes =
        app.control.writes().into_iter().map(|request| format!("{} {}", request.method, request.path));
    writes.filter(|line| !line.contains("/listClusterAdminCredential")).collect()
}

#[tokio::test]
async fn force_delete_names_what_stays_in_azure() {
    let app = TestApp::start().await;
    let (id, credential) = test_clusters::create_active(&app, &app.admin, "shop").await;
    test_clusters::invalidate_credential(&app, &credential).await;
    app.control.clear_requests();

    // The deletion without `force` is retried, and its message names the remedy.
    assert_eq!(app.delete(&path(&id)).send().await.status, StatusCode::OK);
    app.settle().await;
    let stuck = app.get(&path(&id)).send().await.json();
    assert_eq!((&stuck["state"], &stuck["transitioning"]), (&json!("removing"), &json!("error")), "{stuck}");
    let message = stuck["transitioningMessage"].as_str().unwrap();
    assert!(message.contains("AADSTS"), "{message}");
    assert!(message.ends_with(&format!("DELETE /v3/clusters/{id}?force=true")), "{message}");

    let removed =
        app.delete(&format!("{}?force=true", path(&id))).header("x-request-id", "request-17").send().await;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.text());
    let removed = removed.json();
    assert_eq!((&removed["id"], &removed["state"]), (&json!(id), &json!("removing")));
    let left_behind = &removed["aksStatus"]["leftBehind"];
    let group = format!("/subscriptions/{}/resourceGroups/shops", app.seed.subscription_id);
    let ids: Vec<_> = left_behind["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|resource| (resource["kind"].as_str().unwrap(), resource["id"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(
        ids,
        [
            ("cluster", format!("{group}/providers/Microsoft.ContainerService/managedClusters/shop")),
            (
                "nodeResourceGroup",
                format!("/subscriptions/{}/resourceGroups/MC_shops_shop_eastus", app.seed.subscription_id)
            ),
            ("resourceGroup", group),
            ("clusterRoles", "app.kubernetes.io/managed-by=norman-aks".to_owned()),
        ]
    );
    let message = left_behind["message"].as_str().unwrap();
    assert!(ids.iter().all(|(_, id)| message.contains(id.as_str())), "{message}");
    assert_eq!(removed["transitioningMessage"], left_behind["message"]);

    // The object is deleted immediately, nothing was changed in Azure, and the worker no longer processes the cluster.
    assert_eq!(app.get(&path(&id)).send().await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.delete(&format!("{}?force=true", path(&id))).send().await.status, StatusCode::NOT_FOUND);
    app.settle().await;
    assert_eq!(writes(&app), [""; 0]);
    app.delete(&format!("/v3/cloudcredentials/{credential}")).send().await.expect(200);

    let store = open_database(&app).await;
    let (kind, event_message, data) = events(&store, &id).await.pop().unwrap();
    assert_eq!(
        (kind.as_str(), event_message.as_str(), &data["leftBehind"]),
        ("removed", message, left_behind)
    );
    app.server.stop().await;
    let filter = Filter {
        action: Some("delete".to_owned()),
        object_type: Some("cluster".to_owned()),
        ..Filter::default()
    };
    let rows = store::audit::list(&store, 10, &filter).await.unwrap();
    let rows: Vec<_> = rows.iter().rev().map(|row| (row.outcome.as_str(), row.detail.as_str())).collect();
    assert_eq!(rows, [("done", ""), ("done", message), ("refused", "")]);
}

#[tokio::test]
async fn missing_credential_message_names_force_delete() {
    let app = TestApp::start().await;
    let (id, _) = test_clusters::create_active(&app, &app.admin, "shop").await;
    let store = open_database(&app).await;
    let mut row = clusters::get(&store, &id).await.unwrap().unwrap();
    row.credential_id = None;
    clusters::update(&store, &row, None, None, &audit_row()).await.unwrap();
    app.delete(&path(&id)).send().await;
    app.settle().await;
    let stuck = app.get(&path(&id)).send().await.json();
    let message = stuck["transitioningMessage"].as_str().unwrap();
    assert!(message.contains("set aksConfig.azureCredentialSecret"), "{message}");
    assert!(message.ends_with("?force=true"), "{message}");
    let removed = app.delete(&format!("{}?force=true", path(&id))).send().await.json();
    // The subscription ID was stored with the cluster, so it is known without a credential.
    let cluster = removed["aksStatus"]["leftBehind"]["resources"][0]["id"].as_str().unwrap();
    assert!(cluster.starts_with(&format!("/subscriptions/{}/", app.seed.subscription_id)), "{cluster}");
}

#[tokio::test]
async fn only_owners_and_administrators_may_force_delete() {
    let app = TestApp::start().await;
    let ann = app.token("ann").await;
    let id = test_clusters::import(&app, &ann, "one").await;
    let force_path = format!("{}?force=true", path(&id));
    for (name, role) in [("cid", "cluster-member"), ("dan", "read-only")] {
        let rejected = app
            .delete(&force_path)
            .token(&test_clusters::add_member(&app, &id, name, role).await)
            .send()
            .await;
        assert_eq!(
            (rejected.status.as_u16(), norman_error(&rejected).code.as_str()),
            (403, "PermissionDenied")
        );
    }
    let eve = app.token("eve").await;
    assert_eq!(app.delete(&force_path).token(&eve).send().await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.delete(&force_path).anonymous().send().await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.get(&path(&id)).token(&ann).send().await.json()["state"], "provisioning");
    let ben = test_clusters::add_member(&app, &id, "ben", "cluster-owner").await;
    let removed = app.delete(&force_path).token(&ben).send().await.expect(200);
    let resources = removed.json()["aksStatus"]["leftBehind"]["resources"].clone();
    assert_eq!((resources.as_array().unwrap().len(), &resources[0]["kind"]), (1, &json!("cluster")));
    assert_eq!(app.get(&path(&id)).token(&ann).send().await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn force_accepts_only_booleans() {
    let (app, credential) = TestApp::builder().start_with_credential().await;
    let id = test_clusters::create(&app, &app.admin, &test_clusters::body("shop", &credential)).await;
    for value in ["1", "yes", "TRUE", "", "true%20"] {
        let rejected = app.delete(&format!("{}?force={value}", path(&id))).send().await;
        let NormanError { code, field, .. } = norman_error(&rejected);
        assert_eq!(
            (rejected.status.as_u16(), code.as_str(), field.as_str()),
            (422, "InvalidOption", "force"),
            "{value}"
        );
    }
    assert_eq!(app.get(&path(&id)).send().await.json()["state"], "provisioning");
    let plain = app.delete(&format!("{}?force=false", path(&id))).send().await.json();
    assert_eq!((&plain["state"], &plain["aksStatus"]["leftBehind"]), (&json!("removing"), &Value::Null));
    assert_eq!(app.get(&path(&id)).send().await.status, StatusCode::OK, "the worker has not processed it");
    // Clients that can only send POST use `_method`.
    let removed = app.post(&format!("{}?_method=DELETE&force=true", path(&id))).send().await.json();
    assert_eq!(removed["aksStatus"]["leftBehind"]["resources"], json!([]), "{removed}");
    assert_eq!(app.get(&path(&id)).send().await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn force_delete_during_a_step_is_final() {
    let (app, credential) = TestApp::builder().start_with_credential().await;
    let store = open_database(&app).await;
    let stop = CancellationToken::new();
    for (method, path_part) in [("GET", "/managedClusters/shop"), ("PUT", "/resourcegroups/shops")] {
        // The object is created before the fault is added, because its review sends requests too.
        let id = test_clusters::create(&app, &app.admin, &test_clusters::body("shop", &credential)).await;
        app.control.clear_requests();
        app.control.add_fault(Fault {
            method: Some(method.to_owned()),
            path: Some(path_part.to_owned()),
            latency_ms: 60_000,
            ..Fault::default()
        });
        let is_step_running = || {
            let requests = app.control.requests().into_iter();
            requests
                .filter(|request| request.method == method)
                .any(|request| request.path.to_lowercase().contains(&path_part.to_lowercase()))
        };
        let run_worker = async {
            for _ in 0..20 {
                app.server.worker.run_due(&stop).await.unwrap();
                app.clock.advance(Duration::from_secs(2));
            }
        };
        let force_delete = async {
            while !is_step_running() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let removed = app.delete(&format!("{}?force=true", path(&id))).send().await;
            let writes_at_deletion = writes(&app);
            // Ends the delay, so that the step continues after the deletion.
            app.control.clear_faults();
            (removed, writes_at_deletion)
        };
        let ((), (removed, writes_at_deletion)) = tokio::join!(run_worker, force_delete);
        assert_eq!(removed.status, StatusCode::OK, "{}", removed.text());
        assert_eq!(app.get(&path(&id)).send().await.status, StatusCode::NOT_FOUND);
        assert_eq!(app.server.worker.run_due(&stop).await.unwrap(), 0);
        let events = events(&store, &id).await;
        assert_eq!(events.last().unwrap().0, "removed", "{events:?}");
        assert_eq!(events.iter().filter(|(kind, ..)| kind == "removed").count(), 1);
        assert_eq!(writes(&app), writes_at_deletion, "no more requests are sent to Azure");
    }
}
