//! The driver of a session: one future that reads, writes and runs the timers.
//!
//! The driver waits only for the socket, so a connection that is not read delays neither pongs nor other connections.

mod inbound;
mod outbound;
mod timers;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::channel::Channel;
use crate::close::CloseCode;
use crate::error::{ConnectionError, SessionError};
use crate::forward::Acceptor;
use crate::message::{DISCONNECT, kind};
use crate::parser::MessageParser;
use crate::shared::{ControlMessage, Shared};
use crate::websocket::{Control, FrameDecoder};
use outbound::Outbound;
use timers::Timers;

/// The number of rounds of reading and writing before the driver yields to other tasks.
const MAX_ROUNDS: usize = 16;

/// The future that runs a session. It resolves to the reason for the end of the session. Dropping it ends the session without a
/// close frame.
#[must_use = "a session does nothing until its driver is polled"]
pub struct SessionDriver<S> {
    stream: S,
    shared: Arc<Shared>,
    decoder: FrameDecoder,
    parser: MessageParser,
    /// Bytes that were read together with the handshake.
    prefix: BytesMut,
    /// The connection of the Data message that is being received.
    current_channel: Option<Arc<Channel>>,
    outbound: Outbound,
    timers: Timers,
    phase: Phase,
    acceptor: Option<Acceptor>,
    tasks: JoinSet<()>,
    not_found_responses: u32,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// A close frame is queued or sent.
    Closing {
        reason: SessionError,
        deadline: Instant,
        /// Whether the peer has sent its close frame.
        has_peer_closed: bool,
        /// Whether further input is ignored: after a protocol violation, or after the peer's close frame.
        discard_input: bool,
    },
    Ended,
}

impl<S: AsyncRead + AsyncWrite + Unpin> SessionDriver<S> {
    pub(crate) fn new(stream: S, shared: Arc<Shared>, acceptor: Option<Acceptor>, prefix: Bytes) -> Self {
        Self {
            stream,
            decoder: FrameDecoder::new(shared.role, shared.config.max_message_len),
            parser: MessageParser::default(),
            prefix: BytesMut::from(prefix),
            current_channel: None,
            outbound: Outbound::new(),
            timers: Timers::new(shared.started, &shared.config),
            phase: Phase::Open,
            acceptor,
            tasks: JoinSet::new(),
            not_found_responses: 0,
            shared,
        }
    }

    /// Reads and writes until both are pending or the session has ended.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<SessionError> {
        let now = Instant::now();
        for _ in 0..MAX_ROUNDS {
            self.apply_close_request(now);
            let mut has_progress = match self.read(cx, now) {
                Ok(has_progress) => has_progress,
                Err(SessionError::Protocol(error)) => {
                    self.begin_close(
                        error.close_code(),
                        &error.to_string(),
                        SessionError::Protocol(error.clone()),
                        now,
                    );
                    self.discard_input();
                    true
                }
                Err(error) => return Poll::Ready(self.close_reason_or(error)),
            };
            if let Err(error) = self.check_timers(cx, now) {
                return Poll::Ready(self.close_reason_or(error));
            }
            match self.write(cx, now) {
                Ok(written) => has_progress |= written,
                Err(error) => return Poll::Ready(self.close_reason_or(error)),
            }
            while let Poll::Ready(Some(_)) = self.tasks.poll_join_next(cx) {}
            if self.is_close_complete() {
                return self.poll_shutdown(cx);
            }
            if !has_progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn apply_close_request(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let request = self.shared.lock().close_request.clone();
        if let Some((code, reason)) = request {
            let error = SessionError::ClosedLocally { code, reason: reason.clone() };
            self.begin_close(code, &reason, error, now);
        }
    }

    /// Ends all connections, and queues a close frame with `code` and `close_text`.
    fn begin_close(&mut self, code: CloseCode, close_text: &str, reason: SessionError, now: Instant) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let notify_peer = matches!(reason, SessionError::ClosedLocally { .. });
        let deadline = now + self.shared.config.close_timeout;
        self.phase = Phase::Closing { reason, deadline, has_peer_closed: false, discard_input: false };
        self.end_connections(notify_peer);
        self.outbound.push_last(self.shared.role, &Control::Close { code, reason: close_text.to_owned() });
    }

    fn discard_input(&mut self) {
        if let Phase::Closing { discard_input, .. } = &mut self.phase {
            *discard_input = true;
        }
    }

    fn is_close_complete(&self) -> bool {
        match &self.phase {
            Phase::Closing { has_peer_closed, .. } => *has_peer_closed && self.outbound.is_flushed(),
            _ => false,
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<SessionError> {
        // The close frames were exchanged, so a failure has no effect.
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Ready(_) => Poll::Ready(self.close_reason_or(SessionError::Disconnected)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The reason of the close in progress, else `error`.
    fn close_reason_or(&mut self, error: SessionError) -> SessionError {
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Closing { reason, .. } => reason,
            _ => error,
        }
    }
}

impl<S> SessionDriver<S> {
    /// Ends all connections with `tunnel disconnect`. With `notify_peer`, also sends that error to the peer.
    fn end_connections(&mut self, notify_peer: bool) {
        let mut state = self.shared.lock();
        state.has_ended = true;
        let connections = std::mem::take(&mut state.connections);
        state.control_queue = VecDeque::new();
        state.ready_list = VecDeque::new();
        drop(state);
        self.current_channel = None;
        for (id, channel) in connections {
            self.shared.end_removed(&channel, ConnectionError::SessionEnded);
            if notify_peer {
                let body = Bytes::from_static(DISCONNECT.as_bytes());
                let message = ControlMessage { connection: id, kind: kind::ERROR, body };
                self.outbound.push_message(self.shared.role, &message);
            }
        }
    }

    /// Publishes the end of the session.
    fn finish(&mut self, reason: SessionError) {
        self.phase = Phase::Ended;
        self.tasks.abort_all();
        self.end_connections(false);
        let is_first = self.shared.end_reason.send_if_modified(|end_reason| {
            let is_first = end_reason.is_none();
            end_reason.get_or_insert(reason);
            is_first
        });
        if is_first {
            self.shared.count(|stats| &stats.sessions_ended);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for SessionDriver<S> {
    type Output = SessionError;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SessionError> {
        let this = self.get_mut();
        this.shared.driver_waker.register(cx.waker());
        let result = this.advance(cx);
        if let Poll::Ready(reason) = &result {
            this.finish(reason.clone());
        }
        result
    }
}

impl<S> Drop for SessionDriver<S> {
    fn drop(&mut self) {
        self.finish(SessionError::DriverDropped);
    }
}

impl<S> fmt::Debug for SessionDriver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionDriver").field("phase", &self.phase).finish_non_exhaustive()
    }
}
