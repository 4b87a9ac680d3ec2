//! Connections that changed the protocol: joined until one end closes, or until the server ends them. Then the client is
//! told so in its own protocol, between two of its frames, and not by a connection that breaks off.

mod frames;

use std::io;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink, split};
use tokio::time::timeout;

use self::frames::Frames;
pub(super) use self::frames::Protocol;

/// How long the end may take: the rest of a frame, the closing frame, and the client's answer to it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

const BUFFER_LEN: usize = 16 * 1024;

/// Two connections that speak the same protocol from now on.
#[derive(Debug)]
pub struct Tunnel {
    pub(super) near: OnUpgrade,
    pub(super) far: OnUpgrade,
    pub(super) protocol: Protocol,
}

/// What the client is told when the server ends a joined connection.
#[derive(Clone, Debug)]
pub struct Closing {
    /// The status code of WebSocket's close frame: 1001 when the server stops, 1008 when rights ended.
    pub code: u16,
    /// Why, for people; at most 123 bytes are sent.
    pub reason: String,
    /// A last message of text, where the client reads a stream of such messages.
    pub last_message: Option<String>,
}

impl Tunnel {
    /// Joins the connections until one end closes or fails, or until `ending` is done. Begins when the client has the head
    /// of the response. Dropping the future breaks both connections off.
    pub async fn join(self, ending: impl Future<Output = Closing>) -> io::Result<()> {
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
                closing = ending => closing,
            }
        };
        let telling = async {
            down.finish_frame(&mut far_reader, &mut near_writer).await?;
            near_writer.write_all(&down.frames.closing(&closing)).await?;
            near_writer.shutdown().await?;
            // A connection with unread bytes would be reset, and the reset could overtake the closing frame.
            copy(&mut near_reader, &mut sink()).await.map(drop)
        };
        let told = timeout(CLOSE_TIMEOUT, telling).await;
        // The far end learns by TLS that nothing was cut off.
        drop(timeout(CLOSE_TIMEOUT, far_writer.shutdown()).await);
        told.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// One direction of a tunnel, with what of it is not written yet. Each step either reads or writes, so that a future that
/// is dropped loses nothing, and `frames` knows what the receiver has.
struct Pump {
    frames: Frames,
    buffer: Vec<u8>,
    /// The part of `buffer` that is still to be written.
    waiting: std::ops::Range<usize>,
}

impl Pump {
    /// Passes everything on until the sender has no more.
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

    /// Passes on what is missing of a frame that was begun, and nothing of the next one.
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

    /// Makes sure that something waits; false when the sender has no more.
    async fn fill(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
        if self.waiting.is_empty() {
            self.waiting = 0..from.read(&mut self.buffer).await?;
        }
        Ok(!self.waiting.is_empty())
    }
}
