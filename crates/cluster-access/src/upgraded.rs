//! Joins two connections after a protocol upgrade, until the client, the cluster or this server closes them. If this server
//! does, the client gets a closing frame of its protocol, between two frames, instead of an aborted connection.

mod frames;

use std::io;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink, split};
use tokio::time::timeout;

pub use self::frames::Closing;
use self::frames::Frames;
pub(super) use self::frames::Protocol;

/// The time limit for closing: the rest of a frame, the closing frame, and the client's response to it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

const BUFFER_LEN: usize = 16 * 1024;

/// The client's and the cluster's connection, upgraded to the same protocol.
#[derive(Debug)]
pub struct UpgradedConnections {
    pub(super) client: OnUpgrade,
    pub(super) cluster: OnUpgrade,
    pub(super) protocol: Protocol,
}

impl UpgradedConnections {
    /// Joins the connections until both directions end or one fails, or until `closing` completes. Starts when the client has
    /// the head of the response. Dropping the future aborts both connections.
    pub async fn join(self, closing: impl Future<Output = Closing>) -> io::Result<()> {
        let Self { client, cluster, protocol } = self;
        let (client, cluster) = tokio::try_join!(client, cluster).map_err(io::Error::other)?;
        let (mut client_reader, mut client_writer) = split(TokioIo::new(client));
        let (mut cluster_reader, mut cluster_writer) = split(TokioIo::new(cluster));
        let mut to_client_pump =
            Pump { frames: Frames::new(protocol), buffer: vec![0; BUFFER_LEN], unwritten: 0..0 };
        let closing = {
            let to_cluster = async {
                copy(&mut client_reader, &mut cluster_writer).await?;
                cluster_writer.shutdown().await
            };
            let to_client = async {
                to_client_pump.forward_all(&mut cluster_reader, &mut client_writer).await?;
                client_writer.shutdown().await
            };
            tokio::select! {
                joined = async { tokio::try_join!(to_cluster, to_client) } => return joined.map(drop),
                closing = closing => closing,
            }
        };
        let close = async {
            to_client_pump.finish_frame(&mut cluster_reader, &mut client_writer).await?;
            client_writer.write_all(&to_client_pump.frames.closing_frames(&closing)).await?;
            client_writer.shutdown().await?;
            // Closing a connection with unread bytes would reset it, and the reset could overtake the closing frame.
            copy(&mut client_reader, &mut sink()).await.map(drop)
        };
        let closed = timeout(CLOSE_TIMEOUT, close).await;
        // The TLS close alert shows the cluster that nothing was truncated.
        drop(timeout(CLOSE_TIMEOUT, cluster_writer.shutdown()).await);
        closed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Forwards the bytes of one direction. Each step either reads or writes, so that dropping a future loses nothing and `frames`
/// matches the bytes that were written.
struct Pump {
    frames: Frames,
    buffer: Vec<u8>,
    /// The part of `buffer` that is not written yet.
    unwritten: std::ops::Range<usize>,
}

impl Pump {
    /// Forwards everything until the sender closes.
    async fn forward_all(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        while self.read_if_empty(from).await? {
            while !self.unwritten.is_empty() {
                let unwritten = self.buffer.get(self.unwritten.clone()).unwrap_or_default();
                let written = to.write(unwritten).await?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                self.frames.record(unwritten.get(..written).unwrap_or_default());
                self.unwritten.start += written;
            }
            to.flush().await?;
        }
        Ok(())
    }

    /// Forwards the rest of the current frame, and nothing of the next one.
    async fn finish_frame(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        while !self.frames.is_at_boundary() {
            if !self.read_if_empty(from).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let unwritten = self.buffer.get(self.unwritten.clone()).unwrap_or_default();
            let frame_rest_len = self.frames.record_to_boundary(unwritten);
            to.write_all(unwritten.get(..frame_rest_len).unwrap_or_default()).await?;
            self.unwritten.start += frame_rest_len;
        }
        to.flush().await
    }

    /// Reads if `unwritten` is empty; false if the sender has closed.
    async fn read_if_empty(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
        if self.unwritten.is_empty() {
            self.unwritten = 0..from.read(&mut self.buffer).await?;
        }
        Ok(!self.unwritten.is_empty())
    }
}
