//! The audit log: a record for every change and every failed attempt, and counts of the uses of stored credentials. A record has
//! the caller, the action, the object, the outcome and the request, never the content of the object.
//!
//! A change and its record are one transaction: [`Actor::audit`] creates the record, and the store function that changes the
//! object writes it (`store::transaction`). Other records go through a queue ([`Events::record`]): rejected and failed attempts, and
//! requests to clusters. One task writes the queue in batches within a few dozen milliseconds, so that requests do not wait for the
//! database. If the queue is full, requests wait; if the database is unavailable, the task waits. Records in the queue are lost if
//! the process is killed.
//!
//! Frequent and harmless actions ([`Event::counted`]) have one record per minute with a count ([`counts`]), written every five
//! seconds; with the option `audit-uses: each`, each has its own record.
//!
//! [`Actor::audit`]: super::actor::Actor::audit

mod counts;
mod writer;

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use clock::Clock;
use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::{ClockSequence, Timestamp, Uuid};

use self::counts::Counts;
use self::writer::Writer;
use super::Caller;
use crate::store::{AuditRow, Store};

/// The longest stored ID, in characters. IDs come from URLs, which clients choose.
const MAX_ID_LEN: usize = 256;

/// The longest stored detail, in characters.
const MAX_DETAIL_LEN: usize = 4_096;

/// An audited action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// An object was created.
    Create,
    /// An object was changed.
    Update,
    /// An object was deleted.
    Delete,
    /// A stored credential was used for a request to Azure.
    Use,
    /// An action of the API was called on an object, for example `generateKubeconfig`.
    Call(&'static str),
}

impl Action {
    /// The stored value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Use => "use",
            Self::Call(name) => name,
        }
    }
}

/// The outcome of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It succeeded.
    Done,
    /// The request was rejected: forbidden, invalid, or for an object that does not exist.
    Refused,
    /// It failed for another reason.
    Failed,
}

impl Outcome {
    /// The stored value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// An action of a caller. One is created in every request that uses a credential, so it copies almost nothing.
#[derive(Clone, Debug)]
pub struct Event {
    key: AuditKey,
    request_id: Arc<str>,
    position: Position,
    is_counted: bool,
}

/// The position of an event in the log: its time, and its number among the events of this process.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    at_ms: i64,
    number: u64,
}

/// The properties of an event that do not depend on its time: events with equal keys are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AuditKey {
    caller: Arc<Caller>,
    action: Action,
    object_type: &'static str,
    object_id: Arc<str>,
    outcome: Outcome,
    remote: Option<IpAddr>,
    detail: Arc<str>,
}

impl Hash for AuditKey {
    /// Omits fields that follow from the token or are almost always equal, because every use of a credential computes this hash.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.caller.token_name, self.action, &self.object_id, self.remote, &self.detail).hash(state);
    }
}

impl Event {
    /// A successful `action` of `caller` on an object; [`Event::outcome`] sets another outcome. `object_type` is Norman's name,
    /// such as `cloudCredential`.
    pub fn new(caller: &Arc<Caller>, action: Action, object_type: &'static str, object_id: &str) -> Self {
        let key = AuditKey {
            caller: Arc::clone(caller),
            action,
            object_type,
            object_id: truncate_id(object_id).into(),
            outcome: Outcome::Done,
            remote: None,
            detail: Arc::default(),
        };
        Self { key, request_id: Arc::default(), position: Position::default(), is_counted: false }
    }

    /// Sets the outcome.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.key.outcome = outcome;
        self
    }

    /// Sets a remark; it must not contain the content of the object.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> Self {
        self.key.detail = detail.chars().take(MAX_DETAIL_LEN).collect::<String>().into();
        self
    }

    /// Counts the event with others like it if it succeeded. Rejected and failed attempts have a record each.
    #[must_use]
    pub fn counted(mut self) -> Self {
        self.is_counted = true;
        self
    }

    /// Sets the request ID and the client IP.
    #[must_use]
    pub fn request(mut self, request_id: &Arc<str>, remote: Option<IpAddr>) -> Self {
        self.request_id = match truncate_id(request_id) {
            id if id.len() == request_id.len() => Arc::clone(request_id),
            truncated => truncated.into(),
        };
        self.key.remote = remote;
        self
    }

    /// The record of this event, for the store function that writes the change.
    pub(super) fn into_row(mut self, now_ms: i64) -> AuditRow {
        self.position = Position::new(now_ms);
        self.into_record()
    }

    fn into_record(self) -> AuditRow {
        let Self { key, request_id, position, .. } = self;
        let AuditKey { caller, action, object_type, object_id, outcome, remote, detail } = key;
        AuditRow {
            id: position.to_id().to_string(),
            at_ms: position.at_ms,
            user_id: caller.user_id.clone(),
            user_name: caller.user_name.clone(),
            token_name: caller.token_name.clone(),
            action: action.as_str().to_owned(),
            object_type: object_type.to_owned(),
            object_id: object_id.to_string(),
            outcome: outcome.as_str().to_owned(),
            request_id: request_id.to_string(),
            remote: remote.map(|address| address.to_string()).unwrap_or_default(),
            detail: detail.to_string(),
            counted: None,
        }
    }
}

impl Position {
    fn new(at_ms: i64) -> Self {
        /// Starts at a random number, so that processes differ, in the lower half of its bits, so that it does not overflow.
        static NUMBERS: LazyLock<AtomicU64> =
            LazyLock::new(|| AtomicU64::new(Uuid::new_v4().as_u64_pair().0 >> (65 - Position::BITS)));
        Self { at_ms, number: NUMBERS.fetch_add(1, Ordering::Relaxed) }
    }

    /// The bits of the number in an ID.
    const BITS: u32 = 42;

    /// A UUID of version 7: IDs sort by time, and within a millisecond by number.
    fn to_id(self) -> Uuid {
        let at_ms = u64::try_from(self.at_ms).unwrap_or_default();
        let nanos = u32::try_from(at_ms % 1_000).unwrap_or_default() * 1_000_000;
        Uuid::new_v7(Timestamp::from_unix(self, at_ms / 1_000, nanos))
    }
}

impl ClockSequence for Position {
    type Output = u64;

    fn generate_sequence(&self, _: u64, _: u32) -> u64 {
        self.number & ((1 << Self::BITS) - 1)
    }

    fn usable_bits(&self) -> usize {
        Self::BITS as usize
    }
}

/// Truncates an ID to [`MAX_ID_LEN`].
fn truncate_id(id: &str) -> &str {
    if id.len() <= MAX_ID_LEN {
        return id;
    }
    id.char_indices().nth(MAX_ID_LEN).and_then(|(end, _)| id.get(..end)).unwrap_or(id)
}

/// The options of the audit log.
#[derive(Clone, Debug)]
pub struct Options {
    /// The capacity of the queue; when it is full, requests wait.
    pub queue: usize,
    /// The retention of records; zero keeps them forever.
    pub keep: Duration,
    /// Whether countable events have a record each.
    pub record_each: bool,
}

impl Default for Options {
    fn default() -> Self {
        // The maximum rate per second: SQLite may wait for a busy disk that long.
        Self { queue: 32_768, keep: Duration::from_hours(90 * 24), record_each: false }
    }
}

/// The destination of records.
#[derive(Clone)]
pub enum Sink {
    /// To the table of the audit log.
    Database(Store),
    /// To the log of the server, which has no database.
    Log,
}

impl From<Store> for Sink {
    fn from(store: Store) -> Self {
        Self::Database(store)
    }
}

/// The audit log. Clones share the queue.
#[derive(Clone)]
pub struct Events {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) sink: Sink,
    clock: Clock,
    queue: mpsc::Sender<Message>,
    counts: Arc<Counts>,
    record_each: bool,
    /// Wakes the task while it waits for more events.
    write_now: Arc<Notify>,
    /// The senders that wait for space in the queue.
    delayed: TaskTracker,
    stopping: CancellationToken,
    abandoning: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Event(Event),
    /// Completed when all earlier events are in the database.
    Flush(oneshot::Sender<()>),
}

impl Events {
    /// Starts the writer task, which runs until [`Events::stop`]. Must be called in a Tokio runtime.
    pub fn start(sink: impl Into<Sink>, clock: Clock, options: &Options) -> Self {
        let sink = sink.into();
        let (queue, receiver) = mpsc::channel(options.queue.max(1));
        let (stopping, abandoning) = (CancellationToken::new(), CancellationToken::new());
        let write_now = Arc::<Notify>::default();
        let counts = Arc::<Counts>::default();
        let writer = Writer {
            sink: sink.clone(),
            clock: clock.clone(),
            keep: options.keep,
            receiver,
            counts: Arc::clone(&counts),
            write_now: Arc::clone(&write_now),
            stopping: stopping.clone(),
            abandoning: abandoning.clone(),
        };
        let task = Mutex::new(Some(tokio::spawn(writer.run())));
        let delayed = TaskTracker::new();
        let record_each = options.record_each;
        let inner =
            Inner { sink, clock, queue, counts, record_each, write_now, delayed, stopping, abandoning, task };
        Self { inner: Arc::new(inner) }
    }

    /// Counts an event or queues it, with the current time; waits only while the queue is full. The event is kept even if this
    /// call is dropped. After [`Events::stop`], events are logged instead.
    pub async fn record(&self, mut event: Event) {
        event.position = Position::new(self.inner.clock.now_ms());
        if event.is_counted && event.key.outcome == Outcome::Done && !self.inner.record_each {
            match self.inner.counts.add(event) {
                Some(single) => event = single,
                None => return,
            }
        }
        match self.inner.queue.try_send(Message::Event(event)) {
            Err(TrySendError::Full(message)) => {
                self.inner.write_now.notify_one();
                let queue = self.inner.queue.clone();
                // In its own task, because the client of this request may disconnect while it waits.
                let sent = self.inner.delayed.spawn(async move {
                    if let Err(SendError(Message::Event(event))) = queue.send(message).await {
                        writer::log(&event.into_record(), "the server is stopping");
                    }
                });
                sent.await.ok();
            }
            Err(TrySendError::Closed(Message::Event(event))) => {
                writer::log(&event.into_record(), "the server is stopping");
            }
            Ok(()) | Err(TrySendError::Closed(Message::Flush(_))) => {}
        }
    }

    /// Waits until all records so far are in the database; does nothing after [`Events::stop`].
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.inner.queue.send(Message::Flush(done)).await.is_ok() {
            self.inner.write_now.notify_one();
            flushed.await.ok();
        }
    }

    /// Writes the queue and ends the task. Records that are not in the database after `limit` are logged as errors.
    pub async fn stop(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        self.inner.delayed.close();
        tokio::time::timeout_at(deadline, self.inner.delayed.wait()).await.ok();
        self.inner.stopping.cancel();
        let task = self.inner.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return };
        if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
            self.inner.abandoning.cancel();
            task.await.ok();
        }
    }
}

#[cfg(test)]
mod tests;
