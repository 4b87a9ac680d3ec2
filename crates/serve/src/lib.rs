//! The accept loop of the server and the sandbox: TCP or TLS, HTTP/1.1 and HTTP/2, limits for open and silent connections, and
//! a shutdown that finishes running requests.
//!
//! The caller provides the [`axum::Router`] and the certificates, and limits the duration of requests. [`connections`] decides
//! which connection to close if there are too many.

mod connections;
mod descriptors;
mod registry;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;
use tracing::{debug, warn};

pub use self::connections::{Connection, ConnectionLimits, Connections};
use self::connections::{Silence, count_closed};
pub use self::descriptors::raise_descriptor_limit;

/// The delay after a failure to accept, if no connection could be closed.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_secs(1);
/// The delay before accepting again if file descriptors will be free soon, or no connection is waiting.
const DESCRIPTOR_RETRY_DELAY: Duration = Duration::from_millis(5);
/// The minimum interval of warnings about accept failures.
const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_secs(10);
/// The length of the accept queue; the system may have a lower limit.
const BACKLOG: u32 = 4_096;
/// The maximum number of open streams of an HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// The interval of HTTP/2 pings, and the time limit for the response.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The limits of one listener.
#[derive(Clone, Debug)]
pub struct Options {
    /// The limits of connections, shared with other listeners.
    pub connections: Connections,
    /// The time limit of a TLS handshake.
    pub handshake_timeout: Duration,
    /// The time limit for the head of a request. If connections without an authenticated request are limited, it is also the
    /// maximum idle time of such a connection between two requests.
    pub header_timeout: Duration,
    /// The time for which running requests may continue after the stop.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: Connections::default(),
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(15),
            drain: Duration::from_secs(25),
        }
    }
}

/// The TLS client, as an extension (in an [`Arc`]) of its requests.
#[derive(Clone, Debug, Default)]
pub struct TlsPeer {
    /// The requested host name.
    pub server_name: Option<String>,
    /// The client's certificate chain, which starts with its own certificate. The chain is not verified.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// An extension of a response that closes the connection (HTTP/2: the stream) instead of responding.
///
/// To close it during a response, use a body that fails.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("closed on purpose")]
pub struct Cut;

/// The TLS cryptography provider: aws-lc-rs.
pub fn crypto_provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A TLS configuration for [`serve`]: aws-lc-rs, TLS 1.2 and 1.3, no client certificates, HTTP/2 preferred.
///
/// `chain` starts with the certificate of the server itself.
///
/// # Errors
/// The key does not match the certificate.
pub fn tls(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let mut config = rustls::ServerConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves `app` on `listener` until `stop` is cancelled. Every request has the peer's address as [`ConnectInfo<SocketAddr>`].
///
/// After the stop, no connection is accepted, idle ones are closed, and running requests may finish within [`Options::drain`].
/// Dropping the future closes all connections immediately. An accept failure is logged and does not end the loop.
///
/// # Errors
/// The listener has no address.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    app: Router,
    stop: CancellationToken,
    options: Options,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let abort = CancellationToken::new();
    // No connection outlives the loop, even if this future is dropped.
    let _abort_on_drop = abort.clone().drop_guard();
    let shared = Arc::new(Listener {
        http: http_builder(options.header_timeout),
        tls: tls.map(TlsAcceptor::from),
        app,
        stop: stop.clone(),
        options,
    });
    let connections = &shared.options.connections;
    let tasks = TaskTracker::new();
    loop {
        let Some((stream, peer)) = accept(&listener, connections, &stop).await else { break };
        let admission = connections.admit(peer.ip(), abort.child_token());
        let Some(admission) = stop.run_until_cancelled(admission).await else { break };
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let serving = shared.serve_connection(stream, peer, admission.connection());
            admission.close_token().run_until_cancelled(serving).await;
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(shared.options.drain, tasks.wait()).await.is_err() {
        warn!(%address, open = tasks.len(), "drain limit exceeded; closing the connections of running requests");
        abort.cancel();
        tasks.wait().await;
    }
    Ok(())
}

/// Binds a listener with a long accept queue.
///
/// # Errors
/// The error of the system.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Otherwise a restart would wait for the connections of the previous server.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts the next connection; `None` after `stop`.
async fn accept(
    listener: &TcpListener,
    connections: &Connections,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr)> {
    let mut warned_at: Option<Instant> = None;
    loop {
        let error = match stop.run_until_cancelled(listener.accept()).await? {
            Ok(accepted) => return Some(accepted),
            Err(error) => error,
        };
        if matches!(
            error.kind(),
            // The peer closed the connection early, which requires no delay.
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
        ) {
            debug!(%error, "connection closed before it was accepted");
            continue;
        }
        let is_exhausted = descriptors::is_exhausted(&error);
        if is_exhausted && !descriptors::has_waiting_connection(listener) {
            // Without a free descriptor, `accept` fails even if no connection is waiting. In that case, none has to be closed.
            stop.run_until_cancelled(tokio::time::sleep(DESCRIPTOR_RETRY_DELAY)).await?;
            continue;
        }
        let closed = if is_exhausted { connections.close_to_free_descriptors() } else { 0 };
        if warned_at.is_none_or(|warned_at| warned_at.elapsed() >= ACCEPT_WARNING_INTERVAL) {
            warned_at = Some(Instant::now());
            warn!(%error, closed, "cannot accept connections; trying again");
        }
        let delay = if closed > 0 { DESCRIPTOR_RETRY_DELAY } else { ACCEPT_RETRY_DELAY };
        stop.run_until_cancelled(tokio::time::sleep(delay)).await?;
    }
}

fn http_builder(header_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// The shared state of a listener's connections.
struct Listener {
    http: auto::Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    app: Router,
    stop: CancellationToken,
    options: Options,
}

impl Listener {
    async fn serve_connection(&self, stream: TcpStream, peer: SocketAddr, connection: &Connection) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%peer, %error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = &self.tls else { return self.serve_requests(stream, peer, connection, None).await };
        let handshake = tokio::time::timeout(self.options.handshake_timeout, tls.accept(stream));
        match self.stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => {
                let (_, session) = stream.get_ref();
                let tls_peer = TlsPeer {
                    server_name: session.server_name().map(str::to_owned),
                    certificates: session.peer_certificates().unwrap_or_default().to_vec(),
                };
                self.serve_requests(stream, peer, connection, Some(Arc::new(tls_peer))).await;
            }
            Some(Ok(Err(error))) => debug!(%peer, %error, "TLS handshake failed"),
            Some(Err(_)) => {
                debug!(%peer, "TLS handshake took too long");
                count_closed("handshake");
            }
            None => {}
        }
    }

    async fn serve_requests<S>(
        &self,
        stream: S,
        peer: SocketAddr,
        connection: &Connection,
        tls_peer: Option<Arc<TlsPeer>>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request_connection = connection.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let guard = request_connection.start_request();
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(request_connection.clone());
            if let Some(tls_peer) = &tls_peer {
                request.extensions_mut().insert(Arc::clone(tls_peer));
            }
            let response = self.app.clone().call(request);
            async move {
                let Ok(response) = response.await;
                let cut = response.extensions().get::<Cut>().copied();
                cut.map_or_else(|| Ok(guard.hold_until_sent(response)), Err)
            }
        });
        let mut serving = pin!(self.http.serve_connection_with_upgrades(TokioIo::new(stream), service));
        // hyper's limit starts with the first bytes of HTTP/1. This timer covers the silence before them, and HTTP/2
        // connections without requests.
        let mut silence_timer = pin!(tokio::time::sleep(self.options.header_timeout));
        let (mut is_stopping, mut may_stay_silent) = (false, false);
        loop {
            tokio::select! {
                result = serving.as_mut() => {
                    if let Err(error) = result {
                        debug!(%peer, error = &*error, "connection ended early");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    serving.as_mut().graceful_shutdown();
                }
                () = silence_timer.as_mut(), if !may_stay_silent => {
                    match connection.check_silence(self.options.header_timeout) {
                        Silence::Allowed => may_stay_silent = true,
                        Silence::Until(time) => silence_timer.as_mut().reset(time),
                        Silence::TooLong => {
                            debug!(%peer, "silent connection closed");
                            count_closed("silent");
                            return;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::{IntoResponse, Response};
    use axum::routing::get;
    use http::StatusCode;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    struct TestServer {
        address: SocketAddr,
        stop: CancellationToken,
        task: JoinHandle<io::Result<()>>,
    }

    async fn start_server(
        app: Router,
        options: Options,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> TestServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, tls, app, stop.clone(), options));
        TestServer { address, stop, task }
    }

    /// Signals of the route `/held`, which responds after `released` is notified.
    #[derive(Clone, Default)]
    struct Held {
        started: Arc<Notify>,
        released: Arc<Notify>,
    }

    fn app(held: &Held) -> Router {
        let Held { started, released } = held.clone();
        let respond = async move || {
            started.notify_one();
            released.notified().await;
            "done"
        };
        Router::new()
            .route("/peer", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()))
            .route("/held", get(respond))
            .route("/cut", get(async || -> Response { (axum::Extension(Cut), "unseen").into_response() }))
    }

    /// A server with a request to `/held` in progress, and its pending response.
    async fn with_held_request(options: Options) -> (TestServer, Held, JoinHandle<String>) {
        let held = Held::default();
        let server = start_server(app(&held), options, None).await;
        let address = server.address;
        let pending_response = tokio::spawn(async move { send_request(address, &request("/held")).await });
        held.started.notified().await;
        (server, held, pending_response)
    }

    /// Sends a request and reads until the server closes the connection.
    async fn send_request(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        // A reset after the response is treated as a close.
        let _ = stream.read_to_string(&mut response).await;
        response
    }

    fn request(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    }

    fn short_limits(header_ms: u64, drain_ms: u64) -> Options {
        Options {
            header_timeout: Duration::from_millis(header_ms),
            drain: Duration::from_millis(drain_ms),
            ..Options::default()
        }
    }

    #[tokio::test]
    async fn requests_carry_the_address_of_the_peer() {
        let server = start_server(app(&Held::default()), Options::default(), None).await;
        let response = send_request(server.address, &request("/peer")).await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\n127.0.0.1"), "{response}");
        server.stop.cancel();
        server.task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn stop_finishes_running_requests_and_accepts_no_new_ones() {
        let (server, held, pending_response) = with_held_request(Options::default()).await;
        server.stop.cancel();
        held.released.notify_one();
        assert!(pending_response.await.unwrap().ends_with("done"));
        server.task.await.unwrap().unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    #[tokio::test]
    async fn requests_longer_than_the_drain_limit_are_aborted() {
        let (server, _held, pending_response) = with_held_request(short_limits(5_000, 20)).await;
        server.stop.cancel();
        server.task.await.unwrap().unwrap();
        assert_eq!(pending_response.await.unwrap(), "");
    }

    #[tokio::test]
    async fn idle_connection_does_not_delay_the_stop() {
        let server = start_server(app(&Held::default()), Options::default(), None).await;
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        request_and_keep(&mut idle).await;
        server.stop.cancel();
        tokio::time::timeout(Duration::from_secs(2), server.task).await.unwrap().unwrap().unwrap();
    }

    /// Sends a request on a connection that remains open.
    async fn request_and_keep(stream: &mut TcpStream) {
        stream.write_all(b"GET /peer HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut response = Vec::new();
        while !response.ends_with(b"127.0.0.1") {
            response.push(stream.read_u8().await.unwrap());
        }
    }

    #[tokio::test]
    async fn silent_connections_are_closed_after_the_header_limit() {
        let server = start_server(app(&Held::default()), short_limits(150, 1_000), None).await;
        for bytes in ["", "GET /pe", "PRI * HTTP/2.0\r\n"] {
            let closed =
                tokio::time::timeout(Duration::from_secs(3), send_request(server.address, bytes)).await;
            assert!(closed.is_ok(), "still open after {bytes:?}");
        }
        server.stop.cancel();
    }

    #[tokio::test]
    async fn running_request_is_not_silent() {
        let (server, held, pending_response) = with_held_request(short_limits(20, 1_000)).await;
        let silent = send_request(server.address, "").await;
        assert_eq!(silent, "", "closed after the header limit");
        held.released.notify_one();
        assert!(pending_response.await.unwrap().ends_with("done"));
        server.stop.cancel();
    }

    #[tokio::test]
    async fn connection_above_the_limit_waits() {
        let limits = ConnectionLimits { total: 1, ..ConnectionLimits::default() };
        let options = Options { connections: Connections::new(limits), ..Options::default() };
        let server = start_server(app(&Held::default()), options, None).await;
        let mut holder = TcpStream::connect(server.address).await.unwrap();
        request_and_keep(&mut holder).await;
        let mut waiting = TcpStream::connect(server.address).await.unwrap();
        waiting.write_all(request("/peer").as_bytes()).await.unwrap();
        request_and_keep(&mut holder).await;
        let unanswered = waiting.try_read(&mut [0]).unwrap_err();
        assert_eq!(unanswered.kind(), io::ErrorKind::WouldBlock);
        drop(holder);
        let mut response = String::new();
        waiting.read_to_string(&mut response).await.unwrap();
        assert!(response.ends_with("127.0.0.1"), "{response}");
        server.stop.cancel();
    }

    #[tokio::test]
    async fn cut_ends_the_connection_without_a_response() {
        let server = start_server(app(&Held::default()), Options::default(), None).await;
        assert_eq!(send_request(server.address, &request("/cut")).await, "");
        server.stop.cancel();
    }

    #[tokio::test]
    async fn dropping_the_loop_ends_its_connections() {
        let (server, _held, pending_response) = with_held_request(Options::default()).await;
        server.task.abort();
        assert_eq!(pending_response.await.unwrap(), "");
    }

    #[tokio::test]
    async fn tls_offers_http_2_and_http_1() {
        let certified = rcgen::generate_simple_self_signed(["sandbox.test".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let tls = tls(vec![certified.cert.der().clone()], key.into()).unwrap();
        let server = start_server(app(&Held::default()), Options::default(), Some(tls)).await;
        let client = |http1: bool| {
            let builder = reqwest::Client::builder()
                .no_proxy()
                .tls_certs_only([reqwest::Certificate::from_der(certified.cert.der()).unwrap()])
                .resolve("sandbox.test", server.address);
            if http1 { builder.http1_only() } else { builder }.build().unwrap()
        };
        for (http1, version) in [(false, http::Version::HTTP_2), (true, http::Version::HTTP_11)] {
            let url = format!("https://sandbox.test:{}/peer", server.address.port());
            let response = client(http1).get(url).send().await.unwrap();
            assert_eq!((response.status(), response.version()), (StatusCode::OK, version));
            assert_eq!(response.text().await.unwrap(), "127.0.0.1");
        }
        let silent = TcpStream::connect(server.address).await.unwrap();
        server.stop.cancel();
        tokio::time::timeout(Duration::from_secs(2), server.task).await.unwrap().unwrap().unwrap();
        drop(silent);
    }
}
