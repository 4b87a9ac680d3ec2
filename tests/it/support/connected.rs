//! A server with a cluster that is connected to a fake Kubernetes API.

use aks::status::ClusterStatus;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, Request};
use norman_aks::services::SERVICE_ACCOUNT_TOKEN;
use norman_aks::store::{self, ClusterRow, MemberRow, Store, WorkColumns};
use serde_json::json;
use tower::ServiceExt as _;

use super::app::{NOW_MS, TestApp};
use super::audit;
use super::kubernetes::{ACCOUNT, FakeCluster, HOST};

/// The ID of the cluster.
pub(crate) const ID: &str = "c-abcde";

pub(crate) struct Connected {
    pub(crate) app: TestApp,
    pub(crate) cluster: FakeCluster,
    pub(crate) store: Store,
    /// The token of the cluster's owner.
    pub(crate) ann: String,
    status: ClusterStatus,
}

impl Connected {
    pub(crate) async fn start() -> Self {
        let cluster = FakeCluster::start().await;
        let app = TestApp::with().clusters(cluster.options()).start().await;
        Self::of(app, cluster).await
    }

    pub(crate) async fn of(app: TestApp, cluster: FakeCluster) -> Self {
        let file = app.folder.path().join("norman-aks.db");
        let store = Store::connect(&store::sqlite_url(&file), &store::Options::default()).await.unwrap();
        let ann = app.token("ann").await;
        let status = ClusterStatus {
            api_endpoint: Some(format!("https://{HOST}:443")),
            ca_cert: Some(BASE64_STANDARD.encode(&cluster.authority)),
            ..ClusterStatus::default()
        };
        let connected = Self { app, cluster, store, ann, status };
        connected.keep(ID, &connected.status, ACCOUNT).await;
        connected
    }

    /// Stores a cluster of Ann's, which the worker does not reconcile.
    pub(crate) async fn keep(&self, id: &str, status: &ClusterStatus, token: &str) {
        let row = ClusterRow {
            id: id.to_owned(),
            uuid: format!("uuid-{id}"),
            owner: self.user(&self.ann).await,
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
            work: WorkColumns {
                phase: "active".to_owned(),
                status: status.to_text(),
                next_run_ms: None,
                ..WorkColumns::default()
            },
        };
        store::clusters::insert(&self.store, &row, None, &audit()).await.unwrap();
        if !token.is_empty() {
            self.app
                .app
                .secrets
                .store_cluster_secret(id, SERVICE_ACCOUNT_TOKEN, &token.into())
                .await
                .unwrap();
        }
    }

    /// The status of the cluster.
    pub(crate) fn status(&self) -> ClusterStatus {
        self.status.clone()
    }

    /// The user ID of a token.
    pub(crate) async fn user(&self, token: &str) -> String {
        self.app.app.tokens.authenticate(token).await.unwrap().user_id.clone()
    }

    /// The token of a new user with a role in the cluster.
    pub(crate) async fn member(&self, name: &str, role: &str) -> String {
        let token = self.app.token(name).await;
        let row = MemberRow {
            id: format!("crtb-{name}"),
            uuid: format!("uuid-{name}"),
            cluster_id: ID.to_owned(),
            user_id: self.user(&token).await,
            role: role.to_owned(),
            labels: std::collections::BTreeMap::new(),
            annotations: std::collections::BTreeMap::new(),
            created_ms: NOW_MS,
        };
        store::members::insert(&self.store, &row, &audit()).await.unwrap();
        token
    }

    /// Sends a request into the cluster; returns the response with a body that may still be streaming.
    pub(crate) async fn inside(&self, method: Method, path: &str, token: &str) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(format!("/k8s/clusters/{ID}{path}"))
            .header("authorization", format!("Bearer {token}"));
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(std::net::SocketAddr::from(([127, 0, 0, 1], 40_000))));
        self.app.router().oneshot(request).await.unwrap()
    }
}
