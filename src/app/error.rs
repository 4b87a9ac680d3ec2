//! Errors of starting and running the server and the agent.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::{service, store};

/// An error that prevents the server or the agent from starting, or stops it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot create directory {}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("cannot use file {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot listen on {address}; if another program uses it, choose another address with --listen")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot use TLS certificate {} or its key", path.display())]
    Tls { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot create the certificate of the listener for other servers (--internal-listen)")]
    InternalTls,
    #[error(
        "database {} is in use by another server ({holder}); stop it first, or use PostgreSQL for several servers",
        database.display()
    )]
    DatabaseInUse { database: PathBuf, holder: String },
    #[error(
        "cannot lock {}; SQLite requires a local file system with file locks, otherwise use PostgreSQL",
        path.display()
    )]
    DatabaseLock { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the database lacks the migration {first}; run `norman-aks migrate`, or remove --no-migrate")]
    NotMigrated { first: String },
    #[error(transparent)]
    Service(#[from] service::Error),
    #[error(transparent)]
    Token(#[from] service::tokens::AuthError),
    #[error(transparent)]
    Secrets(#[from] service::secrets::Error),
    #[error("invalid settings of Rancher")]
    Rancher(#[from] crate::rancher::BuildError),
    #[error(transparent)]
    Azure(#[from] azure::BuildError),
    #[cfg(feature = "sandbox")]
    #[error("cannot start the simulated Azure")]
    Sandbox(#[from] azure_sandbox::Error),
    #[error(
        "this norman-aks was built without the sandbox, as the container image is; build it with \
         `cargo build --release`, or run the program azure-sandbox"
    )]
    NoSandbox,
    #[error("invalid settings of the agent")]
    AgentSettings(#[from] agent::SettingsError),
    #[error(transparent)]
    Agent(#[from] agent::RunError),
    #[error(transparent)]
    Telemetry(#[from] crate::telemetry::Error),
    #[error("a listener failed")]
    Serve(#[source] io::Error),
}
