//! Joins connections after a change of the protocol, until one end closes or the server closes them. In the latter case, the
//! client gets a closing frame of its protocol, between two frames, instead of an aborted connection.

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

/// Two connections with the same protocol.
#[derive(Debug)]
pub struct Tunnel {
    pub(super) near: OnUpgrade,
    pub(super) far: OnUpgrade,
    pub(super) protocol: Protocol,
}

impl Tunnel {
    /// Joins the connections until one end closes or fails, or until `closing` completes. Starts when the client has the head
    /// of the response. Dropping the future aborts both connections.
    pub async fn join(self, closing: impl Future<Output = Closing>) -> io::Result<()> {
        let Self { near, far, protocol } = self;
        let (near, far) = tokio::try_join!(near, far).map_err(io::Error::other)?;
        let (mut near_reader, mut near_writer) = split(TokioIo::new(near));
        let (mut far_reader, mut far_writer) = split(TokioIo::new(far));
        let mut down = Pump { frames: Frames::new(protocol), buffer: vec![0; BUFFER_LEN], waiting: 0..0 };
        let closing = {
            let to_far = async {
                copy(&mut near_reader, &mut far_writer).await?;
                far_writer.shutdown().await
            };
            let to_near = async {
                down.run(&mut far_reader, &mut near_writer).await?;
                near_writer.shutdown().await
            };
            tokio::select! {
                joined = async { tokio::try_join!(to_far, to_near) } => return joined.map(drop),
                closing = closing => closing,
            }
        };
        let close = async {
            down.finish_frame(&mut far_reader, &mut near_writer).await?;
            near_writer.write_all(&down.frames.closing(&closing)).await?;
            near_writer.shutdown().await?;
            // A connection with unread bytes would be reset, and the reset could overtake the closing frame.
            copy(&mut near_reader, &mut sink()).await.map(drop)
        };
        let closed = timeout(CLOSE_TIMEOUT, close).await;
        // The TLS close alert shows the far end that nothing was truncated.
        drop(timeout(CLOSE_TIMEOUT, far_writer.shutdown()).await);
        closed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// One direction of a tunnel, with the bytes that are not written yet. Each step either reads or writes, so that dropping a
/// future loses nothing and `frames` matches what the receiver has.
struct Pump {
    frames: Frames,
    buffer: Vec<u8>,
    /// The part of `buffer` that is not written yet.
    waiting: std::ops::Range<usize>,
}

impl Pump {
    /// Forwards everything until the sender closes.
    async fn run(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        while self.fill(from).await? {
            while !self.waiting.is_empty() {
                let waiting = self.buffer.get(self.waiting.clone()).unwrap_or_default();
                let written = to.write(waiting).await?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                self.frames.pass(waiting.get(..written).unwrap_or_default());
                self.waiting.start += written;
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
        while !self.frames.is_between() {
            if !self.fill(from).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let waiting = self.buffer.get(self.waiting.clone()).unwrap_or_default();
            let rest = self.frames.pass_to_boundary(waiting);
            to.write_all(waiting.get(..rest).unwrap_or_default()).await?;
            self.waiting.start += rest;
        }
        to.flush().await
    }

    /// Reads if nothing is waiting; false if the sender has closed.
    async fn fill(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
        if self.waiting.is_empty() {
            self.waiting = 0..from.read(&mut self.buffer).await?;
        }
        Ok(!self.waiting.is_empty())
    }
}
