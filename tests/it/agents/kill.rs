//! Each component is killed in turn: the test measures how long requests fail, and checks that everything recovers without
//! manual repair. `faults/private.rs` tests the loss of a server that shares the database.

use std::time::{Duration, Instant};

use azure_sandbox::{Effect, Fault};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

use super::{AGENT_PODS, ClusterAdmin, PrivateCluster, TEST_TIMEOUT, has_connected_status};
use crate::support::app::TestApp;
use crate::support::fault;
use crate::support::listener::Listener;

/// The longest that a request may take while the cluster cannot be reached.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(15);

/// Requests during an outage.
#[derive(Debug, Default)]
struct Outage {
    failed: usize,
    longest_request: Duration,
    /// The time from the first failed request to the end of the last one.
    duration: Duration,
    distinct_failures: Vec<(StatusCode, String)>,
}

impl Outage {
    /// Sends a request every 50 ms until `is_over` returns true and the next request succeeds.
    async fn observe(cluster: &PrivateCluster, is_over: impl AsyncFn() -> bool) -> Self {
        let (started, mut outage, mut first_failure) = (Instant::now(), Self::default(), None);
        loop {
            let over = is_over().await;
            let sent = Instant::now();
            let (status, text) = cluster.get("/api/v1/nodes").await;
            outage.longest_request = outage.longest_request.max(sent.elapsed());
            if status == StatusCode::OK {
                if over {
                    return outage;
                }
            } else {
                outage.failed += 1;
                outage.duration = first_failure.get_or_insert(sent).elapsed();
                if !outage.distinct_failures.iter().any(|known| *known == (status, text.clone())) {
                    outage.distinct_failures.push((status, text));
                }
            }
            assert!(started.elapsed() < TEST_TIMEOUT, "{outage:#?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn check(&self, what: &str) {
        println!("{what}: {self:#?}");
        assert!(self.longest_request < MAX_REQUEST_TIME, "{what}: {self:#?}");
        for (status, text) in &self.distinct_failures {
            assert!([502, 503, 504].contains(&status.as_u16()), "{what}: {status} {text}");
        }
    }
}

#[tokio::test]
async fn deleted_pod_of_the_agent_is_replaced() {
    let cluster = PrivateCluster::create_active().await;
    let admin = ClusterAdmin::new(&cluster).await;
    let names = async || {
        let pods = admin.agent_pods().await;
        pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = names().await;
    // The requests go through the agent itself.
    for name in &before {
        let response = cluster.send(Method::DELETE, &format!("{AGENT_PODS}/{name}"), "", &Value::Null).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
    let outage = Outage::observe(&cluster, async || {
        let now = names().await;
        !now.is_empty() && now.iter().all(|name| !before.contains(name))
    })
    .await;
    outage.check("pod deleted");
}

#[tokio::test]
async fn killed_agent_connects_again() {
    let cluster = PrivateCluster::create_active().await;
    let disconnections = async || cluster.event_messages("agentDisconnected").await.len();
    let before = disconnections().await;
    // As if the process and its connections had ended at once.
    cluster.app.control.cut_pod_connections();
    let outage = Outage::observe(&cluster, async || disconnections().await > before).await;
    outage.check("agent killed");
}

#[tokio::test]
async fn requests_succeed_once_the_api_server_is_back() {
    let cluster = PrivateCluster::create_active().await;
    let fault = fault::for_all(Effect::RefuseConnections);
    cluster.app.control.add_kubernetes_fault(fault);
    cluster.wait_until("not connected", |object| has_connected_status(object, "False")).await;
    let started = Instant::now();
    let downtime = Duration::from_secs(2);
    let outage = Outage::observe(&cluster, async || {
        let over = started.elapsed() > downtime;
        if over {
            cluster.app.control.clear_kubernetes_faults();
        }
        over
    })
    .await;
    outage.check("API server down for 2 s");
    let refused =
        outage.distinct_failures.iter().any(|(_, text)| text.contains("connect: connection refused"));
    assert!(refused, "the agent's reason is shown: {outage:#?}");
    cluster.wait_until("connected again", |object| has_connected_status(object, "True")).await;
}

#[tokio::test]
async fn version_request_times_out_while_the_api_server_hangs() {
    let cluster = PrivateCluster::create_active().await;
    cluster.app.control.add_kubernetes_fault(Fault { latency_ms: 3_600_000, ..Fault::default() });
    let sent = Instant::now();
    let (status, text) = cluster.get("/version").await;
    println!("API server hangs: {status} after {:?}: {text}", sent.elapsed());
    assert!(sent.elapsed() < MAX_REQUEST_TIME, "{:?}", sent.elapsed());
    assert!(status == 503 || text.contains("did not respond within 4.5 s"), "{status} {text}");
    cluster.app.control.clear_kubernetes_faults();
    println!("requests succeed after {:?}", cluster.wait_until_reachable().await);
}

#[tokio::test]
async fn agent_connects_to_the_restarted_server_by_itself() {
    let PrivateCluster { app, db, listener, id } = PrivateCluster::create_active().await;
    let (address, started) = (listener.address, Instant::now());
    let restarted = TestApp::builder().advisory_review().database(&db).with_azure_of(&app);
    app.server.end_streams();
    drop(listener);
    app.server.stop().await;
    let stopped = started.elapsed();
    let app = restarted.start().await;
    while std::net::TcpListener::bind(address).is_err() {
        assert!(started.elapsed() < TEST_TIMEOUT, "the port of the old server remains in use");
        sleep(Duration::from_millis(10)).await;
    }
    let listener = Listener::start_tls(&app, address).await;
    let listens = Instant::now();
    let cluster = PrivateCluster { app, db, listener, id };
    let outage = Outage::observe(&cluster, async || true).await;
    outage.check("server restarted");
    println!("stopped in {stopped:?}; requests succeed {:?} after the start", listens.elapsed());
    cluster.wait_until("connected", |object| has_connected_status(object, "True")).await;
    let writes = cluster.app.control.writes();
    let commands = writes.iter().filter(|write| write.path.ends_with("/runCommand")).count();
    assert_eq!(commands, 1, "nothing was deployed again");
}
