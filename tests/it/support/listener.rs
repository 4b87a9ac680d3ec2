//! Servers on ports of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::app::TestApp;

/// A server on a port. Dropping it stops the server.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    _stop: DropGuard,
}

impl Listener {
    pub(crate) async fn start(app: &TestApp) -> Self {
        Self::serve(app.router(), None, serve::Options::default()).await
    }

    /// Serves on a free port.
    pub(crate) async fn serve(
        router: Router,
        tls: Option<Arc<rustls::ServerConfig>>,
        options: serve::Options,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve_on(listener, router, tls, options)
    }

    pub(crate) fn serve_on(
        listener: TcpListener,
        router: Router,
        tls: Option<Arc<rustls::ServerConfig>>,
        options: serve::Options,
    ) -> Self {
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(serve::serve(listener, tls, router, stop.clone(), options));
        Self { address, _stop: stop.drop_guard() }
    }
}
