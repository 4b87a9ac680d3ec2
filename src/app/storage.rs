//! Opens the database and the encryption keys that the settings specify.

use std::path::Path;

use clock::Clock;
use secrecy::ExposeSecret as _;

use super::error::Error;
use super::files;
use crate::config::Config;
use crate::service::instance;
use crate::service::secrets::{self, Secrets};
use crate::store::{self, Store};

/// Connects to the database without changing its schema. Creates the directory of a SQLite file (0700).
pub async fn connect_store(config: &Config) -> Result<Store, Error> {
    if let Some(directory) = config.sqlite_file().as_deref().and_then(Path::parent) {
        files::create_directory(directory)?;
    }
    let options = store::Options {
        max_connections: config.database.pool,
        acquire_timeout: config.database.wait,
        ..store::Options::default()
    };
    Ok(Store::connect(config.database.url.expose_secret(), &options).await?)
}

/// Connects to the database, migrates its schema unless that is disabled, and verifies the kind of its server.
pub async fn open_store(config: &Config) -> Result<Store, Error> {
    let store = connect_store(config).await?;
    if config.database.migrate {
        store.migrate().await?;
    } else if let Some(first) = store.pending_migrations().await?.first() {
        return Err(Error::NotMigrated { first: first.clone() });
    } else {
        store.reject_newer_schema().await?;
    }
    instance::open(&store, azure_backend(config)).await?;
    Ok(store)
}

/// The backend of this server, which must be that of the database.
pub fn azure_backend(config: &Config) -> store::AzureBackend {
    if config.sandbox.is_some() { store::AzureBackend::Sandbox } else { store::AzureBackend::Azure }
}

/// Reads the encryption keys. With SQLite, a missing key file is created.
pub async fn open_secrets(config: &Config, store: &Store, clock: &Clock) -> Result<Secrets, Error> {
    // Servers that share a PostgreSQL database must use the same key; if each created one, secrets would be lost.
    let may_create = store.kind() == store::DatabaseKind::Sqlite;
    let file = &config.encryption_key_file;
    let (secrets, origin) = Secrets::open(file, may_create, store.clone(), clock.clone()).await?;
    if origin == secrets::Origin::Created {
        tracing::info!(file = %file.display(), "encryption key created; keep a copy of it apart from the database");
    }
    Ok(secrets)
}
