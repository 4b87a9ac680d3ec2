//! Servers on ports of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
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

/// The PEM of a new authority, and the TLS configuration of a server with a certificate for these names.
pub(crate) fn certificate(names: &[&str]) -> (String, Arc<rustls::ServerConfig>) {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let (key, names) = (KeyPair::generate().unwrap(), names.iter().map(|name| (*name).to_owned()));
    let leaf = CertificateParams::new(names.collect::<Vec<_>>()).unwrap().signed_by(&key, &root).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    (root.pem(), serve::tls(vec![leaf.der().clone()], key.into()).unwrap())
}
