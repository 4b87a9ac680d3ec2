//! The stream to the server, directly or through a proxy.

use remotedialer::ClientStream;

use crate::event::Event;
use crate::network::{Network, connect_tcp};
use crate::proxy;
use crate::settings::Settings;

/// Opens a TCP connection to the server, through the proxy if there is one.
pub(crate) async fn open(settings: &Settings, network: &Network) -> Result<ClientStream, Event> {
    match &settings.proxy {
        None => connect_tcp(network, &settings.server).await,
        Some(proxy) => proxy::open(settings, proxy, network).await,
    }
}
