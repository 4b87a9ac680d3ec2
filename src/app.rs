//! Stands in for the composition root while it is being written: only the database is put together here.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret as _;

use crate::config::{Config, Warning};
use crate::store::{self, Store};

/// A part that cannot be put together or that stopped.
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
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The part is not there yet.
    #[error("{0} is not part of this build")]
    NotBuilt(&'static str),
}

/// Connects the database, without touching its schema. Makes the folders of a SQLite file (0700).
pub async fn connect_store(config: &Config) -> Result<Store, Error> {
    if let Some(folder) = config.sqlite_file().as_deref().and_then(Path::parent) {
        make_folder(folder).map_err(|source| Error::Folder { path: folder.to_owned(), source })?;
    }
    let options = store::Options { connections: config.database.pool, acquire: config.database.wait };
    Ok(Store::connect(config.database.url.expose_secret(), &options).await?)
}

/// Connects the database, brings its schema up to date unless that is switched off, and holds it to its kind.
pub async fn open_store(config: &Config) -> Result<Store, Error> {
    let store = connect_store(config).await?;
    if config.database.migrate {
        store.migrate().await?;
    }
    store.stamp(stamp(config)).await?;
    Ok(store)
}

/// The kind of server that these settings make.
pub fn stamp(config: &Config) -> store::Stamp {
    if config.sandbox.is_some() { store::Stamp::Sandbox } else { store::Stamp::Azure }
}

/// Runs the server until it is told to stop.
#[expect(clippy::unused_async, reason = "the real one waits")]
pub async fn serve(_: Config, _: Vec<Warning>) -> Result<(), Error> {
    Err(Error::NotBuilt("the server"))
}

/// Runs the built-in Azure by itself until it is told to stop.
pub async fn sandbox(_: Config) -> Result<(), Error> {
    Err(Error::NotBuilt("the sandbox"))
}

/// Whether a host of Azure answers, and how fast.
#[derive(Debug)]
pub struct Reach {
    /// The host's name.
    pub host: String,
    /// The time to its answer, whatever it says, or why none came.
    pub outcome: Result<Duration, Box<dyn std::error::Error + Send + Sync>>,
}

/// Tries the login and Resource Manager hosts of the three clouds at once.
#[expect(clippy::unused_async, reason = "the real one waits")]
pub async fn check_reach(_: &Config) -> Result<Vec<Reach>, Error> {
    Err(Error::NotBuilt("the Azure client"))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
