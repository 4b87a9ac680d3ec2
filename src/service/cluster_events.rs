//! What happens to clusters, for those who may see them: what is kept, and what comes. The worker writes it down; here it
//! is read, followed and, when it is old, forgotten.

mod following;
mod notifier;

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

pub use self::following::{Following, Told};
pub use self::notifier::ChangeNotifier;
use super::base::Base;
use super::clusters::Clusters;
use super::concurrency::ConcurrencyLimit;
use super::tokens::Tokens;
use super::{Caller, Error, Invalid, Result};
use crate::store::{self, ClusterEventRow, Store};

/// The kind of the last event that a cluster has.
pub const REMOVED: &str = "removed";

/// The most concurrent event streams, in total and per user.
const MAX_STREAMS: usize = 512;
const MAX_STREAMS_PER_USER: usize = 32;

/// How long events are kept, and how many of one cluster.
const KEPT: Duration = Duration::from_hours(30 * 24);
const KEPT_OF_ONE: u32 = 1_000;

/// How many go in one statement, so that none holds the database for long.
const FORGOTTEN_AT_ONCE: u32 = 5_000;

/// Something that happened to a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterEvent {
    /// Later events have greater ones, as texts.
    pub id: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// One word.
    pub kind: String,
    /// For people.
    pub message: String,
    /// The same for programs: `state` and `phase` after it, `generation` that was worked on, and more by its kind.
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

/// How often is looked, and how long may be silence.
#[derive(Clone, Copy, Debug)]
struct Pace {
    look: Duration,
    silence: Duration,
}

/// What happens to clusters. Clones share everything.
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
    pace: Pace,
}

impl ClusterEvents {
    /// The events of the clusters of `clusters`.
    pub fn new(base: &Base, clusters: Clusters, tokens: Tokens) -> Self {
        let Base { store, clock, .. } = base.clone();
        // A revoked token ends what it began within two seconds, here as elsewhere.
        let pace = Pace { look: Duration::from_secs(1), silence: Duration::from_secs(15) };
        let limit = ConcurrencyLimit::new(MAX_STREAMS, MAX_STREAMS_PER_USER);
        let closing = CancellationToken::new();
        Self { inner: Arc::new(Inner { store, clusters, tokens, clock, limit, closing, pace }) }
    }

    /// What is kept of a cluster behind that id, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the caller sees no such cluster; [`Error::Invalid`] when the id is none of an event.
    pub async fn list(&self, caller: &Caller, cluster_id: &str, after: &str) -> Result<Vec<ClusterEvent>> {
        let after = id(after)?;
        self.inner.clusters.get(caller, cluster_id).await?;
        // Twice as many as are kept: the next sweep may be an hour away.
        let rows =
            store::cluster_events::list(&self.inner.store, cluster_id, &after, 2 * KEPT_OF_ONE).await?;
        Ok(rows.into_iter().map(ClusterEvent::from).collect())
    }

    /// Follows what happens to a cluster behind that id: first what is kept, then what comes.
    ///
    /// # Errors
    /// As [`ClusterEvents::list`]; [`Error::TooManyEventStreams`] when too many do so.
    pub async fn follow(&self, caller: &Caller, cluster_id: &str, after: &str) -> Result<Following> {
        let after = id(after)?;
        let permit = self.inner.limit.try_acquire(&caller.user_id).ok_or(Error::TooManyEventStreams)?;
        self.inner.clusters.get(caller, cluster_id).await?;
        Ok(Following::new(Arc::clone(&self.inner), caller.clone(), cluster_id, after, permit))
    }

    /// Ends everything that is followed. Nothing of that kind begins afterwards.
    pub fn close(&self) {
        self.inner.closing.cancel();
    }

    /// Forgets what is old, and what is too much of one cluster; returns how many that were.
    pub async fn sweep(&self) -> Result<u64> {
        let (store, kept_ms) = (&self.inner.store, i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX));
        let before_ms = self.inner.clock.now_ms().saturating_sub(kept_ms);
        let mut forgotten = 0;
        loop {
            let portion = store::cluster_events::prune(store, before_ms, FORGOTTEN_AT_ONCE).await?
                + store::cluster_events::prune_to(store, KEPT_OF_ONE, FORGOTTEN_AT_ONCE).await?;
            forgotten += portion;
            if portion < u64::from(FORGOTTEN_AT_ONCE) {
                return Ok(forgotten);
            }
        }
    }
}

/// The id of an event as it lies in the table; empty for "from the beginning".
fn id(text: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(String::new());
    }
    let id = uuid::Uuid::parse_str(text).map_err(|_| {
        let message =
            "after (and the header Last-Event-ID) must be the id of an event, as the stream gave it";
        Invalid::field("InvalidFormat", "after", message)
    })?;
    Ok(id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_of_ours_or_none_at_all() {
        assert_eq!(id("").unwrap(), "");
        assert_eq!(
            id(" 01A209FF-44e3-774a-94cd-94100ad0b89b").unwrap(),
            "01a209ff-44e3-774a-94cd-94100ad0b89b"
        );
        for text in ["7", "latest", "\0", "' or 1=1"] {
            assert!(matches!(id(text), Err(Error::Invalid(_))), "{text:?}");
        }
    }
}
