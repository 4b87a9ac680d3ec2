//! The roles of callers in clusters, from memory. An entry counts until something is written to the database by this server,
//! and for less than a second, because other servers of the database write too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aks::role::Role;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::service::clusters::{Cluster, Clusters};
use crate::service::{Caller, Error, Result};

/// For this long an entry is as good as the database.
const FRESH: Duration = Duration::from_millis(400);
/// For this long it serves the others while one request reads the database again.
const USABLE: Duration = Duration::from_millis(900);
/// Roles of callers in clusters; an entry has the whole cluster.
const CACHE_CAPACITY: u64 = 4_096;
/// How long an entry that is not used holds its memory.
const IDLE: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    cluster_id: String,
    user_id: String,
    admin: bool,
}

struct Entry {
    cluster: Arc<Cluster>,
    role: Role,
    /// The version of the database before it was read.
    version: u64,
    read: Instant,
    is_renewing: AtomicBool,
}

impl Entry {
    fn serves(&self, version: u64, now: Instant) -> bool {
        let age = now.duration_since(self.read);
        self.version == version
            && age < USABLE
            && (age < FRESH || self.is_renewing.swap(true, Ordering::Relaxed))
    }
}

/// The cache.
pub(super) struct Roles {
    clusters: Clusters,
    entries: Cache<Key, Arc<Entry>>,
}

impl Roles {
    pub(super) fn new(clusters: Clusters) -> Self {
        let entries = Cache::builder().max_capacity(CACHE_CAPACITY).time_to_idle(IDLE).build();
        Self { clusters, entries }
    }

    /// A cluster that the caller may see, and the caller's role in it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, as far as the caller may know.
    pub(super) async fn get(&self, caller: &Caller, cluster_id: &str) -> Result<(Arc<Cluster>, Role)> {
        let key =
            Key { cluster_id: cluster_id.to_owned(), user_id: caller.user_id.clone(), admin: caller.admin };
        let version = self.clusters.version();
        let known = self.entries.get(&key).filter(|entry| entry.serves(version, Instant::now()));
        if let Some(entry) = known {
            return Ok((Arc::clone(&entry.cluster), entry.role));
        }
        let read = Instant::now();
        match self.clusters.with_role(caller, cluster_id).await {
            Ok((cluster, role)) => {
                let cluster = Arc::new(cluster);
                let is_renewing = AtomicBool::new(false);
                let entry = Entry { cluster: Arc::clone(&cluster), role, version, read, is_renewing };
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
    fn entry_serves_while_it_is_young_and_nothing_was_written() {
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
            failing: false,
            created_ms: 0,
        };
        let read = Instant::now();
        let entry = Entry {
            cluster: Arc::new(cluster),
            role: Role::Owner,
            version: 7,
            read,
            is_renewing: AtomicBool::new(false),
        };
        assert!(entry.serves(7, read) && entry.serves(7, read + FRESH / 2));
        assert!(!entry.serves(8, read), "something was written");
        assert!(!entry.serves(7, read + FRESH), "the first one reads again");
        assert!(entry.serves(7, read + FRESH), "the others need not wait");
        assert!(!entry.serves(7, read + USABLE));
    }
}
