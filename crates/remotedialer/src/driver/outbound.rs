//! Writing: from the queues of the session to the socket.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Phase, SessionDriver};
use crate::channel::Outgoing;
use crate::error::SessionError;
use crate::message::kind;
use crate::shared::{ControlMessage, Shared, random_id};
use crate::websocket::{Control, FrameBuffer, Role, control_frame};

/// The number of bytes collected for the socket at which no more are added. New control messages wait behind these bytes; pings
/// and pongs do not.
const MAX_QUEUED_LEN: usize = 128 * 1024;

/// The number of writes before the driver reads, so that a Pause of the peer is detected soon.
const WRITES_PER_ROUND: usize = 2;

/// The maximum number of frames in one write.
const MAX_SLICES: usize = 32;

/// Frames that are ready for the socket.
#[derive(Debug)]
pub(super) struct Outbound {
    frames: VecDeque<FrameBuffer>,
    len: usize,
    /// Whether a part of the first frame was written.
    front_started: bool,
    pong: Option<Bytes>,
    needs_flush: bool,
    next_message_id: i64,
}

impl Outbound {
    pub(super) fn new() -> Self {
        Self {
            frames: VecDeque::new(),
            len: 0,
            front_started: false,
            pong: None,
            needs_flush: false,
            next_message_id: random_id(),
        }
    }

    /// Sets the response to the newest ping. Earlier pings need no response (RFC 6455, section 5.5.3).
    pub(super) fn set_pong(&mut self, payload: Bytes) {
        self.pong = Some(payload);
    }

    /// Inserts a control frame before all frames of which no part was written.
    pub(super) fn push_first(&mut self, role: Role, control: &Control) {
        let frame = control_frame(role, control);
        self.len += frame.as_slice().len();
        self.frames.insert(usize::from(self.front_started), frame);
    }

    /// Appends a control frame.
    pub(super) fn push_last(&mut self, role: Role, control: &Control) {
        self.push(control_frame(role, control));
    }

    /// Encodes and appends a control message.
    pub(super) fn push_message(&mut self, role: Role, message: &ControlMessage) {
        let frame = FrameBuffer::with_body(&message.body);
        self.push_with_headers(frame, role, message.connection, message.kind);
    }

    fn push_with_headers(&mut self, mut frame: FrameBuffer, role: Role, connection: i64, kind: i64) {
        frame.add_headers(role, self.next_message_id, connection, kind);
        self.next_message_id = self.next_message_id.wrapping_add(1);
        self.push(frame);
    }

    fn push(&mut self, frame: FrameBuffer) {
        self.len += frame.as_slice().len();
        self.frames.push_back(frame);
    }

    /// Whether all frames were written and flushed.
    pub(super) fn is_flushed(&self) -> bool {
        self.frames.is_empty() && !self.needs_flush
    }

    fn consume(&mut self, mut written: usize) {
        self.len = self.len.saturating_sub(written);
        while let Some(front) = self.frames.front_mut() {
            let len = front.as_slice().len();
            if written < len {
                front.advance(written);
                self.front_started |= written > 0;
                return;
            }
            written -= len;
            self.frames.pop_front();
            self.front_started = false;
        }
        if self.frames.capacity() > MAX_SLICES {
            self.frames = VecDeque::new();
        }
    }

    /// Writes the first frames with one system call.
    fn poll_write<S>(&self, stream: &mut S, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>>
    where
        S: AsyncWrite + Unpin,
    {
        let stream = Pin::new(stream);
        let front = self.frames.front().map(FrameBuffer::as_slice).unwrap_or_default();
        if self.frames.len() < 2 || !stream.is_write_vectored() {
            return stream.poll_write(cx, front);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(frame.as_slice());
        }
        let slice_count = self.frames.len().min(MAX_SLICES);
        stream.poll_write_vectored(cx, slices.get(..slice_count).unwrap_or_default())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> SessionDriver<S> {
    /// Writes to the socket. Returns whether it accepted bytes.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, SessionError> {
        let mut has_progress = false;
        for _ in 0..WRITES_PER_ROUND {
            self.collect_frames(now);
            if self.outbound.frames.is_empty() {
                break;
            }
            match self.outbound.poll_write(&mut self.stream, cx) {
                Poll::Pending => {
                    self.timers.set_blocked(now);
                    return Ok(has_progress);
                }
                Poll::Ready(Ok(0)) => return Err(SessionError::Disconnected),
                Poll::Ready(Ok(written)) => {
                    self.outbound.consume(written);
                    self.outbound.needs_flush = true;
                    self.timers.set_unblocked();
                    has_progress = true;
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
            }
        }
        if self.outbound.needs_flush {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => self.timers.set_blocked(now),
                Poll::Ready(Ok(())) => {
                    self.outbound.needs_flush = false;
                    self.timers.set_unblocked();
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
            }
        }
        Ok(has_progress)
    }

    /// Collects frames: first a pong, then control messages, then one Data message of each connection in turn.
    fn collect_frames(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let role = self.shared.role;
        if let Some(payload) = self.outbound.pong.take() {
            self.outbound.push_first(role, &Control::Pong(payload));
        }
        if self.outbound.len >= MAX_QUEUED_LEN {
            return;
        }
        let shared = std::sync::Arc::clone(&self.shared);
        let mut state = shared.lock();
        while self.outbound.len < MAX_QUEUED_LEN {
            if let Some(message) = state.control_queue.pop_front() {
                if message.kind == kind::CONNECT
                    && let Some(channel) = state.connections.get(&message.connection)
                {
                    channel.set_connect_sent(now);
                }
                self.outbound.push_message(role, &message);
                continue;
            }
            let Some(channel) = state.ready_list.pop_front() else { break };
            drop(state);
            let outgoing = channel.take_outgoing(shared.config.send_buffer);
            let stays_ready = matches!(outgoing, Outgoing::Data { has_more: true, .. });
            self.push_outgoing(channel.id, outgoing, &shared);
            state = shared.lock();
            if stays_ready {
                state.ready_list.push_back(channel);
            }
        }
        state.shrink_queues();
    }

    fn push_outgoing(&mut self, connection: i64, outgoing: Outgoing, shared: &Shared) {
        match outgoing {
            Outgoing::Data { frame, .. } => {
                shared.sub_outgoing(frame.body_len());
                shared.count_by(|stats| &stats.bytes_sent, frame.body_len());
                self.outbound.push_with_headers(frame, shared.role, connection, kind::DATA);
            }
            Outgoing::Close(text) => {
                shared.remove(connection);
                let message = ControlMessage { connection, kind: kind::ERROR, body: text };
                self.outbound.push_message(shared.role, &message);
            }
            Outgoing::Idle => {}
        }
    }
}
