//! The TCP connections of the agent.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use remotedialer::{ClientStream, tune_socket};
use tokio::net::TcpStream;

use crate::event::Event;
use crate::settings::Endpoint;

type Connect = dyn Fn(String, u16) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync;

/// Opens TCP connections by host and port. Clones share the function.
#[derive(Clone)]
pub struct Network(Arc<Connect>);

impl Network {
    /// A network that uses the name resolution and routes of this machine.
    pub fn system() -> Self {
        Self::new(|host: String, port| async move { TcpStream::connect((host.as_str(), port)).await })
    }

    /// A network that opens connections with `connect`. The host is a name, or an IP address without brackets.
    pub fn new<F, R>(connect: F) -> Self
    where
        F: Fn(String, u16) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<TcpStream>> + Send + 'static,
    {
        Self(Arc::new(move |host, port| Box::pin(connect(host, port))))
    }

    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        (self.0)(host.to_owned(), port).await
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

/// Opens a TCP connection to `endpoint`, with the socket options of a session.
pub(crate) async fn connect_tcp(network: &Network, endpoint: &Endpoint) -> Result<ClientStream, Event> {
    let stream = network.connect(&endpoint.host, endpoint.port).await;
    let stream = stream.and_then(|stream| tune_socket(&stream).map(|()| stream));
    match stream {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(Event::Unreachable { address: endpoint.to_string(), reason: error.to_string() }),
    }
}
