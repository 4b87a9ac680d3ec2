//! The audit log: a record for every change and every failed attempt, and counts of the uses of stored credentials. Who, what,
//! which object, how it ended, in which request; never what was in it.
//!
//! A change and its record are one transaction: [`Actor::audit`] makes the record, and the store function that changes the
//! object writes it (`store::transaction`). Everything else goes through a queue ([`Events::record`]): attempts that were rejected
//! or failed, and what happens inside clusters. One task writes the queue in batches, a few dozen milliseconds later at most, so that a request does
//! not wait for the database. A full queue makes requests wait, a database that is away makes the task wait. Only what is in
//! the queue is lost when the process is killed.
//!
//! What clients do over and over without harm ([`Event::counted`]) gets a record for each minute ([`counts`]), written every five
//! seconds; the setting `audit-uses` can ask for a record each instead.
//!
//! [`Actor::audit`]: super::actor::Actor::audit

mod counts;
mod writer;

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
use super::actor::Actor;
use super::{Caller, Result};
use crate::store::{AuditRow, Store};

/// The longest id that is kept, in characters: ids come from addresses, which anybody may write.
const LONGEST_ID: usize = 256;

/// The longest detail that is kept, in characters.
const LONGEST_DETAIL: usize = 4_096;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// An object was made.
    Create,
    /// An object was changed.
    Update,
    /// An object was removed.
    Delete,
    /// A stored credential was used to ask Azure.
    Use,
    /// An action of the API was called on an object, for example `generateKubeconfig`.
    Call(&'static str),
}

impl Action {
    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Use => "use",
            Self::Call(name) => name,
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was done.
    Done,
    /// The caller's request was refused: not allowed, not valid, not there.
    Refused,
    /// Something else went wrong.
    Failed,
}

impl Outcome {
    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One thing that a caller did. Made on the way of every request that uses a credential, so it copies next to nothing.
#[derive(Clone, Debug)]
pub struct Event {
    deed: Deed,
    request_id: Arc<str>,
    at: Position,
    is_counted: bool,
}

/// The place of an event in the log: its time, and its number among the events of this process.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    at_ms: i64,
    number: u64,
}

/// What of an event does not depend on when it was.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Deed {
    caller: Arc<Caller>,
    action: Action,
    object_type: &'static str,
    object_id: Arc<str>,
    outcome: Outcome,
    remote: Option<IpAddr>,
    detail: Arc<str>,
}

impl Event {
    /// `caller` did `action` to the object of that type (Norman's name, `cloudCredential`) and id; it was done, unless
    /// [`Event::outcome`] says otherwise.
    pub fn new(caller: &Arc<Caller>, action: Action, object_type: &'static str, object_id: &str) -> Self {
        let deed = Deed {
            caller: Arc::clone(caller),
            action,
            object_type,
            object_id: shortened(object_id).into(),
            outcome: Outcome::Done,
            remote: None,
            detail: Arc::default(),
        };
        Self { deed, request_id: Arc::default(), at: Position::default(), is_counted: false }
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.deed.outcome = outcome;
        self
    }

    /// What else is to be known about it; never what was in the object.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> Self {
        self.deed.detail = detail.chars().take(LONGEST_DETAIL).collect::<String>().into();
        self
    }

    /// Done, it is counted with others like it. Attempts that were rejected or failed have a record each.
    #[must_use]
    pub fn counted(mut self) -> Self {
        self.is_counted = true;
        self
    }

    /// In which request, and from which address.
    #[must_use]
    pub fn request(mut self, request_id: &Arc<str>, remote: Option<IpAddr>) -> Self {
        self.request_id = match shortened(request_id) {
            whole if whole.len() == request_id.len() => Arc::clone(request_id),
            part => part.into(),
        };
        self.deed.remote = remote;
        self
    }

    /// The record of this event, for the store function that makes the change.
    pub(super) fn into_row(mut self, now_ms: i64) -> AuditRow {
        self.at = Position::new(now_ms);
        self.into_stored()
    }

    fn into_stored(self) -> AuditRow {
        let Self { deed, request_id, at, .. } = self;
        let Deed { caller, action, object_type, object_id, outcome, remote, detail } = deed;
        AuditRow {
            id: at.to_id().to_string(),
            at_ms: at.at_ms,
            user_id: caller.user_id.clone(),
            user_name: caller.user_name.clone(),
            token_name: caller.token_name.clone(),
            action: action.word().to_owned(),
            object_type: object_type.to_owned(),
            object_id: object_id.to_string(),
            outcome: outcome.word().to_owned(),
            request_id: request_id.to_string(),
            remote: remote.map(|address| address.to_string()).unwrap_or_default(),
            detail: detail.to_string(),
            counted: None,
        }
    }
}

impl Position {
    fn new(at_ms: i64) -> Self {
        /// Starts anywhere, so that two processes do not count alike, and far from the end of its bits.
        static NUMBERS: LazyLock<AtomicU64> =
            LazyLock::new(|| AtomicU64::new(Uuid::new_v4().as_u64_pair().0 >> (65 - Position::BITS)));
        Self { at_ms, number: NUMBERS.fetch_add(1, Ordering::Relaxed) }
    }

    /// Bits of the number in an id.
    const BITS: u32 = 42;

    /// A UUID of version 7: ids sort by time, and within a millisecond by number.
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

/// An id up to [`LONGEST_ID`].
fn shortened(id: &str) -> &str {
    if id.len() <= LONGEST_ID {
        return id;
    }
    id.char_indices().nth(LONGEST_ID).and_then(|(end, _)| id.get(..end)).unwrap_or(id)
}

/// How events are kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many events may wait for the database before requests do.
    pub queue: usize,
    /// How long events are kept; zero keeps them for ever.
    pub keep: Duration,
    /// Whether what could be counted gets a record each.
    pub record_each: bool,
}

impl Default for Options {
    fn default() -> Self {
        // As many as come within a second at most. When the disk is busy, SQLite may wait for it as long as that.
        Self { queue: 32_768, keep: Duration::from_hours(90 * 24), record_each: false }
    }
}

/// Where records are written.
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
    /// Tells the task not to wait for more events.
    hurry: Arc<Notify>,
    /// Those who wait for room in the queue.
    delayed: TaskTracker,
    stopping: CancellationToken,
    abandoning: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Event(Event),
    /// Answered when everything before it is in the database.
    Flush(oneshot::Sender<()>),
}

impl Events {
    /// Starts the task that writes; it runs until [`Events::stop`]. To be called inside a tokio runtime.
    pub fn start(sink: impl Into<Sink>, clock: Clock, options: &Options) -> Self {
        let sink = sink.into();
        let (queue, waiting) = mpsc::channel(options.queue.max(1));
        let (stopping, abandoning) = (CancellationToken::new(), CancellationToken::new());
        let hurry = Arc::<Notify>::default();
        let counts = Arc::<Counts>::default();
        let writer = Writer {
            sink: sink.clone(),
            clock: clock.clone(),
            keep: options.keep,
            waiting,
            counts: Arc::clone(&counts),
            hurry: Arc::clone(&hurry),
            stopping: stopping.clone(),
            abandoning: abandoning.clone(),
        };
        let task = Mutex::new(Some(tokio::spawn(writer.run())));
        let delayed = TaskTracker::new();
        let record_each = options.record_each;
        let inner =
            Inner { sink, clock, queue, counts, record_each, hurry, delayed, stopping, abandoning, task };
        Self { inner: Arc::new(inner) }
    }

    /// Counts an event, or puts it into the queue, with the time of now; waits only while the queue is full. An event is not lost when
    /// the waiting call is dropped. After [`Events::stop`] it goes into the log instead.
    pub async fn record(&self, mut event: Event) {
        event.at = Position::new(self.inner.clock.now_ms());
        if event.is_counted && event.deed.outcome == Outcome::Done && !self.inner.record_each {
            match self.inner.counts.add(event) {
                Some(single) => event = single,
                None => return,
            }
        }
        match self.inner.queue.try_send(Message::Event(event)) {
            Err(TrySendError::Full(message)) => {
                self.inner.hurry.notify_one();
                let queue = self.inner.queue.clone();
                // A task of its own: the client of this request may go away while it waits.
                let sent = self.inner.delayed.spawn(async move {
                    if let Err(SendError(Message::Event(event))) = queue.send(message).await {
                        writer::log(&event.into_stored(), "the server is stopping");
                    }
                });
                sent.await.ok();
            }
            Err(TrySendError::Closed(Message::Event(event))) => {
                writer::log(&event.into_stored(), "the server is stopping");
            }
            Ok(()) | Err(TrySendError::Closed(Message::Flush(_))) => {}
        }
    }

    /// Records an attempt that was rejected or failed; a change that was made has its record already.
    pub(super) async fn record_failure<T>(
        &self,
        by: &Actor,
        action: Action,
        object_type: &'static str,
        object_id: &str,
        result: &Result<T>,
    ) {
        if result.is_err() {
            self.record(by.event(action, object_type, object_id, result)).await;
        }
    }

    /// Waits until everything recorded so far is in the database (or, after [`Events::stop`], does nothing).
    pub async fn flush(&self) {
        let (done, answered) = oneshot::channel();
        if self.inner.queue.send(Message::Flush(done)).await.is_ok() {
            self.inner.hurry.notify_one();
            answered.await.ok();
        }
    }

    /// Writes what waits and ends the task. What is not in the database after `limit` goes into the log as errors.
    pub async fn stop(&self, limit: Duration) {
        let end = Instant::now() + limit;
        self.inner.delayed.close();
        tokio::time::timeout_at(end, self.inner.delayed.wait()).await.ok();
        self.inner.stopping.cancel();
        let task = self.inner.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return };
        if tokio::time::timeout_at(end, &mut task).await.is_err() {
            self.inner.abandoning.cancel();
            task.await.ok();
        }
    }
}

#[cfg(test)]
mod tests;
