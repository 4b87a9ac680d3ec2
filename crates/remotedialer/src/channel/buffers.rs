//! The buffers of a connection in both directions.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;
use tokio::time::Instant;

use crate::error::ConnectionError;
use crate::websocket::FrameBuffer;

/// The minimum and maximum capacity of a chunk in the receive buffer, in bytes.
const MIN_CHUNK_LEN: usize = 256;
const MAX_CHUNK_LEN: usize = 32 * 1024;

/// The maximum number of chunks that a busy connection holds for reuse.
const MAX_SPARE_CHUNKS: usize = 32;

/// The end of a connection: regular, or with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Eof,
    Failed(ConnectionError),
}

/// The direction from the peer to the reader.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    pub(super) chunks: VecDeque<Vec<u8>>,
    /// Empty chunks of full capacity, while the buffer contains data.
    pub(super) spare: Vec<Vec<u8>>,
    pub(super) len: usize,
    pub(super) end: Option<End>,
    /// Whether a Pause was sent to the peer, and no Resume since.
    pub(super) has_paused_peer: bool,
    /// The time of the last Resume sent to the peer.
    pub(super) resume_sent_at: Option<Instant>,
    /// Whether the peer has sent data.
    pub(super) has_received: bool,
    pub(super) waker: Option<Waker>,
}

/// The direction from the writer to the peer.
#[derive(Debug, Default)]
pub(super) struct Sending {
    pub(super) frames: VecDeque<FrameBuffer>,
    pub(super) len: usize,
    /// Whether the peer has paused this side.
    pub(super) is_paused: bool,
    pub(super) workaround: Workaround,
    /// The time since which data has been waiting for the peer's Resume.
    pub(super) stalled_since: Option<Instant>,
    /// Whether the channel is in the session's ready list.
    pub(super) is_scheduled: bool,
    pub(super) is_closed: bool,
    /// The text of the Error message to send after the data.
    pub(super) close_text: Option<Bytes>,
    pub(super) first_write_at: Option<Instant>,
    pub(super) waker: Option<Waker>,
}

/// The state of the workaround for the original, which has one flag for pausing both directions.
#[derive(Debug, Default)]
pub(super) struct Workaround {
    /// The time of the peer's Pause, if it may have crossed this side's Resume.
    pub(super) doubtful_pause_at: Option<Instant>,
    /// The number of bytes that may still be sent despite a doubtful Pause.
    pub(super) credit: Option<usize>,
    /// The time of the last response to a Resume of the peer.
    pub(super) responded_at: Option<Instant>,
    /// Whether the response to a Resume of the peer was delayed by the rate limit.
    pub(super) owes_response: bool,
}

impl Receiving {
    pub(super) fn push(&mut self, mut data: &[u8]) {
        self.len += data.len();
        if let Some(tail) = self.chunks.back_mut() {
            let free_capacity = (tail.capacity() - tail.len()).min(data.len());
            if let Some((head, rest)) = data.split_at_checked(free_capacity) {
                tail.extend_from_slice(head);
                data = rest;
            }
        }
        while !data.is_empty() {
            // The chunk size grows with the buffer, so the chunks of a quiet connection are small.
            let capacity = self.len.clamp(MIN_CHUNK_LEN, MAX_CHUNK_LEN);
            let spare = if capacity == MAX_CHUNK_LEN { self.spare.pop() } else { None };
            let mut chunk = spare.unwrap_or_else(|| Vec::with_capacity(capacity));
            let (head, rest) = data.split_at(data.len().min(MAX_CHUNK_LEN));
            chunk.extend_from_slice(head);
            data = rest;
            self.chunks.push_back(chunk);
        }
    }

    /// Stores a chunk for reuse while the buffer is in use, and frees all of them when it is empty.
    pub(super) fn recycle(&mut self, mut chunk: Vec<u8>) {
        if self.chunks.is_empty() {
            self.spare = Vec::new();
        } else if chunk.capacity() == MAX_CHUNK_LEN && self.spare.len() < MAX_SPARE_CHUNKS {
            chunk.clear();
            self.spare.push(chunk);
        }
    }
}

impl Sending {
    /// Marks the channel as scheduled, unless its data is paused. Returns whether it must be added to the ready list.
    pub(super) fn schedule(&mut self) -> bool {
        // A paused channel with data is scheduled by Resume.
        let is_blocked = self.is_paused && !self.frames.is_empty();
        !is_blocked && !std::mem::replace(&mut self.is_scheduled, true)
    }

    /// As [`Self::schedule`], if there is anything to send.
    pub(super) fn schedule_if_pending(&mut self) -> bool {
        (!self.frames.is_empty() || self.close_text.is_some()) && self.schedule()
    }

    /// Uses the credit of a doubtful Pause. When it is used up, the Pause takes effect.
    pub(super) fn use_credit(&mut self, bytes: usize) {
        if let Some(credit) = self.workaround.credit {
            self.workaround.credit = credit.checked_sub(bytes);
            self.is_paused = self.workaround.credit.is_none();
        }
    }

    /// Drops the data. Returns its number of bytes.
    pub(super) fn clear(&mut self) -> usize {
        self.frames.clear();
        std::mem::take(&mut self.len)
    }
}
