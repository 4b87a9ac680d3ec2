//! Bindings follow labels and settings, missing objects are restored, and one server watches each cluster.

use http::StatusCode;
use norman_aks::store::watches;
use serde_json::json;

use super::{CLOSED, Cluster, OPEN, RBAC, binding};
use crate::support::app::{NOW_MS, TestApp};
use crate::support::databases;

fn namespace_binding(namespace: &str) -> String {
    format!("{RBAC}/namespaces/{namespace}/rolebindings/norman-aks-namespace-edit")
}

pub(super) async fn labels_open_and_close(cluster: &Cluster) {
    cluster.set_members_label(CLOSED, Some("edit")).await;
    cluster.wait_until_member_can_edit(CLOSED).await;
    for value in [Some("view"), None] {
        cluster.set_members_label(CLOSED, value).await;
        cluster.wait_until_member_cannot_edit(CLOSED).await;
        cluster.set_members_label(CLOSED, Some("edit")).await;
        cluster.wait_until_member_can_edit(CLOSED).await;
    }
    cluster.set_members_label(CLOSED, None).await;
    cluster.wait_until_member_cannot_edit(CLOSED).await;
}

pub(super) async fn system_namespaces_stay_closed(cluster: &Cluster) {
    for name in ["kube-system", "kube-public"] {
        cluster.set_members_label(name, Some("edit")).await;
    }
    // Waits until later changes take effect: then these labels have been processed too.
    labels_open_and_close(cluster).await;
    for name in ["kube-system", "kube-public"] {
        assert!(!cluster.member_can_edit(name).await, "{name}");
        cluster.set_members_label(name, None).await;
    }
}

/// Objects that the owner may delete are created again.
pub(super) async fn removed_objects_come_back(cluster: &Cluster) {
    for path in [
        format!("{RBAC}/clusterroles/norman-aks-member"),
        format!("{RBAC}/clusterroles/norman-aks-namespace-edit"),
        format!("{RBAC}/clusterrolebindings/norman-aks-member"),
        format!("{RBAC}/clusterrolebindings/norman-aks-read-only"),
        namespace_binding(OPEN),
    ] {
        let deleted = cluster.call(&cluster.owner, "DELETE", &path, None).await;
        assert_eq!(deleted.status, StatusCode::OK, "{path}: {}", deleted.text());
        cluster.wait_until_exists(&path, true).await;
    }
    let owners = format!("{RBAC}/clusterrolebindings/norman-aks-cluster-owner");
    assert_eq!(cluster.call(&cluster.owner, "DELETE", &owners, None).await.status, StatusCode::OK);
    // Without this binding, the owner sees nothing.
    cluster.wait_until_exists(&owners, true).await;
}

#[tokio::test]
async fn bindings_follow_labels() {
    let cluster = Cluster::start().await;
    labels_open_and_close(&cluster).await;
    let events = cluster.access_events().await;
    assert!(events.contains(&format!("cluster members may edit in {CLOSED}")), "{events:?}");
    assert!(events.contains(&format!("cluster members may no longer edit in {CLOSED}")), "{events:?}");
}

#[tokio::test]
async fn system_namespaces_stay_closed_despite_labels() {
    system_namespaces_stay_closed(&Cluster::start().await).await;
}

#[tokio::test]
async fn changed_setting_closes_namespaces() {
    let cluster = Cluster::start().await;
    let set_system_namespaces = async |value: &str| {
        let response =
            cluster.app.put("/v3/settings/system-namespaces").json(&json!({"value": value})).send().await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.text());
    };
    set_system_namespaces(&format!("kube-system,{OPEN}")).await;
    cluster.wait_until_member_cannot_edit(OPEN).await;
    set_system_namespaces("").await;
    cluster.wait_until_member_can_edit(OPEN).await;
}

#[tokio::test]
async fn deleted_roles_and_bindings_are_recreated() {
    removed_objects_come_back(&Cluster::start().await).await;
}

#[tokio::test]
async fn changed_roles_and_bindings_are_corrected() {
    let cluster = Cluster::start().await;
    let role = format!("{RBAC}/clusterroles/norman-aks-member");
    let more = json!({"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]});
    assert_eq!(cluster.call(&cluster.owner, "PATCH", &role, Some(&more)).await.status, StatusCode::OK);
    let secrets = json!({"verb": "get", "resource": "secrets", "namespace": CLOSED});
    cluster
        .wait_until("secrets are not readable", async || !cluster.is_allowed(&cluster.member, &secrets).await)
        .await;
    // The role of a binding cannot be changed, so a new binding replaces it.
    let path = namespace_binding(OPEN);
    assert_eq!(cluster.call(&cluster.owner, "DELETE", &path, None).await.status, StatusCode::OK);
    let wrong = binding("norman-aks-namespace-edit", "admin", &[]);
    let list = format!("{RBAC}/namespaces/{OPEN}/rolebindings");
    let status = cluster.call(&cluster.owner, "POST", &list, Some(&wrong)).await.status;
    assert!([StatusCode::CREATED, StatusCode::CONFLICT].contains(&status), "{status}");
    cluster.wait_until_member_can_edit(OPEN).await;
    let binding = cluster.call(&cluster.owner, "GET", &path, None).await.json();
    assert_eq!(binding["roleRef"]["name"], "norman-aks-namespace-edit");
}

#[tokio::test]
async fn active_cluster_has_its_roles_before_the_watch() {
    let cluster = Cluster::create_in(TestApp::start().await).await;
    for (token, path, expected) in [
        (&cluster.owner, "/api/v1/secrets", 200),
        (&cluster.member, "/api/v1/nodes", 200),
        (&cluster.member, "/api/v1/pods", 403),
        (&cluster.reader, "/api/v1/pods", 200),
    ] {
        let response = cluster.call(token, "GET", path, None).await;
        assert_eq!(response.status.as_u16(), expected, "{path}: {}", response.text());
    }
}

#[tokio::test]
async fn watch_of_a_dead_server_is_taken_over() {
    let db = databases::sqlite().await;
    let cluster = Cluster::create_in(TestApp::builder().database(&db).start().await).await;
    let claimed = watches::claim(&db.store, "dead", NOW_MS, i64::MAX / 2, 10).await.unwrap();
    assert_eq!(claimed, [cluster.id.as_str()]);
    // A server on PostgreSQL would wait until the lease expires; a server on SQLite is the only one.
    cluster.app.server.keep_roles();
    cluster.create_objects().await;
    assert!(watches::renew(&db.store, "dead", NOW_MS).await.unwrap().is_empty());
}

#[tokio::test]
async fn second_server_takes_over_when_the_first_stops() {
    let Some(db) = databases::postgres().await else { return };
    let first = Cluster::create_in(TestApp::builder().database(&db).start().await).await;
    let second = TestApp::builder().database(&db).with_azure_of(&first.app).start().await;
    first.app.server.keep_roles();
    first.create_objects().await;
    second.server.keep_roles();
    let holder = first.app.server.secrets.replica().to_owned();
    assert_eq!(watches::renew(&db.store, &holder, i64::MAX / 2).await.unwrap(), [first.id.as_str()]);
    let Cluster { app, id, owner, member, reader } = first;
    let TestApp { server, .. } = app;
    server.stop().await;
    let cluster = Cluster { app: second, id, owner, member, reader };
    labels_open_and_close(&cluster).await;
}
