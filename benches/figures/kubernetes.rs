//! A Kubernetes API in a child process, which serves two objects of fixed length; its cluster and member in the
//! measured server; and a bare route that only forwards requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use aks::status::ClusterStatus;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Uri;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use norman_aks::app::App;
use norman_aks::services::SERVICE_ACCOUNT_TOKEN_SECRET;
use norman_aks::store::{self, ClusterRow, MemberRow, ReconcileColumns, Store};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::process::{Process, wait_for_parent};

/// The first argument of the child process.
pub(crate) const ARGUMENT: &str = "the-kubernetes-api";

/// The ID of the cluster in the measured server.
pub(crate) const CLUSTER: &str = "c-figure";

/// Paths and sizes, in bytes, of an object and of a list.
pub(crate) const SMALL: (&str, usize) = ("/api/v1/namespaces/default/configmaps/small", 1_024);
pub(crate) const LARGE: (&str, usize) = ("/api/v1/configmaps", 4 * 1024 * 1024);

const HOST: &str = "figures-5a4d.hcp.westeurope.azmk8s.io";

/// Address and certificate authority, which the child reports to its parent.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    address: SocketAddr,
    /// PEM.
    authority: String,
}

/// The running child process.
pub(crate) struct Kubernetes {
    pub(crate) ready: Ready,
    _process: Process,
}

impl Kubernetes {
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let mut process = Process::start_self(&[ARGUMENT], &directory.join("kubernetes.log"))?;
        Ok(Self { ready: serde_json::from_str(&process.read_line()?)?, _process: process })
    }
}

/// Runs the child process until its parent exits.
pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (root_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
        let mut root = CertificateParams::new(Vec::new())?;
        root.distinguished_name.push(DnType::CommonName, "figures");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = root.self_signed(&root_key)?.pem();
        let leaf = CertificateParams::new(vec![HOST.to_owned()])?;
        let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key))?;
        let tls = serve::tls(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let ready = Ready { address: listener.local_addr()?, authority };
        let app = [SMALL, LARGE].into_iter().fold(Router::new(), |app, (path, length)| {
            let body = Bytes::from(json_list(length));
            app.route(path, get(move || async move { ([(CONTENT_TYPE, "application/json")], body) }))
        });
        let options = serve::Options::default();
        tokio::spawn(serve::serve(listener, Some(tls), app, CancellationToken::new(), options));
        println!("{}", serde_json::to_string(&ready)?);
        wait_for_parent().await
    })
}

/// A JSON list of the given length.
fn json_list(length: usize) -> String {
    let (start, end) = (r#"{"kind":"List","apiVersion":"v1","metadata":{},"items":["#, "{}]}");
    let item =
        r#"{"metadata":{"name":"web-7d9f","namespace":"default","labels":{"app":"web"}},"data":{"a":"b"}},"#;
    let mut text = start.to_owned();
    while text.len() + item.len() + end.len() <= length {
        text.push_str(item);
    }
    text.push_str(&" ".repeat(length - text.len() - end.len()));
    text.push_str(end);
    text
}

/// An audit record with a unique ID.
fn audit_record() -> store::AuditRow {
    store::AuditRow { id: uuid::Uuid::now_v7().to_string(), ..store::AuditRow::default() }
}

impl Ready {
    /// Options that resolve the cluster's host name to the child process.
    pub(crate) fn cluster_access_options(&self) -> cluster_access::Options {
        let address = self.address;
        let resolver = move |host: &str| (host == HOST).then_some(address);
        cluster_access::Options { resolver: Some(Arc::new(resolver)), ..cluster_access::Options::default() }
    }

    /// Stores the cluster as connected, and a member; returns the member's token.
    pub(crate) async fn store_cluster_and_member(&self, app: &App, store: &Store) -> Result<String> {
        let owner = app.tokens.create("owner", None, None, "").await?.to_bearer();
        let owner = app.tokens.authenticate(owner.expose_secret()).await?;
        let token = app.tokens.create("member", None, None, "").await?.to_bearer();
        let member = app.tokens.authenticate(token.expose_secret()).await?;
        let status = ClusterStatus {
            api_endpoint: Some(format!("https://{HOST}:443")),
            ca_cert: Some(BASE64_STANDARD.encode(&self.authority)),
            ..ClusterStatus::default()
        };
        let cluster_row = ClusterRow {
            id: CLUSTER.to_owned(),
            uuid: "figures".to_owned(),
            owner: owner.user_id.clone(),
            name: "figures".to_owned(),
            spec: r#"{"aksConfig":{"clusterName":"figures"}}"#.to_owned(),
            credential_id: None,
            aks_identity: None,
            identity_proved: false,
            created_ms: 0,
            updated_ms: 0,
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
        store::clusters::insert(store, &cluster_row, None, &audit_record()).await?;
        let member_row = MemberRow {
            id: format!("{CLUSTER}:crtb-figure"),
            uuid: "figures".to_owned(),
            cluster_id: CLUSTER.to_owned(),
            user_id: member.user_id.clone(),
            role: "cluster-member".to_owned(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            created_ms: 0,
        };
        store::members::insert(store, &member_row, &audit_record()).await?;
        app.secrets
            .store_cluster_secret(CLUSTER, SERVICE_ACCOUNT_TOKEN_SECRET, &"account-token".into())
            .await?;
        Ok(token.expose_secret().to_owned())
    }

    /// A route that only forwards requests.
    pub(crate) fn bare_proxy(&self) -> Result<Router> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(self.authority.as_bytes())?])
            .http1_only()
            .no_gzip()
            .resolve(HOST, self.address)
            .build()?;
        Ok(Router::new().fallback(forward).with_state(client))
    }
}

async fn forward(State(client): State<reqwest::Client>, uri: Uri) -> Response {
    match client.get(format!("https://{HOST}:{}{uri}", 443)).send().await {
        Err(error) => error.to_string().into_response(),
        Ok(response) => {
            let length = response.content_length().unwrap_or_default();
            let headers = [(CONTENT_LENGTH, length.to_string())];
            (headers, Body::new(reqwest::Body::from(response))).into_response()
        }
    }
}
