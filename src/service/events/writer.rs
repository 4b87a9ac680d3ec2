//! The one task that writes events: in batches, again and again while the database is away; and that forgets old ones.

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::counts::Counts;
use super::{Message, Sink};
use crate::store::{self, AuditRow, Store};

/// The most events in one transaction.
const BATCH: usize = 1_000;

/// How long events gather for a batch. A transaction for each would cost many times what its event costs.
const GATHER: Duration = Duration::from_millis(20);

/// The wait after a failed attempt, doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How often counts are written; a process that is killed loses those since the last time.
const WRITE_COUNTS_EVERY: Duration = Duration::from_secs(5);

/// An attempt that takes longer hangs on a connection that is no more.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(30);

/// How often old events are looked for, and how many go in one statement.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
const PRUNED_AT_ONCE: u32 = 5_000;

pub(super) struct Writer {
    pub(super) sink: Sink,
    pub(super) clock: Clock,
    pub(super) keep: Duration,
    pub(super) waiting: mpsc::Receiver<Message>,
    pub(super) counts: Arc<Counts>,
    /// Told when somebody waits for the queue to be written.
    pub(super) hurry: Arc<Notify>,
    pub(super) stopping: CancellationToken,
    pub(super) abandoning: CancellationToken,
}

impl Writer {
    pub(super) async fn run(mut self) {
        let mut prune = tokio::time::interval(PRUNE_EVERY);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut counts = tokio::time::interval(WRITE_COUNTS_EVERY);
        counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut messages = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => break,
                _ = counts.tick() => self.write_counts().await,
                received = self.waiting.recv_many(&mut messages, BATCH) => {
                    if received == 0 {
                        return;
                    }
                    self.gather(&mut messages).await;
                    self.write(&mut messages).await;
                }
                _ = prune.tick() => self.prune().await,
            }
        }
        // What is in the queue and what was counted is still written; nothing new comes in.
        self.waiting.close();
        self.counts.close();
        while self.waiting.recv_many(&mut messages, BATCH).await > 0 {
            self.write(&mut messages).await;
        }
        self.write_counts().await;
    }

    /// Waits a moment for more, unless the batch is full or somebody waits for it.
    async fn gather(&mut self, messages: &mut Vec<Message>) {
        if messages.len() >= BATCH || messages.iter().any(|message| matches!(message, Message::Flush(_))) {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(GATHER) => {}
            () = self.hurry.notified() => {}
            () = self.stopping.cancelled() => {}
        }
        while messages.len() < BATCH
            && let Ok(message) = self.waiting.try_recv()
        {
            messages.push(message);
        }
    }

    /// Writes the events of a batch, and counts for those who wait for them; then answers them.
    async fn write(&mut self, messages: &mut Vec<Message>) {
        let mut flushed: Vec<oneshot::Sender<()>> = Vec::new();
        let mut batch = Vec::new();
        for message in messages.drain(..) {
            match message {
                Message::Event(event) => batch.push(event.into_stored()),
                Message::Flush(done) => flushed.push(done),
            }
        }
        if !flushed.is_empty() {
            batch.extend(self.counts.take(self.clock.now_ms()));
        }
        self.store(&batch).await;
        for done in flushed {
            done.send(()).ok();
        }
    }

    async fn write_counts(&self) {
        self.store(&self.counts.take(self.clock.now_ms())).await;
    }

    async fn store(&self, rows: &[AuditRow]) {
        if rows.is_empty() {
            return;
        }
        let Sink::Database(store) = &self.sink else {
            rows.iter().for_each(log_use);
            return;
        };
        if self.abandoning.run_until_cancelled(insert(store, rows)).await.is_none() {
            // An attempt that was under way may have succeeded: then the log has it as well.
            for row in rows {
                log(row, "the server stopped before the database took it");
            }
        }
    }

    async fn prune(&mut self) {
        let Sink::Database(store) = &self.sink else { return };
        if self.keep.is_zero() {
            return;
        }
        let keep_ms = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.clock.now_ms().saturating_sub(keep_ms);
        let mut removed = 0;
        // A queue that fills up meanwhile is more important; what is left goes next time.
        while self.waiting.len() < BATCH && !self.stopping.is_cancelled() {
            match store::events::prune(store, before_ms, PRUNED_AT_ONCE).await {
                Ok(0) => break,
                Ok(portion) => removed += portion,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        "old audit events cannot be removed; the next attempt is in an hour"
                    );
                    return;
                }
            }
        }
        if removed > 0 {
            tracing::info!(removed, "old audit events were removed");
        }
    }
}

/// Ends when every record is in the database, or cannot ever be and is in the log.
async fn insert(store: &Store, rows: &[AuditRow]) {
    let mut wait = FIRST_WAIT;
    loop {
        let attempt = tokio::time::timeout(LONGEST_ATTEMPT, store::events::insert_many(store, rows)).await;
        match (attempt, rows) {
            (Ok(Ok(())), _) => return,
            (Ok(Err(error)), _) if error.is_unavailable() => warn(&error, rows.len()),
            (Err(late), _) => warn(&late, rows.len()),
            (Ok(Err(error)), [row]) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the database refuses an audit event");
                log(row, "the database refuses it");
                return;
            }
            // One of them is at fault; the others must not go with it.
            (Ok(Err(_)), _) => {
                for row in rows {
                    Box::pin(insert(store, std::slice::from_ref(row))).await;
                }
                return;
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

fn warn(error: &(dyn std::error::Error + 'static), waiting: usize) {
    tracing::warn!(error, waiting, "audit events wait for the database");
}

/// A record as a line of the log, where that is the audit log.
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

/// The last resort: a record as a line of the log.
pub(super) fn log(row: &AuditRow, reason: &str) {
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
        "an audit event could not be stored"
    );
}
