//! Dialers: connect a client to the targets that its server requests.

use std::collections::HashSet;
use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub use crate::message::Target;

/// Decides which targets the server may reach, and connects to them.
///
/// The server can request any target, so check it first, and return [`denied`] if it is not allowed. Functions
/// `Fn(Target) -> Future<Output = io::Result<Stream>>` are dialers too.
pub trait Dialer: Send + Sync + 'static {
    /// The stream to the target.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Connects to `target`. The error's text is sent to the server.
    fn dial(&self, target: Target) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl<F, Fut, S> Dialer for F
where
    F: Fn(Target) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<S>> + Send,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Stream = S;

    fn dial(&self, target: Target) -> impl Future<Output = io::Result<S>> + Send {
        self(target)
    }
}

/// The error of a dialer for targets that it does not allow.
pub fn denied() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "connect not allowed")
}

/// Dials TCP addresses of a fixed list and denies everything else.
#[derive(Debug, Clone)]
pub struct TcpDialer {
    allowed: HashSet<String>,
}

impl TcpDialer {
    /// A dialer for these addresses (`host:port`), which must match the server's spelling exactly.
    pub fn new<A: Into<String>>(allowed: impl IntoIterator<Item = A>) -> Self {
        Self { allowed: allowed.into_iter().map(Into::into).collect() }
    }
}

impl Dialer for TcpDialer {
    type Stream = TcpStream;

    async fn dial(&self, target: Target) -> io::Result<TcpStream> {
        if target.network != "tcp" || !self.allowed.contains(&target.address) {
            return Err(denied());
        }
        let stream = TcpStream::connect(&target.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
