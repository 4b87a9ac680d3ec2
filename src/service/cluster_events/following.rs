//! Following what happens to one cluster. The table is looked at, again and again, and the bell of this server only makes it
//! sooner: so nothing is missed between "kept" and "comes", and another server's events come as well.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::{Instant, sleep, sleep_until};

use super::notifier::Notifications;
use super::{ClusterEvent, Inner, REMOVED};
use crate::service::concurrency::Permit;
use crate::service::{Caller, Error};
use crate::store;

/// How many events are read at once.
const PORTION: u32 = 100;

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Something happened.
    Event(ClusterEvent),
    /// Nothing did, for a while.
    Silence,
}

/// Somebody who follows what happens to a cluster.
pub struct Following {
    inner: Arc<Inner>,
    caller: Caller,
    cluster_id: String,
    /// The last event that was read.
    after: String,
    read: VecDeque<ClusterEvent>,
    notifications: Notifications,
    /// When it was last made sure that the caller may.
    allowed: Instant,
    /// When something was told last.
    told: Instant,
    ending: bool,
    _permit: Permit,
}

/// What the caller may, and whether there will be more.
enum Seen {
    Cluster,
    /// The cluster is gone.
    Gone,
    /// The caller may no longer see it.
    Nothing,
}

impl Following {
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
            after,
            read: VecDeque::new(),
            notifications,
            allowed: now,
            told: now,
            ending: false,
            _permit: permit,
        }
    }

    /// What comes next; `None` at the end: the cluster is gone (then its last event came before), the caller may no longer
    /// see it, or the server stops.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            if self.inner.closing.is_cancelled() || !self.goes_on().await {
                return None;
            }
            if let Some(event) = self.read.pop_front() {
                self.ending |= event.kind == REMOVED;
                self.told = Instant::now();
                return Some(Told::Event(event));
            }
            if self.ending {
                return None;
            }
            let list =
                store::cluster_events::list(&self.inner.store, &self.cluster_id, &self.after, PORTION).await;
            match list {
                Ok(rows) if !rows.is_empty() => {
                    if let Some(last) = rows.last() {
                        self.after.clone_from(&last.id);
                    }
                    self.read.extend(rows.into_iter().map(ClusterEvent::from));
                    continue;
                }
                Ok(_) => {}
                // A database that is away is no reason to end: it is asked again.
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(cluster = self.cluster_id, error, "events cannot be read");
                }
            }
            if self.wait().await {
                self.told = Instant::now();
                return Some(Told::Silence);
            }
        }
    }

    /// Waits until it is worth looking again; true when there was silence for long.
    async fn wait(&mut self) -> bool {
        let pace = self.inner.pace;
        tokio::select! {
            () = self.inner.closing.cancelled() => false,
            () = sleep_until(self.told + pace.silence) => true,
            () = self.notifications.changed(&self.cluster_id) => false,
            () = sleep(pace.look) => false,
        }
    }

    /// Makes sure, now and then, that the caller may still see what comes.
    async fn goes_on(&mut self) -> bool {
        if self.allowed.elapsed() < self.inner.pace.look {
            return true;
        }
        match self.seen().await {
            Ok(Seen::Nothing) => return false,
            Ok(Seen::Cluster) => {}
            // What is in the table by now is all that will be.
            Ok(Seen::Gone) => self.ending = self.read.is_empty() && self.has_read_all().await,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(cluster = self.cluster_id, error, "a follower cannot be looked up");
                return true;
            }
        }
        self.allowed = Instant::now();
        true
    }

    async fn seen(&mut self) -> Result<Seen, Error> {
        let Some(caller) = self.inner.tokens.refresh_caller(&self.caller).await? else {
            return Ok(Seen::Nothing);
        };
        self.caller = caller;
        match self.inner.clusters.get(&self.caller, &self.cluster_id).await {
            Ok(_) => Ok(Seen::Cluster),
            Err(Error::NotFound { .. }) => {
                let row = store::clusters::get(&self.inner.store, &self.cluster_id).await?;
                Ok(if row.is_some() { Seen::Nothing } else { Seen::Gone })
            }
            Err(error) => Err(error),
        }
    }

    async fn has_read_all(&self) -> bool {
        store::cluster_events::list(&self.inner.store, &self.cluster_id, &self.after, 1)
            .await
            .is_ok_and(|rows| rows.is_empty())
    }
}
