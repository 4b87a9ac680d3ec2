//! `/v3/nodes`: the server reads nodes in the background, every role sees the same ones, and a list does not fail if a cluster
//! is unreachable.

use std::time::{Duration, Instant};

use azure_sandbox::{Effect, Fault};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::fault;
use crate::support::test_clusters;

/// The latency of a slow cluster, in milliseconds; lists return sooner.
const CLUSTER_DELAY_MS: u64 = 9_000;

/// A server with an active cluster.
struct NodeSetup {
    app: TestApp,
    owner_token: String,
    cluster_id: String,
}

impl NodeSetup {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let owner_token = app.token("ann").await;
        let (cluster_id, _) = test_clusters::create_active(&app, &owner_token, "one").await;
        Self { app, owner_token, cluster_id }
    }

    async fn list(&self, token: &str, path: &str) -> Vec<Value> {
        let response = self.app.get(path).token(token).send().await.expect(200);
        assert_eq!(response.json()["resourceType"], "node");
        response.json()["data"].as_array().unwrap().clone()
    }

    /// The only node.
    async fn node(&self) -> Value {
        let mut nodes = self.list(&self.owner_token, "/v3/nodes").await;
        assert_eq!(nodes.len(), 1, "{nodes:?}");
        nodes.remove(0)
    }

    /// Advances the clock; nodes are cached for ten seconds.
    fn advance_clock(&self, seconds: u64) {
        self.app.clock.advance(Duration::from_secs(seconds));
    }

    /// Changes the node inside the cluster, as the owner.
    async fn patch_node(&self, path: &str, body: &Value) {
        let path = format!("/k8s/clusters/{}/api/v1/nodes/{path}", self.cluster_id);
        let call = self.app.call(http::Method::PATCH, &path).token(&self.owner_token);
        call.header("content-type", "application/merge-patch+json").json(body).send().await.expect(200);
    }

    fn add_fault(&self, fault: Fault) {
        self.app.control.add_kubernetes_fault(fault);
    }

    /// The number of reads of the cluster's nodes since the last call.
    fn take_read_count(&self) -> usize {
        let requests = self.app.control.kubernetes_requests();
        self.app.control.clear_kubernetes_requests();
        requests.iter().filter(|request| request.path.starts_with("/api/v1/nodes")).count()
    }
}

#[tokio::test]
async fn node_has_the_fields_that_clients_read() {
    let setup = NodeSetup::start().await;
    let node = setup.node().await;
    let name = node["name"].as_str().unwrap();
    let id = format!("{}:{name}", setup.cluster_id);
    for (key, expected) in [
        ("id", json!(id)),
        ("type", json!("node")),
        ("clusterId", json!(setup.cluster_id)),
        ("nodeName", json!(name)),
        ("hostname", json!(name)),
        ("requestedHostname", json!(name)),
        ("state", json!("active")),
        ("transitioning", json!("no")),
        ("controlPlane", json!(false)),
        ("etcd", json!(false)),
        ("worker", json!(true)),
        ("unschedulable", json!(false)),
    ] {
        assert_eq!(node[key], expected, "{key}: {node}");
    }
    assert!(node["ipAddress"].as_str().unwrap().starts_with("10."), "{node}");
    assert!(node["providerId"].as_str().unwrap().starts_with("azure:///"), "{node}");
    assert_eq!(node["labels"]["kubernetes.azure.com/agentpool"], "system");
    assert_eq!((&node["capacity"]["cpu"], &node["capacity"]["pods"]), (&json!("2"), &json!("110")));
    assert_eq!(node["info"]["kubernetes"]["kubeletVersion"], "v1.32.7");
    assert_eq!(node["info"]["cpu"]["count"], 2);
    assert_eq!(node["info"]["memory"]["memTotalKiB"], 8_388_608);
    let os = &node["info"]["os"];
    assert!(os["dockerVersion"].is_string() && os["operatingSystem"].is_string(), "{os}");
    let response = setup.app.get(&format!("/v3/nodes/{id}")).token(&setup.owner_token).send().await;
    assert_eq!((response.status, response.json()), (StatusCode::OK, node));
}

#[tokio::test]
async fn every_role_sees_the_nodes_of_its_clusters() {
    let setup = NodeSetup::start().await;
    let node = setup.node().await;
    let (id, name) = (node["id"].as_str().unwrap(), node["name"].as_str().unwrap());
    for (user, role) in [("ben", "cluster-member"), ("eve", "read-only"), ("carl", "cluster-owner")] {
        let token = test_clusters::add_member(&setup.app, &setup.cluster_id, user, role).await;
        for path in [
            "/v3/nodes".to_owned(),
            format!("/v3/nodes?clusterId={}", setup.cluster_id),
            format!("/v3/nodes?clusterId_in=c-none1,{}", setup.cluster_id),
            format!("/v3/nodes?name={name}"),
            format!("/v3/clusters/{}/nodes", setup.cluster_id),
        ] {
            assert_eq!(setup.list(&token, &path).await, std::slice::from_ref(&node), "{role} {path}");
        }
    }
    let stranger = setup.app.token("zoe").await;
    assert!(setup.list(&stranger, "/v3/nodes").await.is_empty());
    assert!(setup.list(&stranger, &format!("/v3/nodes?clusterId={}", setup.cluster_id)).await.is_empty());
    for path in [format!("/v3/nodes/{id}"), format!("/v3/clusters/{}/nodes", setup.cluster_id)] {
        assert_eq!(setup.app.get(&path).token(&stranger).send().await.status, 404, "{path}");
    }
    for unknown in ["one", "c-none1:a", &format!("{}:other", setup.cluster_id)] {
        let response = setup.app.get(&format!("/v3/nodes/{unknown}")).token(&setup.owner_token).send().await;
        assert_eq!(response.status, 404, "{unknown}");
    }
}

#[tokio::test]
async fn nodes_reflect_changes_in_the_cluster() {
    let setup = NodeSetup::start().await;
    let node = setup.node().await;
    let name = node["name"].as_str().unwrap();
    setup.patch_node(name, &json!({"spec": {"unschedulable": true}})).await;
    assert_eq!(setup.node().await["state"], "active", "the cache is fresh");
    setup.advance_clock(11);
    let cordoned = setup.node().await;
    assert_eq!((&cordoned["state"], &cordoned["unschedulable"]), (&json!("cordoned"), &json!(true)));
    let not_ready = json!({"status": {
        "conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status."}],
        "nodeInfo": {"kernelVersion": ""},
    }});
    setup.patch_node(&format!("{name}/status"), &not_ready).await;
    setup.advance_clock(11);
    let down = setup.node().await;
    assert_eq!((&down["state"], &down["transitioning"]), (&json!("unavailable"), &json!("error")));
    assert_eq!(down["transitioningMessage"], "Kubelet stopped posting node status.");
    assert!(down.get("info").is_none(), "an incomplete info is omitted: {down}");
    assert_eq!(down["name"], name);
}

#[tokio::test]
async fn scaled_cluster_lists_its_new_nodes_at_once() {
    let setup = NodeSetup::start().await;
    assert_eq!(setup.list(&setup.owner_token, "/v3/nodes").await.len(), 1);
    let path = format!("/v3/clusters/{}", setup.cluster_id);
    let mut body = setup.app.get(&path).token(&setup.owner_token).send().await.json();
    body["aksConfig"]["nodePools"][0]["count"] = json!(3);
    setup.app.put(&path).token(&setup.owner_token).json(&body).send().await.expect(200);
    setup.app.advance(Duration::from_mins(10)).await;
    let nodes = setup.list(&setup.owner_token, "/v3/nodes?sort=name").await;
    assert_eq!(nodes.len(), 3, "{nodes:?}");
    let page = setup.app.get("/v3/nodes?limit=2").token(&setup.owner_token).send().await.json();
    assert_eq!((page["data"].as_array().unwrap().len(), &page["pagination"]["total"]), (2, &json!(3)));
}

#[tokio::test]
async fn slow_cluster_does_not_hold_up_a_list() {
    let setup = NodeSetup::start().await;
    let node = setup.node().await;
    setup.advance_clock(11);
    setup.add_fault(Fault {
        path: Some("/api/v1/nodes".to_owned()),
        latency_ms: CLUSTER_DELAY_MS,
        ..Fault::default()
    });
    setup.take_read_count();
    let list_in_time = async || {
        let start = Instant::now();
        let nodes = setup.list(&setup.owner_token, "/v3/nodes").await;
        assert!(start.elapsed() < Duration::from_millis(CLUSTER_DELAY_MS), "{:?}", start.elapsed());
        nodes
    };
    let (first, second) = tokio::join!(list_in_time(), list_in_time());
    assert_eq!((&first, &second), (&vec![node.clone()], &vec![node.clone()]), "the cached nodes");
    // The read continues, and all callers share it. Without the fault, it is no longer delayed.
    setup.app.control.clear_kubernetes_faults();
    assert_eq!(list_in_time().await, [node]);
    assert_eq!(setup.take_read_count(), 1, "read in the background");
}

#[tokio::test]
async fn unreachable_cluster_keeps_its_nodes_and_is_retried_later() {
    let setup = NodeSetup::start().await;
    let node = setup.node().await;
    setup.advance_clock(11);
    setup.add_fault(fault::for_all(Effect::RefuseConnections));
    assert_eq!(setup.node().await, node, "the cached nodes");
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(setup.node().await, node);
    }
    // Half of the time that 20 lists take if each waits 1.8 s, the maximum, for the cluster.
    assert!(start.elapsed() < Duration::from_secs(18), "{:?}", start.elapsed());
    setup.advance_clock(3_601);
    assert!(setup.list(&setup.owner_token, "/v3/nodes").await.is_empty(), "older than an hour");
    setup.app.control.clear_kubernetes_faults();
    setup.advance_clock(16);
    assert_eq!(setup.node().await, node);
}
