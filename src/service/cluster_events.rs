//! Cluster events for callers that may see the cluster: listing, streaming, and pruning of old ones. The reconcile worker
//! writes most of them.

mod subscription;

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

pub use self::subscription::{StreamItem, Subscription};
use super::base::Base;
use super::clusters::Clusters;
use super::concurrency::ConcurrencyLimit;
use super::tokens::Tokens;
use super::{Caller, Error, Invalid, Result};
use crate::store::{self, ClusterEventRow, Store};

/// The maximum number of concurrent event streams, in total and per user.
const MAX_STREAMS: usize = 512;
const MAX_STREAMS_PER_USER: usize = 32;

/// The maximum age of events, and their maximum number per cluster.
const RETENTION: Duration = Duration::from_hours(30 * 24);
const MAX_PER_CLUSTER: u32 = 1_000;

/// The number of events that one statement deletes, so that it does not block the database for long.
const PRUNE_BATCH: u32 = 5_000;

/// An event of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterEvent {
    /// A version 7 UUID; later events have greater IDs in string order.
    pub id: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The kind, one word.
    pub kind: String,
    /// The message, for users.
    pub message: String,
    /// Data for programs: `state` and `phase` after the event, the `generation` it concerns, and more that depends on the kind.
    pub data: Map<String, Value>,
}

impl From<ClusterEventRow> for ClusterEvent {
    fn from(row: ClusterEventRow) -> Self {
        Self {
            data: serde_json::from_str(&row.data).unwrap_or_default(),
            id: row.id,
            at_ms: row.at_ms,
            kind: row.kind,
            message: row.message,
        }
    }
}

/// The intervals of an event stream.
#[derive(Clone, Copy, Debug)]
struct Intervals {
    /// Between polls of the table, and between checks of the caller's access.
    poll: Duration,
    /// Between the last item and a keep-alive.
    keep_alive: Duration,
}

/// The cluster events. Clones share everything.
#[derive(Clone)]
pub struct ClusterEvents {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clusters: Clusters,
    tokens: Tokens,
    clock: Clock,
    limit: Arc<ConcurrencyLimit>,
    closing: CancellationToken,
    intervals: Intervals,
}

impl ClusterEvents {
    /// The events of `clusters`.
    pub fn new(base: &Base, clusters: Clusters, tokens: Tokens) -> Self {
        let Base { store, clock, .. } = base.clone();
        // With this poll interval, a stream ends within two seconds after its token is revoked, as proxied requests do.
        let intervals = Intervals { poll: Duration::from_secs(1), keep_alive: Duration::from_secs(15) };
        let limit = ConcurrencyLimit::new(MAX_STREAMS, MAX_STREAMS_PER_USER);
        let closing = CancellationToken::new();
        Self { inner: Arc::new(Inner { store, clusters, tokens, clock, limit, closing, intervals }) }
    }

    /// The stored events of a cluster after the one with the ID `after`, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the caller sees no such cluster; [`Error::Invalid`] if `after` is not an event ID.
    pub async fn list(&self, caller: &Caller, cluster_id: &str, after: &str) -> Result<Vec<ClusterEvent>> {
        let after = parse_event_id(after)?;
        self.inner.clusters.get(caller, cluster_id).await?;
        // A cluster may have more than the maximum until the next hourly pruning.
        let rows =
            store::cluster_events::list(&self.inner.store, cluster_id, &after, 2 * MAX_PER_CLUSTER).await?;
        Ok(rows.into_iter().map(ClusterEvent::from).collect())
    }

    /// Subscribes to the events of a cluster after the one with the ID `after`: first the stored ones, then new ones.
    ///
    /// # Errors
    /// As [`ClusterEvents::list`]; [`Error::TooManyEventStreams`] if the limit of streams is reached.
    pub async fn subscribe(&self, caller: &Caller, cluster_id: &str, after: &str) -> Result<Subscription> {
        let after = parse_event_id(after)?;
        let permit = self.inner.limit.try_acquire(&caller.user_id).ok_or(Error::TooManyEventStreams)?;
        self.inner.clusters.get(caller, cluster_id).await?;
        Ok(Subscription::new(Arc::clone(&self.inner), caller.clone(), cluster_id, after, permit))
    }

    /// Ends all subscriptions; later ones end at once.
    pub fn close(&self) {
        self.inner.closing.cancel();
    }

    /// Deletes events that exceed the maximum age or number; returns the number of deleted events.
    pub async fn prune(&self) -> Result<u64> {
        let store = &self.inner.store;
        let retention_ms = i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.inner.clock.now_ms().saturating_sub(retention_ms);
        let mut deleted = 0;
        loop {
            let batch = store::cluster_events::prune(store, before_ms, PRUNE_BATCH).await?
                + store::cluster_events::prune_to(store, MAX_PER_CLUSTER, PRUNE_BATCH).await?;
            deleted += batch;
            if batch < u64::from(PRUNE_BATCH) {
                return Ok(deleted);
            }
        }
    }
}

/// The ID of an event as it is stored; empty to start with the oldest event.
fn parse_event_id(text: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(String::new());
    }
    let id = uuid::Uuid::parse_str(text).map_err(|_| {
        let message = "after (and the header Last-Event-ID) must be the ID of an event, as in the stream";
        Invalid::field("InvalidFormat", "after", message)
    })?;
    Ok(id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_id_is_a_uuid_or_empty() {
        assert_eq!(parse_event_id("").unwrap(), "");
        assert_eq!(
            parse_event_id(" 01A209FF-44e3-774a-94cd-94100ad0b89b").unwrap(),
            "01a209ff-44e3-774a-94cd-94100ad0b89b"
        );
        for text in ["7", "latest", "\0", "' or 1=1"] {
            assert!(matches!(parse_event_id(text), Err(Error::Invalid(_))), "{text:?}");
        }
    }
}
