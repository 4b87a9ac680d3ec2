//! The proxy as seen on client connections: how watches end over HTTP/1.1, HTTP/2 and WebSocket; upgrades to WebSocket and
//! SPDY; and rejections of request bodies while the client is still sending.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::agent::TEST_TIMEOUT;
use crate::support::app::TestApp;
use crate::support::connected::{CLUSTER_ID, ConnectedCluster};
use crate::support::kubernetes::{ACCOUNT_TOKEN, FIRST_EVENT, HOST};
use crate::support::listener::Listener;

impl Listener {
    /// Opens a connection and sends the head of a request.
    async fn send(&self, method_and_path: &str, token: &str, headers: &str) -> Wire<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "{method_and_path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Wire { stream, received: Vec::new() }
    }

    /// A watch over HTTP/1.1 after its first event.
    async fn watch(&self, token: &str, accept: &str) -> Wire<TcpStream> {
        let request = format!("GET /k8s/clusters/{CLUSTER_ID}/api/v1/watched?watch=true");
        let mut wire = self.send(&request, token, &format!("Accept: {accept}\r\n")).await;
        wire.read_until("first").await;
        wire.read_until("\n\r\n").await;
        wire
    }

    /// A watch over HTTP/2: the body after its first event.
    async fn watch_http2(&self, token: &str) -> hyper::body::Incoming {
        let stream = TokioIo::new(TcpStream::connect(self.address).await.unwrap());
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("http://x/k8s/clusters/{CLUSTER_ID}/api/v1/watched?watch=true"))
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "application/json");
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        // Dropping the sender would close the connection when the stream ends.
        std::mem::forget(sender);
        let mut body = response.into_body();
        let first = timeout(TEST_TIMEOUT, body.frame()).await.unwrap().unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, format!("{FIRST_EVENT}\n"));
        body
    }
}

/// The client's end of a connection, and the received bytes.
struct Wire<S> {
    stream: S,
    received: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Reads until `text` has been received.
    async fn read_until(&mut self, text: &str) {
        while !self.text().contains(text) {
            let read = timeout(TEST_TIMEOUT, self.stream.read_buf(&mut self.received)).await;
            assert!(read.expect(text).unwrap() > 0, "{text} was not received: {}", self.text());
        }
    }

    /// Reads to the end; panics if the connection was reset.
    async fn read_to_end(&mut self) -> String {
        timeout(TEST_TIMEOUT, self.stream.read_to_end(&mut self.received)).await.unwrap().unwrap();
        self.text()
    }

    /// The next WebSocket frame after the head of the response: its first byte and its payload.
    async fn next_frame(&mut self) -> (u8, Vec<u8>) {
        let start = self.text().find("\r\n\r\n").unwrap() + 4;
        loop {
            let (header_len, payload_len) = match self.received.get(start..) {
                Some(&[_, 126, high, low, ..]) => (4, u16::from_be_bytes([high, low])),
                Some(&[_, len @ ..126, ..]) => (2, u16::from(len)),
                // The header is incomplete.
                _ => (0, u16::MAX),
            };
            let end = start + header_len + usize::from(payload_len);
            if let Some(payload) = self.received.get(start + header_len..end) {
                let frame = (self.received[start], payload.to_vec());
                self.received.drain(start..end);
                return frame;
            }
            let read =
                timeout(TEST_TIMEOUT, self.stream.read_buf(&mut self.received)).await.unwrap().unwrap();
            assert!(read > 0, "no frame was received");
        }
    }
}

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The first bytes of WebSocket frames.
const TEXT_FRAME: u8 = 0x81;
const CLOSE_FRAME: u8 = 0x88;

async fn revoke(connected: &ConnectedCluster, token: &str) {
    assert!(connected.app.server.tokens.revoke(token.split(':').next().unwrap()).await.unwrap());
}

/// Whether the line is the event that reports lost rights.
fn is_forbidden_event(line: &str) -> bool {
    let event: Value = serde_json::from_str(line).unwrap();
    let object = &event["object"];
    event["type"] == "ERROR"
        && (&object["kind"], &object["code"], &object["reason"])
            == (&json!("Status"), &json!(403), &json!("Forbidden"))
}

/// The lines in a chunked body.
fn body_lines(response: &str) -> Vec<String> {
    let body = response.split_once("\r\n\r\n").unwrap().1;
    let chunks = body.split("\r\n").skip(1).step_by(2).collect::<String>();
    chunks.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn stop_ends_a_watch_with_its_last_chunk() {
    for accept in ["application/json", "text/plain"] {
        let connected = ConnectedCluster::start().await;
        let listener = Listener::start(&connected.app).await;
        let mut wire = listener.watch(&connected.owner_token, accept).await;
        connected.app.server.end_streams();
        drop(listener);
        let response = wire.read_to_end().await;
        assert!(response.ends_with("\r\n0\r\n\r\n"), "{accept}: {response}");
        assert!(!response.contains("ERROR"), "{response}");
    }
    let connected = ConnectedCluster::start().await;
    let listener = Listener::start(&connected.app).await;
    let body = listener.watch_http2(&connected.owner_token).await;
    connected.app.server.end_streams();
    let remaining = timeout(TEST_TIMEOUT, body.collect()).await.unwrap().expect("END_STREAM, and no reset");
    assert_eq!(remaining.to_bytes(), "");
}

#[tokio::test]
async fn stop_completes_the_current_event() {
    let connected = ConnectedCluster::start().await;
    let listener = Listener::start(&connected.app).await;
    let mut wire = listener.watch(&connected.owner_token, "application/json").await;
    connected.kubernetes.wait_for_open(1).await;
    connected.kubernetes.send_part("{\"type\":\"ADDED\",");
    wire.read_until("ADDED\",\r\n").await;
    connected.app.server.end_streams();
    connected.kubernetes.send_line("\"object\":{\"name\":\"second\"}}");
    let response = wire.read_to_end_of_body().await;
    let lines = body_lines(&response);
    assert_eq!(lines, [FIRST_EVENT, "{\"type\":\"ADDED\",\"object\":{\"name\":\"second\"}}"]);
}

#[tokio::test]
async fn lost_rights_are_the_last_event_of_a_watch() {
    let connected = ConnectedCluster::start().await;
    let listener = Listener::start(&connected.app).await;
    let (token, other) = (connected.app.token("ann").await, connected.app.token("ann").await);
    let mut wire = listener.watch(&token, "application/json").await;
    let mut body = listener.watch_http2(&token).await;
    let mut other_watch = listener.watch(&other, "application/json").await;
    connected.kubernetes.wait_for_open(3).await;
    connected.kubernetes.send_part("{\"type\":\"ADDED\",");
    wire.read_until("ADDED\",\r\n").await;
    revoke(&connected, &token).await;
    connected.kubernetes.send_part("\"object\":{}}\n{\"type\":\"ADDED\",\"object\":{\"name\":\"unseen\"}}\n");
    let response = wire.read_to_end_of_body().await;
    let lines = body_lines(&response);
    let position = lines.iter().position(|line| is_forbidden_event(line)).unwrap();
    assert_eq!(position, lines.len() - 1, "no event follows: {lines:?}");
    let mut text = String::new();
    while let Some(frame) = timeout(TEST_TIMEOUT, body.frame()).await.unwrap() {
        text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
    }
    assert!(is_forbidden_event(text.lines().last().unwrap()), "{text}");
    other_watch.read_until("unseen").await;
    connected.kubernetes.send_line("{\"type\":\"ADDED\",\"object\":{\"name\":\"still here\"}}");
    other_watch.read_until("still here").await;
}

#[tokio::test]
async fn restarted_api_ends_a_watch_between_events() {
    let connected = ConnectedCluster::start().await;
    let listener = Listener::start(&connected.app).await;
    let mut wire = listener.watch(&connected.owner_token, "application/json").await;
    let body = listener.watch_http2(&connected.owner_token).await;
    connected.kubernetes.wait_for_open(2).await;
    connected.kubernetes.abort_streams();
    assert!(wire.read_to_end_of_body().await.ends_with("\r\n0\r\n\r\n"));
    assert_eq!(timeout(TEST_TIMEOUT, body.collect()).await.unwrap().unwrap().to_bytes(), "");
}

#[tokio::test]
async fn restarted_api_aborts_a_watch_inside_an_event() {
    let connected = ConnectedCluster::start().await;
    let listener = Listener::start(&connected.app).await;
    let mut wire = listener.watch(&connected.owner_token, "application/json").await;
    connected.kubernetes.wait_for_open(1).await;
    connected.kubernetes.send_part("{\"type\":");
    wire.read_until("{\"type\":\r\n").await;
    connected.kubernetes.abort_streams();
    timeout(TEST_TIMEOUT, wire.stream.read_to_end(&mut wire.received)).await.unwrap().ok();
    assert!(!wire.text().ends_with("\r\n0\r\n\r\n"), "{}", wire.text());
}

#[tokio::test]
async fn websocket_watch_has_cluster_origin_and_ends_with_close() {
    let connected = ConnectedCluster::start().await;
    let listener = Listener::start(&connected.app).await;
    let request = format!("GET /k8s/clusters/{CLUSTER_ID}/api/v1/watched?watch=true");
    let token = connected.app.token("ann").await;
    let mut wire = listener.send(&request, &token, WEBSOCKET).await;
    let mut second_wire = listener
        .send(&request, &connected.owner_token, &format!("{WEBSOCKET}Origin: https://page.example\r\n"))
        .await;
    for wire in [&mut wire, &mut second_wire] {
        wire.read_until("first").await;
        assert!(wire.text().starts_with("HTTP/1.1 101 "), "{}", wire.text());
        assert_eq!(wire.next_frame().await, (TEXT_FRAME, FIRST_EVENT.into()));
    }
    for request in connected.kubernetes.take_requests() {
        assert_eq!(request.header("origin"), [format!("https://{HOST}")]);
    }
    revoke(&connected, &token).await;
    let (first_byte, event) = wire.next_frame().await;
    assert_eq!(first_byte, TEXT_FRAME);
    assert!(is_forbidden_event(&String::from_utf8(event).unwrap()));
    let (first_byte, close) = wire.next_frame().await;
    assert_eq!((first_byte, &close[..2]), (CLOSE_FRAME, &1008_u16.to_be_bytes()[..]));
    assert_eq!(
        timeout(TEST_TIMEOUT, wire.stream.read(&mut [0; 9])).await.unwrap().unwrap(),
        0,
        "closed, not reset"
    );
    connected.app.server.end_streams();
    let (first_byte, close) = second_wire.next_frame().await;
    assert_eq!((first_byte, &close[..2]), (CLOSE_FRAME, &1001_u16.to_be_bytes()[..]));
    drop((wire, second_wire));
    connected.kubernetes.wait_for_open(0).await;
}

#[tokio::test]
async fn websocket_watch_works_with_the_sandbox() {
    let (app, credential) = TestApp::builder().start_with_credential().await;
    let cluster = json!({"name": "one", "aksConfig": {
        "azureCredentialSecret": credential, "clusterName": "one", "resourceGroup": "rancher",
        "resourceLocation": "eastus", "dnsPrefix": "one", "kubernetesVersion": "1.32.7", "networkPlugin": "kubenet",
        "nodePools": [{
            "name": "system", "count": 1, "maxPods": 110, "mode": "System", "orchestratorVersion": "1.32.7",
            "osDiskSizeGB": 128, "osDiskType": "Managed", "osType": "Linux", "vmSize": "Standard_DS2_v2",
        }],
    }});
    let created = app.post("/v3/clusters").json(&cluster).send().await.expect(201);
    app.settle().await;
    let id = created.id();
    let listener = Listener::start(&app).await;
    let request = format!("GET /k8s/clusters/{id}/api/v1/namespaces?watch=true");
    let mut wire = listener.send(&request, &app.admin, WEBSOCKET).await;
    wire.read_until("kube-system").await;
    assert!(wire.text().starts_with("HTTP/1.1 101 "), "{}", wire.text());
    assert!(wire.text().contains("\"type\":\"ADDED\""));
}

#[tokio::test]
async fn upgraded_connections_are_bidirectional() {
    let connected = ConnectedCluster::start().await;
    let listener = Listener::start(&connected.app).await;
    for (method, protocol, headers) in [
        ("POST", "spdy/3.1", "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"),
        ("GET", "websocket", WEBSOCKET),
    ] {
        let token = connected.app.token("ann").await;
        let request =
            format!("{method} /k8s/clusters/{CLUSTER_ID}/api/v1/namespaces/a/pods/b/exec?command=sh");
        let version = "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
        let mut wire = listener.send(&request, &token, &format!("{headers}{version}")).await;
        wire.read_until("\r\n\r\n").await;
        let head = wire.text().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        let upgrade = format!("upgrade: {protocol}\r\n");
        assert!(head.contains(&upgrade) && head.contains("connection: upgrade\r\n"), "{head}");
        // A data frame of the protocol; the cluster returns its content in upper case.
        let frame =
            if method == "GET" { b"\x82\x05hello".to_vec() } else { b"\0\0\0\x01\0\0\0\x05hello".to_vec() };
        for _ in 0..2 {
            wire.stream.write_all(&frame).await.unwrap();
            wire.read_until("HELLO").await;
            wire.received.clear();
        }
        connected.kubernetes.wait_for_open(1).await;
        let request = connected.kubernetes.take_requests().remove(0);
        assert_eq!(request.header("x-stream-protocol-version"), ["v4.channel.k8s.io"]);
        assert_eq!(request.header("authorization"), [format!("Bearer {ACCOUNT_TOKEN}")]);
        revoke(&connected, &token).await;
        timeout(TEST_TIMEOUT, wire.stream.read_to_end(&mut wire.received))
            .await
            .unwrap()
            .expect("closed, not reset");
        if method == "GET" {
            assert_eq!(wire.received[0], CLOSE_FRAME);
        } else {
            assert_eq!(wire.received[..4], [0x80, 3, 0, 7], "GOAWAY");
        }
        drop(wire);
        connected.kubernetes.wait_for_open(0).await;
    }
}

#[tokio::test]
async fn sender_of_a_body_that_is_too_large_sees_413() {
    const BODY_LEN: usize = 8 * 1024 * 1024;
    let connected = ConnectedCluster::start().await;
    let listener = Listener::start(&connected.app).await;
    let request = format!("POST /k8s/clusters/{CLUSTER_ID}/api/v1/things");
    let body = vec![b' '; BODY_LEN];
    for has_length in [true, false] {
        let headers = if has_length {
            format!("Content-Length: {BODY_LEN}\r\n")
        } else {
            "Transfer-Encoding: chunked\r\n".to_owned()
        };
        let mut wire = listener.send(&request, &connected.owner_token, &headers).await;
        // The whole body is sent before the response is read, so that a reset would fail the write or the read.
        if has_length {
            wire.stream.write_all(&body).await.unwrap();
        } else {
            for piece in body.chunks(64 * 1024) {
                let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
                wire.stream.write_all(&chunk).await.unwrap();
            }
            wire.stream.write_all(b"0\r\n\r\n").await.unwrap();
        }
        wire.read_until("\"code\":413").await;
        let response = wire.text();
        assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
        assert!(
            response.contains("\"kind\":\"Status\"") && response.contains("RequestEntityTooLarge"),
            "{response}"
        );
    }
    // An HTTP/2 stream, on a connection that stays in use.
    let stream = TokioIo::new(TcpStream::connect(listener.address).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    for (len, status) in [(BODY_LEN, 413), (3, 201)] {
        let request = Request::post(format!("http://x/k8s/clusters/{CLUSTER_ID}/api/v1/things"))
            .header("authorization", format!("Bearer {}", connected.owner_token))
            .body(Full::new(Bytes::from(vec![b' '; len])))
            .unwrap();
        let response = timeout(TEST_TIMEOUT, sender.send_request(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), status);
        assert!(timeout(TEST_TIMEOUT, response.into_body().collect()).await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn sender_without_a_token_sees_401() {
    let connected = ConnectedCluster::start().await;
    let listener = Listener::start(&connected.app).await;
    let request = format!("POST /k8s/clusters/{CLUSTER_ID}/api/v1/things");
    let mut wire = listener.send(&request, "none:wrong", "Content-Length: 2000000\r\n").await;
    wire.stream.write_all(&vec![b' '; 2_000_000]).await.unwrap();
    wire.read_until("\"code\":401").await;
}

#[tokio::test]
async fn client_that_waits_for_100_is_rejected_before_it_sends() {
    let connected = ConnectedCluster::start().await;
    let listener = Listener::start(&connected.app).await;
    let request = format!("POST /k8s/clusters/{CLUSTER_ID}/api/v1/things");
    let headers = "Content-Length: 8388608\r\nExpect: 100-continue\r\n";
    let mut wire = listener.send(&request, &connected.owner_token, headers).await;
    let response = wire.read_to_end().await;
    assert!(response.starts_with("HTTP/1.1 413 ") && !response.contains("100 Continue"), "{response}");
}

impl Wire<TcpStream> {
    /// Reads up to the last chunk; the connection stays open.
    async fn read_to_end_of_body(&mut self) -> String {
        self.read_until("\r\n0\r\n\r\n").await;
        self.text()
    }
}
