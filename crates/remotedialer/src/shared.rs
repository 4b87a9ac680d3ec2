//! State of a session, shared by its handles, its connections and its driver.

use std::collections::{HashMap, VecDeque};
use std::iter;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::channel::{Channel, End};
use crate::close::CloseCode;
use crate::config::SessionConfig;
use crate::error::{ConnectionError, DialError, SessionError};
use crate::message::kind;
use crate::stats::Stats;
use crate::websocket::Role;

/// The maximum number of control messages that wait for the socket. When half of that number wait, dials fail; at
/// the maximum, the session fails.
const MAX_CONTROL_MESSAGES: usize = 16_384;

/// The capacity that the tables of an idle session may retain from a busy period.
const MAX_IDLE_CAPACITY: usize = 64;

/// The first ID of a connection, as in the original.
const FIRST_CONNECTION_ID: i64 = 2;

/// State of a session.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: SessionConfig,
    pub(crate) role: Role,
    /// Random key of the session, for texts that the peer logs. Zero on the client, as in the original.
    pub(crate) session_key: i64,
    pub(crate) stats: Stats,
    pub(crate) driver_waker: AtomicWaker,
    pub(crate) end_reason: watch::Sender<Option<SessionError>>,
    pub(crate) started: Instant,
    /// Milliseconds from the start to the last frame of the peer.
    last_heard_ms: AtomicU64,
    next_connection_id: AtomicI64,
    received: AtomicUsize,
    outgoing: AtomicUsize,
    state: Mutex<SessionState>,
}

#[derive(Debug, Default)]
pub(crate) struct SessionState {
    pub(crate) connections: HashMap<i64, Arc<Channel>>,
    pub(crate) control_queue: VecDeque<ControlMessage>,
    pub(crate) ready_list: VecDeque<Arc<Channel>>,
    pub(crate) close_request: Option<(CloseCode, String)>,
    pub(crate) has_ended: bool,
}

impl SessionState {
    /// Frees empty queues that were once long.
    pub(crate) fn shrink_queues(&mut self) {
        if self.control_queue.is_empty() && self.control_queue.capacity() > MAX_IDLE_CAPACITY {
            self.control_queue = VecDeque::new();
        }
        if self.ready_list.is_empty() && self.ready_list.capacity() > MAX_IDLE_CAPACITY {
            self.ready_list = VecDeque::new();
        }
    }
}

/// A message other than Data that waits to be sent.
#[derive(Debug)]
pub(crate) struct ControlMessage {
    pub(crate) connection: i64,
    pub(crate) kind: i64,
    pub(crate) body: Bytes,
}

impl Shared {
    pub(crate) fn new(config: SessionConfig, role: Role) -> Self {
        let session_key = if role == Role::Server { random_id() } else { 0 };
        let shared = Self {
            config,
            role,
            session_key,
            stats: Stats::default(),
            driver_waker: AtomicWaker::new(),
            end_reason: watch::Sender::new(None),
            started: Instant::now(),
            last_heard_ms: AtomicU64::new(0),
            next_connection_id: AtomicI64::new(FIRST_CONNECTION_ID),
            received: AtomicUsize::new(0),
            outgoing: AtomicUsize::new(0),
            state: Mutex::default(),
        };
        shared.count(|stats| &stats.sessions_started);
        shared
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one to a counter of the session, and to that of the totals.
    pub(crate) fn count(&self, counter: fn(&Stats) -> &AtomicU64) {
        self.count_by(counter, 1);
    }

    /// Adds `amount` to a counter of the session, and to that of the totals.
    pub(crate) fn count_by(&self, counter: fn(&Stats) -> &AtomicU64, amount: usize) {
        for stats in iter::once(&self.stats).chain(self.config.totals.as_deref()) {
            counter(stats).fetch_add(amount as u64, Ordering::Relaxed);
        }
    }

    /// Registers a new connection and queues its Connect message.
    pub(crate) fn open(&self, channel: &Arc<Channel>, connect_body: Bytes) -> Result<(), DialError> {
        let mut state = self.lock();
        if state.has_ended || state.close_request.is_some() {
            return Err(DialError::SessionEnded);
        }
        if state.connections.len() >= self.config.max_connections {
            return Err(DialError::TooManyConnections(self.config.max_connections));
        }
        if state.control_queue.len() >= MAX_CONTROL_MESSAGES / 2 {
            return Err(DialError::Congested);
        }
        state.connections.insert(channel.id, Arc::clone(channel));
        state.control_queue.push_back(ControlMessage {
            connection: channel.id,
            kind: kind::CONNECT,
            body: connect_body,
        });
        drop(state);
        self.count(|stats| &stats.opened);
        self.driver_waker.wake();
        Ok(())
    }

    pub(crate) fn next_connection_id(&self) -> i64 {
        self.next_connection_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Queues a control message. Fails the session if the queue is full, because the peer does not read.
    pub(crate) fn push_control(&self, message: ControlMessage) -> Result<(), SessionError> {
        let mut state = self.lock();
        if state.has_ended {
            return Ok(());
        }
        if state.control_queue.len() >= MAX_CONTROL_MESSAGES {
            return Err(SessionError::ControlQueueFull);
        }
        state.control_queue.push_back(message);
        drop(state);
        self.driver_waker.wake();
        Ok(())
    }

    /// Queues a Pause or Resume for the peer of a channel.
    ///
    /// The driver pauses and the reader resumes, on different threads, so a Resume can be queued before the Pause that it
    /// ends. The peer would then wait forever. So whichever side queues last queues the current state as well.
    pub(crate) fn push_flow(&self, channel: &Channel, is_pause: bool) -> Result<(), SessionError> {
        let message = |is_pause| ControlMessage {
            connection: channel.id,
            kind: if is_pause { kind::PAUSE } else { kind::RESUME },
            body: Bytes::new(),
        };
        self.push_control(message(is_pause))?;
        let has_paused_peer = channel.has_paused_peer();
        if has_paused_peer == is_pause { Ok(()) } else { self.push_control(message(has_paused_peer)) }
    }

    /// Adds a channel that has something to send to the ready list.
    pub(crate) fn push_ready(&self, channel: Arc<Channel>) {
        let mut state = self.lock();
        if state.has_ended {
            return;
        }
        state.ready_list.push_back(channel);
        drop(state);
        self.driver_waker.wake();
    }

    /// Removes a connection from the table.
    pub(crate) fn remove(&self, id: i64) -> Option<Arc<Channel>> {
        let mut state = self.lock();
        let channel = state.connections.remove(&id);
        if state.connections.is_empty() && state.connections.capacity() > MAX_IDLE_CAPACITY {
            state.connections = HashMap::new();
        }
        drop(state);
        if channel.is_some() {
            self.count(|stats| &stats.closed);
        }
        channel
    }

    /// Ends a connection with an error after it was removed from the table.
    pub(crate) fn end_removed(&self, channel: &Channel, error: ConnectionError) {
        self.sub_outgoing(channel.end(End::Failed(error)));
        self.count(|stats| &stats.closed);
        self.count(|stats| &stats.failed);
    }

    pub(crate) fn add_received(&self, bytes: usize) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sub_received(&self, bytes: usize) {
        self.received.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Received bytes that wait for readers.
    pub(crate) fn received(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn add_outgoing(&self, bytes: usize) {
        self.outgoing.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sub_outgoing(&self, bytes: usize) {
        self.outgoing.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that wait to be sent.
    pub(crate) fn outgoing(&self) -> usize {
        self.outgoing.load(Ordering::Relaxed)
    }

    /// Bytes that a connection may queue for sending.
    pub(crate) fn send_limit(&self) -> usize {
        let is_congested = self.outgoing() > self.config.session_send_buffer;
        if is_congested {
            self.config.send_buffer.min(crate::channel::MAX_DATA_LEN)
        } else {
            self.config.send_buffer
        }
    }

    pub(crate) fn set_last_heard(&self, now: Instant) {
        let elapsed = now.duration_since(self.started).as_millis();
        self.last_heard_ms.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn last_heard(&self) -> Instant {
        self.started + std::time::Duration::from_millis(self.last_heard_ms.load(Ordering::Relaxed))
    }
}

/// A random number of 63 bits.
pub(crate) fn random_id() -> i64 {
    rand::random::<i64>() & i64::MAX
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::channel::{ReceiveOutcome, Timeouts};

    #[test]
    fn last_flow_message_is_the_current_state() {
        let shared = Shared::new(SessionConfig::server(), Role::Server);
        let channel = Channel::new(FIRST_CONNECTION_ID, Timeouts::default());
        let data = vec![0; shared.config.pause_threshold + 1];
        assert_eq!(
            channel.receive(&data, &shared.config, false),
            ReceiveOutcome::Buffered { must_pause: true }
        );
        // The reader takes the data before the driver has queued the Pause.
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(chunk) = channel.poll_chunk(&mut context, &shared.config, &mut Vec::new()) {
            if chunk.unwrap().unwrap().must_resume {
                shared.push_flow(&channel, false).unwrap();
            }
        }
        shared.push_flow(&channel, true).unwrap();
        let kinds: Vec<_> = shared.lock().control_queue.iter().map(|message| message.kind).collect();
        assert_eq!(kinds, [kind::RESUME, kind::PAUSE, kind::RESUME]);
    }
}
