//! The stream to the server, directly or through a proxy.

use std::sync::Arc;

use remotedialer::{ClientStream, tune_socket};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::event::Event;
use crate::network::Network;
use crate::proxy;
use crate::settings::{Endpoint, Settings};
use crate::trust;

/// Opens a TCP connection to the server, through the proxy if there is one.
pub(crate) async fn open(settings: &Settings, network: &Network) -> Result<ClientStream, Event> {
    match &settings.proxy {
        None => connect_tcp(network, &settings.server).await,
        Some(proxy) => proxy::open(settings, proxy, network).await,
    }
}

/// Opens a TCP connection with the options of a session's socket.
pub(crate) async fn connect_tcp(network: &Network, endpoint: &Endpoint) -> Result<ClientStream, Event> {
    let stream = network.connect(&endpoint.host, endpoint.port).await;
    let stream = stream.and_then(|stream| tune_socket(&stream).map(|()| stream));
    match stream {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(Event::Unreachable { address: endpoint.to_string(), reason: error.to_string() }),
    }
}

/// Performs the TLS handshake with `endpoint` over `stream`.
pub(crate) async fn start_tls(
    stream: ClientStream,
    endpoint: &Endpoint,
    config: Arc<ClientConfig>,
) -> Result<ClientStream, Event> {
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|error| Event::TlsFailed { address: endpoint.to_string(), reason: error.to_string() })?;
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(trust::tls_event(endpoint, &error, false)),
    }
}
