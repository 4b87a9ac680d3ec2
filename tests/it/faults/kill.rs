//! The real executable, killed during a creation and restarted with the same data: the cluster becomes active, and was created
//! once.

use std::path::Path;
use std::time::{Duration, Instant};

use azure_sandbox::Timing;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::call::string_at;
use crate::support::program::{Server, reply, sandbox_file};

const SANDBOX: [&str; 5] =
    ["serve", "--sandbox", "--listen=127.0.0.1:0", "--data-dir=data", "--sandbox-control-listen=127.0.0.1:0"];

/// Longer than any wait on a machine that is busy with other tests.
const WAIT_TIMEOUT: Duration = Duration::from_mins(2);

/// A running server with its sandbox.
struct Run {
    server: Server,
    control: String,
    token: String,
    credential: String,
}

impl Run {
    async fn start(folder: &Path) -> Self {
        let server = Server::start(folder, &SANDBOX);
        let file = sandbox_file(&folder.join("data"));
        let run = Self {
            server,
            control: string_at(&file, "control_url"),
            token: string_at(&file, "token_key"),
            credential: string_at(&file, "credential_id"),
        };
        let times = Timing { create_cluster: 2_000, retry_after: Some(1), ..Timing::default() };
        let put = run.server.http.put(format!("{}/times", run.control));
        let put = reply(put.header("content-type", "application/json").body(json!(times).to_string())).await;
        assert_eq!(put.status, 204, "{}", put.text);
        run
    }

    async fn fault(&self, fault: &Value) {
        let post = self.server.http.post(format!("{}/faults", self.control));
        let post = reply(post.header("content-type", "application/json").body(fault.to_string())).await;
        assert_eq!(post.status, 201, "{}", post.text);
    }

    /// The statuses of the requests that create clusters.
    async fn puts(&self) -> Vec<Value> {
        let writes = reply(self.server.http.get(format!("{}/writes", self.control))).await.json();
        let mut puts = writes.as_array().unwrap().clone();
        puts.retain(|seen| seen["operation"] == "managedCluster" && seen["method"] == "PUT");
        puts.into_iter().map(|seen| seen["status"].clone()).collect()
    }

    async fn requested(&self, operation: &str, method: &str) -> bool {
        let requests = reply(self.server.http.get(format!("{}/requests", self.control))).await.json();
        requests
            .as_array()
            .unwrap()
            .iter()
            .any(|seen| seen["operation"] == operation && seen["method"] == method)
    }

    async fn cluster(&self, path: &str) -> Value {
        let answer = self.server.get(path, &self.token).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
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
async fn until(what: &str, mut good: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !good().await {
        assert!(started.elapsed() < WAIT_TIMEOUT, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts a creation, kills the server at `moment`, restarts it, and waits until the cluster is active. Returns the statuses of
/// the PUT requests that created the cluster, before and after the kill.
async fn killed_at(
    fault: Option<Value>,
    moment: impl AsyncFn(&Run, &str) -> bool,
) -> (Vec<Value>, Vec<Value>) {
    let folder = TempDir::new().unwrap();
    let run = Run::start(folder.path()).await;
    if let Some(fault) = fault {
        run.fault(&fault).await;
    }
    let body = super::small_cluster("one", &run.credential);
    let made = run.server.post("/v3/clusters", &run.token, &body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/v3/clusters/{}", string_at(&made.json(), "id"));
    until("the condition was never met", async || moment(&run, &path).await).await;
    let before = run.puts().await;
    run.kill();
    let run = Run::start(folder.path()).await;
    run.wait_until_active(&path).await;
    let after = run.puts().await;
    run.server.stop();
    (before, after)
}

#[tokio::test]
async fn killed_before_azure_accepted_the_creation() {
    // The server has recorded that it sends the PUT; Azure delays the request and never executes it.
    let held = json!({"operation": "managedCluster", "method": "PUT", "latency_ms": 600_000});
    let (before, after) =
        killed_at(Some(held), async |run, _| run.requested("managedCluster", "PUT").await).await;
    assert_eq!((before, after), (vec![json!(null)], vec![json!(201)]));
}

#[tokio::test]
async fn killed_after_azure_accepted_the_creation() {
    let (before, after) = killed_at(None, async |run, _| run.puts().await == [json!(201)]).await;
    assert_eq!((before, after), (vec![json!(201)], vec![]));
}

#[tokio::test]
async fn killed_before_the_creation_response() {
    // The response is sent so slowly that the server never receives it.
    let slow = json!({"operation": "managedCluster", "method": "PUT", "effect": {"slow_body": 600_000}});
    let (before, after) = killed_at(Some(slow), async |run, _| {
        run.requested("managedCluster", "PUT").await && !run.puts().await.contains(&json!(null))
    })
    .await;
    assert_eq!((before, after), (vec![json!(201)], vec![]));
}

#[tokio::test]
async fn killed_during_the_creation() {
    let (before, after) = killed_at(None, async |run, path| {
        run.requested("longOperation", "GET").await
            && string_at(&run.cluster(path).await, "transitioningMessage").contains("creating cluster")
    })
    .await;
    assert_eq!((before, after), (vec![json!(201)], vec![]));
}

#[tokio::test]
async fn killed_while_connecting() {
    let held = json!({"operation": "adminCredential", "latency_ms": 600_000});
    let (before, after) =
        killed_at(Some(held), async |run, _| run.requested("adminCredential", "POST").await).await;
    assert_eq!((before, after), (vec![json!(201)], vec![]));
}

#[tokio::test]
async fn killed_after_the_post() {
    let (before, after) = killed_at(None, async |_, _| true).await;
    let all = before.len() + after.len();
    assert!(all <= 1, "one may have been sent between the check and the kill: {before:?} {after:?}");
}
