//! The tunnels of agents: authentication of agents, requests through a tunnel, and misbehaving agents.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use remotedialer::Target;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::agent::{PARAMS, TEST_TIMEOUT, TestAgent, agent_headers, wait_for};
use crate::support::app::TestApp;
use crate::support::connected::{CLUSTER_ID, ConnectedCluster};
use crate::support::kubernetes::FakeCluster;
use crate::support::listener::Listener;
use crate::support::while_time_passes;

/// A server with a private cluster that is reached only through an agent.
struct PrivateCluster {
    connected: ConnectedCluster,
    listener: Listener,
    /// The registration token.
    token: String,
}

impl PrivateCluster {
    async fn start() -> Self {
        let cluster = FakeCluster::start().await;
        let unresolved = cluster_access::Options {
            resolver: Some(Arc::new(|_: &str| None)),
            ..cluster_access::Options::default()
        };
        let app = TestApp::builder().cluster_access(unresolved).start().await;
        let connected = ConnectedCluster::new(app, cluster).await;
        let listener = Listener::start(&connected.app).await;
        let token = registration_token(&connected, CLUSTER_ID).await;
        Self { connected, listener, token }
    }

    /// Connects an agent, and waits until the cluster can be used through it.
    async fn connect_agent(&self) -> TestAgent {
        let before = self.usable_session_count();
        let agent =
            TestAgent::connect(self.listener.address, &self.token, self.connected.kubernetes.address).await;
        self.wait_for_usable_sessions(before + 1).await;
        agent
    }

    /// Connects an agent that responds to pings, but whose connections to the cluster get no data.
    async fn connect_black_hole(&self) -> TestAgent {
        let dialer = async |_: Target| {
            let (near, far) = tokio::io::duplex(1 << 20);
            std::mem::forget(far);
            Ok::<_, io::Error>(near)
        };
        TestAgent::connect_with(self.listener.address, &self.token, dialer).await.unwrap()
    }

    fn usable_session_count(&self) -> usize {
        self.connected.app.server.cluster_access.sessions().usable(CLUSTER_ID).len()
    }

    async fn wait_for_usable_sessions(&self, count: usize) {
        wait_for("sessions", || self.usable_session_count() == count).await;
    }

    /// Sends a GET request to the cluster; returns the status of the response.
    async fn get_status(&self, path: &str) -> StatusCode {
        let response = self.connected.send_to_cluster(Method::GET, path, &self.connected.owner_token).await;
        let status = response.status();
        // Printed if the test fails.
        println!(
            "{path}: {status} {:?}",
            response.into_body().collect().await.map(http_body_util::Collected::to_bytes)
        );
        status
    }

    async fn register_error(&self, token: &str, params: &str) -> (u16, String) {
        self.register(Method::GET, token, &BASE64_STANDARD.encode(params)).await
    }

    async fn register(&self, method: Method, token: &str, params: &str) -> (u16, String) {
        let call = self.connected.app.call(method, "/v3/connect/register").anonymous();
        let response =
            call.header("x-api-tunnel-token", token).header("x-api-tunnel-params", params).send().await;
        (response.status.as_u16(), response.text())
    }
}

async fn registration_token(connected: &ConnectedCluster, cluster: &str) -> String {
    let path = format!("/v3/clusterregistrationtokens/{cluster}:default-token");
    let response = connected.app.get(&path).token(&connected.owner_token).send().await;
    response.json()["token"].as_str().unwrap_or_else(|| panic!("{}", response.text())).to_owned()
}

#[tokio::test]
async fn rejected_agents_get_ranchers_status_and_text() {
    let cluster = PrivateCluster::start().await;
    let params = |cluster: &Value| json!({"cluster": cluster}).to_string();
    for (token, sent, status, text) in [
        ("", PARAMS.to_owned(), 401, "failed authentication"),
        ("wrong", PARAMS.to_owned(), 400, "cluster not found"),
        (&cluster.token, String::new(), 400, "unexpected end of JSON input"),
        (&cluster.token, "hello".to_owned(), 400, "invalid character 'h' looking for beginning of value"),
        (&cluster.token, "{}".to_owned(), 400, "missing node or cluster registration info"),
        (&cluster.token, params(&json!({})), 400, "invalid input, address empty"),
        (&cluster.token, params(&json!({"address": "a"})), 400, "invalid input, token empty"),
        (&cluster.token, params(&json!({"address": "a", "token": "t"})), 400, "invalid input, caCert empty"),
    ] {
        assert_eq!(cluster.register_error(token, &sent).await, (status, text.to_owned()), "{sent}");
    }
    assert_eq!(
        cluster.register(Method::GET, &cluster.token, "!").await,
        (400, "illegal base64 data at input byte 0".to_owned())
    );
    let params = BASE64_STANDARD.encode(PARAMS);
    let reason = "websocket: the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header";
    let repeated = format!("{reason}Error during upgrade for host [{CLUSTER_ID}]: {reason}");
    for method in [Method::GET, Method::POST] {
        assert_eq!(cluster.register(method, &cluster.token, &params).await, (400, repeated.clone()));
    }
    assert_eq!(cluster.usable_session_count(), 0);
}

#[tokio::test]
async fn agents_need_https_but_no_api_token() {
    let cluster = PrivateCluster::start().await;
    for path in ["/ping", "/v3/settings/cacerts"] {
        assert_eq!(cluster.connected.app.get(path).anonymous().send().await.status, 200, "{path}");
    }
    let remote = std::net::SocketAddr::from(([192, 0, 2, 7], 4_000));
    let plain = cluster.connected.app.get("/v3/connect").anonymous().from(remote);
    let response = plain.header("x-api-tunnel-token", &cluster.token).send().await.expect(400);
    assert!(response.text().contains("only over https"), "{}", response.text());
}

#[tokio::test]
async fn private_cluster_is_reached_through_its_agent() {
    let cluster = PrivateCluster::start().await;
    assert_ne!(cluster.get_status("/api/v1/nodes").await, 200, "the cluster is unreachable");
    let agent = cluster.connect_agent().await;
    assert_eq!(cluster.get_status("/api/v1/nodes").await, 200);
    let requests = cluster.connected.kubernetes.take_requests();
    let request =
        requests.iter().find(|request| request.path_and_query.starts_with("/api/v1/nodes")).unwrap();
    assert_eq!(request.header("impersonate-user").len(), 1);
    // Nothing in `PARAMS`, which the agent sends about the cluster, is used.
    for text in requests.iter().map(|request| format!("{request:?}")) {
        assert!(!text.contains("canary"), "{text}");
    }
    drop(agent);
    cluster.wait_for_usable_sessions(0).await;
    assert_ne!(cluster.get_status("/api/v1/nodes").await, 200);
    cluster.connect_agent().await;
}

#[tokio::test]
async fn request_succeeds_through_the_other_agent_when_one_is_frozen() {
    let cluster = PrivateCluster::start().await;
    let _healthy = cluster.connect_agent().await;
    let newest = cluster.connect_agent().await;
    assert_eq!(cluster.get_status("/api/v1/nodes").await, 200);
    newest.freeze();
    let started = Instant::now();
    assert_eq!(cluster.get_status("/api/v1/nodes").await, 200);
    assert!(started.elapsed() < Duration::from_secs(10), "the server changes to the other agent after 3 s");
    while_time_passes(Duration::from_secs(1), cluster.wait_for_usable_sessions(1)).await;
}

#[tokio::test]
async fn agent_that_reaches_nothing_is_never_used_and_is_disconnected() {
    let cluster = PrivateCluster::start().await;
    let (first, second) = (cluster.connect_black_hole().await, cluster.connect_black_hole().await);
    assert_eq!(cluster.usable_session_count(), 0);
    let closed = async { tokio::join!(first.session.closed(), second.session.closed()) };
    // The steps are shorter than the time after which a session without pings is closed.
    let (reason, _) = while_time_passes(Duration::from_secs(5), closed).await;
    assert!(reason.to_string().contains("does not respond through this agent"), "{reason}");
    // An agent that works can connect again.
    let _agent = cluster.connect_agent().await;
    assert_eq!(cluster.get_status("/api/v1/nodes").await, 200);
}

#[tokio::test]
async fn working_session_is_not_displaced_by_others() {
    let cluster = PrivateCluster::start().await;
    let _agent = cluster.connect_agent().await;
    let _idle = (cluster.connect_black_hole().await, cluster.connect_black_hole().await);
    for _ in 0..20 {
        assert_eq!(cluster.get_status("/api/v1/nodes").await, 200);
    }
    assert_eq!(cluster.usable_session_count(), 1);
}

#[tokio::test]
async fn token_of_one_cluster_opens_no_session_of_another() {
    let cluster = PrivateCluster::start().await;
    let other_id = "c-other";
    cluster.connected.insert_cluster(other_id, &cluster.connected.status(), Some("t")).await;
    let token = registration_token(&cluster.connected, other_id).await;
    let _agent =
        TestAgent::connect(cluster.listener.address, &token, cluster.connected.kubernetes.address).await;
    let sessions = cluster.connected.app.server.cluster_access.sessions().clone();
    wait_for("the other cluster's session", || sessions.has_usable(other_id)).await;
    assert!(!sessions.has_usable(CLUSTER_ID));
    assert_ne!(cluster.get_status("/api/v1/nodes").await, 200);
}

#[tokio::test]
async fn deleting_the_token_ends_its_sessions() {
    let cluster = PrivateCluster::start().await;
    let agent = cluster.connect_agent().await;
    let path = format!("/v3/clusterregistrationtokens/{CLUSTER_ID}:default-token");
    cluster.connected.app.delete(&path).token(&cluster.connected.owner_token).send().await.expect(200);
    assert!(agent.close_reason().await.contains("the registration token was deleted"));
    assert_eq!(cluster.register_error(&cluster.token, PARAMS).await, (400, "cluster not found".to_owned()));
}

#[tokio::test]
async fn session_of_an_embedded_rancher_stays_open_and_unused() {
    let cluster = PrivateCluster::start().await;
    let connect_embedded = async |token: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert("authorization", format!("Bearer stv-cluster-{token}").parse().unwrap());
        let dialer = async |target: Target| -> io::Result<TcpStream> { panic!("{target:?}") };
        TestAgent::connect_with_headers(cluster.listener.address, headers, dialer).await
    };
    let rejected = connect_embedded("wrong").await.err().unwrap().to_string();
    assert!(rejected.contains("401") && rejected.contains("failed authentication"), "{rejected}");
    let embedded = connect_embedded(&cluster.token).await.unwrap();
    // Unlike this session, that of an agent is checked immediately and then used.
    let _agent = cluster.connect_agent().await;
    assert_eq!(cluster.get_status("/api/v1/nodes").await, 200);
    assert_eq!(cluster.connected.app.server.cluster_access.sessions().count(), (1, 1));
    assert!(!embedded.session.is_closed());
    let path = format!("/v3/clusterregistrationtokens/{CLUSTER_ID}:default-token");
    cluster.connected.app.delete(&path).token(&cluster.connected.owner_token).send().await;
    assert!(embedded.close_reason().await.contains("the registration token was deleted"));
}

#[tokio::test]
async fn removing_the_cluster_ends_its_sessions() {
    let cluster = PrivateCluster::start().await;
    let agent = cluster.connect_agent().await;
    let path = format!("/v3/clusters/{CLUSTER_ID}?force=true");
    let response = cluster.connected.app.delete(&path).token(&cluster.connected.owner_token).send().await;
    assert!(response.status.is_success(), "{}", response.text());
    agent.close_reason().await;
    assert_eq!(cluster.register_error(&cluster.token, PARAMS).await, (400, "cluster not found".to_owned()));
}

#[tokio::test]
async fn stopping_server_closes_sessions_with_a_reason() {
    let cluster = PrivateCluster::start().await;
    let agent = cluster.connect_agent().await;
    cluster.connected.app.server.agents.stop().await;
    assert!(agent.close_reason().await.contains("the server is shutting down"));
    let (status, text) = cluster.register_error(&cluster.token, PARAMS).await;
    assert_eq!((status, text.as_str()), (503, "the server is shutting down; connect again"));
}

#[tokio::test]
async fn cluster_events_record_agent_connections() {
    let cluster = PrivateCluster::start().await;
    let agent = cluster.connect_agent().await;
    drop(agent);
    cluster.wait_for_usable_sessions(0).await;
    let path = format!("/api/v1/clusters/{CLUSTER_ID}/events");
    let event_kinds = async || {
        let call = cluster
            .connected
            .app
            .get(&path)
            .token(&cluster.connected.owner_token)
            .header("accept", "application/json");
        let response = call.send().await.json();
        let events = response["events"].as_array().cloned().unwrap_or_default();
        events.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for _ in 0..500 {
        if event_kinds().await == ["agentConnected", "agentDisconnected"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", event_kinds().await);
}

/// Sends the head of a request for an upgrade; returns the connection after the head of the response.
async fn upgrade_connection(cluster: &PrivateCluster, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(cluster.listener.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut response_head = Vec::new();
    while !response_head.ends_with(b"\r\n\r\n") {
        response_head.push(timeout(TEST_TIMEOUT, stream.read_u8()).await.unwrap().unwrap());
    }
    let response_head = String::from_utf8(response_head).unwrap();
    assert!(response_head.starts_with("HTTP/1.1 101 "), "{response_head}");
    stream
}

#[tokio::test]
async fn upgraded_streams_carry_100_mb_each_way() {
    const TOTAL_BYTES: usize = 100_000_000;
    let cluster = PrivateCluster::start().await;
    let _agent = cluster.connect_agent().await;
    let path = format!("/k8s/clusters/{CLUSTER_ID}/api/v1/namespaces/a/pods/b/exec?command=sh");
    let websocket_headers = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    for (method, upgrade, extra_headers) in
        [("POST", "SPDY/3.1", ""), ("GET", "websocket", websocket_headers)]
    {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: Upgrade\r\n\
             Upgrade: {upgrade}\r\n{extra_headers}\r\n",
            cluster.connected.owner_token
        );
        let (mut reader, mut writer) = upgrade_connection(&cluster, &head).await.into_split();
        let sending = tokio::spawn(async move {
            let piece = vec![b'a'; 100_000];
            for _ in 0..TOTAL_BYTES / piece.len() {
                writer.write_all(&piece).await.unwrap();
            }
            writer
        });
        let (mut received, mut buffer) = (0, vec![0; 256 * 1024]);
        let expected = vec![b'A'; buffer.len()];
        while received < TOTAL_BYTES {
            let read =
                timeout(TEST_TIMEOUT, reader.read(&mut buffer)).await.expect("the stream stalls").unwrap();
            assert!(read > 0, "{method}: closed after {received} bytes");
            assert!(buffer[..read] == expected[..read]);
            received += read;
        }
        sending.await.unwrap();
    }
}

#[tokio::test]
async fn watch_streams_through_the_tunnel_and_ends_with_it() {
    let cluster = PrivateCluster::start().await;
    let agent = cluster.connect_agent().await;
    let response = cluster
        .connected
        .send_to_cluster(Method::GET, "/api/v1/watched?watch=true", &cluster.connected.owner_token)
        .await;
    let mut body = response.into_body();
    let mut next = async || timeout(TEST_TIMEOUT, body.frame()).await.unwrap();
    assert!(next().await.unwrap().unwrap().into_data().unwrap().starts_with(b"first"));
    cluster.connected.kubernetes.send_line("second");
    assert_eq!(next().await.unwrap().unwrap().into_data().unwrap(), "second\n");
    drop(agent);
    // The stream fails, or ends between two lines. Clients repeat the request in both cases.
    assert!(next().await.is_none_or(|frame| frame.is_err()));
}

#[tokio::test]
async fn header_of_an_agent_may_be_large() {
    let cluster = PrivateCluster::start().await;
    let large =
        json!({"cluster": {"address": "a:443", "token": "t".repeat(4_000), "caCert": "c".repeat(40_000)}});
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v3/connect", cluster.listener.address);
    let response =
        client.get(url).headers(agent_headers(&cluster.token, &large.to_string())).send().await.unwrap();
    assert!(response.text().await.unwrap().contains("the client is not using the websocket protocol"));
}
