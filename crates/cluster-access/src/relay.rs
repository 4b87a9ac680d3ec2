//! Connections to clusters through another server of the same installation, to which their agents are connected.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// A boxed future.
pub type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// A connection to a cluster's API through another server.
pub trait RelayStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> RelayStream for T {}

/// Connects to clusters through other servers.
pub trait Relay: Send + Sync {
    /// Connects to the API of a cluster through the server at `address`, which relays only to its own sessions.
    fn connect(&self, address: &str, cluster_id: &str) -> BoxFuture<Box<dyn RelayStream>, io::Error>;
}
