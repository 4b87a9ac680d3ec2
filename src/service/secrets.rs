//! Encrypts and decrypts the secrets in the database, loads the key file, and rotates its keys.
//!
//! The cryptography is in `vault`, the columns are in `store`.

mod check_values;
mod keyfile;
mod rotate;
mod snapshot;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aks::{ids, shell};
use clock::Clock;
use secrecy::SecretString;

use crate::store::{self, EncryptedColumns, NewClusterEvent, ReplicaRow, Store};
use crate::vault::{self, Fingerprinter, ReplicaKey, Sealed, Vault};

use check_values::OnMissing;
pub use keyfile::append_key;
pub use rotate::Rotation;

/// The name of a cluster's secret with this server's access to it: URL, CA and credentials.
pub const CLUSTER_ACCESS_SECRET: &str = "clusterAccess";

/// The name of a cluster's secret with the token of the service account that an earlier version created in the cluster.
pub const SERVICE_ACCOUNT_TOKEN_SECRET: &str = "serviceAccountToken";

/// The capability of servers that can access clusters without a service account, which earlier versions lack.
const CLUSTER_ACCESS_CAPABILITY: &str = "cluster-access";

/// The time after its last heartbeat during which a server is considered running.
pub(super) const HEARTBEAT_TIMEOUT_MS: i64 = 30_000;

/// The time after its last heartbeat after which the row of a server is deleted.
const REPLICA_RETENTION_MS: i64 = 24 * 3600 * 1000;

/// Errors of the key file and of stored secrets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file does not exist.
    #[error("the key file {} does not exist; create one with `norman-aks key generate --append {}`", path.display(), shell::quote(&path.display().to_string()))]
    NoFile {
        /// The path of the key file.
        path: PathBuf,
    },
    /// The key file cannot be read or created.
    #[error("the key file {} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The key file is malformed.
    #[error("the key file {} cannot be used", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: vault::Error,
    },
    /// Stored secrets need keys that the key file does not have.
    #[error(
        "stored secrets need the encryption key {}, which is not in the key file {}: restore its line",
        ids.join(", "), path.display()
    )]
    MissingKeys {
        /// The key file.
        path: PathBuf,
        /// The IDs of the missing keys.
        ids: Vec<String>,
    },
    /// A key of the key file is not the key that encrypted secrets in the database under the same ID.
    #[error(
        "the encryption key {id} in the key file {} differs from the key with this ID that encrypted this \
         database: restore its line from your backup, or give the new key a different name",
        path.display()
    )]
    WrongKey {
        /// The key file.
        path: PathBuf,
        /// The ID of the key.
        id: String,
    },
    /// A running server could not decrypt secrets after a rotation, because it lacks the active key.
    #[error(
        "the running server {replica}, last seen {seen_s} s ago, does not have the key {key_id} yet: give it the same key \
         file, then restart it or send SIGHUP; if it was killed, try again in half a minute"
    )]
    ReplicaBehind {
        /// The server.
        replica: String,
        /// The time since its last heartbeat, in seconds.
        seen_s: i64,
        /// The active key of the key file.
        key_id: String,
    },
    /// The database failed.
    #[error("the database cannot be used")]
    Store(#[from] store::Error),
    /// A secret cannot be encrypted or decrypted.
    #[error("the stored secret cannot be used")]
    Vault(#[from] vault::Error),
}

/// The origin of the key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file existed.
    Found,
    /// The file was created; the caller should tell the administrator to keep a copy.
    Created,
}

/// The secrets of a database. Clones share the keys.
#[derive(Clone)]
pub struct Secrets {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    vault: Vault,
    clock: Clock,
    path: PathBuf,
    replica: String,
    started_ms: i64,
    /// The address at which other servers connect to this one.
    address: OnceLock<String>,
}

/// The encryption context of a credential's secret. The secret can be decrypted only with the same context.
fn credential_context(credential_id: &str) -> String {
    format!("credentials/{credential_id}/clientSecret")
}

/// The encryption context of a cluster's secret.
fn cluster_context(cluster_id: &str, name: &str) -> String {
    format!("clusters/{cluster_id}/{name}")
}

/// The IDs of the keys that the secrets in the database need.
async fn needed_keys(store: &Store) -> Result<Vec<String>, store::Error> {
    let mut ids = store::credentials::key_ids(store).await?;
    ids.extend(store::cluster_secrets::key_ids(store).await?);
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

impl From<Sealed> for EncryptedColumns {
    fn from(Sealed { key_id, wrapped_key, ciphertext }: Sealed) -> Self {
        Self { key_id, wrapped_key, ciphertext }
    }
}

impl From<&EncryptedColumns> for Sealed {
    fn from(EncryptedColumns { key_id, wrapped_key, ciphertext }: &EncryptedColumns) -> Self {
        Self { key_id: key_id.clone(), wrapped_key: wrapped_key.clone(), ciphertext: ciphertext.clone() }
    }
}

impl Secrets {
    /// Reads the key file, and checks that it has every key that stored secrets need and no different key under a known ID.
    /// A missing file is created (mode 0600, one new key) if `may_create` and no stored secret needs an older key.
    ///
    /// # Errors
    /// [`Error::NoFile`], [`Error::File`], [`Error::Keys`], [`Error::MissingKeys`], [`Error::WrongKey`],
    /// [`Error::Store`].
    pub async fn open(
        path: &Path,
        may_create: bool,
        store: Store,
        clock: Clock,
    ) -> Result<(Self, Origin), Error> {
        let (vault, origin) = load_vault(path, may_create, &store, OnMissing::Write).await?;
        let inner = Inner {
            store,
            vault,
            started_ms: clock.now_ms(),
            address: OnceLock::new(),
            clock,
            path: path.to_owned(),
            replica: ids::generate_name("replica-", vault::random()),
        };
        Ok((Self { inner: Arc::new(inner) }, origin))
    }

    /// Checks the key file as [`Secrets::open`] does, without writing anything; returns the IDs of the keys, the active one
    /// first.
    ///
    /// # Errors
    /// As [`Secrets::open`].
    pub async fn inspect(path: &Path, store: &Store) -> Result<Vec<String>, Error> {
        Ok(load_vault(path, false, store, OnMissing::Leave).await?.0.key_ids())
    }

    /// Encrypts the client secret of a credential (`cc-xxxxx`).
    ///
    /// # Errors
    /// [`vault::Error::Encryption`] only.
    pub fn seal(&self, credential_id: &str, plain: &SecretString) -> Result<EncryptedColumns, vault::Error> {
        self.inner.vault.seal(&credential_context(credential_id), plain).map(EncryptedColumns::from)
    }

    /// Decrypts the client secret of a credential (`cc-xxxxx`).
    ///
    /// # Errors
    /// [`vault::Error::MissingKey`], [`vault::Error::Tampered`].
    pub fn unseal(
        &self,
        credential_id: &str,
        sealed: &EncryptedColumns,
    ) -> Result<SecretString, vault::Error> {
        self.inner.vault.open(&credential_context(credential_id), &Sealed::from(sealed))
    }

    /// Encrypts the named secret of a cluster (`c-xxxxx`) without storing it.
    ///
    /// # Errors
    /// [`vault::Error::Encryption`] only.
    pub fn seal_cluster_secret(
        &self,
        cluster_id: &str,
        name: &str,
        plain: &SecretString,
    ) -> Result<EncryptedColumns, vault::Error> {
        self.inner.vault.seal(&cluster_context(cluster_id, name), plain).map(EncryptedColumns::from)
    }

    /// Stores the named secret of a cluster (`c-xxxxx`), replacing an older one.
    ///
    /// # Errors
    /// [`Error::Vault`], [`Error::Store`]; [`store::Error::Dangling`] if the cluster does not exist.
    pub async fn store_cluster_secret(
        &self,
        cluster_id: &str,
        name: &str,
        plain: &SecretString,
    ) -> Result<(), Error> {
        let sealed = self.seal_cluster_secret(cluster_id, name, plain)?;
        let now_ms = self.inner.clock.now_ms();
        Ok(store::cluster_secrets::put(&self.inner.store, cluster_id, name, &sealed, now_ms).await?)
    }

    /// The named secret of a cluster; `None` if none is stored.
    ///
    /// # Errors
    /// [`Error::Vault`], [`Error::Store`].
    pub async fn cluster_secret(&self, cluster_id: &str, name: &str) -> Result<Option<SecretString>, Error> {
        let Some(sealed) = store::cluster_secrets::get(&self.inner.store, cluster_id, name).await? else {
            return Ok(None);
        };
        Ok(Some(self.inner.vault.open(&cluster_context(cluster_id, name), &Sealed::from(&sealed))?))
    }

    /// Whether the named secret of a cluster is stored.
    pub async fn has_cluster_secret(&self, cluster_id: &str, name: &str) -> Result<bool, store::Error> {
        Ok(store::cluster_secrets::get(&self.inner.store, cluster_id, name).await?.is_some())
    }

    /// Deletes the named secret of a cluster and writes an event, in one transaction; false if none was stored.
    pub async fn delete_cluster_secret(
        &self,
        cluster_id: &str,
        name: &str,
        event: &NewClusterEvent,
    ) -> Result<bool, store::Error> {
        store::cluster_secrets::delete_with_event(&self.inner.store, cluster_id, name, event).await
    }

    /// Reloads the key file (on SIGHUP) and publishes its key IDs to the other servers. An unusable file changes nothing.
    /// Returns the IDs of the keys, the active one first.
    ///
    /// # Errors
    /// As [`Secrets::open`].
    pub async fn reload(&self) -> Result<Vec<String>, Error> {
        let (vault, _) = load_vault(&self.inner.path, false, &self.inner.store, OnMissing::Write).await?;
        self.inner.vault.use_keys_of(&vault);
        self.heartbeat().await?;
        Ok(self.key_ids())
    }

    /// The IDs of the keys, the active one first.
    pub fn key_ids(&self) -> Vec<String> {
        self.inner.vault.key_ids()
    }

    /// The ID of the active key, which encrypts.
    pub fn active_key(&self) -> String {
        self.inner.vault.active_key_id()
    }

    /// Computes fingerprints of credentials, which are the same after a restart with the same active key.
    pub fn fingerprinter(&self) -> Fingerprinter {
        self.inner.vault.fingerprinter()
    }

    /// The ID of this replica, new at each start.
    pub fn replica(&self) -> &str {
        &self.inner.replica
    }

    /// Sets the address at which other servers connect to this one. Later calls have no effect.
    pub fn set_address(&self, address: String) {
        let _ = self.inner.address.set(address);
    }

    /// Whether the address for other servers is set.
    pub fn has_address(&self) -> bool {
        self.inner.address.get().is_some()
    }

    /// The keys with which the servers of this installation authenticate each other, the active one first.
    pub fn replica_keys(&self) -> Vec<ReplicaKey> {
        self.inner.vault.replica_keys()
    }

    /// Writes the heartbeat of this server with its key IDs. Servers call it at intervals; commands that only use the database
    /// do not.
    pub async fn heartbeat(&self) -> Result<(), store::Error> {
        let now_ms = self.inner.clock.now_ms();
        let row = ReplicaRow {
            id: self.inner.replica.clone(),
            started_ms: self.inner.started_ms,
            seen_ms: now_ms,
            key_ids: self.key_ids(),
            capabilities: vec![CLUSTER_ACCESS_CAPABILITY.to_owned()],
            address: self.inner.address.get().cloned(),
        };
        store::replicas::upsert_heartbeat(&self.inner.store, &row).await?;
        store::replicas::prune(&self.inner.store, now_ms - REPLICA_RETENTION_MS).await?;
        Ok(())
    }

    /// The ID of a running server of an earlier version, which needs the service accounts of clusters.
    pub async fn older_replica(&self) -> Result<Option<String>, store::Error> {
        let since_ms = self.inner.clock.now_ms() - HEARTBEAT_TIMEOUT_MS;
        let running = store::replicas::seen_since(&self.inner.store, since_ms).await?;
        let is_older =
            |row: &ReplicaRow| !row.capabilities.iter().any(|name| name == CLUSTER_ACCESS_CAPABILITY);
        Ok(running.into_iter().find(is_older).map(|row| row.id))
    }

    /// Deletes the heartbeat of this server when it stops.
    pub async fn delete_heartbeat(&self) -> Result<(), store::Error> {
        store::replicas::delete(&self.inner.store, &self.inner.replica).await.map(drop)
    }
}

/// Loads and checks the key file.
async fn load_vault(
    path: &Path,
    may_create: bool,
    store: &Store,
    on_missing: OnMissing,
) -> Result<(Vault, Origin), Error> {
    let needed = needed_keys(store).await?;
    let (key_ring, origin) = match keyfile::read(path) {
        Err(Error::NoFile { .. }) if may_create && needed.is_empty() => {
            (keyfile::create(path)?, Origin::Created)
        }
        Err(Error::NoFile { path }) if !needed.is_empty() => {
            return Err(Error::MissingKeys { path, ids: needed });
        }
        outcome => (outcome?, Origin::Found),
    };
    let vault = Vault::new(key_ring);
    check_needed_keys(path, &vault, needed)?;
    check_values::verify(store, &vault, path, on_missing).await?;
    Ok((vault, origin))
}

fn check_needed_keys(path: &Path, vault: &Vault, needed: Vec<String>) -> Result<(), Error> {
    let present = vault.key_ids();
    let missing: Vec<String> = needed.into_iter().filter(|id| !present.contains(id)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::MissingKeys { path: path.to_owned(), ids: missing })
}

#[cfg(test)]
mod tests;
