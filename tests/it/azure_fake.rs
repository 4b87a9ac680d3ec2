//! A small TLS server for all hosts of Azure, for tests of the Azure client. Each test scripts its responses.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use azure::{Arm, Azure, Cloud, Credential, Fingerprint, Options};
use clock::Clock;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower_http::compression::CompressionLayer;

use crate::support::listener::certificate;

pub(crate) const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
pub(crate) const SUBSCRIPTION: &str = "00000000-0000-0000-0000-00000000000a";
pub(crate) const SECRET: &str = "canary~Secret";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl RecordedRequest {
    pub(crate) fn is_login(&self) -> bool {
        self.host.starts_with("login.")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

type Script = Arc<dyn Fn(RecordedRequest) -> BoxFuture<'static, Response> + Send + Sync>;

pub(crate) struct FakeAzure {
    pub(crate) address: SocketAddr,
    roots_pem: String,
    pub(crate) clock: Clock,
    log: Arc<Mutex<Vec<RecordedRequest>>>,
    task: JoinHandle<()>,
}

impl Drop for FakeAzure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeAzure {
    /// A server that responds to logins with a token, and to all other requests with `respond`.
    pub(crate) async fn with_response(
        respond: impl Fn(&RecordedRequest) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self::start(with_token(respond)).await
    }

    /// A server that responds to logins with a token, and to all other requests with `responses` in order (the last one
    /// repeats).
    pub(crate) async fn with_responses(responses: Vec<fn() -> Response>) -> Self {
        let next = AtomicUsize::new(0);
        Self::with_response(move |_| {
            let next = next.fetch_add(1, Ordering::SeqCst).min(responses.len() - 1);
            responses[next]()
        })
        .await
    }

    /// A server that responds to logins with `logins` in order (the last one repeats), and to all other requests with `{}`.
    pub(crate) async fn with_logins(logins: Vec<fn() -> Response>) -> Self {
        let next = AtomicUsize::new(0);
        Self::start(move |request| {
            std::future::ready(if request.is_login() {
                let next = next.fetch_add(1, Ordering::SeqCst).min(logins.len() - 1);
                logins[next]()
            } else {
                json_response(200, &json!({}))
            })
        })
        .await
    }

    /// A server that responds with `script`.
    pub(crate) async fn start<F>(script: impl Fn(RecordedRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let (roots_pem, tls) = certificate(&hosts().collect::<Vec<_>>());
        let log = Arc::new(Mutex::new(Vec::new()));
        let script: Script = Arc::new(move |request| script(request).boxed());
        let router = Router::new()
            .fallback({
                let log = Arc::clone(&log);
                move |request: Request| record(request, Arc::clone(&log), Arc::clone(&script))
            })
            .layer(CompressionLayer::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(tls);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
                        .await;
                });
            }
        });
        Self { address, roots_pem, clock: Clock::manual(1_700_000_000_000), log, task }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            clock: self.clock.clone(),
            resolve: hosts().map(|host| (host.to_owned(), self.address)).collect(),
            extra_roots_pem: Some(self.roots_pem.clone()),
            use_proxy: false,
            retry_base_delay: Duration::from_millis(2),
            ..Options::default()
        }
    }

    pub(crate) fn azure(&self) -> Azure {
        Azure::new(self.options()).unwrap()
    }

    /// A client of Resource Manager, with its own cache of tokens.
    pub(crate) fn arm(&self) -> Arm {
        arm(&self.azure())
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn logins(&self) -> usize {
        self.requests().iter().filter(|request| request.is_login()).count()
    }

    /// The requests to Resource Manager.
    pub(crate) fn arm_requests(&self) -> Vec<RecordedRequest> {
        self.requests().into_iter().filter(|request| !request.is_login()).collect()
    }
}

async fn record(request: Request, log: Arc<Mutex<Vec<RecordedRequest>>>, script: Script) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let host = parts.uri.host().map(str::to_owned);
    let recorded = RecordedRequest {
        method: parts.method.to_string(),
        host: host.unwrap_or_else(|| parts.headers["host"].to_str().unwrap().to_owned()),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    log.lock().unwrap().push(recorded.clone());
    script(recorded).await
}

pub(crate) fn hosts() -> impl Iterator<Item = &'static str> {
    Cloud::ALL.into_iter().flat_map(|cloud| [cloud.arm_host(), cloud.login_host()])
}

pub(crate) fn json_response(status: u16, body: &Value) -> Response {
    let headers = [("content-type", "application/json; charset=utf-8"), ("x-ms-request-id", "azure-request")];
    (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response()
}

pub(crate) fn with_header(mut response: Response, name: &'static str, value: &str) -> Response {
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}

pub(crate) fn token_response(token: &str) -> Response {
    json_response(
        200,
        &json!({"token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 3600, "access_token": token}),
    )
}

pub(crate) fn bad_secret_response() -> Response {
    json_response(
        401,
        &json!({"error": "invalid_client",
            "error_description": "AADSTS7000215: Invalid client secret \"provided\".\r\nTrace ID: t",
            "error_codes": [7_000_215]}),
    )
}

pub(crate) fn error_response(status: u16, code: &str) -> Response {
    json_response(status, &json!({"error": {"code": code, "message": format!("{code} it is")}}))
}

/// A script that responds to logins with a token, and to all other requests with `respond`.
fn with_token(
    respond: impl Fn(&RecordedRequest) -> Response,
) -> impl Fn(RecordedRequest) -> std::future::Ready<Response> {
    move |request| {
        std::future::ready(if request.is_login() { token_response("token-1") } else { respond(&request) })
    }
}

pub(crate) fn credential() -> Arc<Credential> {
    credential_in(Cloud::Public)
}

pub(crate) fn credential_in(cloud: Cloud) -> Arc<Credential> {
    Arc::new(Credential {
        cloud,
        tenant_id: TENANT.to_owned(),
        subscription_id: SUBSCRIPTION.to_owned(),
        client_id: "client & co".to_owned(),
        client_secret: SecretString::from(SECRET),
        // Differs between clouds.
        fingerprint: Fingerprint([cloud.environment().len().try_into().unwrap(); 32]),
    })
}

/// Delays responses until it is opened.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn open(&self) {
        self.0.add_permits(1_000);
    }

    pub(crate) async fn pass(self) {
        self.0.acquire().await.unwrap().forget();
    }
}

pub(crate) fn default_deadline() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

pub(crate) fn arm(azure: &Azure) -> Arm {
    azure.arm(&credential(), default_deadline()).unwrap()
}

/// Waits until `is_done` returns true, for a minute at most.
pub(crate) async fn wait_until(mut is_done: impl FnMut() -> bool) {
    timeout(Duration::from_mins(1), async {
        while !is_done() {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .expect("the condition is met within a minute");
}
