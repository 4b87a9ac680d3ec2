//! Copies between connections and other streams, and serves the connections of a client.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::connection::Connection;
use crate::dialer::Dialer;
use crate::message::{MAX_ERROR_LEN, Target};
use crate::scratch;

/// A task that serves one connection.
pub(crate) type ServeFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts serving connections that the server opens.
pub(crate) type Acceptor = Box<dyn Fn(Target, Connection) -> ServeFuture + Send>;

/// An acceptor that dials with `dialer`.
pub(crate) fn acceptor<D: Dialer>(dialer: D, dial_timeout: Duration) -> Acceptor {
    let dialer = Arc::new(dialer);
    Box::new(move |target, connection| {
        let dialer = Arc::clone(&dialer);
        Box::pin(async move { serve(&*dialer, target, connection, dial_timeout).await })
    })
}

async fn serve<D: Dialer>(dialer: &D, target: Target, connection: Connection, dial_timeout: Duration) {
    let requested = target.clone();
    let result = tokio::select! {
        biased;
        () = connection.closed() => return,
        result = tokio::time::timeout(dial_timeout, dialer.dial(target)) => result,
    };
    match result {
        Ok(Ok(stream)) => copy_to_target(connection, stream).await,
        Ok(Err(error)) => connection.close_with_error(&dial_failure_text(&requested, &go_error_text(&error))),
        Err(_) => connection.close_with_error(&dial_failure_text(&requested, "i/o timeout")),
    }
}

/// The text of a failed dial. The address, which the peer knows, is omitted if the text would otherwise be truncated: the
/// private host name of an AKS cluster alone almost reaches the limit.
fn dial_failure_text(target: &Target, reason: &str) -> String {
    let full_text = format!("dial {} {}: {reason}", target.network, target.address);
    if full_text.len() <= MAX_ERROR_LEN { full_text } else { format!("dial {}: {reason}", target.network) }
}

/// The message of Go's `net` package for this error, because servers look for parts of it.
fn go_error_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    }
}

/// Copies between a connection and a stream in both directions until both have ended.
///
/// If the stream ends first, the connection is read to its end before the peer is notified, because the protocol has no
/// half-close. This is appropriate for the side that dials.
///
/// ```no_run
/// # async fn example(session: remotedialer::Session, stream: tokio::net::TcpStream) -> std::io::Result<()> {
/// let connection = session.dial("tcp", "10.0.0.1:443")?;
/// remotedialer::join(connection, stream).await
/// # }
/// ```
pub async fn join<S: AsyncRead + AsyncWrite + Unpin>(connection: Connection, stream: S) -> io::Result<()> {
    let mut forward = Forward::new(connection, stream, AtEof::KeepReading);
    let end = std::future::poll_fn(|cx| forward.poll(cx)).await;
    let Forward { connection, mut stream, .. } = forward;
    match end {
        ForwardEnd::Stream => Ok(()),
        ForwardEnd::StreamFailed(error) => {
            connection.close_with_error(&error.to_string());
            Err(error)
        }
        ForwardEnd::Connection(result) => {
            drop(connection);
            let shutdown = stream.shutdown().await;
            result.and(shutdown)
        }
    }
}

/// Copies until the target or the server ends the connection.
async fn copy_to_target<S: AsyncRead + AsyncWrite + Unpin>(connection: Connection, target: S) {
    let mut forward = Forward::new(connection, target, AtEof::Close);
    let end = std::future::poll_fn(|cx| forward.poll(cx)).await;
    let Forward { connection, mut stream, .. } = forward;
    match end {
        // Dropping the connection sends the queued data and then `EOF`.
        ForwardEnd::Stream => {}
        ForwardEnd::StreamFailed(error) => connection.close_with_error(&error.to_string()),
        ForwardEnd::Connection(_) => {
            drop(connection);
            // The target is closed in any case, and there is no peer to report the error to.
            let _ = stream.shutdown().await;
        }
    }
}

/// The effect of the end of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtEof {
    /// The connection ends.
    Close,
    /// The peer may continue to send.
    KeepReading,
}

struct Forward<S> {
    connection: Connection,
    stream: S,
    at_eof: AtEof,
    /// Whether the stream has ended but the connection has not.
    read_closed: bool,
    /// Whether the stream accepts no more data. It may still send its last response.
    write_closed: bool,
    needs_flush: bool,
}

/// The side that ended the copying.
enum ForwardEnd {
    Stream,
    StreamFailed(io::Error),
    Connection(io::Result<()>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Forward<S> {
    fn new(connection: Connection, stream: S, at_eof: AtEof) -> Self {
        Self { connection, stream, at_eof, read_closed: false, write_closed: false, needs_flush: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ForwardEnd> {
        if !self.read_closed
            && let Poll::Ready(end) = self.poll_from_stream(cx)
        {
            if self.at_eof == AtEof::Close || self.write_closed || !matches!(end, ForwardEnd::Stream) {
                return Poll::Ready(end);
            }
            self.read_closed = true;
        }
        self.poll_to_stream(cx)
    }

    fn poll_to_stream(&mut self, cx: &mut Context<'_>) -> Poll<ForwardEnd> {
        loop {
            let chunk = match Pin::new(&mut self.connection).poll_fill_buf(cx) {
                Poll::Ready(Ok(chunk)) if !chunk.is_empty() => chunk,
                Poll::Ready(result) => return Poll::Ready(ForwardEnd::Connection(result.map(|_| ()))),
                Poll::Pending => {
                    if self.needs_flush && !self.write_closed {
                        self.write_closed |= ready!(Pin::new(&mut self.stream).poll_flush(cx)).is_err();
                        self.needs_flush = false;
                    }
                    return Poll::Pending;
                }
            };
            let len = if self.write_closed {
                chunk.len()
            } else {
                match ready!(Pin::new(&mut self.stream).poll_write(cx, chunk)) {
                    Ok(len) if len > 0 => len,
                    _ if self.read_closed => return Poll::Ready(ForwardEnd::Stream),
                    _ => {
                        self.write_closed = true;
                        continue;
                    }
                }
            };
            self.needs_flush = true;
            Pin::new(&mut self.connection).consume(len);
        }
    }

    fn poll_from_stream(&mut self, cx: &mut Context<'_>) -> Poll<ForwardEnd> {
        scratch::with_buffer(|scratch| {
            loop {
                let Ok(capacity) = ready!(self.connection.poll_capacity(cx)) else {
                    // Data that the peer sent before it ended the connection must still be delivered.
                    return Poll::Pending;
                };
                let len = capacity.min(scratch.len());
                let mut buf = ReadBuf::uninit(scratch.get_mut(..len).unwrap_or_default());
                match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                    Ok(()) if buf.filled().is_empty() => return Poll::Ready(ForwardEnd::Stream),
                    Ok(()) => self.connection.queue(buf.filled()),
                    Err(error) => return Poll::Ready(ForwardEnd::StreamFailed(error)),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_of_a_failed_dial_is_never_truncated() {
        let target = |address: &str| Target { network: "tcp".to_owned(), address: address.to_owned() };
        let reason = "connect: connection refused";
        assert_eq!(
            dial_failure_text(&target("10.0.0.1:443"), reason),
            "dial tcp 10.0.0.1:443: connect: connection refused"
        );
        assert_eq!(
            dial_failure_text(&target(&"x".repeat(99)), reason),
            "dial tcp: connect: connection refused"
        );
    }
}
