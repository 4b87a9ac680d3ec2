//! A fake Kubernetes API with TLS under a host name of AKS. It records requests, and serves a few paths for tests of the
//! proxy: streams, upgrades, delays and errors. Tests of permissions and objects use the sandbox's clusters instead.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use cluster_access::{Access, Identity};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::broadcast;

use super::listener::{Listener, certificate};

/// The host name of the API, which [`FakeCluster::options`] resolves.
pub(crate) const HOST: &str = "fake-5a4d.hcp.westeurope.azmk8s.io";

/// The tokens that the API accepts.
pub(crate) const ADMIN_TOKEN: &str = "admin-token";
pub(crate) const ACCOUNT_TOKEN: &str = "account-token";

/// The line that aborts the streams to which it is sent.
const ABORT: &str = "\0";

/// The first event of a watch for JSON.
pub(crate) const FIRST_EVENT: &str = "{\"type\":\"ADDED\",\"object\":{\"name\":\"first\"}}";

/// A recorded request.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    pub(crate) method: Method,
    pub(crate) path_and_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl RecordedRequest {
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }
}

pub(crate) struct FakeCluster {
    shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    /// PEM.
    pub(crate) authority: String,
    _listener: Listener,
}

struct Shared {
    requests: Mutex<Vec<RecordedRequest>>,
    objects: Mutex<BTreeMap<String, Value>>,
    /// The number of open streams, sessions and unanswered requests.
    open_count: AtomicUsize,
    lines: broadcast::Sender<String>,
    node_count: usize,
    /// Whether the cluster role `cluster-admin` exists.
    has_cluster_admin: bool,
}

impl FakeCluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(3, true).await
    }

    pub(crate) async fn start_with(node_count: usize, has_cluster_admin: bool) -> Self {
        let (authority, tls) = certificate(&[HOST]);
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            objects: Mutex::default(),
            open_count: AtomicUsize::new(0),
            lines: broadcast::channel(64).0,
            node_count,
            has_cluster_admin,
        });
        let app = Router::new().fallback(respond).with_state(Arc::clone(&shared));
        let listener = Listener::serve(app, Some(tls), serve::Options::default()).await;
        Self { shared, address: listener.address, authority, _listener: listener }
    }

    /// Options that resolve the host name to this API.
    pub(crate) fn options(&self) -> cluster_access::Options {
        let address = self.address;
        let resolver = move |host: &str| (host == HOST).then_some(address);
        cluster_access::Options { resolver: Some(Arc::new(resolver)), ..cluster_access::Options::default() }
    }

    pub(crate) fn access(&self, token: &str) -> Access {
        Access {
            cluster_id: super::connected::CLUSTER_ID.to_owned(),
            endpoint: format!("https://{HOST}:443").parse().unwrap(),
            ca: self.authority.clone().into(),
            identity: Identity::Token(token.into()),
        }
    }

    /// The requests since the last call.
    pub(crate) fn take_requests(&self) -> Vec<RecordedRequest> {
        std::mem::take(&mut *self.shared.requests.lock().unwrap())
    }

    /// Sends a line to every stream.
    pub(crate) fn send_line(&self, line: &str) {
        self.send_part(&format!("{line}\n"));
    }

    /// Sends a part of a line to every stream.
    pub(crate) fn send_part(&self, part: &str) {
        // There may be no stream.
        let _ = self.shared.lines.send(part.to_owned());
    }

    /// Aborts every stream, like a killed process.
    pub(crate) fn abort_streams(&self) {
        self.send_part(ABORT);
    }

    /// Waits until the number of open streams, sessions and requests is `count`.
    pub(crate) async fn wait_for_open(&self, count: usize) {
        for _ in 0..500 {
            if self.shared.open_count.load(Ordering::SeqCst) == count {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("{} are open, not {count}", self.shared.open_count.load(Ordering::SeqCst));
    }
}

/// Counts an open stream, session or request until it is dropped.
struct OpenGuard(Arc<Shared>);

impl OpenGuard {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open_count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.open_count.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn respond(State(shared): State<Arc<Shared>>, mut incoming: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut incoming);
    let (parts, body) = incoming.into_parts();
    let path_and_query = parts.uri.path_and_query().unwrap().to_string();
    let path = parts.uri.path().to_owned();
    let open = OpenGuard::new(&shared);
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    let request = RecordedRequest { method: parts.method, path_and_query, headers: parts.headers, body };
    shared.requests.lock().unwrap().push(request.clone());
    let authorizations = [ADMIN_TOKEN, ACCOUNT_TOKEN].map(|token| format!("Bearer {token}"));
    if !request.header("authorization").iter().any(|value| authorizations.iter().any(|valid| valid == value))
    {
        return status(401, "Unauthorized");
    }
    match (request.method.as_str(), path.as_str()) {
        ("GET", "/version") => json(&json!({"major": "1", "minor": "32", "gitVersion": "v1.32.7"})),
        ("GET", "/api/v1/nodes") => json(&nodes(&shared, parts.uri.query().unwrap_or_default())),
        ("GET", "/api/v1/watched") if request.headers.contains_key("upgrade") => {
            websocket(&shared, &request, open, upgrade)
        }
        ("GET", "/api/v1/watched") => stream(&shared, open, request.headers.get("accept")),
        ("POST", "/late") => {
            let line = shared.lines.subscribe().recv().await;
            drop(open);
            status(201, &line.unwrap_or_default())
        }
        (_, path) if path.ends_with("/never") => {
            std::future::pending::<()>().await;
            drop(open);
            status(500, "never")
        }
        (_, "/forbidden") => status(403, "you may not"),
        (_, "/elsewhere") => {
            let headers = [
                ("location", "/api/"),
                ("set-cookie", "R_SESS=evil"),
                ("content-security-policy", "default-src *"),
                ("access-control-allow-origin", "*"),
                ("refresh", "0; url=https://evil.example"),
                ("x-accel-redirect", "/etc/passwd"),
                ("warning", "299 - \"kept\""),
            ];
            (StatusCode::FOUND, headers).into_response()
        }
        ("POST" | "GET", "/api/v1/namespaces/a/pods/b/exec") => {
            let protocol = request.headers["upgrade"].clone();
            tokio::spawn(async move {
                let _open = open;
                let mut connection = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = connection.read(&mut bytes).await {
                    connection.write_all(&bytes[..read].to_ascii_uppercase()).await.unwrap();
                    // Otherwise, TLS keeps the end of the data while the socket is full.
                    connection.flush().await.unwrap();
                }
            });
            let headers = [("connection", "Upgrade".parse().unwrap()), ("upgrade", protocol)];
            (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
        }
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews") => {
            (StatusCode::CREATED, json(&json!({"status": {"allowed": true}}))).into_response()
        }
        (method, path) => {
            let is_merge = request.header("content-type") == ["application/merge-patch+json"];
            respond_with_object(&shared, method, path, &request.body, is_merge)
        }
    }
}

/// A stream with a first line and the lines of [`FakeCluster::send_line`], in the requested content type.
fn stream(shared: &Arc<Shared>, open: OpenGuard, accept: Option<&HeaderValue>) -> Response {
    let lines = shared.lines.subscribe();
    let is_json = accept.is_some_and(|accept| accept == "application/json");
    let first = if is_json { format!("{FIRST_EVENT}\n") } else { "first\n".to_owned() };
    let first = futures_util::stream::once(std::future::ready(Ok::<_, io::Error>(first)));
    let later = futures_util::stream::unfold((lines, open), |(mut lines, open)| async move {
        let line = match lines.recv().await.ok()? {
            line if line == ABORT => Err(io::Error::other("cut")),
            line => Ok(line),
        };
        Some((line, (lines, open)))
    });
    let mut response = Body::from_stream(futures_util::StreamExt::chain(first, later)).into_response();
    if let Some(accept) = accept {
        response.headers_mut().insert("content-type", accept.clone());
    }
    response
}

/// The lines of [`stream`] over WebSocket, one per message. Like Kubernetes, requires an `Origin` header.
fn websocket(
    shared: &Arc<Shared>,
    request: &RecordedRequest,
    open: OpenGuard,
    upgrade: hyper::upgrade::OnUpgrade,
) -> Response {
    if request.header("origin").first().is_none_or(|origin| !origin.starts_with("https://")) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut lines = shared.lines.subscribe();
    tokio::spawn(async move {
        let _open = open;
        let mut connection = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
        let mut line = FIRST_EVENT.to_owned();
        let mut ignored = [0; 64];
        loop {
            let mut frame = vec![0x81, u8::try_from(line.len()).unwrap()];
            frame.extend(line.as_bytes());
            if connection.write_all(&frame).await.is_err() {
                return;
            }
            line = tokio::select! {
                line = lines.recv() => line.unwrap(),
                read = connection.read(&mut ignored) => match read {
                    Ok(1..) => continue,
                    _ => return,
                },
            };
        }
    });
    let headers = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "x")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// A page of nodes, by the query parameters `limit` and `continue`.
fn nodes(shared: &Shared, query: &str) -> Value {
    let parameter = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse::<usize>().ok())
    };
    let (start, limit) = (parameter("continue").unwrap_or(0), parameter("limit").unwrap_or(usize::MAX));
    let end = shared.node_count.min(start.saturating_add(limit));
    let items: Vec<_> = (start..end)
        .map(|number| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("n{number}")}}))
        .collect();
    let next = if end < shared.node_count { end.to_string() } else { String::new() };
    json!({"apiVersion": "v1", "kind": "NodeList", "metadata": {"continue": next}, "items": items})
}

/// Stores and returns objects by path; a merge patch changes nothing.
fn respond_with_object(shared: &Shared, method: &str, path: &str, body: &[u8], is_merge: bool) -> Response {
    let mut objects = shared.objects.lock().unwrap();
    match method {
        "PATCH" if is_merge => match objects.get(path) {
            Some(stored) => json(stored),
            None => status(404, "not found"),
        },
        "DELETE" => match objects.remove(path) {
            Some(stored) => json(&stored),
            None => status(404, "not found"),
        },
        "PATCH" => {
            let sent: Value = serde_json::from_slice(body).unwrap();
            objects.insert(path.to_owned(), sent.clone());
            json(&sent)
        }
        "POST" => {
            let sent: Value = serde_json::from_slice(body).unwrap_or_default();
            let name = sent["metadata"]["name"].as_str().unwrap_or_default();
            objects.insert(format!("{path}/{name}"), sent.clone());
            (StatusCode::CREATED, json(&sent)).into_response()
        }
        "GET" if path.ends_with("/clusterroles/cluster-admin") && shared.has_cluster_admin => {
            json(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                         "metadata": {"name": "cluster-admin"}}))
        }
        _ => match objects.get(path) {
            Some(stored) => json(stored),
            None => status(404, "not found"),
        },
    }
}

fn json(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

fn status(code: u16, message: &str) -> Response {
    let reason = StatusCode::from_u16(code).unwrap().canonical_reason().unwrap_or_default().replace(' ', "");
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
                      "reason": reason, "code": code});
    (StatusCode::from_u16(code).unwrap(), json(&body)).into_response()
}
