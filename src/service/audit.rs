//! The audit log: a record for every change and every failed attempt, and counts of frequent actions. A record has the
//! caller, the action, the object, the outcome and the request, never the content of the object.
//!
//! A change and its record are written in one transaction: [`Actor::audit`] creates the record, and the store function that
//! changes the object writes it (`store::transaction`). Other records go through a queue ([`AuditLog::record`]): rejected and
//! failed attempts, uses of credentials, and requests to clusters. One task writes the queue in batches within a few dozen
//! milliseconds, so that requests do not wait for the database. If the queue is full, requests wait; if the database is
//! unavailable, the task waits. Records in the queue are lost if the process is killed.
//!
//! Frequent and harmless actions ([`AuditEvent::counted`]) have one record per minute with a count ([`counts`]), updated every
//! five seconds; with the setting `audit-uses: each`, each has its own record.
//!
//! [`Actor::audit`]: super::actor::Actor::audit

mod counts;
mod event;
mod page;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clock::Clock;
use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::counts::Counts;
use self::event::Position;
pub use self::event::{Action, AuditEvent, Outcome};
pub use self::page::{
    AuditRow, Filter, MAX_PAGE_SIZE, format_cursor, format_time, page, parse_cursor, parse_time,
};
pub use self::writer::Sink;
use self::writer::{Message, Writer};

/// The options of the audit log.
#[derive(Clone, Debug)]
pub struct Options {
    /// The capacity of the queue; when it is full, requests wait.
    pub queue_capacity: usize,
    /// The retention of records; zero keeps them forever.
    pub retention: Duration,
    /// Whether frequent actions have a record each, instead of one per minute with a count.
    pub record_each: bool,
}

impl Default for Options {
    fn default() -> Self {
        // The queue holds the events of a second at the maximum rate: SQLite may wait that long for a busy disk.
        Self { queue_capacity: 32_768, retention: Duration::from_hours(90 * 24), record_each: false }
    }
}

/// The audit log. Clones share the queue.
#[derive(Clone)]
pub struct AuditLog {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) sink: Sink,
    clock: Clock,
    queue: mpsc::Sender<Message>,
    counts: Arc<Counts>,
    record_each: bool,
    /// Wakes the writer task while it collects events for a batch.
    write_now: Arc<Notify>,
    /// The tasks that wait for space in the queue.
    pending_sends: TaskTracker,
    stopping: CancellationToken,
    /// Cancelled when [`AuditLog::stop`] has reached its time limit.
    abandoning: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl AuditLog {
    /// Starts the writer task, which runs until [`AuditLog::stop`]. Must be called in a Tokio runtime.
    pub fn start(sink: impl Into<Sink>, clock: Clock, options: &Options) -> Self {
        let sink = sink.into();
        let (queue, receiver) = mpsc::channel(options.queue_capacity.max(1));
        let (stopping, abandoning) = (CancellationToken::new(), CancellationToken::new());
        let write_now = Arc::<Notify>::default();
        let counts = Arc::<Counts>::default();
        let writer = Writer {
            sink: sink.clone(),
            clock: clock.clone(),
            retention: options.retention,
            receiver,
            counts: Arc::clone(&counts),
            write_now: Arc::clone(&write_now),
            stopping: stopping.clone(),
            abandoning: abandoning.clone(),
        };
        let task = Mutex::new(Some(tokio::spawn(writer.run())));
        let pending_sends = TaskTracker::new();
        let record_each = options.record_each;
        let inner = Inner {
            sink,
            clock,
            queue,
            counts,
            record_each,
            write_now,
            pending_sends,
            stopping,
            abandoning,
            task,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Counts an event or queues it, with the current time; waits only while the queue is full. The event is not lost if this
    /// future is dropped. After [`AuditLog::stop`], events are logged instead.
    pub async fn record(&self, mut event: AuditEvent) {
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
                let sent = self.inner.pending_sends.spawn(async move {
                    if let Err(SendError(Message::Event(event))) = queue.send(message).await {
                        writer::log_unstored(&event.into_row(), "the server is stopping");
                    }
                });
                sent.await.ok();
            }
            Err(TrySendError::Closed(Message::Event(event))) => {
                writer::log_unstored(&event.into_row(), "the server is stopping");
            }
            Ok(()) | Err(TrySendError::Closed(Message::Flush(_))) => {}
        }
    }

    /// Waits until all records so far are in the database; does nothing after [`AuditLog::stop`].
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
        self.inner.pending_sends.close();
        tokio::time::timeout_at(deadline, self.inner.pending_sends.wait()).await.ok();
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
