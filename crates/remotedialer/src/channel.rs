//! The state of a connection, shared by its handle and the session's driver.

mod buffers;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::config::SessionConfig;
use crate::error::ConnectionError;
use crate::websocket::FrameBuffer;
pub(crate) use buffers::End;
use buffers::{Receiving, Sending};

/// A Pause that arrives within this time after this side's Resume may have crossed it.
const CROSSING_WINDOW: Duration = Duration::from_secs(2);

/// The time after which a doubtful Pause, which may have crossed a Resume, is ignored.
const DOUBTFUL_PAUSE_DURATION: Duration = Duration::from_secs(1);

/// The number of bytes sent while a doubtful Pause is ignored. The original sends Pause again before it has buffered as many.
const DOUBTFUL_CREDIT: usize = 4 * 1024 * 1024;

/// The minimum interval between responses to Resume.
const MIN_RESPONSE_INTERVAL: Duration = Duration::from_millis(5);

/// The maximum body length of the Data messages that this side sends, in bytes. Longer ones can deadlock the original agent.
pub(crate) const MAX_DATA_LEN: usize = 32 * 1024;

/// Timeouts of a dialed connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timeouts {
    pub(crate) response: Option<Duration>,
    pub(crate) stall: Option<Duration>,
}

/// The state of a connection.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) id: i64,
    timeouts: Timeouts,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    receiving: Receiving,
    sending: Sending,
    /// The time at which the handle was dropped.
    detached_at: Option<Instant>,
    connect_sent_at: Option<Instant>,
}

/// The outcome of receiving data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReceiveOutcome {
    /// The data was buffered; if `must_pause` is set, a Pause must be sent to the peer.
    Buffered { must_pause: bool },
    /// The data was dropped, because the connection has ended or its handle was dropped.
    Dropped,
    /// The data exceeds the limit of the connection.
    Overflow,
}

/// The next frame of a channel in the ready list.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Send this Data. `has_more` is whether the channel remains in the ready list.
    Data { frame: FrameBuffer, has_more: bool },
    /// Send an Error with this text and remove the connection.
    Close(Bytes),
    /// Send nothing now.
    Idle,
}

/// The actions that flow control requires.
#[derive(Debug, Default)]
pub(crate) struct FlowOutcome {
    /// Whether the channel must be added to the ready list.
    pub(crate) must_schedule: bool,
    /// The message to send to the peer: Pause (true) or Resume (false).
    pub(crate) response: Option<bool>,
}

/// A chunk of received data.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    /// Whether a Resume must be sent to the peer.
    pub(crate) must_resume: bool,
}

impl Channel {
    pub(crate) fn new(id: i64, timeouts: Timeouts) -> Self {
        Self { id, timeouts, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds data from the peer to the receive buffer.
    pub(crate) fn receive(
        &self,
        data: &[u8],
        config: &SessionConfig,
        is_session_half_full: bool,
    ) -> ReceiveOutcome {
        let mut state = self.lock();
        state.receiving.has_received = true;
        if state.detached_at.is_some() || state.receiving.end.is_some() {
            return ReceiveOutcome::Dropped;
        }
        if state.receiving.len + data.len() > config.max_connection_buffer {
            return ReceiveOutcome::Overflow;
        }
        state.receiving.push(data);
        let threshold = if is_session_half_full { config.resume_threshold } else { config.pause_threshold };
        let must_pause = !state.receiving.has_paused_peer && state.receiving.len > threshold;
        state.receiving.has_paused_peer |= must_pause;
        let waker = state.receiving.waker.take();
        drop(state);
        wake(waker);
        ReceiveOutcome::Buffered { must_pause }
    }

    /// Takes the oldest chunk of received data and recycles `used_chunk`. `None` is the end of the stream.
    pub(crate) fn poll_chunk(
        &self,
        cx: &mut Context<'_>,
        config: &SessionConfig,
        used_chunk: &mut Vec<u8>,
    ) -> Poll<Result<Option<Chunk>, ConnectionError>> {
        let used_chunk = std::mem::take(used_chunk);
        let mut state = self.lock();
        state.receiving.recycle(used_chunk);
        let Some(bytes) = state.receiving.chunks.pop_front() else {
            return match &state.receiving.end {
                Some(End::Eof) => Poll::Ready(Ok(None)),
                Some(End::Failed(error)) => Poll::Ready(Err(error.clone())),
                None => {
                    store_waker(&mut state.receiving.waker, cx);
                    Poll::Pending
                }
            };
        };
        state.receiving.len -= bytes.len();
        let must_resume = state.receiving.has_paused_peer
            && state.receiving.len < config.resume_threshold
            && state.receiving.end.is_none();
        state.receiving.has_paused_peer &= !must_resume;
        if must_resume {
            state.receiving.resume_sent_at = Some(Instant::now());
        }
        Poll::Ready(Ok(Some(Chunk { bytes, must_resume })))
    }

    /// Whether a Pause was sent to the peer, and no Resume since.
    pub(crate) fn has_paused_peer(&self) -> bool {
        self.lock().receiving.has_paused_peer
    }

    /// The number of bytes in the receive buffer.
    pub(crate) fn received_len(&self) -> usize {
        self.lock().receiving.len
    }

    /// Ready when the peer has ended the connection, or the session has ended.
    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.receiving.end.is_some() {
            return Poll::Ready(());
        }
        store_waker(&mut state.receiving.waker, cx);
        Poll::Pending
    }

    /// The number of bytes that may be queued for sending.
    pub(crate) fn poll_capacity(
        &self,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Result<usize, ConnectionError>> {
        let mut state = self.lock();
        match &state.receiving.end {
            Some(End::Failed(error)) => return Poll::Ready(Err(error.clone())),
            Some(End::Eof) => return Poll::Ready(Err(ConnectionError::Closed)),
            None if state.sending.is_closed => return Poll::Ready(Err(ConnectionError::Closed)),
            None => {}
        }
        if state.sending.len < limit {
            return Poll::Ready(Ok(limit - state.sending.len));
        }
        store_waker(&mut state.sending.waker, cx);
        Poll::Pending
    }

    /// Queues data for sending. Returns whether the channel must be added to the ready list; `None` if the connection has ended.
    pub(crate) fn queue(&self, mut data: &[u8]) -> Option<bool> {
        let mut state = self.lock();
        if state.receiving.end.is_some() {
            return None;
        }
        state.sending.len += data.len();
        while !data.is_empty() {
            let taken = match state.sending.frames.back_mut() {
                Some(frame) if frame.body_len() < MAX_DATA_LEN => frame.append(data, MAX_DATA_LEN),
                _ => {
                    state.sending.frames.push_back(FrameBuffer::with_capacity(data.len().min(MAX_DATA_LEN)));
                    continue;
                }
            };
            data = data.get(taken..).unwrap_or_default();
        }
        if state.sending.first_write_at.is_none() && self.timeouts.response.is_some() {
            state.sending.first_write_at = Some(Instant::now());
        }
        Some(state.sending.schedule())
    }

    /// Takes the next frame to send.
    pub(crate) fn take_outgoing(&self, send_buffer: usize) -> Outgoing {
        let mut state = self.lock();
        if state.sending.is_paused && !state.sending.frames.is_empty() {
            state.sending.is_scheduled = false;
            return Outgoing::Idle;
        }
        let Some(frame) = state.sending.frames.pop_front() else {
            state.sending.is_scheduled = false;
            return state.sending.close_text.take().map_or(Outgoing::Idle, Outgoing::Close);
        };
        state.sending.len -= frame.body_len();
        state.sending.use_credit(frame.body_len());
        state.sending.stalled_since = None;
        let has_more = !state.sending.frames.is_empty() || state.sending.close_text.is_some();
        state.sending.is_scheduled = has_more;
        // Waking a fast writer only when the buffer is at most half full halves its wake-ups.
        let waker = if state.sending.len <= send_buffer / 2 { state.sending.waker.take() } else { None };
        drop(state);
        wake(waker);
        Outgoing::Data { frame, has_more }
    }

    /// Applies a Pause or Resume of the peer.
    ///
    /// The original has one flag for pausing both directions. When it sends Resume, it also forgets this side's Pause, without
    /// waking its own writer, so this side responds to each Resume with its own state. When it receives Resume, it also forgets
    /// a Pause that it has just sent, and will not send Resume for it: that Pause is doubtful.
    pub(crate) fn set_paused(&self, is_paused: bool, now: Instant) -> FlowOutcome {
        let mut guard = self.lock();
        let State { receiving, sending, .. } = &mut *guard;
        let was_paused = std::mem::replace(&mut sending.is_paused, is_paused);
        sending.workaround.credit = None;
        sending.stalled_since = None;
        if is_paused {
            let may_have_crossed = |sent_at: Instant| now.duration_since(sent_at) < CROSSING_WINDOW;
            sending.workaround.doubtful_pause_at =
                receiving.resume_sent_at.filter(|sent_at| may_have_crossed(*sent_at)).map(|_| now);
            return FlowOutcome { must_schedule: false, response: None };
        }
        sending.workaround.doubtful_pause_at = None;
        let must_respond = receiving.end.is_none() && (was_paused || receiving.has_paused_peer);
        let response = must_respond.then_some(receiving.has_paused_peer);
        // The rate is limited, because a peer may send nothing but Pause and Resume.
        let is_too_early = sending
            .workaround
            .responded_at
            .is_some_and(|responded_at| now.duration_since(responded_at) < MIN_RESPONSE_INTERVAL);
        sending.workaround.owes_response = must_respond && is_too_early;
        if must_respond && !is_too_early {
            sending.workaround.responded_at = Some(now);
        }
        FlowOutcome {
            must_schedule: sending.schedule_if_pending(),
            response: response.filter(|_| !is_too_early),
        }
    }

    /// Ignores a Pause that has been doubtful for long enough, and returns a response to Resume that the rate limit delayed.
    pub(crate) fn check_flow(&self, now: Instant) -> FlowOutcome {
        let mut guard = self.lock();
        let State { receiving, sending, .. } = &mut *guard;
        let response =
            std::mem::take(&mut sending.workaround.owes_response).then_some(receiving.has_paused_peer);
        let is_expired = |since: Instant| now.duration_since(since) >= DOUBTFUL_PAUSE_DURATION;
        let is_resumed = sending.workaround.doubtful_pause_at.is_some_and(is_expired) && sending.is_paused;
        if is_resumed {
            sending.workaround.doubtful_pause_at = None;
            sending.is_paused = false;
            sending.workaround.credit = Some(DOUBTFUL_CREDIT);
        }
        FlowOutcome { must_schedule: is_resumed && sending.schedule_if_pending(), response }
    }

    /// Ends the connection. Received data remains readable, unsent data is dropped. Returns the number of unsent bytes.
    pub(crate) fn end(&self, end: End) -> usize {
        let mut state = self.lock();
        if state.receiving.end.is_none() {
            state.receiving.end = Some(end);
        }
        state.sending.close_text = None;
        let unsent = state.sending.clear();
        let wakers = [state.receiving.waker.take(), state.sending.waker.take()];
        drop(state);
        wakers.into_iter().for_each(wake);
        unsent
    }

    /// Drops the received data. Returns its number of bytes.
    pub(crate) fn drop_received(&self) -> usize {
        let mut state = self.lock();
        state.receiving.chunks.clear();
        state.receiving.spare = Vec::new();
        std::mem::take(&mut state.receiving.len)
    }

    /// Closes the connection for writing.
    pub(crate) fn close_write(&self) {
        self.lock().sending.is_closed = true;
    }

    /// Records that the handle was dropped: `close_text` is sent as Error after the queued data. Returns whether the channel must
    /// be added to the ready list.
    pub(crate) fn detach(&self, close_text: Bytes) -> bool {
        let mut state = self.lock();
        state.detached_at = Some(Instant::now());
        if state.receiving.end.is_some() {
            return false;
        }
        state.sending.close_text = Some(close_text);
        state.sending.schedule()
    }

    /// Records that Connect was passed to the socket.
    pub(crate) fn set_connect_sent(&self, now: Instant) {
        self.lock().connect_sent_at = Some(now);
    }

    /// Whether the peer must list the connection by now. If it does not, the connection no longer exists there.
    pub(crate) fn must_be_listed(&self, now: Instant, grace: Duration) -> bool {
        let state = self.lock();
        state.receiving.has_received
            || state.connect_sent_at.is_some_and(|sent_at| now.duration_since(sent_at) > grace)
    }

    /// The error of an expired timeout, if any.
    pub(crate) fn check_timeouts(&self, now: Instant, linger: Duration) -> Option<ConnectionError> {
        let mut state = self.lock();
        if state.sending.is_paused
            && !state.sending.frames.is_empty()
            && state.sending.stalled_since.is_none()
        {
            state.sending.stalled_since = Some(now);
        }
        let is_expired = |since: Option<Instant>, limit: Option<Duration>| {
            since.zip(limit).is_some_and(|(since, limit)| now.duration_since(since) >= limit)
        };
        if !state.receiving.has_received && is_expired(state.sending.first_write_at, self.timeouts.response) {
            Some(ConnectionError::ResponseTimeout)
        } else if is_expired(state.sending.stalled_since, self.timeouts.stall)
            || is_expired(state.detached_at, Some(linger))
        {
            Some(ConnectionError::Stalled)
        } else {
            None
        }
    }
}

fn store_waker(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
