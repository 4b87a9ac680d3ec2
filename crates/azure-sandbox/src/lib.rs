//! A simulated Azure: Microsoft Entra and Azure Resource Manager in three clouds, under Azure's host names, over TLS with
//! its own certificate authority. Clients resolve those names ([`Sandbox::hosts`]) to [`Sandbox::address`] and
//! trust [`Sandbox::authority_pem`]; nothing else differs.
//!
//! It does not use the crates `azure` and `aks`: with shared types, a misspelled field would go unnoticed. The accounts
//! are in [`seed`].
//!
//! Resource groups, networks, workspaces, clusters and their pools change as in Azure, by long-running operations that
//! take seconds instead of minutes ([`Timing`]). Their progress depends on the clock only, and changes survive a restart
//! ([`Options::state_dir`]).
//!
//! The control API, JSON over plain HTTP on a separate loopback port, is described in `docs/sandbox.md`.

mod arm;
mod authority;
mod budget;
mod clouds;
mod control;
mod data;
mod declare;
mod entra;
mod faults;
mod files;
mod instructions;
mod json;
mod kube;
mod log;
mod operation;
mod outcomes;
mod program;
mod recordings;
mod request;
mod response;
mod roles;
mod run_command;
mod script;
pub mod seed;
mod server;
mod skus;
mod state;
mod state_file;
mod subscription;
mod templates;
mod timing;
mod versions;

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
pub use budget::{Bucket, RequestBudget};
pub use clouds::Cloud;
pub use control::kubernetes::PodNetwork;
pub use control::{Control, InvalidRecording, InvalidTimeScale, Quota};
pub use data::Error as DataError;
pub use faults::{Effect, ErrorResponse, Fault};
pub use kube::clusters::Error as KubernetesError;
pub use kube::declared::{Declared, DeclaredPool, Entra};
pub use log::RecordedRequest;
pub use operation::{FinalStatus, OperationKind};
pub use outcomes::ScriptedOutcome;
pub use program::{BuiltInImage, Connect, Container, Program};
pub use recordings::{Login, Operation, Outcome, Page};
pub use roles::{Role, RoleAssignment};
pub use seed::{Account, Seed};
pub use state::PLAYED_TENANT;
pub use state_file::Error as StateError;
pub use timing::Timing;

use kube::clusters::KubeClusters;
use state::SandboxState;
use state_file::StateFile;

/// The file with the state of Azure; the Kubernetes APIs have a separate file.
const AZURE_STATE_FILE: &str = "sandbox-azure.json";

/// Any free port of the loopback interface.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The grace period of running requests at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// The interval at which running operations are advanced without requests.
const ADVANCE_INTERVAL: Duration = Duration::from_millis(250);

/// The options of a sandbox.
#[derive(Clone, Debug)]
pub struct Options {
    /// The TLS address of Azure; port 0 for any free one.
    pub listen: SocketAddr,
    /// The HTTP address of the control API, which must be loopback.
    pub control_listen: Option<SocketAddr>,
    /// The clock of tokens, operations and logs.
    pub clock: Clock,
    /// The durations of operations.
    pub timing: Timing,
    /// The existing directory for the certificate authority and the state; `None` stores nothing.
    pub state_dir: Option<PathBuf>,
    /// The images that contain a built-in program; containers with other images run nothing.
    pub images: Vec<BuiltInImage>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            control_listen: None,
            clock: Clock::system(),
            timing: Timing::default(),
            state_dir: None,
            images: Vec::new(),
        }
    }
}

/// Errors of a [`Sandbox`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The control API has no authentication.
    #[error("the control API listens on loopback addresses only, not on {0}")]
    NotLoopback(SocketAddr),
    #[error("cannot set up the sandbox's certificate")]
    Authority(#[from] AuthorityError),
    #[error("cannot set up the Kubernetes clusters")]
    Kubernetes(#[from] KubernetesError),
    #[error("invalid timing")]
    Timing(#[from] InvalidTimeScale),
    #[error("cannot restore the state of the sandbox")]
    State(#[from] StateError),
    #[error("cannot load the built-in data")]
    Data(#[from] DataError),
}

/// Resolves a host name; `None` if it does not exist.
pub type Resolver = Arc<dyn Fn(&str) -> Option<SocketAddr> + Send + Sync>;

/// A running sandbox. Dropping it stops it; [`Sandbox::stop`] also waits.
pub struct Sandbox {
    address: SocketAddr,
    control_address: Option<SocketAddr>,
    kubernetes_address: SocketAddr,
    closed_port: Arc<ClosedPort>,
    authority: StoredAuthority,
    control: Control,
    tasks: TaskTracker,
    stop: DropGuard,
}

impl Sandbox {
    /// Starts a sandbox on the running tokio runtime.
    ///
    /// # Errors
    /// If an address, the stored authority or the stored state cannot be used.
    pub async fn start(options: Options) -> Result<Self, Error> {
        if let Some(address) = options.control_listen.filter(|address| !address.ip().is_loopback()) {
            return Err(Error::NotLoopback(address));
        }
        let catalog = data::Catalog::load()?;
        let directory = options.state_dir.as_deref();
        let stored = directory.map(StoredAuthority::read).transpose()?.flatten();
        let authority = stored.map_or_else(StoredAuthority::generate, StoredAuthority::renew)?;
        if let Some(directory) = directory {
            authority.write(directory)?;
        }
        let tls = authority.server_tls()?;
        if !options.timing.is_valid() {
            return Err(InvalidTimeScale.into());
        }
        let file = directory.map(|directory| StateFile::new(directory, AZURE_STATE_FILE));
        let stored = file.as_ref().map(StateFile::read).transpose()?.unwrap_or_default();
        let stop = CancellationToken::new();
        let (clock, images) = (options.clock, options.images);
        let kube = KubeClusters::open(clock.clone(), directory, &catalog.families, images, stop.clone())?;
        let sandbox = SandboxState::new(catalog, clock, options.timing, file, stored, kube.clone());
        let sandbox = Arc::new(sandbox);
        let control = Control { sandbox: Arc::clone(&sandbox) };
        let (listener, address) = bind(options.listen).await?;
        let control_listener = match options.control_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let (kubernetes_listener, kubernetes_address) = bind(ANY_PORT).await?;
        kube.runtime().network.set_kubernetes_address(kubernetes_address);
        let closed_port = Arc::new(ClosedPort::bind()?);
        let tasks = TaskTracker::new();
        let limits = serve::Options { drain: SHUTDOWN_GRACE, ..serve::Options::default() };
        let azure = server::router(Arc::clone(&sandbox));
        tasks.spawn(log_failure(serve::serve(listener, Some(tls), azure, stop.clone(), limits.clone())));
        let lookup = Arc::clone(&sandbox);
        let entra = Arc::new(move |token: &str| lookup.entra_caller(&lookup.state().tokens, token));
        let (tls, kubernetes_router) = (kube::tls::config(&kube)?, kube::server::router(kube.clone(), entra));
        tasks.spawn(log_failure(serve::serve(
            kubernetes_listener,
            Some(tls),
            kubernetes_router,
            stop.clone(),
            limits.clone(),
        )));
        tasks.spawn(kube::background::run(kube));
        let control_address = control_listener.as_ref().map(|(_, address)| *address);
        if let Some((listener, _)) = control_listener {
            let routes = control::http::router(control.clone());
            tasks.spawn(log_failure(serve::serve(listener, None, routes, stop.clone(), limits)));
        }
        tasks.spawn(advance_operations(Arc::clone(&control.sandbox), stop.clone()));
        tasks.close();
        let stop = stop.drop_guard();
        Ok(Self {
            address,
            control_address,
            kubernetes_address,
            closed_port,
            authority,
            control,
            tasks,
            stop,
        })
    }

    /// The TLS address of all host names of [`Sandbox::hosts`].
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the control API, if it is enabled.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control_address
    }

    /// The TLS address of all Kubernetes APIs; the server name selects the cluster.
    pub fn kubernetes_address(&self) -> SocketAddr {
        self.kubernetes_address
    }

    /// A resolver of cluster host names. The names of unknown, stopped and private clusters do not resolve; while a fault
    /// refuses connections, names resolve to a closed port.
    pub fn kubernetes_resolver(&self) -> Resolver {
        let (kubernetes_address, closed_port) = (self.kubernetes_address, Arc::clone(&self.closed_port));
        let kube = self.control.sandbox.kube.clone();
        Arc::new(move |host| kube.resolve(host, kubernetes_address, closed_port.address))
    }

    /// The certificate authority that clients must trust, PEM.
    pub fn authority_pem(&self) -> &str {
        &self.authority.certificate
    }

    /// The file of the certificate authority in [`Options::state_dir`].
    pub fn authority_file(state_dir: &Path) -> PathBuf {
        StoredAuthority::certificate_file(state_dir)
    }

    /// A TLS configuration of the sandbox's authority for `localhost`, `127.0.0.1` and `::1`.
    ///
    /// # Errors
    /// If the authority cannot be used.
    pub fn loopback_tls(&self) -> Result<Arc<rustls::ServerConfig>, Error> {
        Ok(self.authority.loopback_tls()?)
    }

    /// The host names of Entra and Resource Manager in the three clouds.
    pub fn hosts() -> &'static [&'static str] {
        &clouds::HOSTS
    }

    /// The account `ready` and its resources.
    pub fn seed() -> Seed {
        seed::SEED
    }

    /// The control API, in process.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Stops, and waits at most a second for running requests.
    pub async fn stop(self) {
        drop(self.stop);
        self.tasks.wait().await;
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let to_error = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(to_error)?;
    let bound = listener.local_addr().map_err(to_error)?;
    Ok((listener, bound))
}

/// A bound port without a listener: connections to it are refused while the socket exists.
struct ClosedPort {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl ClosedPort {
    fn bind() -> Result<Self, Error> {
        let bind_socket = || {
            let socket = TcpSocket::new_v4()?;
            socket.bind(ANY_PORT)?;
            Ok(Self { address: socket.local_addr()?, _socket: socket })
        };
        bind_socket().map_err(|source| Error::Listen { address: ANY_PORT, source })
    }
}

/// Advances running operations even if no requests arrive, so that the Kubernetes APIs are updated.
async fn advance_operations(sandbox: Arc<SandboxState>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sandbox.operation_started.notified() => {}
        }
        loop {
            if !sandbox.advance(&mut sandbox.state()) {
                break;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(ADVANCE_INTERVAL) => {}
            }
        }
    }
}

async fn log_failure(serving: impl Future<Output = io::Result<()>>) {
    if let Err(error) = serving.await {
        error!(%error, "the sandbox's listener failed");
    }
}
