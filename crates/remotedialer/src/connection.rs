//! A connection through the tunnel.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

use crate::channel::Channel;
use crate::message::{EOF, MAX_ERROR_LEN};
use crate::shared::Shared;

/// A connection through the tunnel: an ordered stream of bytes in both directions, like a TCP stream.
///
/// The protocol has no half-close. [`shutdown`](tokio::io::AsyncWriteExt::shutdown) only prevents further writes; the peer is
/// notified when the connection is dropped, after the written data. Dropping it also ends the other direction, so read the whole
/// response first.
///
/// Errors contain a [`ConnectionError`](crate::ConnectionError). A failed dial is an error of the first read.
pub struct Connection {
    shared: Arc<Shared>,
    channel: Arc<Channel>,
    /// Received data that is no longer in the channel's buffer.
    current_chunk: Vec<u8>,
    /// The number of bytes of `current_chunk` that were read.
    position: usize,
    close_text: Bytes,
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, channel: Arc<Channel>) -> Self {
        let close_text = Bytes::from_static(EOF.as_bytes());
        Self { shared, channel, current_chunk: Vec::new(), position: 0, close_text }
    }

    /// The ID of the connection in its session, for logs.
    pub fn id(&self) -> i64 {
        self.channel.id
    }

    /// Closes the connection after the written data, and sends `text` to the peer as the reason. The text is truncated to 100
    /// bytes.
    pub fn close_with_error(mut self, text: &str) {
        let len = text.floor_char_boundary(MAX_ERROR_LEN);
        self.close_text = Bytes::copy_from_slice(text.as_bytes().get(..len).unwrap_or_default());
    }

    /// Waits until the peer ends the connection, or the session ends. Received data remains readable.
    pub async fn closed(&self) {
        std::future::poll_fn(|cx| self.channel.poll_end(cx)).await;
    }

    /// The number of bytes that [`Connection::queue`] accepts.
    pub(crate) fn poll_capacity(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let coop = ready!(coop::poll_proceed(cx));
        let capacity = ready!(self.channel.poll_capacity(cx, self.shared.send_limit()));
        coop.made_progress();
        Poll::Ready(capacity.map_err(io::Error::from))
    }

    /// Queues data for sending.
    pub(crate) fn queue(&self, data: &[u8]) {
        self.shared.add_outgoing(data.len());
        match self.channel.queue(data) {
            Some(true) => self.shared.push_ready(Arc::clone(&self.channel)),
            Some(false) => {}
            // The next write returns the error.
            None => self.shared.sub_outgoing(data.len()),
        }
    }

    /// The unread part of `current_chunk`.
    fn unread(&self) -> &[u8] {
        self.current_chunk.get(self.position..).unwrap_or_default()
    }

    /// Refills `current_chunk` after all of it was read. At the end of the stream, `current_chunk` stays empty.
    fn poll_current_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.position < self.current_chunk.len() {
            return Poll::Ready(Ok(()));
        }
        // A fast peer must not prevent a reading task from yielding.
        let coop = ready!(coop::poll_proceed(cx));
        let chunk = self.channel.poll_chunk(cx, &self.shared.config, &mut self.current_chunk);
        self.position = 0;
        let chunk = ready!(chunk);
        coop.made_progress();
        let Some(chunk) = chunk? else { return Poll::Ready(Ok(())) };
        self.shared.sub_received(chunk.bytes.len());
        self.current_chunk = chunk.bytes;
        if chunk.must_resume {
            // A full queue ends the session soon, and the driver detects it itself.
            let _ = self.shared.push_flow(&self.channel, false);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled_before = buf.filled().len();
        while buf.remaining() > 0 {
            match this.poll_current_chunk(cx) {
                Poll::Ready(Ok(())) if this.unread().is_empty() => break,
                Poll::Ready(Ok(())) => {
                    let len = buf.remaining().min(this.unread().len());
                    buf.put_slice(this.unread().get(..len).unwrap_or_default());
                    this.position += len;
                }
                // The copied bytes are returned first.
                _ if buf.filled().len() > filled_before => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for Connection {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_current_chunk(cx))?;
        Poll::Ready(Ok(this.unread()))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        this.position += amount.min(this.unread().len());
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let capacity = ready!(self.poll_capacity(cx))?;
        let taken = buf.len().min(capacity);
        self.queue(buf.get(..taken).unwrap_or_default());
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Queued data is sent without a flush, as with a TCP stream.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.channel.close_write();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let text = std::mem::take(&mut self.close_text);
        let must_schedule = self.channel.detach(text);
        self.shared.sub_received(self.channel.drop_received());
        if must_schedule {
            self.shared.push_ready(Arc::clone(&self.channel));
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.channel.id).finish_non_exhaustive()
    }
}
