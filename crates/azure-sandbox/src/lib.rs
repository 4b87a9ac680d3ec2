//! What stands in for Azure: Microsoft Entra and Azure Resource Manager in three clouds, over TLS with a
//! certificate authority of its own, under Azure's own host names. The client resolves those names
//! ([`Sandbox::hosts`]) to [`Sandbox::address`] and trusts [`Sandbox::authority_pem`]; nothing else differs.
//!
//! It knows nothing of `azure` and `domain` on purpose: a misspelt field would agree with itself. The accounts
//! are in [`seed`].
//!
//! It can be changed: resource groups, networks, workspaces, clusters and their pools live as in Azure, through long
//! operations that take seconds instead of minutes ([`Times`]). What goes on follows from the clock, and what was
//! changed outlives a restart ([`Options::state_dir`]).
//!
//! The control API, plain HTTP on a loopback port of its own, JSON; errors are `{"error": text}`:
//!
//! | request | what it does |
//! |---|---|
//! | `GET /requests`, `DELETE /requests` | the last 10,000 requests ([`Seen`]); forget them |
//! | `GET /writes` | those of Resource Manager that were no GET or HEAD, with their bodies |
//! | `GET /faults`, `POST /faults`, `DELETE /faults` | the faults in force; add one ([`Fault`]); end all |
//! | `GET /times`, `PUT /times` | how long things take ([`Times`]); what is left out stays. `{"scale": 0}`: no time at all |
//! | `GET /outcomes`, `POST /outcomes`, `DELETE /outcomes` | how long operations are to end ([`Ending`]) |
//! | `GET /quotas/{subscription}`, `PUT /quotas/{subscription}` | limits that were changed; change one ([`Quota`]) |
//! | `GET /accounts` | the accounts, with their secrets ([`Account`]) |
//! | `GET /paging`, `PUT /paging` | `{"items": 2}`: items on a page; `null` for all |
//! | `PUT /plays/{subscription}/{route}` | answer a route with a list of [`Page`]s ([`Control::play`]) |
//! | `PUT /plays/{subscription}` | the same for several routes: `{route: [page, …]}` |
//! | `POST /logins` | decide what a secret gets ([`Login`]) |
//! | `DELETE /tokens` | make all tokens invalid |
//! | `GET /kubernetes/clusters` | the clusters with a Kubernetes API, and whether their names are found from here |
//! | `PUT /kubernetes/clusters/{fqdn}`, `DELETE …` | make or update one by hand ([`Declared`]); end it |
//! | `GET /kubernetes/clusters/{fqdn}/kubeconfig` | a kubeconfig that works on this machine |
//! | `PUT /kubernetes/clusters/{fqdn}/reachable` | `{"reachable": true}`: its name is found from here, or not |
//! | `POST /kubernetes/clusters/{fqdn}/certificates` | `{}`: replace all its certificates and tokens; `{"client_days": 10}`: only issue another client certificate |
//! | `GET /kubernetes/faults`, `POST …`, `DELETE …` | as `/faults`, for requests to Kubernetes |
//! | `GET /kubernetes/requests`, `DELETE …` | as `/requests`, for requests to Kubernetes |
//!
//! For example: `{"operation": "skus", "times": 2, "effect": {"status": {"status": 503, "retry_after": "1"}}}`,
//! `{"path": "virtualNetworks", "latency_ms": 3000}`, `{"effect": "cut_in_body"}`,
//! `{"operation": "managedCluster", "method": "PUT", "effect": "cut_after_taken"}` as faults;
//! `{"deed": "createCluster", "times": 1, "code": "CreateVMSSAgentPoolFailed", "message": "no room"}` as an outcome.

mod answer;
mod arm;
mod authority;
mod clouds;
mod control;
mod data;
mod declare;
mod endings;
mod entra;
mod faults;
mod files;
mod front;
mod holdings;
mod instructions;
mod json;
mod keep;
mod kube;
mod log;
mod play;
mod request;
pub mod seed;
mod skus;
mod stock;
mod times;
mod versions;
mod world;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::error;

pub use authority::Error as AuthorityError;
use authority::StoredAuthority;
pub use clouds::Cloud;
pub use control::{Control, ImpossibleTimes, PLAYED_TENANT, Quota, Unplayable};
pub use data::Error as DataError;
pub use endings::{Ending, Final};
pub use faults::{Effect, Fault, Refusal};
pub use holdings::Deed;
pub use keep::Error as StateError;
pub use kube::{Declared, DeclaredPool, Entra, Error as KubernetesError, UserFormat};
pub use log::Seen;
pub use play::{Login, Operation, Outcome, Page};
pub use seed::{Account, Seed};
pub use times::Times;

use kube::Kubes;

/// Any free port of the loopback interface.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long a stop waits for requests that are still being answered.
const DRAIN: Duration = Duration::from_secs(1);
/// How often somebody looks after long operations that nobody asks about.
const LOOK: Duration = Duration::from_millis(250);

/// How a sandbox is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where Azure is served, over TLS; port 0 for any free one.
    pub listen: SocketAddr,
    /// Where the control API is served, over plain HTTP; a loopback address, or nowhere.
    pub control_listen: Option<SocketAddr>,
    /// The clock by which tokens expire and requests are dated.
    pub clock: Clock,
    /// How long things take.
    pub times: Times,
    /// The folder that keeps the certificate authority and everything that was changed, in Azure and inside of the
    /// clusters, for the next start; `None` keeps nothing. It has to exist.
    pub state_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            control_listen: None,
            clock: Clock::system(),
            times: Times::default(),
            state_dir: None,
        }
    }
}

/// A sandbox that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be used.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Whoever reaches the control API steers the sandbox: it stays on this machine.
    #[error("the control API listens on loopback addresses only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The certificate authority cannot be made or used.
    #[error("the sandbox has no certificate")]
    Authority(#[from] AuthorityError),
    /// What was kept of the clusters cannot be used.
    #[error("the sandbox has no clusters")]
    Kubernetes(#[from] KubernetesError),
    /// The times cannot be.
    #[error("the sandbox cannot keep these times")]
    Times(#[from] ImpossibleTimes),
    /// What an earlier start has left cannot be used.
    #[error("the sandbox cannot go on where it was")]
    State(#[from] StateError),
    /// The built-in data is broken.
    #[error("the sandbox has no data")]
    Data(#[from] DataError),
}

/// Gives the address of a host name; `None` when the name does not exist.
pub type Resolver = Arc<dyn Fn(&str) -> Option<SocketAddr> + Send + Sync>;

/// A running sandbox. Dropping it ends it; [`Sandbox::stop`] also waits for the end.
pub struct Sandbox {
    address: SocketAddr,
    control_address: Option<SocketAddr>,
    kubernetes_address: SocketAddr,
    /// A port that is taken, but on which nobody listens: connections to it are refused.
    closed: Arc<(TcpSocket, SocketAddr)>,
    authority: StoredAuthority,
    control: Control,
    tasks: TaskTracker,
    stop: DropGuard,
}

impl Sandbox {
    /// Starts a sandbox on the running tokio runtime.
    ///
    /// # Errors
    /// When an address is taken or not allowed, or the stored authority cannot be used.
    pub async fn start(options: Options) -> Result<Self, Error> {
        if let Some(address) = options.control_listen.filter(|address| !address.ip().is_loopback()) {
            return Err(Error::NotLoopback(address));
        }
        let catalog = data::Catalog::load()?;
        let folder = options.state_dir.as_deref();
        let stored = folder.map(StoredAuthority::read).transpose()?.flatten();
        let authority = stored.map_or_else(StoredAuthority::generate, StoredAuthority::renewed)?;
        if let Some(folder) = folder {
            authority.write(folder)?;
        }
        let tls = authority.server()?;
        if !options.times.is_possible() {
            return Err(ImpossibleTimes.into());
        }
        let keeper = options.state_dir.as_deref().map(keep::Keeper::new);
        let kept = keeper.as_ref().map(keep::Keeper::read).transpose()?.unwrap_or_default();
        let stop = CancellationToken::new();
        let kubes = Kubes::open(options.clock.clone(), options.state_dir, &catalog.families, stop.clone())?;
        let world = world::World::new(catalog, options.clock, options.times, keeper, kept, kubes.clone());
        let world = Arc::new(world);
        let control = Control { world: Arc::clone(&world) };
        let (listener, address) = bind(options.listen).await?;
        let control_listener = match options.control_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let (kubernetes, kubernetes_address) = bind(ANY_PORT).await?;
        // Nobody else set it.
        let _ = world.kubernetes_address.set(kubernetes_address);
        let closed = Arc::new(closed_port()?);
        let tasks = TaskTracker::new();
        let limits = serve::Options { drain: DRAIN, ..serve::Options::default() };
        let azure = front::router(Arc::clone(&world));
        tasks.spawn(watched(serve::serve(listener, Some(tls), azure, stop.clone(), limits.clone())));
        let (tls, inside) = (kubes.tls()?, kube::router(world));
        tasks.spawn(watched(serve::serve(kubernetes, Some(tls), inside, stop.clone(), limits.clone())));
        tasks.spawn(kubes.run());
        let control_address = control_listener.as_ref().map(|(_, address)| *address);
        if let Some((listener, _)) = control_listener {
            let strings = control::router(control.clone());
            tasks.spawn(watched(serve::serve(listener, None, strings, stop.clone(), limits)));
        }
        tasks.spawn(settling(Arc::clone(&control.world), stop.clone()));
        tasks.close();
        let stop = stop.drop_guard();
        Ok(Self { address, control_address, kubernetes_address, closed, authority, control, tasks, stop })
    }

    /// Where all host names of [`Sandbox::hosts`] are served, over TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the control API is served, when it is.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control_address
    }

    /// Where the Kubernetes APIs of all clusters are served, over TLS; the name in the handshake decides which.
    pub fn kubernetes_address(&self) -> SocketAddr {
        self.kubernetes_address
    }

    /// Where the host name of a cluster's Kubernetes API leads to, as seen from here; `None` when there is no such name:
    /// for clusters that are unknown, stopped, or private.
    pub fn kubernetes_resolver(&self) -> Resolver {
        let (served, closed) = (self.kubernetes_address, Arc::clone(&self.closed));
        let kubes = self.control.world.kubes.clone();
        Arc::new(move |host| kubes.resolve(host, served, closed.1))
    }

    /// The certificate that clients have to trust, PEM.
    pub fn authority_pem(&self) -> &str {
        &self.authority.certificate
    }

    /// The file of that certificate in [`Options::state_dir`].
    pub fn authority_file(state_dir: &Path) -> PathBuf {
        StoredAuthority::certificate_file(state_dir)
    }

    /// What a server on this machine needs to serve TLS to those who trust [`Sandbox::authority_pem`], under
    /// `localhost`, `127.0.0.1` and `::1`.
    ///
    /// # Errors
    /// When the authority cannot be used.
    pub fn loopback_tls(&self) -> Result<Arc<rustls::ServerConfig>, Error> {
        Ok(self.authority.loopback()?)
    }

    /// The host names of Entra and Resource Manager in the three clouds.
    pub fn hosts() -> &'static [&'static str] {
        &clouds::HOSTS
    }

    /// The account that is ready to use, and what it finds.
    pub fn seed() -> Seed {
        seed::SEED
    }

    /// The control API, in process.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Stops, after the requests that are being answered, but at most a second later.
    pub async fn stop(self) {
        drop(self.stop);
        self.tasks.wait().await;
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// A port on which connections are refused, as long as the socket is kept.
fn closed_port() -> Result<(TcpSocket, SocketAddr), Error> {
    let taken = || {
        let socket = TcpSocket::new_v4()?;
        socket.bind(ANY_PORT)?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    };
    taken().map_err(|source| Error::Listen { address: ANY_PORT, source })
}

/// Lets the Kubernetes APIs follow, while long operations are under way that nobody asks about.
async fn settling(world: Arc<world::World>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = world.begun.notified() => {}
        }
        loop {
            let under_way = world.settle(&mut world.state());
            if !under_way {
                break;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

async fn watched(serving: impl Future<Output = io::Result<()>>) {
    if let Err(error) = serving.await {
        error!(%error, "the sandbox's listener failed");
    }
}
