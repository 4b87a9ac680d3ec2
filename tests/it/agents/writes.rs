//! Every write into a private cluster over its whole life: only the bindings of users grant rights, and no credential of the
//! server is stored in a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use azure_sandbox::RecordedRequest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{ClusterAdmin, PrivateCluster, TEST_TIMEOUT};
use crate::support::test_clusters;

/// The only cluster roles that the server may create.
const ROLES: [&str; 2] = ["norman-aks-member", "norman-aks-namespace-edit"];

/// Values that must never be in a cluster, with their names.
fn canaries(cluster: &PrivateCluster, admin: &ClusterAdmin) -> Vec<(&'static str, String)> {
    let user = |key: &str| admin.user[key].as_str().unwrap().to_owned();
    let key = user("client-key-data");
    let pem = String::from_utf8(BASE64_STANDARD.decode(&key).unwrap()).unwrap();
    let key_line = pem.lines().nth(1).unwrap().to_owned();
    let secret = cluster.app.seed.client_secret;
    vec![
        ("the client secret", secret.to_owned()),
        ("the client secret", BASE64_STANDARD.encode(secret)),
        ("the administrator's token", user("token")),
        ("the administrator's key", key),
        ("the administrator's key", key_line),
        ("the administrator's certificate", user("client-certificate-data")),
    ]
}

/// Whether all subjects of a binding are users, or groups that exist only in requests of this server.
fn binds_users(binding: &Value) -> bool {
    let is_user = |subject: &Value| match subject["kind"].as_str() {
        Some("User") => true,
        Some("Group") => subject["name"].as_str().unwrap().starts_with("norman-aks:"),
        _ => false,
    };
    binding["subjects"].as_array().is_some_and(|subjects| subjects.iter().all(is_user))
}

/// The reason why an object must not be in a cluster; `None` if it is allowed.
fn violation(kind: &str, name: &str, object: &Value) -> Option<&'static str> {
    let is_allowed = match kind {
        "roles" => return Some("grants rights"),
        "clusterroles" => ROLES.contains(&name),
        "clusterrolebindings" | "rolebindings" => name.starts_with("norman-aks-") && binds_users(object),
        "serviceaccounts" => object["automountServiceAccountToken"] == false,
        "secrets" => {
            let keys: BTreeSet<_> = object["data"].as_object().unwrap().keys().map(String::as_str).collect();
            name.starts_with("cattle-credentials-") && keys == BTreeSet::from(["namespace", "token", "url"])
        }
        _ => true,
    };
    (!is_allowed).then_some("is not allowed")
}

/// A write as `METHOD path`, with `*` for suffixes that differ between runs.
fn method_and_path(write: &RecordedRequest) -> String {
    let prefixes = ["cattle-credentials-", "norman-aks-agent-"];
    let path = write.path.split('/').map(|part| {
        let prefix = prefixes.iter().find(|prefix| part.starts_with(**prefix));
        prefix.map_or(part.to_owned(), |prefix| format!("{prefix}*"))
    });
    format!("{} {}", write.method, path.collect::<Vec<_>>().join("/"))
}

/// Checks every recorded write; returns them without duplicates.
fn check_writes(cluster: &PrivateCluster, canaries: &[(&str, String)]) -> BTreeSet<String> {
    let requests = cluster.app.control.kubernetes_requests();
    let writes: Vec<_> = requests.iter().filter(|request| request.method != "GET").collect();
    assert!(requests.len() < 10_000, "the record is complete");
    for write in &writes {
        let body = write.body.as_deref().unwrap_or_default();
        for (what, canary) in canaries {
            assert!(!body.contains(canary), "{what} is in {} {}", write.method, write.path);
        }
        if write.method == "DELETE" || write.path.contains("/authorization.k8s.io/") {
            continue;
        }
        let object: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {write:#?}"));
        let mut segments = write.path.rsplit('/');
        let last = segments.next().unwrap();
        // The path of a POST ends with the kind.
        let (kind, name) = match object["metadata"]["name"].as_str() {
            Some(name) if name != last => (last, name),
            _ => (segments.next().unwrap(), last),
        };
        assert_eq!(violation(kind, name, &object), None, "{write:#?}");
    }
    writes.into_iter().map(method_and_path).collect()
}

/// Checks that the new objects in a cluster are allowed there.
async fn check_objects(admin: &ClusterAdmin, before: &BTreeMap<String, Value>, canaries: &[(&str, String)]) {
    let mut objects = admin.objects().await;
    objects.retain(|path, _| !before.contains_key(path));
    let service_account_prefix = "cattle-system/serviceaccounts/norman-aks-agent-";
    assert!(objects.keys().any(|path| path.starts_with(service_account_prefix)), "{:?}", objects.keys());
    for (path, object) in &objects {
        let mut segments = path.rsplit('/');
        let (name, kind) = (segments.next().unwrap(), segments.next().unwrap());
        // Created by Kubernetes in every namespace.
        if ["default", "kube-root-ca.crt"].contains(&name) {
            continue;
        }
        assert_eq!(violation(kind, name, object), None, "{path}: {object:#}");
        for (what, canary) in canaries {
            assert!(!object.to_string().contains(canary), "{what} is in {path}");
        }
    }
}

/// Runs a cluster from the deployment of its agent to its deletion; returns the writes into it.
async fn run_lifecycle(cluster: &PrivateCluster) -> BTreeSet<String> {
    cluster.wait_for_message("there is no image for the agent").await;
    let admin = ClusterAdmin::new(cluster).await;
    let (before, canaries) = (admin.objects().await, canaries(cluster, &admin));
    cluster.app.control.clear_kubernetes_requests();
    cluster.app.put_setting("agent-image", super::IMAGE).await;
    cluster.wait_until_active().await;
    // Users are added and removed, and an owner opens a namespace.
    cluster.app.server.keep_roles();
    for (user, role) in [("ann", "cluster-owner"), ("ben", "cluster-member"), ("eve", "read-only")] {
        test_clusters::add_member(&cluster.app, &cluster.id, user, role).await;
    }
    admin
        .create(
            "/api/v1/namespaces",
            &json!({"metadata": {"name": "open", "labels": {"norman-aks.io/members": "edit"}}}),
        )
        .await;
    admin.wait_until_exists("open/rolebindings/norman-aks-namespace-edit").await;
    // The agent is replaced.
    cluster.app.put_setting("agent-image", "registry.example/norman-aks:2").await;
    let started = Instant::now();
    while cluster.event_messages("agentManifestApplied").await.len() < 2 {
        assert!(started.elapsed() < TEST_TIMEOUT, "{:#?}", cluster.events().await);
        cluster.app.advance(Duration::from_mins(1)).await;
        sleep(Duration::from_millis(20)).await;
    }
    let applied = cluster.event_messages("agentManifestApplied").await;
    assert!(applied[1].starts_with("replaced the cluster agent by the Kubernetes API"), "{applied:?}");
    check_objects(&admin, &before, &canaries).await;
    cluster.app.delete(&cluster.path()).send().await.expect(200);
    cluster.wait_until_deleted().await;
    check_writes(cluster, &canaries)
}

/// The writes into every private cluster.
const WRITES: [&str; 13] = [
    "PATCH /api/v1/namespaces/cattle-system",
    "PATCH /api/v1/namespaces/cattle-system/secrets/cattle-credentials-*",
    "PATCH /api/v1/namespaces/cattle-system/serviceaccounts/norman-aks-agent-*",
    "PATCH /apis/apps/v1/namespaces/cattle-system/deployments/cattle-cluster-agent",
    "PATCH /apis/networking.k8s.io/v1/namespaces/cattle-system/networkpolicies/norman-aks-agent-*",
    "PATCH /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/norman-aks-cluster-owner",
    "PATCH /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/norman-aks-member",
    "PATCH /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/norman-aks-read-only",
    "PATCH /apis/rbac.authorization.k8s.io/v1/clusterroles/norman-aks-member",
    "PATCH /apis/rbac.authorization.k8s.io/v1/clusterroles/norman-aks-namespace-edit",
    "PATCH /apis/rbac.authorization.k8s.io/v1/namespaces/open/rolebindings/norman-aks-namespace-edit",
    // Sent by the test.
    "POST /api/v1/namespaces",
    // Creates no object.
    "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
];

/// The deletions in an imported cluster when it is removed. A created cluster needs none: Azure deletes it with all of its
/// objects.
const REMOVALS: [&str; 10] = [
    "DELETE /api/v1/namespaces/cattle-system/secrets/cattle-credentials-*",
    "DELETE /api/v1/namespaces/cattle-system/serviceaccounts/norman-aks-agent-*",
    "DELETE /apis/apps/v1/namespaces/cattle-system/deployments/cattle-cluster-agent",
    "DELETE /apis/networking.k8s.io/v1/namespaces/cattle-system/networkpolicies/norman-aks-agent-*",
    "DELETE /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/norman-aks-cluster-owner",
    "DELETE /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/norman-aks-member",
    "DELETE /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/norman-aks-read-only",
    "DELETE /apis/rbac.authorization.k8s.io/v1/clusterroles/norman-aks-member",
    "DELETE /apis/rbac.authorization.k8s.io/v1/clusterroles/norman-aks-namespace-edit",
    "DELETE /apis/rbac.authorization.k8s.io/v1/namespaces/open/rolebindings/norman-aks-namespace-edit",
];

#[tokio::test]
async fn writes_into_a_private_cluster_grant_only_users_rights() {
    let cluster = PrivateCluster::start("ready", "", |_| ()).await;
    assert_eq!(run_lifecycle(&cluster).await, BTreeSet::from(WRITES.map(str::to_owned)));
}

#[tokio::test]
async fn writes_into_an_import_grant_only_users_rights() {
    let cluster = PrivateCluster::start("ready", "", super::make_import).await;
    let writes = WRITES.into_iter().chain(REMOVALS).map(str::to_owned).collect();
    assert_eq!(run_lifecycle(&cluster).await, writes);
}
