//! Private clusters with the real agent, as in `serve --sandbox`: it is deployed by the server, runs in a pod of the sandbox
//! and connects to the server's TLS listener. The tests advance the clock of the server, while agents and pods run in real
//! time.

mod faults;
mod kill;
mod life;
mod writes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::agent::TEST_TIMEOUT;
use crate::support::app::TestApp;
use crate::support::condition;
use crate::support::databases::{self, TestDb};
use crate::support::listener::Listener;
use crate::support::test_clusters;

const IMAGE: &str = "registry.example/norman-aks:1";
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Rancher's message for a cluster without an agent.
const WAITING: &str = "waiting for cluster agent to be deployed";

const AGENT_PODS: &str = "/api/v1/namespaces/cattle-system/pods";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A server whose sandbox runs agents, and one private cluster.
struct PrivateCluster {
    app: TestApp,
    db: TestDb,
    listener: Listener,
    id: String,
}

impl PrivateCluster {
    /// A new cluster whose creation was just accepted.
    async fn create() -> Self {
        Self::create_with(|_| ()).await
    }

    /// A new cluster with a change to the body of the object.
    async fn create_with(change: impl FnOnce(&mut Value)) -> Self {
        Self::start("ready", IMAGE, change).await
    }

    /// A new cluster with the credential of a sandbox account and this value of the setting `agent-image`.
    async fn start(account: &str, image: &str, change: impl FnOnce(&mut Value)) -> Self {
        let db = databases::sqlite().await;
        let app = TestApp::builder().advisory_review().built_in_agent().database(&db).start().await;
        let listener = Listener::start_tls(&app, ANY_PORT).await;
        let mut cluster = Self { app, db, listener, id: String::new() };
        cluster.app.put_setting("agent-image", image).await;
        let mut body = test_clusters::body("one", &cluster.app.store_credential_of(account).await);
        body["aksConfig"]["privateCluster"] = json!(true);
        change(&mut body);
        cluster.id = test_clusters::create(&cluster.app, &cluster.app.admin, &body).await;
        cluster
    }

    /// An import of a private cluster that others created.
    async fn create_import() -> Self {
        Self::create_with(make_import).await
    }

    /// A cluster that is active through its agent.
    async fn create_active() -> Self {
        let cluster = Self::create().await;
        cluster.wait_until_active().await;
        cluster
    }

    async fn wait_until_active(&self) -> Value {
        self.wait_until("active", |object| object["state"] == "active").await
    }

    fn path(&self) -> String {
        format!("/v3/clusters/{}", self.id)
    }

    /// The cluster object, which contains no secret.
    async fn object(&self) -> Value {
        let response = self.app.get(&self.path()).send().await.expect(200);
        for secret in [self.app.seed.client_secret, "PRIVATE KEY", "api-version="] {
            assert!(!response.text().contains(secret), "{secret} in {}", response.text());
        }
        response.json()
    }

    /// Changes keys of the cluster object.
    async fn update(&self, mut body: Value) {
        body["name"] = "one".into();
        self.app.put(&self.path()).json(&body).send().await.expect(200);
    }

    /// Runs the worker and the agents until the cluster object meets a condition.
    async fn wait_until(&self, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let object = self.object().await;
            if is_met(&object) {
                println!("{what}: {:?}", started.elapsed());
                return object;
            }
            assert!(started.elapsed() < TEST_TIMEOUT, "{what}: {object:#}\n{:#?}", self.events().await);
            self.app.advance(Duration::from_secs(2)).await;
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until `transitioningMessage` contains `part`; returns the message.
    async fn wait_for_message(&self, part: &str) -> String {
        let message = |object: &Value| object["transitioningMessage"].as_str().unwrap_or_default().to_owned();
        message(&self.wait_until(part, |object| message(object).contains(part)).await)
    }

    /// The events of the cluster: kind and message.
    async fn events(&self) -> Vec<(String, String)> {
        let path = format!("/api/v1/clusters/{}/events", self.id);
        let response = self.app.get(&path).header("accept", "application/json").send().await.json();
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let events = response["events"].as_array().unwrap_or_else(|| panic!("{response}"));
        events.iter().map(|event| (text(event, "kind"), text(event, "message"))).collect()
    }

    /// The messages of the events of one kind.
    async fn event_messages(&self, kind: &str) -> Vec<String> {
        self.events().await.into_iter().filter(|event| event.0 == kind).map(|event| event.1).collect()
    }

    /// Runs the worker and the agents until the cluster object is gone.
    async fn wait_until_deleted(&self) {
        let started = Instant::now();
        while self.app.get(&self.path()).send().await.status != StatusCode::NOT_FOUND {
            assert!(started.elapsed() < TEST_TIMEOUT, "{:#}", self.object().await);
            self.app.advance(Duration::from_secs(2)).await;
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a request into the cluster; the body of the response may still be streaming.
    async fn send(&self, method: Method, path: &str, content_type: &str, body: &Value) -> Response {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let call = self.app.call(method, &format!("/k8s/clusters/{}{path}", self.id));
        call.header("content-type", content_type).body(body).response().await
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        read(self.send(Method::GET, path, "application/json", &Value::Null).await).await
    }

    async fn json(&self, path: &str) -> Value {
        let (status, text) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Applies an object as `kubectl apply --server-side` does.
    async fn apply(&self, path: &str, object: &Value) -> Value {
        let path = format!("{path}?fieldManager=kubectl&force=true");
        let response = self.send(Method::PATCH, &path, "application/apply-patch+yaml", object).await;
        let (status, text) = read(response).await;
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Sends small requests until one succeeds; returns the elapsed time.
    async fn wait_until_reachable(&self) -> Duration {
        let started = Instant::now();
        loop {
            let (status, text) = self.get("/api/v1/nodes").await;
            if status == StatusCode::OK {
                return started.elapsed();
            }
            assert!(started.elapsed() < TEST_TIMEOUT, "{status} {text}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the cluster has a usable agent, or none if `is_usable` is false; returns the elapsed time.
    async fn wait_for_agent(&self, is_usable: bool) -> Duration {
        let started = Instant::now();
        let sessions = self.app.server.cluster_access.sessions();
        while sessions.has_usable(&self.id) != is_usable {
            assert!(started.elapsed() < TEST_TIMEOUT, "is_usable: {is_usable}");
            sleep(Duration::from_millis(10)).await;
        }
        started.elapsed()
    }
}

/// Changes a body to import the private cluster of the seed data.
fn make_import(body: &mut Value) {
    let credential = body["aksConfig"]["azureCredentialSecret"].clone();
    body["aksConfig"] = json!({"imported": true, "azureCredentialSecret": credential, "clusterName": "private-one",
        "resourceGroup": "rancher", "resourceLocation": "eastus"});
}

/// A cluster's administrator, who can reach its private network.
struct ClusterAdmin {
    client: reqwest::Client,
    base_url: String,
    /// The user of the administrator's kubeconfig.
    user: Value,
}

impl ClusterAdmin {
    /// For a cluster whose API endpoint is known.
    async fn new(cluster: &PrivateCluster) -> Self {
        let (app, endpoint) = (&cluster.app, cluster.object().await["apiEndpoint"].clone());
        let fqdn = endpoint.as_str().and_then(|url| url.strip_prefix("https://")?.split(':').next());
        let fqdn = fqdn.unwrap_or_else(|| panic!("{endpoint}"));
        let kubeconfig: Value =
            serde_saphyr::from_str(&app.control.admin_kubeconfig(fqdn, "any").unwrap()).unwrap();
        let authority = kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"].as_str().unwrap();
        let authority = reqwest::Certificate::from_pem(&BASE64_STANDARD.decode(authority).unwrap()).unwrap();
        let client = reqwest::Client::builder().no_proxy().resolve(fqdn, app.sandbox.kubernetes_address());
        Self {
            client: client.tls_certs_only([authority]).build().unwrap(),
            base_url: format!("https://{fqdn}"),
            user: kubeconfig["users"][0]["user"].clone(),
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> String {
        let token = self.user["token"].as_str().unwrap();
        let request = self.client.request(method, format!("{}{path}", self.base_url)).bearer_auth(token);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        };
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        text
    }

    async fn get(&self, path: &str) -> String {
        self.send(Method::GET, path, None).await
    }

    async fn create(&self, path: &str, object: &Value) {
        self.send(Method::POST, path, Some(object)).await;
    }

    /// The objects of the kinds below, by path: `namespace/kind/name`, or `kind/name` outside of namespaces.
    async fn objects(&self) -> BTreeMap<String, Value> {
        let mut objects = BTreeMap::new();
        for (group, kinds) in [
            ("/api/v1", "namespaces serviceaccounts secrets configmaps pods"),
            ("/apis/apps/v1", "deployments"),
            ("/apis/networking.k8s.io/v1", "networkpolicies"),
            ("/apis/policy/v1", "poddisruptionbudgets"),
            (RBAC, "clusterroles clusterrolebindings roles rolebindings"),
        ] {
            for kind in kinds.split(' ') {
                let list: Value = serde_json::from_str(&self.get(&format!("{group}/{kind}")).await).unwrap();
                for object in list["items"].as_array().unwrap() {
                    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
                    let path = format!("{}/{kind}/{}", text("namespace"), text("name"));
                    objects.insert(path.trim_start_matches('/').to_owned(), object.clone());
                }
            }
        }
        objects
    }

    /// The objects in a namespace, and the namespace.
    async fn objects_in(&self, namespace: &str) -> BTreeMap<String, Value> {
        let mut objects = self.objects().await;
        let (within, itself) = (format!("{namespace}/"), format!("namespaces/{namespace}"));
        objects.retain(|path, _| path.starts_with(&within) || *path == itself);
        objects
    }

    /// Waits until an object exists.
    async fn wait_until_exists(&self, path: &str) {
        let started = Instant::now();
        while !self.objects().await.contains_key(path) {
            assert!(started.elapsed() < TEST_TIMEOUT, "{:#?}", self.objects().await.keys());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The pods of the agent.
    async fn agent_pods(&self) -> Vec<Value> {
        let list: Value = serde_json::from_str(&self.get(AGENT_PODS).await).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Waits until the log of an agent contains a text.
    async fn wait_until_logged(&self, part: &str) {
        let started = Instant::now();
        let mut log = String::new();
        while !log.contains(part) {
            assert!(started.elapsed() < TEST_TIMEOUT, "{part}: {log}");
            sleep(Duration::from_millis(50)).await;
            for pod in self.agent_pods().await {
                let name = pod["metadata"]["name"].as_str().unwrap();
                if !pod["status"]["podIP"].is_null() {
                    log = self.get(&format!("{AGENT_PODS}/{name}/log")).await;
                }
            }
        }
    }
}

async fn read(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body = timeout(TEST_TIMEOUT, response.into_body().collect())
        .await
        .expect("the response ends")
        .unwrap()
        .to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

fn has_connected_status(object: &Value, status: &str) -> bool {
    condition(object, "Connected")["status"] == status
}

/// The lines of a response that a cluster streams.
struct Lines {
    body: Body,
    unread: String,
}

impl Lines {
    fn new(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        Self { body: response.into_body(), unread: String::new() }
    }

    /// The next line; an error if the stream breaks off or ends.
    async fn next(&mut self) -> Result<String, String> {
        loop {
            if let Some((line, rest)) = self.unread.split_once('\n') {
                let line = line.to_owned();
                self.unread = rest.to_owned();
                return Ok(line);
            }
            self.read_chunk().await?;
        }
    }

    /// Reads the next chunk of the stream; the error is `the end` if the stream is complete.
    async fn read_chunk(&mut self) -> Result<(), String> {
        let frame = timeout(TEST_TIMEOUT, self.body.frame()).await.expect("the stream continues or ends");
        let frame = frame.ok_or("the end")?.map_err(|error| error.to_string())?;
        self.unread += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
        Ok(())
    }

    /// Reads until a line contains a text.
    async fn read_until(&mut self, part: &str) -> String {
        loop {
            let line = self.next().await.unwrap_or_else(|error| panic!("{part}: {error}"));
            if line.contains(part) {
                return line;
            }
        }
    }
}
