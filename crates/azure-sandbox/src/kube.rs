//! Inside the clusters: for every cluster that Resource Manager declares, a small Kubernetes API, with a certificate
//! authority, nodes, accounts and objects of its own. All of them are served on one port of the loopback
//! interface, over TLS; the host name that a client asks for decides which cluster answers.
//!
//! One walk, `PATCH …/deployments/web?fieldManager=me`: [`front`] finds the cluster by the name in the handshake, writes
//! the request down and lets it meet its fault; [`request`] says what is asked; [`authn`] who asks, [`authz`] whether he
//! may; [`api`] passes it on to [`mod@write`], which takes the object from [`storage`], lets [`patch`] change it and [`admit`]
//! fill it in, and keeps it; [`controllers`] then do what follows from it (pods, here), and every [`watch`] is told.
//!
//! Nothing runs inside the pods. They are scheduled, get an address, become ready and write a log.

mod accept;
mod admit;
mod api;
mod authn;
mod authority;
mod authz;
mod cluster;
mod control;
mod controllers;
mod declared;
mod delete;
mod deployments;
mod discovery;
mod entra;
mod front;
mod impersonate;
mod kubeconfig;
mod list;
mod logs;
mod nodes;
mod openapi;
mod patch;
mod pods;
mod podspec;
mod protobuf;
mod request;
mod resources;
mod reviews;
mod rules;
mod save;
mod seed;
mod select;
mod status;
mod storage;
mod tables;
mod tls;
mod tokens;
mod value;
mod watch;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use clock::Clock;
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub(crate) use control::router as control_router;
pub use declared::{Declared, DeclaredPool, Entra};
pub(crate) use front::router;
pub use save::Error;

use super::authority::Error as AuthorityError;
use super::faults::Faults;
use super::log::Log;
use super::skus::Family;
use cluster::{Cluster, Signals};
use value::Now;

/// The form of a user's kubeconfig for a cluster that Entra guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserFormat {
    /// The `azure` authentication provider that older clients had built in.
    Azure,
    /// The program `kubelogin`.
    Exec,
}

/// All Kubernetes APIs of the sandbox. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Kubes(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// By host name.
    clusters: RwLock<BTreeMap<String, Arc<Cluster>>>,
    /// Processors and memory (GiB) of a machine, by the name of its size in lower case.
    sizes: HashMap<String, (u32, f64)>,
    traffic: Mutex<Traffic>,
    signals: Arc<Signals>,
    file: save::File,
    /// Ends the streams.
    stop: CancellationToken,
}

/// What happens to requests, and which there were.
#[derive(Default)]
pub(crate) struct Traffic {
    pub(crate) faults: Faults,
    pub(crate) log: Log,
}

impl Kubes {
    /// The clusters that are kept in `folder`, or none. `stop` ends what never ends by itself.
    pub(crate) fn open(
        clock: Clock,
        folder: Option<PathBuf>,
        families: &[Family],
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let file = save::File::new(folder);
        let signals = Arc::new(Signals::default());
        let mut clusters = BTreeMap::new();
        for kept in file.read()? {
            let cluster = Cluster::restored(kept, Arc::clone(&signals))?;
            clusters.insert(cluster.host.clone(), Arc::new(cluster));
        }
        let sizes = super::skus::machines(families);
        let clusters = RwLock::new(clusters);
        Ok(Self(Arc::new(Inner { clock, clusters, sizes, traffic: Mutex::default(), signals, file, stop })))
    }

    /// Makes or updates a cluster; its nodes follow the pools.
    pub(crate) fn declare(&self, mut cluster: Declared) {
        cluster.fqdn.make_ascii_lowercase();
        let now = Now::of(&self.0.clock);
        if let Some(known) = self.cluster(&cluster.fqdn) {
            known.change(&now, |state| nodes::follow(state, cluster, &self.0.sizes, &now));
            return;
        }
        let host = cluster.fqdn.clone();
        match Cluster::new(cluster, Arc::clone(&self.0.signals), &self.0.sizes, &now) {
            Ok(cluster) => {
                self.write().insert(host, Arc::new(cluster));
            }
            Err(error) => {
                error!(host, error = &error as &dyn std::error::Error, "no authority for a cluster");
            }
        }
        // Its authority must not be another one after a crash.
        self.save();
    }

    /// Ends a cluster: its name, its objects, its credentials.
    pub(crate) fn forget(&self, fqdn: &str) {
        let gone = self.write().remove(&fqdn.to_ascii_lowercase());
        if let Some(cluster) = gone {
            cluster.end();
            self.save();
        }
    }

    /// The administrator's kubeconfig; `None` when there is no such cluster.
    pub(crate) fn admin_kubeconfig(&self, fqdn: &str, cluster_name: &str) -> Option<String> {
        Some(kubeconfig::admin(&*self.cluster(fqdn)?, cluster_name))
    }

    /// A user's kubeconfig; `None` when there is no such cluster.
    pub(crate) fn user_kubeconfig(
        &self,
        fqdn: &str,
        cluster_name: &str,
        format: UserFormat,
    ) -> Option<String> {
        Some(kubeconfig::user(&*self.cluster(fqdn)?, cluster_name, format))
    }

    /// Where a host name leads to, as it is seen from here; `None` when there is no such name.
    pub(crate) fn resolve(&self, host: &str, served: SocketAddr, closed: SocketAddr) -> Option<SocketAddr> {
        let cluster = self.cluster(host)?;
        if !cluster.is_found() {
            return None;
        }
        Some(if self.traffic().faults.refuse(&cluster.host) { closed } else { served })
    }

    /// The TLS side of the listener.
    pub(crate) fn tls(&self) -> Result<Arc<rustls::ServerConfig>, AuthorityError> {
        tls::config(self)
    }

    /// Lets pods start and namespaces end, and keeps what has changed, until the sandbox stops.
    pub(crate) async fn run(self) {
        tokio::join!(controllers::run(&self), save::run(&self));
    }

    /// The certificate of the cluster of that name, while it runs and takes connections.
    fn certificate(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let cluster = self.cluster(host)?;
        let served = cluster.state().declared.running && !self.traffic().faults.refuse(&cluster.host);
        served.then(|| Arc::clone(&cluster.authority().server))
    }

    fn cluster(&self, host: &str) -> Option<Arc<Cluster>> {
        let clusters = self.0.clusters.read().unwrap_or_else(PoisonError::into_inner);
        clusters.get(&host.to_ascii_lowercase()).cloned()
    }

    fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.0.clusters.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, Arc<Cluster>>> {
        self.0.clusters.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.0.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        Now::of(&self.0.clock)
    }
}
