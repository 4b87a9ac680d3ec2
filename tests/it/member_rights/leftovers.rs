//! When users lose rights in a cluster, bindings inside the cluster no longer name them, even after interruptions.

use azure_sandbox::{Effect, ErrorResponse, Fault};
use http::StatusCode;
use norman_aks::store::revocations;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{Cluster, OPEN, RBAC, binding, user};
use crate::support::app::TestApp;
use crate::support::fault;
use crate::support::{databases, test_clusters};

const BINDINGS: &str = "/v3/clusterroletemplatebindings";

/// A second owner, who granted rights to itself inside the cluster.
struct Insider {
    token: String,
    user: String,
}

impl Insider {
    async fn create_in(cluster: &Cluster) -> Self {
        let token = test_clusters::add_member(&cluster.app, &cluster.id, "carl", "cluster-owner").await;
        let insider = Self { user: cluster.app.user_id(&token).await, token };
        let robot = json!({"kind": "ServiceAccount", "name": "robot", "namespace": OPEN});
        let same_named_group =
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": insider.user});
        let own_subject = user(&insider.user);
        let role_bindings = format!("{RBAC}/namespaces/{OPEN}/rolebindings");
        for (path, object) in [
            (
                format!("{RBAC}/clusterrolebindings"),
                binding("alone", "cluster-admin", std::slice::from_ref(&own_subject)),
            ),
            (
                format!("{RBAC}/clusterrolebindings"),
                binding("others", "view", &[same_named_group.clone(), user("user-other")]),
            ),
            (role_bindings.clone(), binding("alone", "admin", std::slice::from_ref(&own_subject))),
            (role_bindings, binding("shared", "edit", &[own_subject, robot, same_named_group])),
        ] {
            cluster.call(&insider.token, "POST", &path, Some(&object)).await.expect(201);
        }
        insider
    }

    /// The path of the insider's membership.
    async fn membership_path(&self, cluster: &Cluster) -> String {
        let response = cluster.app.get(BINDINGS).send().await.json();
        let members = response["data"].as_array().unwrap();
        let membership = members.iter().find(|member| member["userId"] == *self.user).unwrap();
        format!("{BINDINGS}/{}", membership["id"].as_str().unwrap())
    }

    async fn demote(&self, cluster: &Cluster, role: &str) {
        let path = self.membership_path(cluster).await;
        cluster.app.put(&path).json(&json!({"roleTemplateId": role})).send().await.expect(200);
    }

    async fn remove(&self, cluster: &Cluster) {
        let response = cluster.app.delete(&self.membership_path(cluster).await).send().await;
        assert!(response.status.is_success(), "{}", response.text());
    }
}

fn subject_names(binding: &Value) -> Vec<String> {
    let subjects = binding["subjects"].as_array().cloned().unwrap_or_default();
    let name = |subject: &Value| format!("{} {}", subject["kind"], subject["name"]).replace('"', "");
    subjects.iter().map(name).collect()
}

/// Checks that the bindings no longer name the insider, and still name all other subjects.
async fn assert_rights_deleted(cluster: &Cluster, insider: &Insider) {
    let role_bindings = format!("{RBAC}/namespaces/{OPEN}/rolebindings");
    cluster.wait_until_exists(&format!("{RBAC}/clusterrolebindings/alone"), false).await;
    cluster.wait_until_exists(&format!("{role_bindings}/alone"), false).await;
    let get_shared =
        async || cluster.call(&cluster.owner, "GET", &format!("{role_bindings}/shared"), None).await.json();
    let remaining = ["ServiceAccount robot".to_owned(), format!("Group {}", insider.user)];
    cluster
        .wait_until("the shared binding keeps its other subjects", async || {
            subject_names(&get_shared().await) == remaining
        })
        .await;
    let others = format!("{RBAC}/clusterrolebindings/others");
    let others = cluster.call(&cluster.owner, "GET", &others, None).await.json();
    assert_eq!(subject_names(&others), [format!("Group {}", insider.user), "User user-other".to_owned()]);
}

pub(super) async fn check_removed_owner_keeps_nothing(cluster: &Cluster) {
    let insider = Insider::create_in(cluster).await;
    insider.remove(cluster).await;
    assert_rights_deleted(cluster, &insider).await;
    let event = cluster.wait_for_event(&insider.user).await;
    for part in ["ClusterRoleBinding alone", "RoleBinding open/alone", "RoleBinding open/shared"] {
        assert!(event.contains(part), "{event}");
    }
}

#[tokio::test]
async fn removed_owner_is_named_in_no_binding() {
    check_removed_owner_keeps_nothing(&Cluster::start().await).await;
}

#[tokio::test]
async fn demoted_owner_is_named_in_no_binding() {
    for role in ["cluster-member", "read-only"] {
        let cluster = Cluster::start().await;
        let insider = Insider::create_in(&cluster).await;
        insider.demote(&cluster, role).await;
        assert_rights_deleted(&cluster, &insider).await;
        let secrets = json!({"verb": "get", "resource": "secrets", "namespace": "kube-system"});
        assert!(!cluster.is_allowed(&insider.token, &secrets).await, "{role}");
    }
}

#[tokio::test]
async fn disabled_and_removed_users_are_named_in_no_binding() {
    for is_disabled in [true, false] {
        let cluster = Cluster::start().await;
        let insider = Insider::create_in(&cluster).await;
        let path = format!("/v3/users/{}", insider.user);
        let response = if is_disabled {
            cluster.app.put(&path).json(&json!({"enabled": false})).send().await
        } else {
            cluster.app.delete(&path).send().await
        };
        assert!(response.status.is_success(), "{}", response.text());
        assert_rights_deleted(&cluster, &insider).await;
        cluster.wait_for_event(&insider.user).await;
    }
}

#[tokio::test]
async fn disabled_administrator_is_named_in_no_binding() {
    let cluster = Cluster::start().await;
    let tokens = &cluster.app.server.tokens;
    let token =
        tokens.create("root", Some(true), None, "").await.unwrap().to_bearer().expose_secret().to_owned();
    let user = cluster.app.user_id(&token).await;
    let path = format!("{RBAC}/clusterrolebindings");
    let own_binding = binding("own", "cluster-admin", &[super::user(&user)]);
    cluster.call(&token, "POST", &path, Some(&own_binding)).await.expect(201);
    cluster.app.put(&format!("/v3/users/{user}")).json(&json!({"enabled": false})).send().await.expect(200);
    cluster.wait_until_exists(&format!("{path}/own"), false).await;
}

#[tokio::test]
async fn rights_end_with_the_last_of_two_equal_roles() {
    let cluster = Cluster::start().await;
    let insider = Insider::create_in(&cluster).await;
    let first_owner_path = insider.membership_path(&cluster).await;
    // Two more roles for the same user: an equal one and a weaker one.
    let second_token = test_clusters::add_member(&cluster.app, &cluster.id, "carl", "cluster-owner").await;
    assert_eq!(cluster.app.user_id(&second_token).await, insider.user);
    test_clusters::add_member(&cluster.app, &cluster.id, "carl", "read-only").await;
    let secrets = json!({"verb": "get", "resource": "secrets", "namespace": "kube-system"});
    cluster.app.delete(&first_owner_path).send().await.expect(200);
    assert_eq!(revocations::count(&cluster.app.server.store).await.unwrap(), 0, "no right was lost");
    assert!(cluster.is_allowed(&insider.token, &secrets).await);
    let response = cluster.app.get(&format!("{BINDINGS}?userId={}", insider.user)).send().await.json();
    let roles = response["data"].as_array().unwrap();
    let second_owner = roles.iter().find(|binding| binding["roleTemplateId"] == "cluster-owner").unwrap();
    let path = format!("{BINDINGS}/{}", second_owner["id"].as_str().unwrap());
    assert_eq!(cluster.app.delete(&path).send().await.status, StatusCode::OK);
    assert_rights_deleted(&cluster, &insider).await;
    assert!(!cluster.is_allowed(&insider.token, &secrets).await);
    let pods = json!({"verb": "list", "resource": "pods", "namespace": OPEN});
    assert!(cluster.is_allowed(&insider.token, &pods).await, "the weaker role remains");
}

#[tokio::test]
async fn revocation_ends_with_a_second_search() {
    let cluster = Cluster::start().await;
    let insider = Insider::create_in(&cluster).await;
    insider.remove(&cluster).await;
    assert_rights_deleted(&cluster, &insider).await;
    // A request of the removed owner that was in progress arrives late.
    let late_binding = binding("late", "cluster-admin", &[user(&insider.user)]);
    cluster.create(&format!("{RBAC}/clusterrolebindings"), &late_binding).await;
    assert_eq!(revocations::count(&cluster.app.server.store).await.unwrap(), 1);
    cluster.app.clock.advance(std::time::Duration::from_secs(16));
    cluster.wait_until_exists(&format!("{RBAC}/clusterrolebindings/late"), false).await;
    cluster
        .wait_until("no revocation is left", async || {
            revocations::count(&cluster.app.server.store).await.unwrap() == 0
        })
        .await;
}

#[tokio::test]
async fn revocation_survives_an_unreachable_cluster_and_a_restart() {
    let db = databases::sqlite().await;
    let cluster = Cluster::create_in(TestApp::builder().database(&db).start().await).await;
    cluster.app.server.keep_roles();
    cluster.create_objects().await;
    let insider = Insider::create_in(&cluster).await;
    let control = cluster.app.control.clone();
    control.add_kubernetes_fault(fault::for_all(Effect::RefuseConnections));
    insider.remove(&cluster).await;
    assert_eq!(revocations::count(&db.store).await.unwrap(), 1);
    let next = TestApp::builder().database(&db).with_azure_of(&cluster.app).start().await;
    let Cluster { app, id, owner, member, reader } = cluster;
    app.server.stop().await;
    assert_eq!(revocations::count(&db.store).await.unwrap(), 1);
    control.clear_kubernetes_faults();
    let cluster = Cluster { app: next, id, owner, member, reader };
    cluster.app.server.keep_roles();
    assert_rights_deleted(&cluster, &insider).await;
}

#[tokio::test]
async fn binding_that_cannot_be_removed_is_reported_by_name() {
    let cluster = Cluster::start().await;
    let insider = Insider::create_in(&cluster).await;
    let denied =
        ErrorResponse { status: Some(403), message: Some("not you".to_owned()), ..ErrorResponse::default() };
    cluster.app.control.add_kubernetes_fault(Fault {
        method: Some("DELETE".to_owned()),
        path: Some("/clusterrolebindings/alone".to_owned()),
        effect: Some(Effect::Status(denied)),
        ..Fault::default()
    });
    insider.remove(&cluster).await;
    let event = cluster.wait_for_event("from the binding yourself").await;
    assert!(
        event.contains("may still be bound in ClusterRoleBinding alone (") && event.contains("not you"),
        "{event}"
    );
    // The other bindings are deleted.
    cluster.wait_until_exists(&format!("{RBAC}/namespaces/{OPEN}/rolebindings/alone"), false).await;
}
