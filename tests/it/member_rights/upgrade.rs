//! The migration from the rights of earlier versions: former rights are removed first, and an event names the users who lose
//! rights.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::json;

use super::{Cluster, RBAC, binding};
use crate::support::app::TestApp;

const FORMER_BINDING: &str = "norman-aks-cluster-member";

/// A cluster with the roles and bindings of an earlier version: members can edit everywhere.
async fn cluster_of_earlier_version() -> Cluster {
    let cluster = Cluster::create_in(TestApp::start().await).await;
    let bindings_path = format!("{RBAC}/clusterrolebindings");
    let group = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "norman-aks:cluster-member"});
    cluster.create(&bindings_path, &binding(FORMER_BINDING, "edit", &[group])).await;
    for path in [
        format!("{bindings_path}/norman-aks-member"),
        format!("{RBAC}/clusterroles/norman-aks-member"),
        format!("{RBAC}/clusterroles/norman-aks-namespace-edit"),
    ] {
        let deleted = cluster.call(&cluster.owner, "DELETE", &path, None).await;
        assert_eq!(deleted.status, StatusCode::OK, "{path}: {}", deleted.text());
    }
    cluster.call(&cluster.member, "GET", "/api/v1/secrets", None).await.expect(200);
    cluster
}

#[tokio::test]
async fn former_rights_are_removed_before_new_ones_are_created() {
    let cluster = cluster_of_earlier_version().await;
    cluster.app.control.clear_kubernetes_requests();
    cluster.app.server.keep_roles();
    cluster.wait_until_exists(&format!("{RBAC}/clusterrolebindings/{FORMER_BINDING}"), false).await;
    cluster.wait_until_exists(&format!("{RBAC}/clusterrolebindings/norman-aks-member"), true).await;
    let writes: Vec<String> = cluster
        .app
        .control
        .kubernetes_requests()
        .into_iter()
        .filter(|request| request.path.starts_with(RBAC) && !["GET", "HEAD"].contains(&&*request.method))
        .map(|request| format!("{} {}", request.method, request.path.trim_start_matches(RBAC)))
        .collect();
    assert_eq!(
        writes,
        [
            "DELETE /clusterrolebindings/norman-aks-cluster-member",
            "PATCH /clusterroles/norman-aks-member",
            "PATCH /clusterroles/norman-aks-namespace-edit",
            "PATCH /clusterrolebindings/norman-aks-member",
        ]
    );
    cluster.call(&cluster.member, "GET", "/api/v1/secrets", None).await.expect(403);
}

#[tokio::test]
async fn event_names_members_and_lost_rights_once() {
    let cluster = cluster_of_earlier_version().await;
    cluster.app.server.keep_roles();
    let ben_id = cluster.app.user_id(&cluster.member).await;
    let event = cluster.wait_for_event("no longer read or change objects in namespaces").await;
    assert!(event.contains(&format!("ben ({ben_id})")) && event.contains("Secrets included"), "{event}");
    assert!(!event.contains("eve") && !event.contains("ann"), "only members lose rights: {event}");
    // During a rollout, an older server creates the binding again; it is removed again, without a second event.
    let group = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "norman-aks:cluster-member"});
    cluster.create(&format!("{RBAC}/clusterrolebindings"), &binding(FORMER_BINDING, "edit", &[group])).await;
    cluster.wait_until_exists(&format!("{RBAC}/clusterrolebindings/{FORMER_BINDING}"), false).await;
    let events = cluster.access_events().await;
    assert_eq!(events.iter().collect::<BTreeSet<_>>().len(), events.len(), "{events:?}");
}
