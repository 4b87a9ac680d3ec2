//! The Kubernetes APIs of all clusters.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use clock::Clock;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::cluster::{Cluster, Signals, StoredCluster, Unstarted};
use super::declared::Declared;
use super::kubeconfig::{self, UserFormat};
use super::nodes;
use super::runtime::Runtime;
use super::value::Now;
use crate::authority;
use crate::faults::Faults;
use crate::log::Log;
use crate::program::BuiltInImage;
use crate::skus::family::Family;
use crate::state_file::{self, StateFile};

/// The name of the state file. Only the owner can read the file: it contains the private keys of all clusters.
const FILE_NAME: &str = "sandbox-kubernetes.json";

/// Errors of the stored clusters.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state file cannot be used.
    #[error("cannot use the stored clusters")]
    File(#[from] state_file::Error),
    /// The certificate authority of a cluster cannot be used.
    #[error("cannot use the certificate authority of a cluster")]
    Authority(#[from] authority::Error),
}

/// The Kubernetes APIs of the sandbox. Clones share them.
#[derive(Clone)]
pub(crate) struct KubeClusters(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// By host name.
    clusters: RwLock<BTreeMap<String, Entry>>,
    /// vCPUs and memory (GiB) by lower-case VM size.
    sizes: HashMap<String, (u32, f64)>,
    runtime: Runtime,
    traffic: Mutex<Traffic>,
    signals: Arc<Signals>,
    file: Option<StateFile<StoredClusters>>,
    /// Held while the file is written.
    write_lock: Mutex<()>,
    /// Cancelled when the sandbox stops; ends all streams.
    stop: CancellationToken,
}

/// A cluster starts when it is first used: a sandbox has many clusters, and most are only listed.
#[derive(Clone)]
enum Entry {
    Unstarted(Unstarted),
    Started(Arc<Cluster>),
}

impl Entry {
    /// The declaration, and whether the host name resolves.
    fn declared(self) -> (Declared, bool) {
        let (declared, reachable) = match self {
            Self::Unstarted(cluster) => (cluster.declared, None),
            Self::Started(cluster) => {
                let state = cluster.state();
                (state.declared.clone(), state.reachable)
            }
        };
        let is_resolvable = declared.is_resolvable(reachable);
        (declared, is_resolvable)
    }
}

/// The faults for requests to Kubernetes, and the log of these requests.
#[derive(Default)]
pub(crate) struct Traffic {
    pub(crate) faults: Faults,
    pub(crate) faults_cleared: watch::Sender<()>,
    pub(crate) log: Log,
}

/// The content of the state file.
#[derive(Default, Serialize, Deserialize)]
struct StoredClusters {
    clusters: Vec<StoredCluster>,
    #[serde(default)]
    unstarted: Vec<Unstarted>,
}

impl KubeClusters {
    /// Loads the clusters that are stored in `directory`, if any. Cancelling `stop` ends all streams.
    pub(crate) fn open(
        clock: Clock,
        directory: Option<&Path>,
        families: &[Family],
        images: Vec<BuiltInImage>,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let file = directory.map(|directory| StateFile::new(directory, FILE_NAME));
        let stored: StoredClusters = file.as_ref().map(StateFile::read).transpose()?.unwrap_or_default();
        let signals = Arc::new(Signals::default());
        let mut clusters = BTreeMap::new();
        for stored in stored.clusters {
            let cluster = Cluster::restore(stored, Arc::clone(&signals))?;
            clusters.insert(cluster.host.clone(), Entry::Started(Arc::new(cluster)));
        }
        for cluster in stored.unstarted {
            clusters.insert(cluster.declared.fqdn.clone(), Entry::Unstarted(cluster));
        }
        let sizes = crate::skus::family::machine_sizes(families);
        let (traffic, write_lock, runtime) = (Mutex::default(), Mutex::default(), Runtime::new(images));
        let clusters = RwLock::new(clusters);
        Ok(Self(Arc::new(Inner {
            clock,
            clusters,
            sizes,
            runtime,
            traffic,
            signals,
            file,
            write_lock,
            stop,
        })))
    }

    /// Creates or updates a cluster and its nodes.
    pub(crate) fn declare(&self, mut cluster: Declared) {
        cluster.fqdn.make_ascii_lowercase();
        let now = self.now();
        let mut clusters = self.write();
        match clusters.get_mut(&cluster.fqdn) {
            Some(Entry::Started(started)) => {
                let started = Arc::clone(started);
                drop(clusters);
                started.change(&now, |state| nodes::update(state, cluster, &self.0.sizes, &now));
            }
            Some(Entry::Unstarted(unstarted)) if unstarted.declared == cluster => {}
            Some(Entry::Unstarted(unstarted)) => {
                unstarted.declared = cluster;
                self.signals().request_save();
            }
            None => {
                let unstarted = Unstarted { created_ms: now.ms, declared: cluster };
                clusters.insert(unstarted.declared.fqdn.clone(), Entry::Unstarted(unstarted));
                self.signals().request_save();
            }
        }
    }

    /// Deletes a cluster with its objects and credentials.
    pub(crate) fn remove(&self, fqdn: &str) {
        let removed = self.write().remove(&fqdn.to_ascii_lowercase());
        if let Some(Entry::Started(cluster)) = &removed {
            cluster.end_streams();
            self.runtime().wake.notify_one();
        }
        if removed.is_some() {
            self.save();
        }
    }

    /// The administrator's kubeconfig; `None` if the cluster does not exist.
    pub(crate) fn admin_kubeconfig(&self, fqdn: &str, cluster_name: &str) -> Option<String> {
        Some(kubeconfig::admin(&*self.cluster(fqdn)?, cluster_name))
    }

    /// A user's kubeconfig; `None` if the cluster does not exist.
    pub(crate) fn user_kubeconfig(
        &self,
        fqdn: &str,
        cluster_name: &str,
        format: UserFormat,
    ) -> Option<String> {
        Some(kubeconfig::user(&*self.cluster(fqdn)?, cluster_name, format))
    }

    /// Resolves a host name: to `closed_port` while connections are refused, otherwise to `served_port`; `None` if it does not
    /// resolve.
    pub(crate) fn resolve(
        &self,
        host: &str,
        served_port: SocketAddr,
        closed_port: SocketAddr,
    ) -> Option<SocketAddr> {
        let (declared, is_resolvable) = self.find_declared(host)?;
        is_resolvable.then(|| {
            if self.traffic().faults.refuses_connections(&declared.fqdn) { closed_port } else { served_port }
        })
    }

    /// Whether a cluster runs and accepts connections.
    pub(crate) fn is_served(&self, host: &str) -> bool {
        let is_running = self.find_declared(host).is_some_and(|(declared, _)| declared.running);
        is_running && !self.traffic().faults.refuses_connections(host)
    }

    /// The server certificate of a running cluster that accepts connections.
    pub(crate) fn certificate(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let cluster = self.cluster(host).filter(|cluster| self.is_served(&cluster.host))?;
        Some(Arc::clone(&cluster.authority().server))
    }

    /// The cluster with this host name; starts it if necessary.
    pub(crate) fn cluster(&self, host: &str) -> Option<Arc<Cluster>> {
        let host = host.to_ascii_lowercase();
        let started = match self.read().get(&host)? {
            Entry::Started(cluster) => Some(Arc::clone(cluster)),
            Entry::Unstarted(_) => None,
        };
        started.or_else(|| self.start(&host))
    }

    fn start(&self, host: &str) -> Option<Arc<Cluster>> {
        let mut clusters = self.write();
        let entry = clusters.get_mut(host)?;
        let unstarted = match entry {
            // Another thread has started it.
            Entry::Started(cluster) => return Some(Arc::clone(cluster)),
            Entry::Unstarted(unstarted) => unstarted.clone(),
        };
        let cluster = match Cluster::new(unstarted, Arc::clone(&self.0.signals), &self.0.sizes) {
            Ok(cluster) => Arc::new(cluster),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                error!(host, error, "cannot create the authority of a cluster");
                return None;
            }
        };
        *entry = Entry::Started(Arc::clone(&cluster));
        drop(clusters);
        // The authority must survive a crash.
        self.save();
        Some(cluster)
    }

    /// The clusters that are started.
    pub(crate) fn started(&self) -> Vec<Arc<Cluster>> {
        let to_started = |entry: &Entry| match entry {
            Entry::Started(cluster) => Some(Arc::clone(cluster)),
            Entry::Unstarted(_) => None,
        };
        self.read().values().filter_map(to_started).collect()
    }

    /// The declarations of all clusters, each with whether its host name resolves.
    pub(crate) fn declared(&self) -> Vec<(Declared, bool)> {
        self.entries().into_iter().map(Entry::declared).collect()
    }

    /// The declaration of a cluster, without starting it, and whether its host name resolves.
    pub(crate) fn find_declared(&self, host: &str) -> Option<(Declared, bool)> {
        let entry = self.read().get(&host.to_ascii_lowercase())?.clone();
        Some(entry.declared())
    }

    /// Copies of the entries, so that no caller waits for the lock of a cluster while holding this lock.
    fn entries(&self) -> Vec<Entry> {
        self.read().values().cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Entry>> {
        self.0.clusters.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Entry>> {
        self.0.clusters.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.0.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The containers that run programs.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    pub(crate) fn now(&self) -> Now {
        Now::from_clock(&self.0.clock)
    }

    pub(crate) fn signals(&self) -> &Signals {
        &self.0.signals
    }

    /// Cancelled when the sandbox stops.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    pub(crate) fn has_state_file(&self) -> bool {
        self.0.file.is_some()
    }

    /// Writes the state file.
    pub(crate) fn save(&self) {
        let Some(file) = &self.0.file else { return };
        let _guard = self.0.write_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let change_count = *self.0.signals.change_count.borrow();
        let mut stored = StoredClusters::default();
        for entry in self.entries() {
            match entry {
                Entry::Started(cluster) => stored.clusters.push(cluster.to_stored()),
                Entry::Unstarted(cluster) => stored.unstarted.push(cluster),
            }
        }
        if let Err(error) = file.write(&stored) {
            // The sandbox continues with its state in memory.
            error!(path = %file.path().display(), %error, "cannot store the clusters");
        }
        self.0.signals.saved_count.send_replace(change_count);
    }

    /// Waits until all changes so far are written.
    pub(crate) async fn saved(&self) {
        if self.0.file.is_none() {
            return;
        }
        let change_count = *self.0.signals.change_count.borrow();
        let mut saved_count = self.0.signals.saved_count.subscribe();
        // An error is impossible: the sender lives as long as `self`.
        let _ = saved_count.wait_for(|saved_count| *saved_count >= change_count).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::declared::DeclaredPool;
    use crate::kube::pods::is_ready;
    use crate::kube::resources::{NODES, PODS};

    const HOST: &str = "a.hcp.eastus.azmk8s.io";

    fn open(directory: &Path, now_ms: i64) -> KubeClusters {
        let (clock, stop) = (Clock::manual(now_ms), CancellationToken::new());
        KubeClusters::open(clock, Some(directory), &[], Vec::new(), stop).unwrap()
    }

    #[test]
    fn clusters_start_when_they_are_used_and_survive_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let kube = open(directory.path(), 1_000);
        let pools = vec![DeclaredPool { name: "system".to_owned(), count: 2, ..Default::default() }];
        let declared = Declared { fqdn: HOST.to_owned(), running: true, pools, ..Declared::default() };
        kube.declare(declared.clone());
        assert!(kube.is_served(HOST) && kube.exists(HOST) && kube.started().is_empty());
        kube.save();

        let kube = open(directory.path(), 9_000);
        assert_eq!((kube.declared(), kube.started().len()), (vec![(declared, true)], 0));
        let certificate = kube.cluster(HOST).unwrap().authority().stored.certificate.clone();
        let cluster = kube.started().remove(0);
        let state = cluster.state();
        let created: Vec<_> =
            state.all(&NODES).iter().map(|node| node["metadata"]["creationTimestamp"].clone()).collect();
        assert_eq!(created, ["1970-01-01T00:00:01Z"; 2], "the time of the declaration");
        let pods = state.all(&PODS);
        assert!(!pods.is_empty() && pods.iter().all(|pod| is_ready(pod)), "{pods:#?}");

        let restored = open(directory.path(), 9_000).started().remove(0);
        assert_eq!(restored.authority().stored.certificate, certificate, "saved when it started");
    }
}
