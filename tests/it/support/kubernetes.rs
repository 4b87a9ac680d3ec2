//! A Kubernetes API that a test plays: over TLS under a name of AKS, with an authority of its own. It writes down what
//! reaches it and answers a few addresses in ways that are of use here; rights and objects are the sandbox's affair.

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
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::broadcast;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The host name; nothing else is resolved.
pub(crate) const HOST: &str = "fake-5a4d.hcp.westeurope.azmk8s.io";

/// The tokens that are good.
pub(crate) const ADMIN: &str = "admin-token";
pub(crate) const ACCOUNT: &str = "account-token";

/// What stands for a broken connection among the pieces of streams.
const CUT: &str = "\0";

/// The first event of a watch for JSON.
pub(crate) const FIRST_EVENT: &str = "{\"type\":\"ADDED\",\"object\":{\"name\":\"first\"}}";

/// A request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) address: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }
}

pub(crate) struct FakeCluster {
    world: Arc<World>,
    pub(crate) address: SocketAddr,
    /// PEM.
    pub(crate) authority: String,
    _stop: DropGuard,
}

struct World {
    seen: Mutex<Vec<Seen>>,
    objects: Mutex<BTreeMap<String, Value>>,
    /// What is on its way: streams, sessions, requests without an answer.
    open: AtomicUsize,
    lines: broadcast::Sender<String>,
    nodes: usize,
    /// Whether the role of administrators is there from the start.
    has_administrator: bool,
}

impl FakeCluster {
    pub(crate) async fn start() -> Self {
        Self::with(3, true).await
    }

    pub(crate) async fn with(nodes: usize, has_administrator: bool) -> Self {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.distinguished_name.push(DnType::CommonName, "ca");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = root.self_signed(&root_key).unwrap().pem();
        let leaf = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
        let tls = serve::tls(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into());

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = Arc::new(World {
            seen: Mutex::default(),
            objects: Mutex::default(),
            open: AtomicUsize::new(0),
            lines: broadcast::channel(64).0,
            nodes,
            has_administrator,
        });
        let stop = CancellationToken::new();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&world));
        let options = serve::Options::default();
        tokio::spawn(serve::serve(listener, Some(tls.unwrap()), app, stop.clone(), options));
        Self { world, address, authority, _stop: stop.drop_guard() }
    }

    /// How it is found.
    pub(crate) fn options(&self) -> cluster_access::Options {
        let address = self.address;
        let resolver = move |host: &str| (host == HOST).then_some(address);
        cluster_access::Options { resolver: Some(Arc::new(resolver)), ..cluster_access::Options::default() }
    }

    pub(crate) fn access(&self, token: &str) -> Access {
        Access {
            endpoint: format!("https://{HOST}:443").parse().unwrap(),
            ca: self.authority.clone().into(),
            identity: Identity::Token(token.into()),
        }
    }

    /// What came since the last look.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.world.seen.lock().unwrap())
    }

    /// Sends a line to every stream.
    pub(crate) fn say(&self, line: &str) {
        self.say_piece(&format!("{line}\n"));
    }

    /// Sends a part of a line to every stream.
    pub(crate) fn say_piece(&self, piece: &str) {
        // Nobody listening is no mistake.
        let _ = self.world.lines.send(piece.to_owned());
    }

    /// Breaks every stream off, as a process that is killed.
    pub(crate) fn cut(&self) {
        self.say_piece(CUT);
    }

    /// Waits until so many things are on their way.
    pub(crate) async fn wait_for_open(&self, wanted: usize) {
        for _ in 0..500 {
            if self.world.open.load(Ordering::SeqCst) == wanted {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("{} are open, not {wanted}", self.world.open.load(Ordering::SeqCst));
    }
}

/// Counts as open until it is dropped.
struct Open(Arc<World>);

impl Open {
    fn new(world: &Arc<World>) -> Self {
        world.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(world))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(State(world): State<Arc<World>>, mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    let address = parts.uri.path_and_query().unwrap().to_string();
    let path = parts.uri.path().to_owned();
    let open = Open::new(&world);
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    let seen = Seen { method: parts.method, address, headers: parts.headers, body };
    world.seen.lock().unwrap().push(seen.clone());
    let known = [ADMIN, ACCOUNT].map(|token| format!("Bearer {token}"));
    if !seen.header("authorization").iter().any(|value| known.iter().any(|known| known == value)) {
        return status(401, "Unauthorized");
    }
    match (seen.method.as_str(), path.as_str()) {
        ("GET", "/version") => json(&json!({"major": "1", "minor": "32", "gitVersion": "v1.32.7"})),
        ("GET", "/api/v1/nodes") => json(&nodes(&world, parts.uri.query().unwrap_or_default())),
        ("GET", "/api/v1/watched") if seen.headers.contains_key("upgrade") => {
            websocket(&world, &seen, open, upgrade)
        }
        ("GET", "/api/v1/watched") => stream(&world, open, seen.headers.get("accept")),
        ("POST", "/late") => {
            let line = world.lines.subscribe().recv().await;
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
            let protocol = seen.headers["upgrade"].clone();
            tokio::spawn(async move {
                let _open = open;
                let mut connection = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
                let mut bytes = [0; 64];
                while let Ok(read @ 1..) = connection.read(&mut bytes).await {
                    connection.write_all(&bytes[..read].to_ascii_uppercase()).await.unwrap();
                }
            });
            let headers = [("connection", "Upgrade".parse().unwrap()), ("upgrade", protocol)];
            (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
        }
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews") => {
            (StatusCode::CREATED, json(&json!({"status": {"allowed": true}}))).into_response()
        }
        (method, path) => {
            let is_merge = seen.header("content-type") == ["application/merge-patch+json"];
            object(&world, method, path, &seen.body, is_merge)
        }
    }
}

/// A first line, then what is said. In the form that is asked for.
fn stream(world: &Arc<World>, open: Open, accept: Option<&HeaderValue>) -> Response {
    let lines = world.lines.subscribe();
    let is_json = accept.is_some_and(|accept| accept == "application/json");
    let first = if is_json { format!("{FIRST_EVENT}\n") } else { "first\n".to_owned() };
    let first = futures_util::stream::once(std::future::ready(Ok::<_, io::Error>(first)));
    let later = futures_util::stream::unfold((lines, open), |(mut lines, open)| async move {
        let line = match lines.recv().await.ok()? {
            line if line == CUT => Err(io::Error::other("cut")),
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

/// The same over WebSocket: a message for each line. As in Kubernetes, nobody gets it without an origin.
fn websocket(world: &Arc<World>, seen: &Seen, open: Open, upgrade: hyper::upgrade::OnUpgrade) -> Response {
    if seen.header("origin").first().is_none_or(|origin| !origin.starts_with("https://")) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut lines = world.lines.subscribe();
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

/// Pages of nodes, as `limit` and `continue` ask.
fn nodes(world: &World, query: &str) -> Value {
    let get = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse::<usize>().ok())
    };
    let (from, limit) = (get("continue").unwrap_or(0), get("limit").unwrap_or(usize::MAX));
    let to = world.nodes.min(from.saturating_add(limit));
    let items: Vec<_> = (from..to)
        .map(|number| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("n{number}")}}))
        .collect();
    let more = if to < world.nodes { to.to_string() } else { String::new() };
    json!({"apiVersion": "v1", "kind": "NodeList", "metadata": {"continue": more}, "items": items})
}

/// Objects are kept by their address as they are sent; merging changes nothing of them.
fn object(world: &World, method: &str, path: &str, body: &[u8], is_merge: bool) -> Response {
    let mut objects = world.objects.lock().unwrap();
    match method {
        "PATCH" if is_merge => match objects.get(path) {
            Some(known) => json(known),
            None => status(404, "not found"),
        },
        "DELETE" => match objects.remove(path) {
            Some(known) => json(&known),
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
        "GET" if path.ends_with("/clusterroles/cluster-admin") && world.has_administrator => {
            json(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                         "metadata": {"name": "cluster-admin"}}))
        }
        _ => match objects.get(path) {
            Some(known) => json(known),
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
