//! The event stream of one cluster. All events are read by polling the table, including those of other servers, so that they
//! have one order and there is no gap between stored and new events. Notifications of this server only start the next poll
//! earlier.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::{Instant, sleep, sleep_until};

use super::{ClusterEvent, Inner};
use crate::service::clusters::REMOVED;
use crate::service::concurrency::Permit;
use crate::service::notifier::Notifications;
use crate::service::{Caller, Error};
use crate::store;

/// The maximum number of events that one query reads.
const BATCH_SIZE: u32 = 100;

/// An item of an event stream.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamItem {
    /// An event.
    Event(ClusterEvent),
    /// No event within the keep-alive interval.
    KeepAlive,
}

/// A subscription to the events of a cluster.
pub struct Subscription {
    inner: Arc<Inner>,
    caller: Caller,
    cluster_id: String,
    /// The ID of the last event that was read, at first the one given by the subscriber.
    last_read_id: String,
    unsent: VecDeque<ClusterEvent>,
    notifications: Notifications,
    access_checked_at: Instant,
    last_item_at: Instant,
    /// Whether the stream ends once `unsent` is empty.
    is_ending: bool,
    _permit: Permit,
}

/// The cluster as the caller sees it.
enum Visibility {
    Visible,
    Removed,
    Hidden,
}

impl Subscription {
    pub(super) fn new(
        inner: Arc<Inner>,
        caller: Caller,
        cluster_id: &str,
        after: String,
        permit: Permit,
    ) -> Self {
        let (notifications, now) = (inner.clusters.notifier().subscribe(), Instant::now());
        Self {
            inner,
            caller,
            cluster_id: cluster_id.to_owned(),
            last_read_id: after,
            unsent: VecDeque::new(),
            notifications,
            access_checked_at: now,
            last_item_at: now,
            is_ending: false,
            _permit: permit,
        }
    }

    /// Waits for the next item. `None` at the end: the cluster was removed (after its last event), the caller may no longer
    /// see it, or the server is shutting down.
    pub async fn next(&mut self) -> Option<StreamItem> {
        loop {
            if self.inner.closing.is_cancelled() || !self.may_continue().await {
                return None;
            }
            if let Some(event) = self.unsent.pop_front() {
                self.is_ending |= event.kind == REMOVED;
                self.last_item_at = Instant::now();
                return Some(StreamItem::Event(event));
            }
            if self.is_ending {
                return None;
            }
            if !self.read_batch().await && self.wait_for_keep_alive().await {
                self.last_item_at = Instant::now();
                return Some(StreamItem::KeepAlive);
            }
        }
    }

    /// Reads the next events; `false` if there are none or the database failed, after which the next poll tries again.
    async fn read_batch(&mut self) -> bool {
        let query =
            store::cluster_events::list(&self.inner.store, &self.cluster_id, &self.last_read_id, BATCH_SIZE);
        match query.await {
            Ok(rows) => {
                if let Some(last) = rows.last() {
                    self.last_read_id.clone_from(&last.id);
                }
                self.unsent.extend(rows.into_iter().map(ClusterEvent::from));
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(cluster = self.cluster_id, error, "cannot read cluster events");
            }
        }
        !self.unsent.is_empty()
    }

    /// Waits for the keep-alive interval; `false` if the table must be polled, or the stream must end, first.
    async fn wait_for_keep_alive(&mut self) -> bool {
        let intervals = self.inner.intervals;
        tokio::select! {
            () = self.inner.closing.cancelled() => false,
            () = sleep_until(self.last_item_at + intervals.keep_alive) => true,
            () = self.notifications.changed(&self.cluster_id) => false,
            () = sleep(intervals.poll) => false,
        }
    }

    /// Checks, once per poll interval, whether the caller may still see the cluster.
    async fn may_continue(&mut self) -> bool {
        if self.access_checked_at.elapsed() < self.inner.intervals.poll {
            return true;
        }
        match self.visibility().await {
            Ok(Visibility::Hidden) => return false,
            Ok(Visibility::Visible) => {}
            // Events that other servers wrote before the removal may still be unread.
            Ok(Visibility::Removed) => {
                self.is_ending = self.unsent.is_empty() && self.has_read_all().await;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(cluster = self.cluster_id, error, "cannot check access of a subscriber");
                return true;
            }
        }
        self.access_checked_at = Instant::now();
        true
    }

    async fn visibility(&mut self) -> Result<Visibility, Error> {
        let Some(caller) = self.inner.tokens.refresh_caller(&self.caller).await? else {
            return Ok(Visibility::Hidden);
        };
        self.caller = caller;
        match self.inner.clusters.get(&self.caller, &self.cluster_id).await {
            Ok(_) => Ok(Visibility::Visible),
            Err(Error::NotFound { .. }) => {
                let row = store::clusters::get(&self.inner.store, &self.cluster_id).await?;
                Ok(if row.is_some() { Visibility::Hidden } else { Visibility::Removed })
            }
            Err(error) => Err(error),
        }
    }

    async fn has_read_all(&self) -> bool {
        store::cluster_events::list(&self.inner.store, &self.cluster_id, &self.last_read_id, 1)
            .await
            .is_ok_and(|rows| rows.is_empty())
    }
}
