//! The real executable, killed during a creation and restarted with the same data: the cluster becomes active, and was created
//! once.

use std::path::Path;
use std::time::{Duration, Instant};

use azure_sandbox::Timing;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::call::string_at;
use crate::support::program::{Server, reply, sandbox_file};

const SERVE_ARGS: [&str; 5] =
    ["serve", "--sandbox", "--listen=127.0.0.1:0", "--data-dir=data", "--sandbox-control-listen=127.0.0.1:0"];

/// Longer than any wait on a machine that is busy with other tests.
const WAIT_TIMEOUT: Duration = Duration::from_mins(2);

/// One run of the server with its sandbox.
struct ServerRun {
    server: Server,
    control_url: String,
    token: String,
    credential_id: String,
}

impl ServerRun {
    async fn start(directory: &Path) -> Self {
        let server = Server::start(directory, &SERVE_ARGS);
        let file = sandbox_file(&directory.join("data"));
        let run = Self {
            server,
            control_url: string_at(&file, "control_url"),
            token: string_at(&file, "token_key"),
            credential_id: string_at(&file, "credential_id"),
        };
        let timing = Timing { create_cluster: 2_000, retry_after: Some(1), ..Timing::default() };
        let request = run.server.http.put(format!("{}/times", run.control_url));
        let response =
            reply(request.header("content-type", "application/json").body(json!(timing).to_string())).await;
        assert_eq!(response.status, 204, "{}", response.text);
        run
    }

    async fn add_fault(&self, fault: &Value) {
        let request = self.server.http.post(format!("{}/faults", self.control_url));
        let response =
            reply(request.header("content-type", "application/json").body(fault.to_string())).await;
        assert_eq!(response.status, 201, "{}", response.text);
    }

    /// The statuses of the requests that create clusters.
    async fn creation_statuses(&self) -> Vec<Value> {
        let writes = reply(self.server.http.get(format!("{}/writes", self.control_url))).await.json();
        let mut puts = writes.as_array().unwrap().clone();
        puts.retain(|write| write["operation"] == "managedCluster" && write["method"] == "PUT");
        puts.into_iter().map(|write| write["status"].clone()).collect()
    }

    /// Whether Azure has received a request of this operation and method.
    async fn has_received(&self, operation: &str, method: &str) -> bool {
        let requests = reply(self.server.http.get(format!("{}/requests", self.control_url))).await.json();
        requests
            .as_array()
            .unwrap()
            .iter()
            .any(|request| request["operation"] == operation && request["method"] == method)
    }

    async fn cluster(&self, path: &str) -> Value {
        let response = self.server.get(path, &self.token).await;
        assert_eq!(response.status, 200, "{}", response.text);
        response.json()
    }

    async fn wait_until_active(&self, path: &str) {
        let started = Instant::now();
        loop {
            let cluster = self.cluster(path).await;
            if cluster["state"] == "active" {
                return;
            }
            assert!(started.elapsed() < WAIT_TIMEOUT, "{cluster:#}\n{}", self.server.stderr());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn kill(self) {
        self.server.signal("KILL");
        let (status, _) = self.server.wait_for_exit();
        assert!(!status.success());
    }
}

/// Waits until the condition is met.
async fn wait_until(what: &str, mut is_met: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_met().await {
        assert!(started.elapsed() < WAIT_TIMEOUT, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts a creation, kills the server once `should_kill` returns true, restarts it, and waits until the cluster is active.
/// Returns the statuses of the PUT requests for the cluster, before and after the kill; `null` for a pending one.
async fn kill_during_creation(
    fault: Option<Value>,
    should_kill: impl AsyncFn(&ServerRun, &str) -> bool,
) -> (Vec<Value>, Vec<Value>) {
    let directory = TempDir::new().unwrap();
    let run = ServerRun::start(directory.path()).await;
    if let Some(fault) = fault {
        run.add_fault(&fault).await;
    }
    let body = super::small_cluster("one", &run.credential_id);
    let created = run.server.post("/v3/clusters", &run.token, &body).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let path = format!("/v3/clusters/{}", string_at(&created.json(), "id"));
    wait_until("the condition was never met", async || should_kill(&run, &path).await).await;
    let before = run.creation_statuses().await;
    run.kill();
    let run = ServerRun::start(directory.path()).await;
    run.wait_until_active(&path).await;
    let after = run.creation_statuses().await;
    run.server.stop();
    (before, after)
}

#[tokio::test]
async fn kill_before_azure_accepts_repeats_the_creation() {
    // The server has saved its intent to send the PUT; Azure delays the request and never executes it.
    let delayed = json!({"operation": "managedCluster", "method": "PUT", "latency_ms": 600_000});
    let (before, after) =
        kill_during_creation(Some(delayed), async |run, _| run.has_received("managedCluster", "PUT").await)
            .await;
    assert_eq!((before, after), (vec![json!(null)], vec![json!(201)]));
}

#[tokio::test]
async fn kill_after_azure_accepted_repeats_nothing() {
    let (before, after) =
        kill_during_creation(None, async |run, _| run.creation_statuses().await == [json!(201)]).await;
    assert_eq!((before, after), (vec![json!(201)], vec![]));
}

#[tokio::test]
async fn kill_before_the_creation_response_repeats_nothing() {
    // The response is sent so slowly that the server never receives it.
    let slow = json!({"operation": "managedCluster", "method": "PUT", "effect": {"slow_body": 600_000}});
    let (before, after) = kill_during_creation(Some(slow), async |run, _| {
        run.has_received("managedCluster", "PUT").await
            && !run.creation_statuses().await.contains(&json!(null))
    })
    .await;
    assert_eq!((before, after), (vec![json!(201)], vec![]));
}

#[tokio::test]
async fn kill_during_the_creation_repeats_nothing() {
    let (before, after) = kill_during_creation(None, async |run, path| {
        run.has_received("longOperation", "GET").await
            && string_at(&run.cluster(path).await, "transitioningMessage").contains("creating cluster")
    })
    .await;
    assert_eq!((before, after), (vec![json!(201)], vec![]));
}

#[tokio::test]
async fn kill_while_connecting_repeats_nothing() {
    let delayed = json!({"operation": "adminCredential", "latency_ms": 600_000});
    let (before, after) =
        kill_during_creation(Some(delayed), async |run, _| run.has_received("adminCredential", "POST").await)
            .await;
    assert_eq!((before, after), (vec![json!(201)], vec![]));
}

#[tokio::test]
async fn kill_after_the_post_creates_the_cluster_once() {
    let (before, after) = kill_during_creation(None, async |_, _| true).await;
    let put_count = before.len() + after.len();
    assert!(put_count <= 1, "a PUT may have been sent between the check and the kill: {before:?} {after:?}");
}
