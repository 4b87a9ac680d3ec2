//! A stream that ends after the head of an HTTP response.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that end the head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Returns only the head of a response to its reader, and stores the bytes after the head, which the handshake would otherwise
/// consume: a server may send its first frame together with the response.
pub(super) struct HeadStream<S> {
    inner: S,
    /// Bytes that were read from the stream but not returned.
    pending: BytesMut,
    /// The number of bytes of [`HEAD_END`] at the end of the returned data.
    matched: usize,
}

impl<S> HeadStream<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, pending: BytesMut::new(), matched: 0 }
    }

    /// The stream, and the bytes after the head.
    pub(super) fn into_parts(self) -> (S, BytesMut) {
        (self.inner, self.pending)
    }

    /// Scans up to `limit` pending bytes for the end of the head. Returns the number that belong to the head.
    fn scan_head(&mut self, limit: usize) -> usize {
        let mut len = 0;
        for &byte in self.pending.iter().take(limit) {
            if self.matched == HEAD_END.len() {
                break;
            }
            len += 1;
            self.matched = match HEAD_END.get(self.matched) {
                Some(&expected) if expected == byte => self.matched + 1,
                _ => usize::from(byte == b'\r'),
            };
        }
        len
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.matched == HEAD_END.len() {
            return Poll::Ready(Ok(()));
        }
        if this.pending.is_empty() {
            let mut chunk = [0; 4096];
            let mut read_buf = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read_buf))?;
            this.pending.extend_from_slice(read_buf.filled());
        }
        let len = this.scan_head(buf.remaining());
        buf.put_slice(&this.pending.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn bytes_after_the_head_are_kept() {
        let mut stream = HeadStream::new(&b"HTTP/1.1 101\r\r\nA: b\r\n\r\n\x82\x00"[..]);
        let mut head = Vec::new();
        stream.read_to_end(&mut head).await.unwrap();
        assert_eq!(head, b"HTTP/1.1 101\r\r\nA: b\r\n\r\n");
        assert_eq!(stream.into_parts().1, b"\x82\x00"[..]);
    }
}
