//! The task that writes audit records in batches, with retries while the database is unavailable, and prunes old ones.

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::counts::Counts;
use super::event::AuditEvent;
use crate::store::{self, AuditRow, Store};

/// The maximum number of records in one transaction.
const BATCH_SIZE: usize = 1_000;

/// The time for which events are collected into a batch, because a transaction costs much more than a record.
const BATCH_DELAY: Duration = Duration::from_millis(20);

/// The backoff after a failed attempt, doubled up to the maximum.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// The interval at which counts are written; a killed process loses those since the last write.
const COUNTS_INTERVAL: Duration = Duration::from_secs(5);

/// The timeout of an insert attempt, in case its connection is dead.
const INSERT_TIMEOUT: Duration = Duration::from_secs(30);

/// The interval of pruning, and the maximum number of records that one statement deletes.
const PRUNE_INTERVAL: Duration = Duration::from_hours(1);
const PRUNE_BATCH: u32 = 5_000;

/// The destination of records.
#[derive(Clone)]
pub enum Sink {
    /// The database.
    Database(Store),
    /// The server's log, if it has no database.
    Log,
}

impl From<Store> for Sink {
    fn from(store: Store) -> Self {
        Self::Database(store)
    }
}

pub(super) enum Message {
    Event(AuditEvent),
    /// Completed when all earlier events are in the database.
    Flush(oneshot::Sender<()>),
}

pub(super) struct Writer {
    pub(super) sink: Sink,
    pub(super) clock: Clock,
    pub(super) retention: Duration,
    pub(super) receiver: mpsc::Receiver<Message>,
    pub(super) counts: Arc<Counts>,
    /// Notified when a caller waits for a flush or for space in the queue.
    pub(super) write_now: Arc<Notify>,
    pub(super) stopping: CancellationToken,
    pub(super) abandoning: CancellationToken,
}

impl Writer {
    pub(super) async fn run(mut self) {
        let mut prune_ticks = tokio::time::interval(PRUNE_INTERVAL);
        prune_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut counts_ticks = tokio::time::interval(COUNTS_INTERVAL);
        counts_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut messages = Vec::with_capacity(BATCH_SIZE);
        loop {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => break,
                _ = counts_ticks.tick() => self.write_counts().await,
                received = self.receiver.recv_many(&mut messages, BATCH_SIZE) => {
                    if received == 0 {
                        return;
                    }
                    self.collect(&mut messages).await;
                    self.write(&mut messages).await;
                }
                _ = prune_ticks.tick() => self.prune().await,
            }
        }
        // Write what was queued and counted, and accept no more.
        self.receiver.close();
        self.counts.close();
        while self.receiver.recv_many(&mut messages, BATCH_SIZE).await > 0 {
            self.write(&mut messages).await;
        }
        self.write_counts().await;
    }

    /// Collects more messages, unless the batch is full or a caller waits for a flush.
    async fn collect(&mut self, messages: &mut Vec<Message>) {
        if messages.len() >= BATCH_SIZE || messages.iter().any(|message| matches!(message, Message::Flush(_)))
        {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(BATCH_DELAY) => {}
            () = self.write_now.notified() => {}
            () = self.stopping.cancelled() => {}
        }
        while messages.len() < BATCH_SIZE
            && let Ok(message) = self.receiver.try_recv()
        {
            messages.push(message);
        }
    }

    /// Writes the events of a batch, and the counts if a caller waits for a flush; then notifies these callers.
    async fn write(&mut self, messages: &mut Vec<Message>) {
        let mut flush_waiters: Vec<oneshot::Sender<()>> = Vec::new();
        let mut batch = Vec::new();
        for message in messages.drain(..) {
            match message {
                Message::Event(event) => batch.push(event.into_row()),
                Message::Flush(done) => flush_waiters.push(done),
            }
        }
        if !flush_waiters.is_empty() {
            batch.extend(self.counts.take_unwritten(self.clock.now_ms()));
        }
        self.write_rows(&batch).await;
        for done in flush_waiters {
            done.send(()).ok();
        }
    }

    async fn write_counts(&self) {
        self.write_rows(&self.counts.take_unwritten(self.clock.now_ms())).await;
    }

    async fn write_rows(&self, rows: &[AuditRow]) {
        if rows.is_empty() {
            return;
        }
        let Sink::Database(store) = &self.sink else {
            rows.iter().for_each(log_use);
            return;
        };
        if self.abandoning.run_until_cancelled(insert(store, rows)).await.is_none() {
            // An attempt in progress may have succeeded, so a record may be in both the database and the log.
            for row in rows {
                log_unstored(row, "the server stopped before it was stored");
            }
        }
    }

    async fn prune(&mut self) {
        let Sink::Database(store) = &self.sink else { return };
        if self.retention.is_zero() {
            return;
        }
        let retention_ms = i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.clock.now_ms().saturating_sub(retention_ms);
        let mut removed = 0;
        // A filling queue has priority; the next run continues.
        while self.receiver.len() < BATCH_SIZE && !self.stopping.is_cancelled() {
            match store::audit::prune(store, before_ms, PRUNE_BATCH).await {
                Ok(0) => break,
                Ok(deleted) => removed += deleted,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "cannot prune audit records; next attempt in an hour");
                    return;
                }
            }
        }
        if removed > 0 {
            tracing::info!(removed, "audit records pruned");
        }
    }
}

/// Returns when every record is in the database, or rejected by it and logged.
async fn insert(store: &Store, rows: &[AuditRow]) {
    let mut backoff = MIN_BACKOFF;
    loop {
        let attempt = tokio::time::timeout(INSERT_TIMEOUT, store::audit::insert_many(store, rows)).await;
        match (attempt, rows) {
            (Ok(Ok(())), _) => return,
            (Ok(Err(error)), _) if error.is_unavailable() => warn(&error, rows.len()),
            (Err(elapsed), _) => warn(&elapsed, rows.len()),
            (Ok(Err(error)), [row]) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "audit record rejected by the database");
                log_unstored(row, "rejected by the database");
                return;
            }
            // Insert one by one, so that a rejected record does not affect the others.
            (Ok(Err(_)), _) => {
                for row in rows {
                    Box::pin(insert(store, std::slice::from_ref(row))).await;
                }
                return;
            }
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}

fn warn(error: &(dyn std::error::Error + 'static), waiting: usize) {
    tracing::warn!(error, waiting, "audit queue blocked: database unavailable");
}

/// Logs a record of a server without a database, which audits only uses of credentials.
fn log_use(row: &AuditRow) {
    tracing::info!(
        target: "norman_aks::audit",
        token_name = row.token_name,
        action = row.action,
        object_type = row.object_type,
        object_id = row.object_id,
        outcome = row.outcome,
        request_id = row.request_id,
        remote = row.remote,
        count = row.counted.map_or(1, |counted| counted.count),
        "credential use"
    );
}

/// Logs a record that cannot be stored.
pub(super) fn log_unstored(row: &AuditRow, reason: &str) {
    tracing::error!(
        at_ms = row.at_ms,
        user_id = row.user_id,
        user_name = row.user_name,
        token_name = row.token_name,
        action = row.action,
        object_type = row.object_type,
        object_id = row.object_id,
        outcome = row.outcome,
        request_id = row.request_id,
        remote = row.remote,
        detail = row.detail,
        count = row.counted.map(|counted| counted.count),
        reason,
        "audit record not stored"
    );
}
