//! An agent for tests, and listeners of a server: for agents, and for other servers of its database.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderValue};
use norman_aks::services::HttpsEndpoint;
use remotedialer::upgrade::{PARAMS_HEADER, TOKEN_HEADER};
use remotedialer::{ClientRequest, ConnectError, Dialer, Session, SessionConfig, Target};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::app::TestApp;
use super::listener::Listener;

/// A timeout that no passing test reaches.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_mins(1);

/// The parameters that the agent of a cluster sends.
pub(crate) const PARAMS: &str =
    r#"{"cluster":{"address":"169.254.169.254:80","caCert":"Y2FuYXJ5LWNh","token":"canary-of-the-account"}}"#;

impl Listener {
    /// Starts a TLS listener at `address`, which manifests of agents then contain, as with `serve --sandbox`.
    pub(crate) async fn start_tls(app: &TestApp, address: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        app.server.public_address.set_https_endpoint(HttpsEndpoint {
            host: Some(address.ip().to_string()),
            port: address.port(),
            authority: app.sandbox.authority_pem().to_owned(),
        });
        let tls = app.sandbox.loopback_tls().unwrap();
        Self::serve_on(listener, app.router(), Some(tls), serve::Options::default())
    }

    /// Starts the server's listener for other servers of its database, and announces it to them.
    pub(crate) async fn start_internal(app: &TestApp) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        app.server.join_replicas(listener.local_addr().unwrap().to_string());
        app.server.secrets.heartbeat().await.unwrap();
        let tls = app.server.replica_tls().unwrap();
        Self::serve_on(listener, app.server.replica_router(), Some(tls), serve::Options::default())
    }
}

/// The headers of an agent.
pub(crate) fn agent_headers(token: &str, params: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(TOKEN_HEADER, token.parse().unwrap());
    headers.insert(PARAMS_HEADER, HeaderValue::try_from(BASE64_STANDARD.encode(params)).unwrap());
    headers
}

/// A connected agent. Dropping it cuts its connection.
pub(crate) struct TestAgent {
    pub(crate) session: Session,
    freeze_sender: watch::Sender<bool>,
    _stop: DropGuard,
}

impl TestAgent {
    /// An agent that connects to the API of its cluster at `api`, regardless of the requested address.
    pub(crate) async fn connect(server: SocketAddr, token: &str, api: SocketAddr) -> Self {
        let dialer = move |target: Target| async move {
            assert_eq!(target.network, "tcp");
            assert!(target.address.ends_with(".azmk8s.io:443"), "{target:?}");
            TcpStream::connect(api).await
        };
        Self::connect_with(server, token, dialer).await.unwrap()
    }

    pub(crate) async fn connect_with(
        server: SocketAddr,
        token: &str,
        dialer: impl Dialer,
    ) -> Result<Self, ConnectError> {
        Self::connect_with_headers(server, agent_headers(token, PARAMS), dialer).await
    }

    pub(crate) async fn connect_with_headers(
        server: SocketAddr,
        headers: HeaderMap,
        dialer: impl Dialer,
    ) -> Result<Self, ConnectError> {
        let request = ClientRequest::new(&format!("ws://{server}/v3/connect/register"))?;
        let request = request.with_headers(headers);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.unwrap().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let stream = TcpStream::connect(server).await.unwrap();
        let (session, driver) =
            remotedialer::connect_over(stream, &request, Arc::new(tls), SessionConfig::client(), dialer)
                .await?;
        let (freeze_sender, mut freeze_receiver) = watch::channel(false);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            let mut driver = pin!(driver);
            let mut freeze_signal =
                Box::pin(
                    async move { freeze_receiver.wait_for(|is_frozen| *is_frozen).await.map(drop).ok() },
                );
            let mut is_frozen = false;
            let driving = std::future::poll_fn(|context| {
                is_frozen = is_frozen || freeze_signal.as_mut().poll(context).is_ready();
                if is_frozen { Poll::Pending } else { driver.as_mut().poll(context).map(drop) }
            });
            stopped.run_until_cancelled(driving).await;
        });
        Ok(Self { session, freeze_sender, _stop: stop.drop_guard() })
    }

    /// Stops reading and writing, like a suspended process or a lost network.
    pub(crate) fn freeze(&self) {
        self.freeze_sender.send_replace(true);
    }

    /// Waits until the session is closed; returns the reason.
    pub(crate) async fn close_reason(&self) -> String {
        timeout(TEST_TIMEOUT, self.session.closed()).await.expect("the session continues").to_string()
    }
}

/// Waits until a condition is met, at most a minute.
pub(crate) async fn wait_for(what: &str, mut is_met: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if is_met() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within a minute: {what}");
}
