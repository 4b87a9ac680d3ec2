//! Maintains the rights in clusters. One server watches each active cluster: it corrects roles and bindings, opens and closes
//! namespaces according to the labels that owners set, and removes bindings of users who lost their role.
//!
//! | file | content |
//! |---|---|
//! | `roles` (this file) | the clusters that this server watches: leases in the table `cluster_watches` |
//! | `watch` | the loop of one cluster: connect, correct, watch, back off |
//! | `correct` | one comparison and its changes, with events |
//! | `revoke` | users who lost rights, from the table `cluster_revocations` |

mod correct;
pub(super) mod error;
mod revoke;
mod watch;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use aks::system_namespaces::SystemNamespaces;
use tokio::sync::{Notify, Semaphore, watch as channel};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(super) use self::correct::{correct, system_namespaces};

use self::watch::{SharedState, Signals};
use crate::service::core::Core;
use crate::store::{self, revocations, watches};

/// The duration of a lease without renewal, and the renewal interval.
const LEASE_DURATION_MS: i64 = 30_000;
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// The interval of queries for clusters without a lease, pending revocations, and changed settings.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of watches. Each has four open requests to its cluster.
const MAX_WATCHES: usize = 1_000;
/// The maximum number of clusters that are claimed at once.
const CLAIM_LIMIT: usize = 64;
/// The maximum number of clusters that are read and corrected concurrently.
const MAX_CONNECTING: usize = 16;
/// The time limit for running corrections at shutdown.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

const WATCHES_METRIC: &str = "norman_aks_cluster_watches";
const PENDING_METRIC: &str = "norman_aks_cluster_revocations_pending";

/// Maintains the rights in the clusters for which this server holds a lease.
pub struct RoleKeeper {
    shared: Arc<SharedState>,
    holder: String,
    namespaces: channel::Sender<SystemNamespaces>,
    running: RunningWatches,
    renewed_at: Option<Instant>,
}

impl RoleKeeper {
    /// Creates the keeper without starting it.
    pub fn new(core: Core) -> Self {
        let holder = core.secrets.replica().to_owned();
        let shared = SharedState { core, connect_permits: Semaphore::new(MAX_CONNECTING) };
        correct::init_metrics();
        Self {
            shared: Arc::new(shared),
            holder,
            namespaces: channel::Sender::new(SystemNamespaces::parse("")),
            running: RunningWatches::default(),
            renewed_at: None,
        }
    }

    /// Watches clusters until `stop`, then releases the leases.
    pub async fn run(mut self, stop: CancellationToken) {
        let store = &self.shared.core.store;
        // A SQLite file has one server, so leases of an earlier process are stale.
        if store.kind() == store::DatabaseKind::Sqlite {
            warn_on_error("cannot release leases of the previous process", watches::release_all(store).await);
        }
        while !stop.is_cancelled() {
            warn_on_error("cannot update cluster watches", self.update_watches().await);
            tokio::select! {
                () = stop.cancelled() => break,
                // A watch that has ended starts again when the leases are renewed.
                Some(result) = self.running.join_next() => if let Err(error) = result {
                    tracing::error!(error = &error as &dyn std::error::Error, "cluster watch panicked");
                },
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
        self.stop().await;
    }

    async fn update_watches(&mut self) -> Result<(), store::Error> {
        let core = &self.shared.core;
        let namespaces = system_namespaces(core).await;
        self.namespaces.send_if_modified(|current| {
            let differs = *current != namespaces;
            *current = namespaces;
            differs
        });
        let lease_until_ms = core.clock.now_ms() + LEASE_DURATION_MS;
        if self.renewed_at.is_none_or(|renewed_at| renewed_at.elapsed() >= RENEWAL_INTERVAL) {
            let held = watches::renew(&core.store, &self.holder, lease_until_ms).await?;
            self.renewed_at = Some(Instant::now());
            self.running.cancel_except(&held);
            for id in held {
                self.start(id);
            }
        }
        let limit = MAX_WATCHES.saturating_sub(self.running.len()).min(CLAIM_LIMIT);
        let core = &self.shared.core;
        if limit > 0 {
            let (now_ms, limit) = (core.clock.now_ms(), u32::try_from(limit).unwrap_or_default());
            for id in watches::claim(&core.store, &self.holder, now_ms, lease_until_ms, limit).await? {
                self.start(id);
            }
        }
        let store = &self.shared.core.store;
        for id in revocations::pending_clusters(store, &self.holder).await? {
            self.running.notify_of_revocations(&id);
        }
        self.set_gauges(revocations::count(store).await?);
        Ok(())
    }

    fn set_gauges(&self, pending_revocations: i64) {
        let to_f64 = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        metrics::gauge!(WATCHES_METRIC).set(to_f64(self.running.len()));
        metrics::gauge!(PENDING_METRIC).set(to_f64(usize::try_from(pending_revocations).unwrap_or_default()));
    }

    /// Starts the watch of a cluster, unless it is running.
    fn start(&mut self, id: String) {
        let (shared, namespaces) = (Arc::clone(&self.shared), &self.namespaces);
        self.running.start(id, |id, pending_revocations, cancel| {
            let signals = Signals { pending_revocations, namespaces: namespaces.subscribe() };
            async move { watch::run(&shared, &id, signals, cancel).await }
        });
    }

    async fn stop(mut self) {
        self.running.cancel_except(&[]);
        let all_ended = async { while self.running.join_next().await.is_some() {} };
        // Watches that still run are aborted when `self` is dropped; the next holder can repeat every correction.
        drop(tokio::time::timeout(STOP_TIMEOUT, all_ended).await);
        let store = &self.shared.core.store;
        warn_on_error("cannot release cluster watches", watches::release(store, &self.holder).await);
    }
}

/// The watches of this server, by cluster.
#[derive(Default)]
struct RunningWatches {
    by_cluster: BTreeMap<String, RunningWatch>,
    /// Also has the tasks of cancelled watches that have not ended.
    tasks: JoinSet<()>,
}

/// The watch of one cluster.
struct RunningWatch {
    pending_revocations: Arc<Notify>,
    cancel: CancellationToken,
    task: task::Id,
}

impl RunningWatches {
    fn len(&self) -> usize {
        self.by_cluster.len()
    }

    /// Starts the watch of a cluster, unless it is running.
    fn start<F>(&mut self, id: String, watch: impl FnOnce(String, Arc<Notify>, CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Entry::Vacant(entry) = self.by_cluster.entry(id) else { return };
        let (pending_revocations, cancel) = (Arc::<Notify>::default(), CancellationToken::new());
        let watch = watch(entry.key().clone(), Arc::clone(&pending_revocations), cancel.clone());
        let task = self.tasks.spawn(watch).id();
        entry.insert(RunningWatch { pending_revocations, cancel, task });
    }

    /// Cancels all watches except those of the clusters `held`.
    fn cancel_except(&mut self, held: &[String]) {
        self.by_cluster.retain(|id, watch| {
            let is_held = held.contains(id);
            if !is_held {
                watch.cancel.cancel();
            }
            is_held
        });
    }

    fn notify_of_revocations(&self, id: &str) {
        if let Some(watch) = self.by_cluster.get(id) {
            watch.pending_revocations.notify_one();
        }
    }

    /// Waits until a watch ends; `None` if there is none. An error means that it panicked.
    async fn join_next(&mut self) -> Option<Result<(), JoinError>> {
        let result = self.tasks.join_next_with_id().await?;
        let ended = match &result {
            Ok((task, ())) => *task,
            Err(error) => error.id(),
        };
        // A cancelled watch may end after the next one of the same cluster has started.
        self.by_cluster.retain(|_, watch| watch.task != ended);
        Some(result.map(drop))
    }
}

fn warn_on_error<T>(message: &'static str, outcome: Result<T, store::Error>) {
    if let Err(error) = outcome {
        tracing::warn!(error = &error as &dyn std::error::Error, "{message}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(running: &mut RunningWatches) {
        running.start("c-1".to_owned(), |_, _, cancel| async move { cancel.cancelled().await });
    }

    #[tokio::test]
    async fn late_end_of_a_cancelled_watch_keeps_its_successor() {
        let mut running = RunningWatches::default();
        start(&mut running);
        running.cancel_except(&[]);
        start(&mut running);
        assert!(running.join_next().await.unwrap().is_ok());
        assert_eq!(running.len(), 1);
        running.cancel_except(&[]);
        assert!(running.join_next().await.unwrap().is_ok() && running.join_next().await.is_none());
    }

    #[tokio::test]
    async fn panicked_watch_is_removed() {
        let mut running = RunningWatches::default();
        running.start("c-1".to_owned(), |_, _, _| async { panic!("out of luck") });
        assert!(running.join_next().await.unwrap().unwrap_err().is_panic());
        assert_eq!(running.len(), 0);
    }
}
