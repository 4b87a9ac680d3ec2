//! The one task that writes events: in batches, again and again while the database is away; and that forgets old ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Deed, Event, Message, Position};
use crate::clock::Clock;
use crate::store::events::{Occurrence, Repeated};
use crate::store::{self, Store};

/// The most events in one transaction.
const BATCH: usize = 1_000;

/// How long events gather for a batch. A transaction for each would cost many times what its event costs.
const GATHER: Duration = Duration::from_millis(20);

/// The wait after a failed attempt, doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// An attempt that takes longer hangs on a connection that is no more.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(30);

/// How often old events are looked for, and how many go in one statement.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
const PRUNED_AT_ONCE: u32 = 5_000;

pub(super) struct Writer {
    store: Store,
    clock: Clock,
    keep: Duration,
    waiting: mpsc::Receiver<Message>,
    /// Told when somebody waits for the queue to be written.
    hurry: Arc<Notify>,
    stopping: CancellationToken,
    abandoning: CancellationToken,
}

impl Writer {
    pub(super) fn new(
        store: Store,
        clock: Clock,
        keep: Duration,
        waiting: mpsc::Receiver<Message>,
        hurry: Arc<Notify>,
        stopping: CancellationToken,
        abandoning: CancellationToken,
    ) -> Self {
        Self { store, clock, keep, waiting, hurry, stopping, abandoning }
    }

    pub(super) async fn run(mut self) {
        let mut prune = tokio::time::interval(PRUNE_EVERY);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut messages = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => break,
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
        // What is in the queue is still written; nothing new comes in.
        self.waiting.close();
        while self.waiting.recv_many(&mut messages, BATCH).await > 0 {
            self.write(&mut messages).await;
        }
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

    /// Writes the events of a batch, then answers those who wait for it.
    async fn write(&mut self, messages: &mut Vec<Message>) {
        let mut flushed: Vec<oneshot::Sender<()>> = Vec::new();
        let mut batch = Vec::new();
        let mut places = HashMap::new();
        let mut latest: Option<(Deed, usize)> = None;
        for message in messages.drain(..) {
            match message {
                Message::Event(Event { deed, request_id, at }) => {
                    let place = match &latest {
                        // Most often the same again: to compare is a tenth of looking it up.
                        Some((same, place)) if *same == deed => *place,
                        _ => {
                            let place = *places.entry(deed.clone()).or_insert_with_key(|deed| {
                                batch.push(repeated(deed));
                                batch.len() - 1
                            });
                            latest = Some((deed, place));
                            place
                        }
                    };
                    if let Some(repeated) = batch.get_mut(place) {
                        repeated.times.push(Occurrence { id: id(at), at_ms: at.at_ms, request_id });
                    }
                }
                Message::Flush(done) => flushed.push(done),
            }
        }
        if !batch.is_empty() {
            let abandoning = self.abandoning.clone();
            if abandoning.run_until_cancelled(insert(&self.store, &batch)).await.is_none() {
                // An attempt that was under way may have succeeded: then the log has it twice rather than nobody.
                log_all(&batch, "the server stopped before the database took it");
            }
        }
        for done in flushed {
            done.send(()).ok();
        }
    }

    async fn prune(&mut self) {
        if self.keep.is_zero() {
            return;
        }
        let keep_ms = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.clock.now_ms().saturating_sub(keep_ms);
        let mut removed = 0;
        // A queue that fills up meanwhile is more important; what is left goes next time.
        while self.waiting.len() < BATCH && !self.stopping.is_cancelled() {
            match store::events::prune(&self.store, before_ms, PRUNED_AT_ONCE).await {
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

fn id(at: Position) -> Arc<str> {
    Arc::from(&*at.to_id().hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}

/// The row of a deed, without times.
fn repeated(deed: &Deed) -> Repeated {
    let Deed { caller, action, object_type, object_id, outcome, remote, detail } = deed;
    Repeated {
        user_id: caller.user_id.as_str().into(),
        user_name: caller.user_name.as_str().into(),
        token_name: caller.token_name.as_str().into(),
        action: action.word().into(),
        object_type: (*object_type).into(),
        object_id: Arc::clone(object_id),
        outcome: outcome.word().into(),
        remote: remote.map(|address| address.to_string()).unwrap_or_default().into(),
        detail: Arc::clone(detail),
        times: Vec::new(),
    }
}

/// Ends when every event is in the database, or cannot ever be and is in the log.
async fn insert(store: &Store, events: &[Repeated]) {
    let number = events.iter().map(|repeated| repeated.times.len()).sum();
    let mut wait = FIRST_WAIT;
    loop {
        let attempt = tokio::time::timeout(LONGEST_ATTEMPT, store::events::insert_many(store, events)).await;
        match attempt {
            Ok(Ok(())) => return,
            Ok(Err(error)) if error.is_unavailable() => warn(&error, number),
            Err(late) => warn(&late, number),
            Ok(Err(error)) if number == 1 => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the database refuses an audit event");
                log_all(events, "the database refuses it");
                return;
            }
            // One of them is at fault; the others must not go with it.
            Ok(Err(_)) => {
                for repeated in events {
                    for time in &repeated.times {
                        let single = Repeated { times: vec![time.clone()], ..repeated.clone() };
                        Box::pin(insert(store, &[single])).await;
                    }
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

/// The last resort: an event as a line of the log.
pub(super) fn log(event: &Event, reason: &str) {
    log_one(&repeated(&event.deed), event.at.at_ms, &event.request_id, reason);
}

fn log_all(events: &[Repeated], reason: &str) {
    for repeated in events {
        for time in &repeated.times {
            log_one(repeated, time.at_ms, &time.request_id, reason);
        }
    }
}

fn log_one(event: &Repeated, at_ms: i64, request_id: &str, reason: &str) {
    tracing::error!(
        at_ms,
        user_id = &*event.user_id,
        user_name = &*event.user_name,
        token_name = &*event.token_name,
        action = &*event.action,
        object_type = &*event.object_type,
        object_id = &*event.object_id,
        outcome = &*event.outcome,
        request_id,
        remote = &*event.remote,
        detail = &*event.detail,
        reason,
        "an audit event could not be stored"
    );
}
