//! A small HTTP server that stands in for Rancher. A script responds; a fault replaces its responses.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it was received.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    pub(crate) method: Method,
    /// The path with its query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl RecordedRequest {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// All values of a header.
    pub(crate) fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }
}

/// A fault that replaces the response of the script.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// No response.
    Hang,
    /// The connection is closed without a response.
    Cut,
    /// The connection is closed in the middle of the body.
    CutBody,
    /// A response with this status, headers and body.
    Response(u16, Vec<(&'static str, &'static str)>, &'static str),
}

type Script = Arc<dyn Fn(RecordedRequest) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// The error of a service that makes hyper close the connection.
#[derive(Debug, thiserror::Error)]
#[error("cut by the test")]
struct Cut;

pub(crate) struct FakeRancher {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    script: Script,
    requests: Mutex<Vec<RecordedRequest>>,
    fault: Mutex<Option<Fault>>,
}

impl Drop for FakeRancher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeRancher {
    /// Serves over plain HTTP, as behind a Service with port 80.
    pub(crate) async fn start(
        script: impl Fn(&RecordedRequest) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(ready(script), None).await
    }

    /// Serves over plain HTTP with an asynchronous script.
    pub(crate) async fn start_async<F>(script: impl Fn(RecordedRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::listen(Arc::new(move |request| script(request).boxed()), None).await
    }

    /// Serves over TLS.
    pub(crate) async fn start_tls(
        tls: Arc<rustls::ServerConfig>,
        script: impl Fn(&RecordedRequest) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(ready(script), Some(tls)).await
    }

    async fn listen(script: Script, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { script, requests: Mutex::default(), fault: Mutex::default() });
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (shared, tls) = (Arc::clone(&shared), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => serve(stream, shared).await,
                            Some(tls) => {
                                let accepted = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await;
                                if let Ok(stream) = accepted {
                                    serve(stream, shared).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        Self { address, shared, task }
    }

    /// Applies this fault to requests from now on.
    pub(crate) fn set_fault(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = Some(fault);
    }

    /// Makes the script respond again.
    pub(crate) fn clear_fault(&self) {
        *self.shared.fault.lock().unwrap() = None;
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The requests since the last call, as `METHOD path`.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.shared.requests.lock().unwrap());
        requests.into_iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

fn ready(script: impl Fn(&RecordedRequest) -> Response<Body> + Send + Sync + 'static) -> Script {
    Arc::new(move |request| std::future::ready(script(&request)).boxed())
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: Arc<Shared>) {
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
            let path = parts.uri.path_and_query().unwrap().as_str().to_owned();
            let request = RecordedRequest { method: parts.method, path, headers: parts.headers, body };
            shared.requests.lock().unwrap().push(request.clone());
            let fault = shared.fault.lock().unwrap().clone();
            match fault {
                None => Ok((shared.script)(request).await),
                Some(Fault::Hang) => std::future::pending().await,
                Some(Fault::Cut) => Err(Cut),
                Some(Fault::CutBody) => Ok(cut_body()),
                Some(Fault::Response(status, headers, body)) => Ok(response(status, &headers, body)),
            }
        }
    });
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// A response whose body ends too early.
fn cut_body() -> Response<Body> {
    let first = stream::iter([Ok(Bytes::from_static(b"{\"metadata\":"))]);
    // The head and the first part are written while the stream is pending.
    let end = stream::once(async {
        tokio::task::yield_now().await;
        Err(Cut)
    });
    let mut response = Response::new(Body::from_stream(first.chain(end)));
    response.headers_mut().insert("x-api-cattle-auth", "true".parse().unwrap());
    response.headers_mut().insert("content-length", "5000".parse().unwrap());
    response
}

pub(crate) fn response(
    status: u16,
    headers: &[(&'static str, &str)],
    body: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

/// A response of Rancher, with its header `X-Api-Cattle-Auth`.
pub(crate) fn json(status: u16, is_authenticated: bool, body: &Value) -> Response<Body> {
    text(status, is_authenticated, body.to_string())
}

pub(crate) fn text(status: u16, is_authenticated: bool, body: impl Into<Body>) -> Response<Body> {
    let auth = if is_authenticated { "true" } else { "false" };
    response(status, &[("content-type", "application/json"), ("x-api-cattle-auth", auth)], body)
}
