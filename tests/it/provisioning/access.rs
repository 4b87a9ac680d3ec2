//! The server's access to clusters: how it is obtained and stored, and what happens when a cluster rejects it.

use std::time::Duration;

use azure_sandbox::Operation;
use clock::Clock;
use http::{Method, StatusCode};
use norman_aks::services::{CLUSTER_ACCESS_SECRET, SERVICE_ACCOUNT_TOKEN_SECRET};
use norman_aks::store::{self, ReplicaRow, Store};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::ClusterSetup;
use crate::support::app::{TestApp, TestResponse};
use crate::support::fault;

const MADE_ELSEWHERE: &str = "made-elsewhere";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SERVICE_ACCOUNT: &str = "/api/v1/namespaces/cattle-system/serviceaccounts/kontainer-engine";
const SECRET: &str = "/api/v1/namespaces/cattle-system/secrets/kontainer-engine-token";
const BINDING: &str =
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system-netes-default-clusterRoleBinding";

/// The clusters in the data fixture `service-account`, which an earlier version of the server wrote.
const OLD_LOCAL: &str = "c-crpdd";
const OLD_ENTRA: &str = "c-d8mfw";

/// A time some hours after the fixture was written.
const AFTER_FIXTURE_MS: i64 = 1_795_910_000_000;

impl ClusterSetup {
    async fn start_with_import(account: &str, name: &str) -> (Self, String) {
        let setup = Self::start_with_account(account).await;
        let id = setup.create_active(&setup.import_body(name, json!({}))).await;
        (setup, id)
    }

    /// Starts on the data of an earlier version.
    async fn start_upgraded() -> Self {
        let clock = Clock::manual(AFTER_FIXTURE_MS);
        let app = TestApp::builder().clock(&clock).data_fixture("service-account").start().await;
        Self::new(app, "ready").await
    }

    /// Sends a request to a cluster, as its owner.
    async fn request_inside(
        &self,
        method: Method,
        id: &str,
        path: &str,
        body: Option<Value>,
    ) -> TestResponse {
        let call = self.app.call(method, &format!("/k8s/clusters/{id}{path}"));
        match body {
            Some(body) => call.header("content-type", "application/json").json(&body).send().await,
            None => call.send().await,
        }
    }

    async fn status_inside(&self, id: &str, path: &str) -> u16 {
        self.request_inside(Method::GET, id, path, None).await.status.as_u16()
    }

    /// The numbers of requests for an admin kubeconfig and for a user kubeconfig.
    fn kubeconfig_requests(&self) -> (usize, usize) {
        let requests = self.app.control.requests();
        let count = |operation| requests.iter().filter(|request| request.operation == operation).count();
        (count(Operation::AdminCredential), count(Operation::UserCredential))
    }

    async fn fqdn(&self, id: &str) -> String {
        let endpoint = self.get(id).await["apiEndpoint"].as_str().unwrap().to_owned();
        endpoint.trim_start_matches("https://").split(':').next().unwrap().to_owned()
    }

    async fn condition_of(&self, id: &str, condition_type: &str) -> Option<(String, String)> {
        let cluster = self.get(id).await;
        let conditions = cluster["conditions"].as_array().unwrap().clone();
        let condition = conditions.iter().find(|condition| condition["type"] == condition_type)?;
        let string = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        Some((string("status"), string("message")))
    }

    async fn secret(&self, id: &str, name: &str) -> Option<String> {
        let secret = self.app.server.secrets.cluster_secret(id, name).await.unwrap();
        secret.map(|secret| secret.expose_secret().to_owned())
    }

    async fn store(&self) -> Store {
        let file = self.app.data_dir.path().join("norman-aks.db");
        Store::connect(&store::sqlite_url(&file), &store::Options::default()).await.unwrap()
    }

    async fn cluster_events(&self, id: &str, event_kind: &str) -> Vec<String> {
        let rows = store::cluster_events::list(&self.app.server.store, id, "", 1_000).await.unwrap();
        rows.into_iter().filter(|row| row.kind == event_kind).map(|row| row.message).collect()
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
async fn new_cluster_gets_no_service_account() {
    let (setup, id) = ClusterSetup::start_with_import("ready", MADE_ELSEWHERE).await;
    for path in [SERVICE_ACCOUNT, SECRET, BINDING, "/api/v1/namespaces/cattle-system"] {
        assert_eq!(setup.status_inside(&id, path).await, 404, "{path}");
    }
    assert!(setup.secret(&id, SERVICE_ACCOUNT_TOKEN_SECRET).await.is_none());
    let access = setup.secret(&id, CLUSTER_ACCESS_SECRET).await.unwrap();
    assert!(access.contains("PRIVATE KEY") && access.contains("certificate"));
    assert_eq!(
        setup.condition_of(&id, "SystemAccountCreated").await,
        Some(("True".to_owned(), String::new()))
    );
    assert_eq!(setup.condition_of(&id, "ServiceAccountRemoved").await, None);
}

#[tokio::test]
async fn rotated_certificates_are_fetched_once() {
    let (setup, id) = ClusterSetup::start_with_import("ready", MADE_ELSEWHERE).await;
    assert_eq!(setup.status_inside(&id, "/api/v1/nodes").await, 200);
    let authority = setup.get(&id).await["caCert"].clone();
    assert!(setup.app.control.rotate_certificates(&setup.fqdn(&id).await));

    let created = (0..12).map(|number| {
        let name = format!("made-{number}");
        let (setup, id) = (&setup, &id);
        async move {
            setup.request_inside(Method::POST, id, CONFIG_MAPS, Some(config_map(&name, 1_000))).await.status
        }
    });
    let statuses = futures_util::future::join_all(created).await;
    assert_eq!(statuses, [StatusCode::CREATED; 12]);
    let list = setup.request_inside(Method::GET, &id, CONFIG_MAPS, None).await.json();
    let maps = list["items"].as_array().unwrap().iter();
    let created_count =
        maps.filter(|map| map["metadata"]["name"].as_str().unwrap().starts_with("made-")).count();
    assert_eq!((created_count, setup.kubeconfig_requests()), (12, (1, 0)));

    setup.advance_refreshes(1).await;
    assert_ne!(setup.get(&id).await["caCert"], authority);
    assert_eq!(setup.condition_of(&id, "Ready").await.unwrap().0, "True");
    assert_eq!(setup.kubeconfig_requests(), (1, 0));
}

#[tokio::test]
async fn long_request_is_not_repeated_after_renewal() {
    let (setup, id) = ClusterSetup::start_with_import("ready", MADE_ELSEWHERE).await;
    assert_eq!(setup.status_inside(&id, "/api/v1/nodes").await, 200);
    assert!(setup.app.control.rotate_certificates(&setup.fqdn(&id).await));
    // On an open connection, the cluster reads the request and then rejects it.
    let long = config_map("long", 900_000);
    let first = setup.request_inside(Method::POST, &id, CONFIG_MAPS, Some(long.clone())).await.expect(503);
    assert!(first.json()["message"].as_str().unwrap().contains("send the request again"));
    assert_eq!(first.header("retry-after"), "5");
    setup.request_inside(Method::POST, &id, CONFIG_MAPS, Some(long)).await.expect(201);
}

#[tokio::test]
async fn application_401_is_not_a_rejection() {
    let (setup, id) = ClusterSetup::start_with_import("ready", MADE_ELSEWHERE).await;
    let application = "/api/v1/namespaces/default/services/web/proxy/login";
    setup.app.control.add_kubernetes_fault(fault::for_path(application, fault::status(401)));
    setup.app.control.clear_kubernetes_requests();
    for _ in 0..3 {
        assert_eq!(setup.status_inside(&id, application).await, 401);
    }
    assert_eq!(setup.kubeconfig_requests(), (0, 0));
    let reviews = setup.app.control.kubernetes_requests();
    let reviews = reviews.iter().filter(|request| request.path.contains("selfsubjectaccessreviews")).count();
    assert_eq!(reviews, 3, "one review of each permission");
    setup.app.control.clear_kubernetes_faults();

    setup.app.clock.advance(Duration::from_secs(11));
    assert!(setup.app.control.rotate_certificates(&setup.fqdn(&id).await));
    assert_eq!(setup.status_inside(&id, application).await, 404, "the service does not exist");
    assert_eq!(setup.kubeconfig_requests(), (1, 0));
}

#[tokio::test]
async fn disabled_local_accounts_use_an_entra_token() {
    let (setup, id) = ClusterSetup::start_with_import("ready", MADE_ELSEWHERE).await;
    let mut cluster = setup.aks_cluster(MADE_ELSEWHERE).await.unwrap();
    cluster["properties"]["aadProfile"] = json!({"managed": true, "tenantID": setup.account.tenant_id});
    cluster["properties"]["disableLocalAccounts"] = true.into();
    setup.change_in_azure(Method::PUT, &super::cluster_path(MADE_ELSEWHERE), Some(&cluster)).await;
    setup.app.control.clear_requests();

    assert_eq!(setup.status_inside(&id, "/api/v1/nodes").await, 200);
    assert_eq!(
        setup.kubeconfig_requests(),
        (1, 1),
        "the admin kubeconfig is denied, the user kubeconfig is returned"
    );
    let access = setup.secret(&id, CLUSTER_ACCESS_SECRET).await.unwrap();
    assert!(access.contains("tenantId") && !access.contains("key") && !access.contains("token"), "{access}");
    setup.advance_refreshes(2).await;
    assert_eq!(setup.condition_of(&id, "Ready").await.unwrap().0, "True");
    assert_eq!(setup.kubeconfig_requests(), (1, 1));

    // A token that Entra has revoked is replaced within the request.
    setup.app.control.forget_tokens();
    assert_eq!(setup.status_inside(&id, "/api/v1/nodes").await, 200);
    assert_eq!(setup.kubeconfig_requests(), (1, 1));
}

#[tokio::test]
async fn entra_token_is_replaced_before_it_expires() {
    let (setup, id) = ClusterSetup::start_with_import("ready", "entra-only").await;
    let login_count = || {
        let requests = setup.app.control.requests();
        requests.iter().filter(|request| request.operation == Operation::Token).count()
    };
    assert_eq!(setup.status_inside(&id, "/api/v1/nodes").await, 200);
    let logins_before = login_count();
    setup.app.clock.advance(Duration::from_mins(57));
    for _ in 0..500 {
        assert_eq!(setup.status_inside(&id, "/api/v1/nodes").await, 200);
        if login_count() > logins_before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(login_count() > logins_before, "a new token while the old one is valid");
    assert_eq!(setup.kubeconfig_requests(), (0, 0));
    setup.app.clock.advance(Duration::from_mins(30));
    assert_eq!(setup.status_inside(&id, "/api/v1/nodes").await, 200);
}

#[tokio::test]
async fn certificate_is_replaced_before_it_expires() {
    let setup = ClusterSetup::start().await;
    let declared = setup.app.control.kubernetes();
    let cluster = setup.aks_cluster(MADE_ELSEWHERE).await.unwrap();
    let fqdn = cluster["properties"]["fqdn"].as_str().unwrap();
    assert!(declared.iter().any(|cluster| cluster.fqdn == fqdn));
    assert!(setup.app.control.renew_client_certificate(fqdn, 10));
    let id = setup.create_active(&setup.import_body(MADE_ELSEWHERE, json!({}))).await;
    let access_before = setup.secret(&id, CLUSTER_ACCESS_SECRET).await.unwrap();
    // The server requests the kubeconfig only occasionally as long as Azure returns the same one.
    setup.advance_refreshes(30).await;
    assert_eq!(setup.kubeconfig_requests().1, 0);
    assert!(setup.kubeconfig_requests().0 <= 2, "{:?} in two and a half hours", setup.kubeconfig_requests());

    assert!(setup.app.control.renew_client_certificate(fqdn, 700));
    let certificate = |access: &str| {
        let access: Value = serde_json::from_str(access).unwrap();
        access["signIn"]["certificate"].as_str().unwrap().to_owned()
    };
    let mut access = access_before.clone();
    for _ in 0..200 {
        setup.advance_refreshes(1).await;
        access = setup.secret(&id, CLUSTER_ACCESS_SECRET).await.unwrap();
        if certificate(&access) != certificate(&access_before) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_ne!(certificate(&access), certificate(&access_before));
    assert_eq!(setup.condition_of(&id, "Ready").await.unwrap().0, "True");
    assert_eq!(setup.status_inside(&id, "/api/v1/nodes").await, 200);
}

#[tokio::test]
async fn denied_admin_kubeconfig_falls_back_to_user_kubeconfig() {
    let (setup, id) = ClusterSetup::start_with_import("operator", MADE_ELSEWHERE).await;
    assert_eq!(setup.status_inside(&id, "/api/v1/nodes").await, 200);
    assert!(setup.secret(&id, CLUSTER_ACCESS_SECRET).await.unwrap().contains("certificate"));
}

#[tokio::test]
async fn missing_rights_in_the_cluster_fail_provisioning() {
    let setup = ClusterSetup::start_with_account("operator").await;
    let id = setup.post_and_settle(&setup.import_body("entra-only", json!({}))).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    for words in [
        &*setup.account.client_id,
        "the role Azure Kubernetes Service RBAC Cluster Admin",
        "one of the cluster's admin groups",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert!(
        setup.secret(&id, CLUSTER_ACCESS_SECRET).await.is_none(),
        "access that does not work is not stored"
    );
    // With local accounts and Entra users, the message also contains the missing action for the admin kubeconfig.
    let mut cluster = setup.aks_cluster("entra-only").await.unwrap();
    cluster["properties"]["disableLocalAccounts"] = false.into();
    setup.change_in_azure(Method::PUT, &super::cluster_path("entra-only"), Some(&cluster)).await;
    setup.app.advance(Duration::from_mins(8)).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    let action = "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action";
    assert!(
        message.contains(action) && message.contains("Azure Kubernetes Service Cluster Admin Role"),
        "{message}"
    );
}

#[tokio::test]
async fn failed_renewal_is_not_repeated_with_every_request() {
    let (setup, id) = ClusterSetup::start_with_import("ready", MADE_ELSEWHERE).await;
    assert!(setup.app.control.rotate_certificates(&setup.fqdn(&id).await));
    setup.deny(Operation::AdminCredential);
    setup.deny(Operation::UserCredential);
    for _ in 0..5 {
        let response = setup.request_inside(Method::GET, &id, "/api/v1/nodes", None).await.expect(503);
        let message = response.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("listClusterAdminCredential/action"), "{message}");
    }
    assert_eq!(setup.kubeconfig_requests(), (1, 1));
    setup.app.control.clear_faults();
    setup.app.clock.advance(Duration::from_secs(11));
    assert_eq!(setup.status_inside(&id, "/api/v1/nodes").await, 200);
}

#[tokio::test]
async fn upgraded_server_removes_old_service_accounts() {
    let setup = ClusterSetup::start_upgraded().await;
    let old_clusters = [OLD_LOCAL, OLD_ENTRA];
    for id in old_clusters {
        setup.expect_active(id).await;
        for path in [SERVICE_ACCOUNT, SECRET, BINDING, "/api/v1/nodes"] {
            assert_eq!(setup.status_inside(id, path).await, 200, "{id} {path}");
        }
        assert!(setup.secret(id, CLUSTER_ACCESS_SECRET).await.is_none());
    }
    assert_eq!(setup.kubeconfig_requests(), (0, 0), "the service account is still used");

    // A server of the earlier version is running too.
    let older_replica = |seen_ms| ReplicaRow {
        id: "replica-older".to_owned(),
        started_ms: 1,
        seen_ms,
        key_ids: Vec::new(),
        capabilities: Vec::new(),
        address: None,
    };
    let store = setup.store().await;
    store::replicas::upsert_heartbeat(&store, &older_replica(AFTER_FIXTURE_MS + 301_000)).await.unwrap();
    setup.advance_refreshes(1).await;
    for id in old_clusters {
        assert!(setup.secret(id, CLUSTER_ACCESS_SECRET).await.is_some(), "the new access works");
        assert_eq!(setup.status_inside(id, SERVICE_ACCOUNT).await, 200);
        let (status, message) = setup.condition_of(id, "ServiceAccountRemoved").await.unwrap();
        assert!(status == "Unknown" && message.contains("replica-older"), "{status} {message}");
    }

    // That server was killed, and its heartbeat has expired.
    setup.advance_refreshes(1).await;
    for id in old_clusters {
        for path in [SERVICE_ACCOUNT, SECRET, BINDING] {
            assert_eq!(setup.status_inside(id, path).await, 404, "{id} {path}");
        }
        assert!(setup.secret(id, SERVICE_ACCOUNT_TOKEN_SECRET).await.is_none());
        assert_eq!(
            setup.condition_of(id, "ServiceAccountRemoved").await,
            Some(("True".to_owned(), String::new()))
        );
        assert_eq!(
            setup.condition_of(id, "SystemAccountCreated").await,
            Some(("True".to_owned(), String::new()))
        );
        setup.expect_active(id).await;
        assert_eq!(setup.status_inside(id, "/api/v1/nodes").await, 200);
        let messages = setup.cluster_events(id, "serviceAccountRemoved").await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].contains("cattle-system/kontainer-engine"), "{messages:?}");
    }
    setup.advance_refreshes(3).await;
    for id in old_clusters {
        assert_eq!(setup.cluster_events(id, "serviceAccountRemoved").await.len(), 1);
    }
}

#[tokio::test]
async fn denied_kubeconfig_keeps_the_service_account() {
    let setup = ClusterSetup::start_upgraded().await;
    setup.deny(Operation::AdminCredential);
    setup.deny(Operation::UserCredential);
    setup.advance_refreshes(2).await;
    for id in [OLD_LOCAL, OLD_ENTRA] {
        setup.expect_active(id).await;
        assert_eq!(setup.status_inside(id, SERVICE_ACCOUNT).await, 200);
        assert_eq!(setup.condition_of(id, "Ready").await.unwrap().0, "True");
        let (status, message) = setup.condition_of(id, "ServiceAccountRemoved").await.unwrap();
        assert_eq!(status, "False");
        assert!(message.contains("cattle-system/kontainer-engine"), "{message}");
    }
    let (_, message) = setup.condition_of(OLD_LOCAL, "ServiceAccountRemoved").await.unwrap();
    let action = "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action";
    assert!(
        message.contains(action) && message.contains("Azure Kubernetes Service Cluster Admin Role"),
        "{message}"
    );

    setup.app.control.clear_faults();
    setup.advance_refreshes(1).await;
    for id in [OLD_LOCAL, OLD_ENTRA] {
        assert_eq!(setup.status_inside(id, SERVICE_ACCOUNT).await, 404);
        assert_eq!(
            setup.condition_of(id, "ServiceAccountRemoved").await,
            Some(("True".to_owned(), String::new()))
        );
    }
}

#[tokio::test]
async fn deleted_service_account_fails_no_request() {
    let setup = ClusterSetup::start_upgraded().await;
    assert_eq!(
        setup.request_inside(Method::DELETE, OLD_LOCAL, SERVICE_ACCOUNT, None).await.status,
        StatusCode::OK
    );
    assert_eq!(setup.status_inside(OLD_LOCAL, "/api/v1/nodes").await, 200);
    assert_eq!(setup.kubeconfig_requests(), (1, 0));
}

#[tokio::test]
async fn service_account_with_finalizers_is_removed_too() {
    let setup = ClusterSetup::start_upgraded().await;
    let finalizers = json!({"metadata": {"finalizers": ["example.org/stay"]}});
    for path in [SERVICE_ACCOUNT, SECRET, BINDING] {
        let call = setup.app.call(Method::PATCH, &format!("/k8s/clusters/{OLD_LOCAL}{path}"));
        call.header("content-type", "application/merge-patch+json")
            .json(&finalizers)
            .send()
            .await
            .expect(200);
    }
    setup.advance_refreshes(1).await;
    for path in [SERVICE_ACCOUNT, SECRET, BINDING] {
        assert_eq!(setup.status_inside(OLD_LOCAL, path).await, 404, "{path}");
    }
}

#[tokio::test]
async fn foreign_binding_with_the_same_name_is_kept() {
    let setup = ClusterSetup::start_upgraded().await;
    let foreign_subjects =
        json!({"subjects": [{"kind": "User", "name": "somebody", "apiGroup": "rbac.authorization.k8s.io"}]});
    let call = setup.app.call(Method::PATCH, &format!("/k8s/clusters/{OLD_ENTRA}{BINDING}"));
    call.header("content-type", "application/merge-patch+json")
        .json(&foreign_subjects)
        .send()
        .await
        .expect(200);
    setup.advance_refreshes(1).await;
    assert_eq!(setup.status_inside(OLD_ENTRA, BINDING).await, 200);
    assert_eq!(setup.status_inside(OLD_ENTRA, SERVICE_ACCOUNT).await, 404);
}

#[tokio::test]
async fn force_delete_names_the_remaining_service_account() {
    let setup = ClusterSetup::start_upgraded().await;
    let response = setup.app.delete(&format!("/v3/clusters/{OLD_LOCAL}?force=true")).send().await.expect(200);
    let message = response.json()["transitioningMessage"].as_str().unwrap().to_owned();
    assert!(message.contains("cattle-system/kontainer-engine"), "{message}");
}
