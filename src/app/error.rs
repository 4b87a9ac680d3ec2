//! Why the server cannot start, or stopped.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::{service, store};

/// A part that cannot be put together, or that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder cannot be made.
    #[error("the folder {} cannot be made", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file cannot be read or written.
    #[error("the file {} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}; is something else running there? --listen takes another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The certificate or key of the TLS listener cannot be used.
    #[error("the TLS certificate {} or its key cannot be used", path.display())]
    Tls {
        /// The certificate file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another server uses the SQLite database.
    #[error(
        "the database {} is in use by another server ({holder}); stop that one first, or use PostgreSQL for several \
         servers",
        database.display()
    )]
    DatabaseInUse {
        /// The file of the database.
        database: PathBuf,
        /// Host, process id and start time of the other server.
        holder: String,
    },
    /// The lock of the SQLite database cannot be taken.
    #[error(
        "cannot lock {}; SQLite needs a local file system that has file locks, on others use PostgreSQL",
        path.display()
    )]
    DatabaseLock {
        /// The lock file, or the database.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The schema is older than the program, and migrating is switched off.
    #[error("the database lacks the migration {first}: run `norman-aks migrate`, or leave out --no-migrate")]
    NotMigrated {
        /// The first that is missing.
        first: String,
    },
    /// A use case failed.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// The sandbox's own token is not accepted.
    #[error(transparent)]
    Token(#[from] service::tokens::AuthError),
    /// The encryption keys cannot be used.
    #[error(transparent)]
    Secrets(#[from] service::secrets::Error),
    /// The client of Azure cannot be built.
    #[error(transparent)]
    Azure(#[from] azure::BuildError),
    /// The built-in Azure cannot be started.
    #[cfg(feature = "sandbox")]
    #[error("the built-in Azure cannot be started")]
    Sandbox(#[from] azure_sandbox::Error),
    /// This build has no built-in Azure.
    #[cfg(not(feature = "sandbox"))]
    #[error(
        "this norman-aks was built without the sandbox, as the container image is; build it with \
         `cargo build --release`, or run the program azure-sandbox"
    )]
    NoSandbox,
    /// Logs or metrics cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] crate::telemetry::Error),
    /// A listener stopped by itself.
    #[error("a listener failed")]
    Serve(#[source] io::Error),
}
