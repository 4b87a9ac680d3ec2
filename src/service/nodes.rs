//! The nodes of clusters, read with this server's own access, so that every role sees the same nodes.
//!
//! They are read in the background. A caller waits at most [`MAX_WAIT`] and then receives the cached nodes, if any. After a
//! failure, a cluster is not read for a while. The cache is bounded in bytes.

use std::sync::Arc;
use std::time::Duration;

use aks::nodes::Node;
use azure::SharedTask;
use clock::Clock;
use cluster_access::{Access, ClusterAccess};
use moka::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::base::Base;
use super::clusters::Cluster;
use super::server_access::{self, ServerAccess};
use super::single_flight::InFlightTasks;

/// The maximum wait of a caller, so that a request takes less than two seconds.
const MAX_WAIT: Duration = Duration::from_millis(1_800);
/// The time for which nodes are fresh.
const TTL_MS: i64 = 10_000;
/// The time for which a cluster is not read after a failure.
const RETRY_DELAY_MS: i64 = 15_000;
/// The time for which cached nodes are listed if the cluster no longer responds.
const MAX_STALENESS_MS: i64 = 3_600_000;
/// The capacity of the cache in bytes.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// The time after which unused nodes are evicted.
const CACHE_IDLE_TTL: Duration = Duration::from_mins(30);
/// The maximum number of clusters that are read at the same time.
const MAX_CONCURRENT_READS: usize = 8;
/// The maximum number of reads, including those that wait.
const MAX_READS: usize = 1_000;

const READS_METRIC: &str = "norman_aks_node_reads_total";
const BYTES_METRIC: &str = "norman_aks_node_cache_bytes";

/// The nodes of one cluster.
pub type NodeList = Arc<[Node]>;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Access(#[from] Arc<server_access::Error>),
    #[error(transparent)]
    Cluster(#[from] cluster_access::Error),
}

/// The nodes of clusters. Clones share everything.
#[derive(Clone)]
pub struct Nodes {
    inner: Arc<Inner>,
}

struct Inner {
    server_access: ServerAccess,
    cluster_access: ClusterAccess,
    clock: Clock,
    cache: Cache<String, Arc<Entry>>,
    /// The clusters that are being read.
    reads: InFlightTasks<String, ()>,
    permits: Semaphore,
}

/// The cache entry of one cluster.
#[derive(Default)]
struct Entry {
    nodes: NodeList,
    /// The time at which the nodes were read.
    read_ms: Option<i64>,
    /// The time of the last read, if that failed.
    failed_ms: Option<i64>,
}

impl Entry {
    /// Whether the nodes are fresh, or the last read failed too recently to be repeated.
    fn needs_no_read(&self, now_ms: i64) -> bool {
        let within = |since: Option<i64>, limit_ms| since.is_some_and(|since| now_ms - since < limit_ms);
        within(self.failed_ms, RETRY_DELAY_MS) || (self.failed_ms.is_none() && within(self.read_ms, TTL_MS))
    }

    /// The approximate size in bytes: 256 for the entry itself, and the nodes.
    fn weight(&self) -> u32 {
        let bytes = 256 + self.nodes.iter().map(Node::weight).sum::<usize>();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

impl Nodes {
    /// The nodes of the clusters that `server_access` reaches.
    pub fn new(base: &Base, server_access: ServerAccess) -> Self {
        for outcome in ["done", "failed", "skipped"] {
            metrics::counter!(READS_METRIC, "outcome" => outcome).increment(0);
        }
        metrics::gauge!(BYTES_METRIC).set(0.0);
        let cache = Cache::builder()
            .weigher(|id: &String, entry: &Arc<Entry>| {
                entry.weight().saturating_add(u32::try_from(id.len()).unwrap_or(u32::MAX))
            })
            .max_capacity(CACHE_BYTES)
            .time_to_idle(CACHE_IDLE_TTL)
            .build();
        let inner = Inner {
            server_access,
            cluster_access: base.cluster_access.clone(),
            clock: base.clock.clone(),
            cache,
            reads: InFlightTasks::default(),
            permits: Semaphore::new(MAX_CONCURRENT_READS),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The nodes of each of these clusters. Reads those that are not fresh, and waits for them up to [`MAX_WAIT`] in total.
    pub async fn list(&self, clusters: &[Cluster]) -> Vec<NodeList> {
        let deadline = Instant::now() + MAX_WAIT;
        let reads: Vec<_> = clusters.iter().filter_map(|cluster| self.start_read_if_stale(cluster)).collect();
        for read in reads {
            timeout_at(deadline, read.outcome()).await.ok();
        }
        clusters.iter().map(|cluster| self.inner.cached(&cluster.id)).collect()
    }

    /// Reads the nodes of a cluster that has just changed, with access that works. Returns immediately.
    pub fn refresh(&self, cluster_id: &str, access: Arc<Access>) {
        let cluster_access = self.inner.cluster_access.clone();
        drop(self.start_read(cluster_id, async move { Ok(cluster_access.nodes(&access).await?) }));
    }

    /// Starts to read the nodes of a cluster, or joins a read in flight; `None` if the nodes need not or cannot be read now.
    fn start_read_if_stale(&self, cluster: &Cluster) -> Option<SharedTask<()>> {
        let inner = &self.inner;
        // A cluster that was never connected has no nodes that could be read.
        cluster.status.api_endpoint.as_ref()?;
        if inner.cache.get(&cluster.id).is_some_and(|entry| entry.needs_no_read(inner.clock.now_ms())) {
            return None;
        }
        if let Some(read) = inner.reads.get(&cluster.id) {
            return Some(read);
        }
        let (inner, owned_cluster) = (Arc::clone(inner), cluster.clone());
        self.start_read(&cluster.id, async move { inner.read(&owned_cluster).await })
    }

    /// Starts `read`, or joins a read in flight; `None` if too many reads are in flight.
    fn start_read(
        &self,
        cluster_id: &str,
        read: impl Future<Output = Result<Vec<Node>, Error>> + Send + 'static,
    ) -> Option<SharedTask<()>> {
        let key = cluster_id.to_owned();
        if self.inner.reads.len() >= MAX_READS && self.inner.reads.get(&key).is_none() {
            metrics::counter!(READS_METRIC, "outcome" => "skipped").increment(1);
            return None;
        }
        let (inner, inner_for_outcome, id) = (Arc::clone(&self.inner), Arc::clone(&self.inner), key.clone());
        let read = async move {
            let _permit = inner.permits.acquire().await;
            read.await
        };
        Some(self.inner.reads.join(
            &key,
            || None,
            || read,
            move |outcome, _| inner_for_outcome.record_outcome(&id, outcome),
        ))
    }
}

impl Inner {
    /// Reads the nodes, and repeats the request with renewed access if the cluster rejects this server's.
    async fn read(&self, cluster: &Cluster) -> Result<Vec<Node>, Error> {
        let access = self.server_access.access(cluster).await?;
        match self.cluster_access.nodes(&access).await {
            Err(error) if error.is_access_outdated() => {
                let renewed = self.server_access.renew(cluster, &access).await?;
                Ok(self.cluster_access.nodes(&renewed).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    fn record_outcome(&self, cluster_id: &str, outcome: Result<Vec<Node>, Error>) {
        let now_ms = self.clock.now_ms();
        let (entry, label) = match outcome {
            Ok(nodes) => (Entry { nodes: nodes.into(), read_ms: Some(now_ms), failed_ms: None }, "done"),
            Err(error) => {
                let cause = &error as &dyn std::error::Error;
                tracing::debug!(cluster = cluster_id, error = cause, "cannot read the nodes of a cluster");
                let cached = self.cache.get(cluster_id);
                let (nodes, read_ms) =
                    cached.map(|entry| (Arc::clone(&entry.nodes), entry.read_ms)).unwrap_or_default();
                (Entry { nodes, read_ms, failed_ms: Some(now_ms) }, "failed")
            }
        };
        metrics::counter!(READS_METRIC, "outcome" => label).increment(1);
        self.cache.insert(cluster_id.to_owned(), Arc::new(entry));
        #[expect(clippy::cast_precision_loss, reason = "a cache of 2^53 bytes does not exist")]
        metrics::gauge!(BYTES_METRIC).set(self.cache.weighted_size() as f64);
    }

    fn cached(&self, cluster_id: &str) -> NodeList {
        let now_ms = self.clock.now_ms();
        let entry = self.cache.get(cluster_id);
        let entry = entry.filter(|entry| {
            entry.read_ms.is_some_and(|read_ms| now_ms.saturating_sub(read_ms) < MAX_STALENESS_MS)
        });
        entry.map(|entry| Arc::clone(&entry.nodes)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(read_ms: Option<i64>, failed_ms: Option<i64>) -> Entry {
        Entry { nodes: NodeList::default(), read_ms, failed_ms }
    }

    #[test]
    fn nodes_are_read_when_stale_or_after_the_retry_delay() {
        for (entry, now_ms, expected) in [
            (entry(None, None), 0, false),
            (entry(Some(0), None), TTL_MS - 1, true),
            (entry(Some(0), None), TTL_MS, false),
            (entry(Some(0), Some(0)), TTL_MS, true),
            (entry(Some(1), Some(0)), RETRY_DELAY_MS, false),
        ] {
            assert_eq!(entry.needs_no_read(now_ms), expected, "{now_ms}");
        }
    }

    #[test]
    fn weight_grows_with_the_nodes() {
        let nodes: NodeList = vec![Node::default(); 10].into();
        assert!(Entry { nodes, read_ms: None, failed_ms: None }.weight() > 10_000);
    }
}
