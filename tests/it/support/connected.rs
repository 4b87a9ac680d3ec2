//! A server with a cluster that is connected to a fake Kubernetes API.

use aks::status::ClusterStatus;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use norman_aks::services::SERVICE_ACCOUNT_TOKEN_SECRET;
use norman_aks::store::{self, ClusterRow, MemberRow, ReconcileColumns, Store};
use serde_json::json;

use super::app::{NOW_MS, TestApp};
use super::audit_row;
use super::kubernetes::{ACCOUNT_TOKEN, FakeCluster, HOST};

/// The ID of the cluster.
pub(crate) const CLUSTER_ID: &str = "c-abcde";

pub(crate) struct ConnectedCluster {
    pub(crate) app: TestApp,
    pub(crate) kubernetes: FakeCluster,
    pub(crate) store: Store,
    pub(crate) owner_token: String,
    status: ClusterStatus,
}

impl ConnectedCluster {
    pub(crate) async fn start() -> Self {
        let kubernetes = FakeCluster::start().await;
        let app = TestApp::builder().cluster_access(kubernetes.options()).start().await;
        Self::new(app, kubernetes).await
    }

    pub(crate) async fn new(app: TestApp, kubernetes: FakeCluster) -> Self {
        let file = app.data_dir.path().join("norman-aks.db");
        let store = Store::connect(&store::sqlite_url(&file), &store::Options::default()).await.unwrap();
        let owner_token = app.token("ann").await;
        let status = ClusterStatus {
            api_endpoint: Some(format!("https://{HOST}:443")),
            ca_cert: Some(BASE64_STANDARD.encode(&kubernetes.authority)),
            ..ClusterStatus::default()
        };
        let connected = Self { app, kubernetes, store, owner_token, status };
        connected.insert_cluster(CLUSTER_ID, &connected.status, Some(ACCOUNT_TOKEN)).await;
        connected
    }

    /// Stores an active cluster of the owner. The worker does not reconcile it, because it has no `next_run_ms`.
    pub(crate) async fn insert_cluster(
        &self,
        id: &str,
        status: &ClusterStatus,
        service_account_token: Option<&str>,
    ) {
        let row = ClusterRow {
            id: id.to_owned(),
            uuid: format!("uuid-{id}"),
            owner: self.app.user_id(&self.owner_token).await,
            // The quotes test escaping in kubeconfigs.
            name: format!("name of \"{id}\""),
            spec: json!({"aksConfig": {"clusterName": id}}).to_string(),
            credential_id: None,
            aks_identity: None,
            identity_proved: false,
            created_ms: NOW_MS,
            updated_ms: NOW_MS,
            version: 1,
            generation: 1,
            removing_ms: None,
            review: None,
            work: ReconcileColumns {
                phase: "active".to_owned(),
                status: status.to_json(),
                next_run_ms: None,
                ..ReconcileColumns::default()
            },
        };
        store::clusters::insert(&self.store, &row, None, &audit_row()).await.unwrap();
        if let Some(token) = service_account_token {
            self.app
                .server
                .secrets
                .store_cluster_secret(id, SERVICE_ACCOUNT_TOKEN_SECRET, &token.into())
                .await
                .unwrap();
        }
    }

    /// The status of the cluster.
    pub(crate) fn status(&self) -> ClusterStatus {
        self.status.clone()
    }

    /// Adds a new user with a role in the cluster; returns the user's token.
    pub(crate) async fn add_member(&self, name: &str, role: &str) -> String {
        let token = self.app.token(name).await;
        let row = MemberRow {
            id: format!("crtb-{name}"),
            uuid: format!("uuid-{name}"),
            cluster_id: CLUSTER_ID.to_owned(),
            user_id: self.app.user_id(&token).await,
            role: role.to_owned(),
            labels: std::collections::BTreeMap::new(),
            annotations: std::collections::BTreeMap::new(),
            created_ms: NOW_MS,
        };
        store::members::insert(&self.store, &row, &audit_row()).await.unwrap();
        token
    }

    /// Sends a request to the cluster through the kubectl proxy; the body of the response may still be streaming.
    pub(crate) async fn send_to_cluster(&self, method: Method, path: &str, token: &str) -> Response {
        self.app.call(method, &format!("/k8s/clusters/{CLUSTER_ID}{path}")).token(token).response().await
    }
}
