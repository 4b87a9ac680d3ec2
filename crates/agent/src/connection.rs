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
        None => tcp(network, &settings.server).await,
        Some(proxy) => proxy::open(settings, proxy, network).await,
    }
}

/// Opens a TCP connection with the options of a session's socket.
pub(crate) async fn tcp(network: &Network, to: &Endpoint) -> Result<ClientStream, Event> {
    let stream = network.connect(&to.host, to.port).await;
    let stream = stream.and_then(|stream| tune_socket(&stream).map(|()| stream));
    match stream {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(Event::Unreachable { address: to.to_string(), reason: error.to_string() }),
    }
}

/// TLS over `stream` to `host`.
pub(crate) async fn tls(
    stream: ClientStream,
    to: &Endpoint,
    config: Arc<ClientConfig>,
) -> Result<ClientStream, Event> {
    let name = ServerName::try_from(to.host.clone())
        .map_err(|error| Event::TlsFailed { address: to.to_string(), reason: error.to_string() })?;
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(trust::tls_event(to, &error, false)),
    }
}
