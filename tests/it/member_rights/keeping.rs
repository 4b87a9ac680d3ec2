//! Maintenance of roles and bindings in clusters: bindings follow labels and settings, missing objects are recreated, and one
//! server watches each cluster.

use http::StatusCode;
use norman_aks::store::watches;
use serde_json::json;

use super::{CLOSED, Cluster, OPEN, RBAC, binding};
use crate::support::app::{NOW_MS, TestApp};
use crate::support::databases;

fn namespace_binding(namespace: &str) -> String {
    format!("{RBAC}/namespaces/{namespace}/rolebindings/norman-aks-namespace-edit")
}

pub(super) async fn check_labels_open_and_close(cluster: &Cluster) {
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

pub(super) async fn check_system_namespaces_stay_closed(cluster: &Cluster) {
    for name in ["kube-system", "kube-public"] {
        cluster.set_members_label(name, Some("edit")).await;
    }
    // When later label changes have taken effect, these labels have been processed too.
    check_labels_open_and_close(cluster).await;
    for name in ["kube-system", "kube-public"] {
        assert!(!cluster.member_can_edit(name).await, "{name}");
        cluster.set_members_label(name, None).await;
    }
}

pub(super) async fn check_deleted_objects_are_recreated(cluster: &Cluster) {
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
    let owner_binding = format!("{RBAC}/clusterrolebindings/norman-aks-cluster-owner");
    assert_eq!(cluster.call(&cluster.owner, "DELETE", &owner_binding, None).await.status, StatusCode::OK);
    // Without this binding, the owner has no rights in the cluster.
    cluster.wait_until_exists(&owner_binding, true).await;
}

#[tokio::test]
async fn bindings_follow_labels() {
    let cluster = Cluster::start().await;
    check_labels_open_and_close(&cluster).await;
    let events = cluster.access_events().await;
    assert!(events.contains(&format!("cluster members may edit in {CLOSED}")), "{events:?}");
    assert!(events.contains(&format!("cluster members may no longer edit in {CLOSED}")), "{events:?}");
}

#[tokio::test]
async fn system_namespaces_stay_closed_despite_labels() {
    check_system_namespaces_stay_closed(&Cluster::start().await).await;
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
    check_deleted_objects_are_recreated(&Cluster::start().await).await;
}

#[tokio::test]
async fn changed_roles_and_bindings_are_corrected() {
    let cluster = Cluster::start().await;
    let role_path = format!("{RBAC}/clusterroles/norman-aks-member");
    let other_rules = json!({"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]});
    assert_eq!(
        cluster.call(&cluster.owner, "PATCH", &role_path, Some(&other_rules)).await.status,
        StatusCode::OK
    );
    let secrets = json!({"verb": "get", "resource": "secrets", "namespace": CLOSED});
    cluster
        .wait_until("secrets are not readable", async || !cluster.is_allowed(&cluster.member, &secrets).await)
        .await;
    // The role of a binding is immutable, so the server must delete and recreate a binding with another role.
    let path = namespace_binding(OPEN);
    assert_eq!(cluster.call(&cluster.owner, "DELETE", &path, None).await.status, StatusCode::OK);
    let wrong_binding = binding("norman-aks-namespace-edit", "admin", &[]);
    let collection = format!("{RBAC}/namespaces/{OPEN}/rolebindings");
    let status = cluster.call(&cluster.owner, "POST", &collection, Some(&wrong_binding)).await.status;
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
    // On PostgreSQL, the server would wait until the lease expires. On SQLite, there is no other server, so it need not wait.
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
    // The lease does not expire: the second server can claim it only after the first has released it.
    let holder = first.app.server.secrets.replica().to_owned();
    assert_eq!(watches::renew(&db.store, &holder, i64::MAX / 2).await.unwrap(), [first.id.as_str()]);
    let Cluster { app, id, owner, member, reader } = first;
    let TestApp { server, .. } = app;
    server.stop().await;
    let cluster = Cluster { app: second, id, owner, member, reader };
    check_labels_open_and_close(&cluster).await;
}
