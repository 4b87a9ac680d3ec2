//! A cache of the roles of callers in clusters. An entry is valid until this server writes to the database, and for less than
//! a second, because other servers write to it too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aks::role::Role;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::service::clusters::{Cluster, Clusters};
use crate::service::{Caller, Error, Result};

/// The age up to which an entry is fresh.
const MAX_FRESH_AGE: Duration = Duration::from_millis(400);
/// The age up to which an entry is used while another request refreshes it.
const MAX_USABLE_AGE: Duration = Duration::from_millis(900);
/// The maximum number of entries; each has a whole cluster.
const CACHE_CAPACITY: u64 = 4_096;
/// The time after which an unused entry is evicted.
const IDLE_TTL: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    cluster_id: String,
    user_id: String,
    admin: bool,
}

struct Entry {
    cluster: Arc<Cluster>,
    role: Role,
    /// The version of the database before the read.
    version: u64,
    read_at: Instant,
    is_refreshing: AtomicBool,
}

impl Entry {
    /// Whether a request may use the entry. Once the entry is no longer fresh, the first request gets `false` and refreshes it.
    fn try_use(&self, version: u64, now: Instant) -> bool {
        let age = now.duration_since(self.read_at);
        self.version == version
            && age < MAX_USABLE_AGE
            && (age < MAX_FRESH_AGE || self.is_refreshing.swap(true, Ordering::Relaxed))
    }
}

/// The cache of clusters and roles.
pub(super) struct Roles {
    clusters: Clusters,
    entries: Cache<Key, Arc<Entry>>,
}

impl Roles {
    pub(super) fn new(clusters: Clusters) -> Self {
        let entries = Cache::builder().max_capacity(CACHE_CAPACITY).time_to_idle(IDLE_TTL).build();
        Self { clusters, entries }
    }

    /// A cluster that the caller may see, and the caller's role in it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such cluster, or the caller may not see it.
    pub(super) async fn get(&self, caller: &Caller, cluster_id: &str) -> Result<(Arc<Cluster>, Role)> {
        let key =
            Key { cluster_id: cluster_id.to_owned(), user_id: caller.user_id.clone(), admin: caller.admin };
        let version = self.clusters.store_version();
        let cached = self.entries.get(&key).filter(|entry| entry.try_use(version, Instant::now()));
        if let Some(entry) = cached {
            return Ok((Arc::clone(&entry.cluster), entry.role));
        }
        let read_at = Instant::now();
        match self.clusters.with_role(caller, cluster_id).await {
            Ok((cluster, role)) => {
                let cluster = Arc::new(cluster);
                let is_refreshing = AtomicBool::new(false);
                let entry = Entry { cluster: Arc::clone(&cluster), role, version, read_at, is_refreshing };
                self.entries.insert(key, Arc::new(entry));
                Ok((cluster, role))
            }
            Err(error) => {
                if matches!(error, Error::NotFound { .. }) {
                    self.entries.invalidate(&key);
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aks::spec::ClusterSpec;
    use aks::status::{ClusterStatus, State};

    #[test]
    fn entry_is_usable_while_young_and_nothing_was_written() {
        let cluster = Cluster {
            id: "c-1".to_owned(),
            uuid: String::new(),
            owner: String::new(),
            name: String::new(),
            spec: ClusterSpec::from_text(r#"{"aksConfig": {}}"#).unwrap(),
            status: ClusterStatus::default(),
            state: State::Active,
            applied: None,
            review: None,
            created_ms: 0,
        };
        let read_at = Instant::now();
        let entry = Entry {
            cluster: Arc::new(cluster),
            role: Role::Owner,
            version: 7,
            read_at,
            is_refreshing: AtomicBool::new(false),
        };
        assert!(entry.try_use(7, read_at) && entry.try_use(7, read_at + MAX_FRESH_AGE / 2));
        assert!(!entry.try_use(8, read_at), "a write occurred");
        assert!(!entry.try_use(7, read_at + MAX_FRESH_AGE), "the first caller reads again");
        assert!(entry.try_use(7, read_at + MAX_FRESH_AGE), "the others do not wait");
        assert!(!entry.try_use(7, read_at + MAX_USABLE_AGE));
    }
}
