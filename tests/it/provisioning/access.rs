//! The server's identity in clusters: the requests to Azure, the stored secrets, and the behavior when a cluster rejects it.

use std::time::Duration;

use azure_sandbox::Operation;
use clock::Clock;
use http::{Method, StatusCode};
use norman_aks::services::{CLUSTER_ACCESS_SECRET, SERVICE_ACCOUNT_TOKEN_SECRET};
use norman_aks::store::{self, ReplicaRow, Store};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::Case;
use crate::support::app::{Answer, TestApp};
use crate::support::fault;

const MADE_ELSEWHERE: &str = "made-elsewhere";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const ACCOUNT: &str = "/api/v1/namespaces/cattle-system/serviceaccounts/kontainer-engine";
const SECRET: &str = "/api/v1/namespaces/cattle-system/secrets/kontainer-engine-token";
const BINDING: &str =
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system-netes-default-clusterRoleBinding";

/// The clusters of the data directory of an earlier version.
const OLD_LOCAL: &str = "c-crpdd";
const OLD_ENTRA: &str = "c-d8mfw";

/// Some hours after that directory was created.
const AFTER_FIXTURE_MS: i64 = 1_795_910_000_000;

impl Case {
    async fn start_with_import(account: &str, name: &str) -> (Self, String) {
        let case = Self::start_with_account(account).await;
        let id = case.create_active(&case.import(name, json!({}))).await;
        (case, id)
    }

    /// A server that was upgraded.
    async fn upgraded() -> Self {
        let clock = Clock::manual(AFTER_FIXTURE_MS);
        let app = TestApp::builder().clock(&clock).data_fixture("service-account").start().await;
        Self::new(app, "ready").await
    }

    /// A request to a cluster, as its owner.
    async fn inside(&self, method: Method, id: &str, path: &str, body: Option<Value>) -> Answer {
        let call = self.app.call(method, &format!("/k8s/clusters/{id}{path}"));
        match body {
            Some(body) => call.header("content-type", "application/json").json(&body).send().await,
            None => call.send().await,
        }
    }

    async fn status_inside(&self, id: &str, path: &str) -> u16 {
        self.inside(Method::GET, id, path, None).await.status.as_u16()
    }

    /// The numbers of requests for an admin kubeconfig and for a user kubeconfig.
    fn kubeconfig_requests(&self) -> (usize, usize) {
        let requests = self.app.control.requests();
        let count = |operation| requests.iter().filter(|seen| seen.operation == operation).count();
        (count(Operation::AdminCredential), count(Operation::UserCredential))
    }

    async fn fqdn(&self, id: &str) -> String {
        let endpoint = self.get(id).await["apiEndpoint"].as_str().unwrap().to_owned();
        endpoint.trim_start_matches("https://").split(':').next().unwrap().to_owned()
    }

    async fn condition_of(&self, id: &str, kind: &str) -> Option<(String, String)> {
        let cluster = self.get(id).await;
        let conditions = cluster["conditions"].as_array().unwrap().clone();
        let found = conditions.iter().find(|condition| condition["type"] == kind)?;
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        Some((text("status"), text("message")))
    }

    async fn secret(&self, id: &str, name: &str) -> Option<String> {
        let secret = self.app.server.secrets.cluster_secret(id, name).await.unwrap();
        secret.map(|secret| secret.expose_secret().to_owned())
    }

    async fn store(&self) -> Store {
        let file = self.app.data_dir.path().join("norman-aks.db");
        Store::connect(&store::sqlite_url(&file), &store::Options::default()).await.unwrap()
    }

    async fn cluster_events(&self, id: &str, kind: &str) -> Vec<String> {
        let rows = store::cluster_events::list(&self.app.server.store, id, "", 1_000).await.unwrap();
        rows.into_iter().filter(|row| row.kind == kind).map(|row| row.message).collect()
    }

    fn deny(&self, operation: Operation) {
        let denied = fault::error(403, "AuthorizationFailed", "The client does not have authorization.");
        self.app.control.add_fault(fault::for_operation(operation, denied));
    }
}

fn config_map(name: &str, len: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": "x".repeat(len)}})
}

#[tokio::test]
async fn new_cluster_gets_no_account_and_no_secret() {
    let (case, id) = Case::start_with_import("ready", MADE_ELSEWHERE).await;
    for path in [ACCOUNT, SECRET, BINDING, "/api/v1/namespaces/cattle-system"] {
        assert_eq!(case.status_inside(&id, path).await, 404, "{path}");
    }
    assert!(case.secret(&id, SERVICE_ACCOUNT_TOKEN_SECRET).await.is_none());
    let access = case.secret(&id, CLUSTER_ACCESS_SECRET).await.unwrap();
    assert!(access.contains("PRIVATE KEY") && access.contains("certificate"));
    assert_eq!(
        case.condition_of(&id, "SystemAccountCreated").await,
        Some(("True".to_owned(), String::new()))
    );
    assert_eq!(case.condition_of(&id, "ServiceAccountRemoved").await, None);
}

#[tokio::test]
async fn rotated_certificates_are_fetched_once() {
    let (case, id) = Case::start_with_import("ready", MADE_ELSEWHERE).await;
    assert_eq!(case.status_inside(&id, "/api/v1/nodes").await, 200);
    let authority = case.get(&id).await["caCert"].clone();
    assert!(case.app.control.rotate_certificates(&case.fqdn(&id).await));

    let created = (0..12).map(|number| {
        let name = format!("made-{number}");
        let (case, id) = (&case, &id);
        async move { case.inside(Method::POST, id, CONFIG_MAPS, Some(config_map(&name, 1_000))).await.status }
    });
    let created = futures_util::future::join_all(created).await;
    assert_eq!(created, [StatusCode::CREATED; 12]);
    let list = case.inside(Method::GET, &id, CONFIG_MAPS, None).await.json();
    let made = list["items"].as_array().unwrap().iter();
    let made = made.filter(|map| map["metadata"]["name"].as_str().unwrap().starts_with("made-")).count();
    assert_eq!((made, case.kubeconfig_requests()), (12, (1, 0)));

    case.advance_refreshes(1).await;
    assert_ne!(case.get(&id).await["caCert"], authority);
    assert_eq!(case.condition_of(&id, "Ready").await.unwrap().0, "True");
    assert_eq!(case.kubeconfig_requests(), (1, 0));
}

#[tokio::test]
async fn long_request_is_not_repeated_after_renewal() {
    let (case, id) = Case::start_with_import("ready", MADE_ELSEWHERE).await;
    assert_eq!(case.status_inside(&id, "/api/v1/nodes").await, 200);
    assert!(case.app.control.rotate_certificates(&case.fqdn(&id).await));
    // On an open connection, the cluster reads the request and then rejects it.
    let long = config_map("long", 900_000);
    let first = case.inside(Method::POST, &id, CONFIG_MAPS, Some(long.clone())).await.expect(503);
    assert!(first.json()["message"].as_str().unwrap().contains("send the request again"));
    assert_eq!(first.header("retry-after"), "5");
    case.inside(Method::POST, &id, CONFIG_MAPS, Some(long)).await.expect(201);
}

#[tokio::test]
async fn application_401_is_not_a_rejection() {
    let (case, id) = Case::start_with_import("ready", MADE_ELSEWHERE).await;
    let application = "/api/v1/namespaces/default/services/web/proxy/login";
    case.app.control.add_kubernetes_fault(fault::for_path(application, fault::status(401)));
    case.app.control.clear_kubernetes_requests();
    for _ in 0..3 {
        assert_eq!(case.status_inside(&id, application).await, 401);
    }
    assert_eq!(case.kubeconfig_requests(), (0, 0));
    let reviews = case.app.control.kubernetes_requests();
    let reviews = reviews.iter().filter(|seen| seen.path.contains("selfsubjectaccessreviews")).count();
    assert_eq!(reviews, 3, "each permission once");
    case.app.control.clear_kubernetes_faults();

    case.app.clock.advance(Duration::from_secs(11));
    assert!(case.app.control.rotate_certificates(&case.fqdn(&id).await));
    assert_eq!(case.status_inside(&id, application).await, 404, "the service does not exist");
    assert_eq!(case.kubeconfig_requests(), (1, 0));
}

#[tokio::test]
async fn disabled_local_accounts_use_an_entra_token() {
    let (case, id) = Case::start_with_import("ready", MADE_ELSEWHERE).await;
    let mut cluster = case.aks_cluster(MADE_ELSEWHERE).await.unwrap();
    cluster["properties"]["aadProfile"] = json!({"managed": true, "tenantID": case.account.tenant_id});
    cluster["properties"]["disableLocalAccounts"] = true.into();
    case.change_in_azure(Method::PUT, &super::cluster(MADE_ELSEWHERE), Some(&cluster)).await;
    case.app.control.clear_requests();

    assert_eq!(case.status_inside(&id, "/api/v1/nodes").await, 200);
    assert_eq!(
        case.kubeconfig_requests(),
        (1, 1),
        "the admin kubeconfig is denied, the user kubeconfig is returned"
    );
    let access = case.secret(&id, CLUSTER_ACCESS_SECRET).await.unwrap();
    assert!(access.contains("tenantId") && !access.contains("key") && !access.contains("token"), "{access}");
    case.advance_refreshes(2).await;
    assert_eq!(case.condition_of(&id, "Ready").await.unwrap().0, "True");
    assert_eq!(case.kubeconfig_requests(), (1, 1));

    // A token that Entra has revoked is replaced within the request.
    case.app.control.forget_tokens();
    assert_eq!(case.status_inside(&id, "/api/v1/nodes").await, 200);
    assert_eq!(case.kubeconfig_requests(), (1, 1));
}

#[tokio::test]
async fn entra_token_is_replaced_before_it_expires() {
    let (case, id) = Case::start_with_import("ready", "entra-only").await;
    let logins = || {
        let requests = case.app.control.requests();
        requests.iter().filter(|seen| seen.operation == Operation::Token).count()
    };
    assert_eq!(case.status_inside(&id, "/api/v1/nodes").await, 200);
    let before = logins();
    case.app.clock.advance(Duration::from_mins(57));
    for _ in 0..500 {
        assert_eq!(case.status_inside(&id, "/api/v1/nodes").await, 200);
        if logins() > before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(logins() > before, "a new token while the old one is valid");
    assert_eq!(case.kubeconfig_requests(), (0, 0));
    case.app.clock.advance(Duration::from_mins(30));
    assert_eq!(case.status_inside(&id, "/api/v1/nodes").await, 200);
}

#[tokio::test]
async fn certificate_is_replaced_before_it_expires() {
    let case = Case::start().await;
    let declared = case.app.control.kubernetes();
    let upstream = case.aks_cluster(MADE_ELSEWHERE).await.unwrap();
    let fqdn = upstream["properties"]["fqdn"].as_str().unwrap();
    assert!(declared.iter().any(|known| known.fqdn == fqdn));
    assert!(case.app.control.renew_client_certificate(fqdn, 10));
    let id = case.create_active(&case.import(MADE_ELSEWHERE, json!({}))).await;
    let before = case.secret(&id, CLUSTER_ACCESS_SECRET).await.unwrap();
    // While Azure returns no other kubeconfig, it is requested only occasionally.
    case.advance_refreshes(30).await;
    assert_eq!(case.kubeconfig_requests().1, 0);
    assert!(case.kubeconfig_requests().0 <= 2, "{:?} in two and a half hours", case.kubeconfig_requests());

    assert!(case.app.control.renew_client_certificate(fqdn, 700));
    let certificate = |access: &str| {
        let access: Value = serde_json::from_str(access).unwrap();
        access["signIn"]["certificate"].as_str().unwrap().to_owned()
    };
    let mut now = before.clone();
    for _ in 0..200 {
        case.advance_refreshes(1).await;
        now = case.secret(&id, CLUSTER_ACCESS_SECRET).await.unwrap();
        if certificate(&now) != certificate(&before) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_ne!(certificate(&now), certificate(&before));
    assert_eq!(case.condition_of(&id, "Ready").await.unwrap().0, "True");
    assert_eq!(case.status_inside(&id, "/api/v1/nodes").await, 200);
}

#[tokio::test]
async fn denied_admin_kubeconfig_falls_back_to_user_kubeconfig() {
    let (case, id) = Case::start_with_import("operator", MADE_ELSEWHERE).await;
    assert_eq!(case.status_inside(&id, "/api/v1/nodes").await, 200);
    assert!(case.secret(&id, CLUSTER_ACCESS_SECRET).await.unwrap().contains("certificate"));
}

#[tokio::test]
async fn missing_rights_inside_keep_cluster_from_active() {
    let case = Case::start_with_account("operator").await;
    let id = case.post_and_settle(&case.import("entra-only", json!({}))).await;
    let message = case.expect_failure(&id, "provisioning").await;
    for words in [
        &*case.account.client_id,
        "the role Azure Kubernetes Service RBAC Cluster Admin",
        "one of the cluster's admin groups",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert!(
        case.secret(&id, CLUSTER_ACCESS_SECRET).await.is_none(),
        "access that does not work is not stored"
    );
    // With local accounts and Entra users, the message also contains the missing action for the admin kubeconfig.
    let mut cluster = case.aks_cluster("entra-only").await.unwrap();
    cluster["properties"]["disableLocalAccounts"] = false.into();
    case.change_in_azure(Method::PUT, &super::cluster("entra-only"), Some(&cluster)).await;
    case.app.advance(Duration::from_mins(8)).await;
    let message = case.expect_failure(&id, "provisioning").await;
    let action = "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action";
    assert!(
        message.contains(action) && message.contains("Azure Kubernetes Service Cluster Admin Role"),
        "{message}"
    );
}

#[tokio::test]
async fn failed_renewal_is_not_repeated_with_every_request() {
    let (case, id) = Case::start_with_import("ready", MADE_ELSEWHERE).await;
    assert!(case.app.control.rotate_certificates(&case.fqdn(&id).await));
    case.deny(Operation::AdminCredential);
    case.deny(Operation::UserCredential);
    for _ in 0..5 {
        let answer = case.inside(Method::GET, &id, "/api/v1/nodes", None).await.expect(503);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("listClusterAdminCredential/action"), "{message}");
    }
    assert_eq!(case.kubeconfig_requests(), (1, 1));
    case.app.control.clear_faults();
    case.app.clock.advance(Duration::from_secs(11));
    assert_eq!(case.status_inside(&id, "/api/v1/nodes").await, 200);
}

#[tokio::test]
async fn old_data_directory_loses_its_service_accounts() {
    let case = Case::upgraded().await;
    let both = [OLD_LOCAL, OLD_ENTRA];
    for id in both {
        case.expect_active(id).await;
        for path in [ACCOUNT, SECRET, BINDING, "/api/v1/nodes"] {
            assert_eq!(case.status_inside(id, path).await, 200, "{id} {path}");
        }
        assert!(case.secret(id, CLUSTER_ACCESS_SECRET).await.is_none());
    }
    assert_eq!(case.kubeconfig_requests(), (0, 0), "the account is still used");

    // A server of the earlier version is running too.
    let older = |seen_ms| ReplicaRow {
        id: "replica-older".to_owned(),
        started_ms: 1,
        seen_ms,
        key_ids: Vec::new(),
        capabilities: Vec::new(),
        address: None,
    };
    let store = case.store().await;
    store::replicas::upsert_heartbeat(&store, &older(AFTER_FIXTURE_MS + 301_000)).await.unwrap();
    case.advance_refreshes(1).await;
    for id in both {
        assert!(case.secret(id, CLUSTER_ACCESS_SECRET).await.is_some(), "the new access works");
        assert_eq!(case.status_inside(id, ACCOUNT).await, 200);
        let (status, message) = case.condition_of(id, "ServiceAccountRemoved").await.unwrap();
        assert!(status == "Unknown" && message.contains("replica-older"), "{status} {message}");
    }

    // That server was killed, and its heartbeat has expired.
    case.advance_refreshes(1).await;
    for id in both {
        for path in [ACCOUNT, SECRET, BINDING] {
            assert_eq!(case.status_inside(id, path).await, 404, "{id} {path}");
        }
        assert!(case.secret(id, SERVICE_ACCOUNT_TOKEN_SECRET).await.is_none());
        assert_eq!(
            case.condition_of(id, "ServiceAccountRemoved").await,
            Some(("True".to_owned(), String::new()))
        );
        assert_eq!(
            case.condition_of(id, "SystemAccountCreated").await,
            Some(("True".to_owned(), String::new()))
        );
        case.expect_active(id).await;
        assert_eq!(case.status_inside(id, "/api/v1/nodes").await, 200);
        let messages = case.cluster_events(id, "serviceAccountRemoved").await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].contains("cattle-system/kontainer-engine"), "{messages:?}");
    }
    case.advance_refreshes(3).await;
    for id in both {
        assert_eq!(case.cluster_events(id, "serviceAccountRemoved").await.len(), 1);
    }
}

#[tokio::test]
async fn denied_kubeconfig_keeps_the_service_account() {
    let case = Case::upgraded().await;
    case.deny(Operation::AdminCredential);
    case.deny(Operation::UserCredential);
    case.advance_refreshes(2).await;
    for id in [OLD_LOCAL, OLD_ENTRA] {
        case.expect_active(id).await;
        assert_eq!(case.status_inside(id, ACCOUNT).await, 200);
        assert_eq!(case.condition_of(id, "Ready").await.unwrap().0, "True");
        let (status, message) = case.condition_of(id, "ServiceAccountRemoved").await.unwrap();
        assert_eq!(status, "False");
        assert!(message.contains("cattle-system/kontainer-engine"), "{message}");
    }
    let (_, message) = case.condition_of(OLD_LOCAL, "ServiceAccountRemoved").await.unwrap();
    let action = "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action";
    assert!(
        message.contains(action) && message.contains("Azure Kubernetes Service Cluster Admin Role"),
        "{message}"
    );

    case.app.control.clear_faults();
    case.advance_refreshes(1).await;
    for id in [OLD_LOCAL, OLD_ENTRA] {
        assert_eq!(case.status_inside(id, ACCOUNT).await, 404);
        assert_eq!(
            case.condition_of(id, "ServiceAccountRemoved").await,
            Some(("True".to_owned(), String::new()))
        );
    }
}

#[tokio::test]
async fn deleted_service_account_fails_no_request() {
    let case = Case::upgraded().await;
    assert_eq!(case.inside(Method::DELETE, OLD_LOCAL, ACCOUNT, None).await.status, StatusCode::OK);
    assert_eq!(case.status_inside(OLD_LOCAL, "/api/v1/nodes").await, 200);
    assert_eq!(case.kubeconfig_requests(), (1, 0));
}

#[tokio::test]
async fn service_account_with_finalizers_is_removed_too() {
    let case = Case::upgraded().await;
    let kept = json!({"metadata": {"finalizers": ["example.org/stay"]}});
    for path in [ACCOUNT, SECRET, BINDING] {
        let call = case.app.call(Method::PATCH, &format!("/k8s/clusters/{OLD_LOCAL}{path}"));
        call.header("content-type", "application/merge-patch+json").json(&kept).send().await.expect(200);
    }
    case.advance_refreshes(1).await;
    for path in [ACCOUNT, SECRET, BINDING] {
        assert_eq!(case.status_inside(OLD_LOCAL, path).await, 404, "{path}");
    }
}

#[tokio::test]
async fn foreign_binding_with_the_same_name_is_kept() {
    let case = Case::upgraded().await;
    let others =
        json!({"subjects": [{"kind": "User", "name": "somebody", "apiGroup": "rbac.authorization.k8s.io"}]});
    let call = case.app.call(Method::PATCH, &format!("/k8s/clusters/{OLD_ENTRA}{BINDING}"));
    call.header("content-type", "application/merge-patch+json").json(&others).send().await.expect(200);
    case.advance_refreshes(1).await;
    assert_eq!(case.status_inside(OLD_ENTRA, BINDING).await, 200);
    assert_eq!(case.status_inside(OLD_ENTRA, ACCOUNT).await, 404);
}

#[tokio::test]
async fn force_delete_names_the_remaining_service_account() {
    let case = Case::upgraded().await;
    let answer = case.app.delete(&format!("/v3/clusters/{OLD_LOCAL}?force=true")).send().await.expect(200);
    let message = answer.json()["transitioningMessage"].as_str().unwrap().to_owned();
    assert!(message.contains("cattle-system/kontainer-engine"), "{message}");
}
