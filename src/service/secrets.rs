//! Secrets in rows: sealing and opening them, the key file they depend on, and changing its key.
//!
//! The cryptography is in `vault`, the columns in `store`; this is where they meet.

mod check_values;
mod keyfile;
mod rotate;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aks::{ids, shell};
use clock::Clock;
use secrecy::SecretString;

use crate::store::{self, NewClusterEvent, ReplicaRow, SealedColumns, Store};
use crate::vault::{self, ReplicaKey, Sealed, Vault};

use check_values::Missing;
pub use keyfile::append_key;
pub use rotate::Rotation;

/// The secret of a cluster that holds this server's access to it: address, authority and sign-in.
pub const CLUSTER_ACCESS: &str = "clusterAccess";

/// The secret of a cluster that is the token of the service account which an earlier version made in it.
pub const SERVICE_ACCOUNT_TOKEN: &str = "serviceAccountToken";

/// What this version can do, and earlier ones cannot: enter clusters without a service account.
const CLUSTER_ACCESS_CAPABILITY: &str = "cluster-access";

/// How long after its last sign of life a server counts as running.
pub(super) const ALIVE_MS: i64 = 30_000;

/// How long after its last sign of life a server's row is kept.
const FORGOTTEN_MS: i64 = 24 * 3600 * 1000;

/// Why secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no key file where one must be.
    #[error("there is no key file {}; make one with `norman-aks key generate --append {}`", path.display(), shell::quoted(&path.display().to_string()))]
    NoFile {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The key file cannot be read or made.
    #[error("the key file {} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The key file has no usable text.
    #[error("the key file {} cannot be used", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: vault::Error,
    },
    /// Stored secrets need keys that the key file does not have.
    #[error(
        "stored secrets need the encryption key {}, which is not in the key file {}: put back its line",
        ids.join(", "), path.display()
    )]
    MissingKeys {
        /// The key file.
        path: PathBuf,
        /// The names of the missing keys.
        ids: Vec<String>,
    },
    /// A key of the key file is not the one that the database knows by its name.
    #[error(
        "the encryption key {id} in the key file {} is another key than the one of that name that this database was \
         written with: put back its line from your backup, or give a new key a name of its own",
        path.display()
    )]
    WrongKey {
        /// The key file.
        path: PathBuf,
        /// The name of the key.
        id: String,
    },
    /// A running server could not open what would be wrapped anew.
    #[error(
        "the running server {replica}, last seen {seen_s} s ago, does not know the key {key_id} yet: give it the same key \
         file and restart it or send it SIGHUP; if it was killed, try again in half a minute"
    )]
    ReplicaBehind {
        /// The server.
        replica: String,
        /// How long ago it gave its last sign of life, in seconds.
        seen_s: i64,
        /// The active key of our key file.
        key_id: String,
    },
    /// The database failed.
    #[error("the database cannot be used")]
    Store(#[from] store::Error),
    /// A secret cannot be sealed or opened.
    #[error("the stored secret cannot be used")]
    Vault(#[from] vault::Error),
}

/// Where the key file came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Found,
    /// It was made just now: the user should hear of it, and keep a copy.
    Made,
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
    /// Where other servers connect to this one.
    address: OnceLock<String>,
}

/// What a secret is bound to: it opens nowhere else.
fn context(credential_id: &str) -> String {
    format!("credentials/{credential_id}/clientSecret")
}

/// The same for a secret of a cluster.
fn cluster_context(cluster_id: &str, name: &str) -> String {
    format!("clusters/{cluster_id}/{name}")
}

/// The encryption keys that anything in the database needs.
async fn needed_keys(store: &Store) -> Result<Vec<String>, store::Error> {
    let mut ids = store::credentials::key_ids(store).await?;
    ids.extend(store::cluster_secrets::key_ids(store).await?);
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

impl From<Sealed> for SealedColumns {
    fn from(Sealed { key_id, wrapped_key, ciphertext }: Sealed) -> Self {
        Self { key_id, wrapped_key, ciphertext }
    }
}

impl From<&SealedColumns> for Sealed {
    fn from(SealedColumns { key_id, wrapped_key, ciphertext }: &SealedColumns) -> Self {
        Self { key_id: key_id.clone(), wrapped_key: wrapped_key.clone(), ciphertext: ciphertext.clone() }
    }
}

impl Secrets {
    /// Reads the key file and makes sure that it has every key that stored secrets need, and no other key under a known
    /// name. A missing file is made (mode 0600, one new key) when `may_create` and no stored secret needs an older key.
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
        let (vault, origin) = load(path, may_create, &store, Missing::Write).await?;
        let inner = Inner {
            store,
            vault,
            started_ms: clock.now_ms(),
            address: OnceLock::new(),
            clock,
            path: path.to_owned(),
            replica: ids::generated("replica-", vault::random()),
        };
        Ok((Self { inner: Arc::new(inner) }, origin))
    }

    /// Holds the key file against the database as [`Secrets::open`] does, without writing anything; returns the names of
    /// the keys, the active one first.
    ///
    /// # Errors
    /// As [`Secrets::open`].
    pub async fn inspect(path: &Path, store: &Store) -> Result<Vec<String>, Error> {
        Ok(load(path, false, store, Missing::Leave).await?.0.key_ids())
    }

    /// Seals the client secret of a credential (`cc-xxxxx`).
    ///
    /// # Errors
    /// [`vault::Error::Broken`] only.
    pub fn seal(&self, credential_id: &str, plain: &SecretString) -> Result<SealedColumns, vault::Error> {
        self.inner.vault.seal(&context(credential_id), plain).map(SealedColumns::from)
    }

    /// Opens the client secret of a credential (`cc-xxxxx`).
    ///
    /// # Errors
    /// [`vault::Error::MissingKey`], [`vault::Error::Tampered`].
    pub fn unseal(&self, credential_id: &str, sealed: &SealedColumns) -> Result<SecretString, vault::Error> {
        self.inner.vault.open(&context(credential_id), &Sealed::from(sealed))
    }

    /// Seals a secret of a cluster (`c-xxxxx`) for keeping under a name, without keeping it.
    ///
    /// # Errors
    /// [`vault::Error::Broken`] only.
    pub fn seal_for_cluster(
        &self,
        cluster_id: &str,
        name: &str,
        plain: &SecretString,
    ) -> Result<SealedColumns, vault::Error> {
        self.inner.vault.seal(&cluster_context(cluster_id, name), plain).map(SealedColumns::from)
    }

    /// Keeps a secret of a cluster (`c-xxxxx`) under a name, in place of an older one.
    ///
    /// # Errors
    /// [`Error::Vault`], [`Error::Store`]; [`store::Error::Dangling`] when there is no such cluster.
    pub async fn keep_for_cluster(
        &self,
        cluster_id: &str,
        name: &str,
        plain: &SecretString,
    ) -> Result<(), Error> {
        let sealed = self.seal_for_cluster(cluster_id, name, plain)?;
        let now_ms = self.inner.clock.now_ms();
        Ok(store::cluster_secrets::put(&self.inner.store, cluster_id, name, &sealed, now_ms).await?)
    }

    /// Reads a secret of a cluster; `None` when none of that name was kept.
    ///
    /// # Errors
    /// [`Error::Vault`], [`Error::Store`].
    pub async fn of_cluster(&self, cluster_id: &str, name: &str) -> Result<Option<SecretString>, Error> {
        let Some(sealed) = store::cluster_secrets::get(&self.inner.store, cluster_id, name).await? else {
            return Ok(None);
        };
        Ok(Some(self.inner.vault.open(&cluster_context(cluster_id, name), &Sealed::from(&sealed))?))
    }

    /// Whether a cluster has a secret of that name.
    pub async fn has_of_cluster(&self, cluster_id: &str, name: &str) -> Result<bool, store::Error> {
        Ok(store::cluster_secrets::get(&self.inner.store, cluster_id, name).await?.is_some())
    }

    /// Removes a secret of a cluster and tells of it with an event, both or neither; false when there was none.
    pub async fn remove_of_cluster(
        &self,
        cluster_id: &str,
        name: &str,
        event: &NewClusterEvent,
    ) -> Result<bool, store::Error> {
        store::cluster_secrets::delete_with_event(&self.inner.store, cluster_id, name, event).await
    }

    /// Reads the key file again (on SIGHUP) and tells the other servers at once. An unusable file changes nothing.
    /// Returns the names of the keys, the active one first.
    ///
    /// # Errors
    /// As [`Secrets::open`].
    pub async fn reload(&self) -> Result<Vec<String>, Error> {
        let (vault, _) = load(&self.inner.path, false, &self.inner.store, Missing::Write).await?;
        self.inner.vault.adopt(&vault);
        self.heartbeat().await?;
        Ok(self.key_ids())
    }

    /// The names of the known keys, the active one first.
    pub fn key_ids(&self) -> Vec<String> {
        self.inner.vault.key_ids()
    }

    /// This server's name among the replicas: new at each start.
    pub fn replica(&self) -> &str {
        &self.inner.replica
    }

    /// Sets where other servers connect to this one. Only the first call counts.
    pub fn set_address(&self, address: String) {
        let _ = self.inner.address.set(address);
    }

    /// Whether other servers can connect to this one.
    pub fn has_address(&self) -> bool {
        self.inner.address.get().is_some()
    }

    /// The keys by which the servers of this installation know each other, the active one first.
    pub fn replica_keys(&self) -> Vec<ReplicaKey> {
        self.inner.vault.replica_keys()
    }

    /// A sign of life with the keys that this server knows; every 10 s. A command that only uses the database gives none.
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
        store::replicas::put(&self.inner.store, &row).await?;
        store::replicas::prune(&self.inner.store, now_ms - FORGOTTEN_MS).await?;
        Ok(())
    }

    /// A running server of a version that cannot enter clusters without their service account, by name.
    pub async fn older_replica(&self) -> Result<Option<String>, store::Error> {
        let since_ms = self.inner.clock.now_ms() - ALIVE_MS;
        let alive = store::replicas::seen_since(&self.inner.store, since_ms).await?;
        let is_older =
            |row: &ReplicaRow| !row.capabilities.iter().any(|known| known == CLUSTER_ACCESS_CAPABILITY);
        Ok(alive.into_iter().find(is_older).map(|row| row.id))
    }

    /// The last sign of life, when this server stops.
    pub async fn farewell(&self) -> Result<(), store::Error> {
        store::replicas::delete(&self.inner.store, &self.inner.replica).await.map(drop)
    }

    /// Wraps every stored secret by the active key of the key file; the other keys are no longer needed then.
    ///
    /// # Errors
    /// [`Error::ReplicaBehind`] before anything is changed; [`Error::Vault`] when a secret cannot be opened: what was
    /// wrapped anew until then stays so, and a repetition goes on from there.
    pub async fn rotate(&self) -> Result<Rotation, Error> {
        rotate::rotate(&self.inner).await
    }
}

/// The keys of the key file, once they are known to be the right ones.
async fn load(
    path: &Path,
    may_create: bool,
    store: &Store,
    missing: Missing,
) -> Result<(Vault, Origin), Error> {
    let needed = needed_keys(store).await?;
    let (ring, origin) = match keyfile::read(path) {
        Err(Error::NoFile { .. }) if may_create && needed.is_empty() => (keyfile::make(path)?, Origin::Made),
        Err(Error::NoFile { path }) if !needed.is_empty() => {
            return Err(Error::MissingKeys { path, ids: needed });
        }
        outcome => (outcome?, Origin::Found),
    };
    let vault = Vault::new(ring);
    require(path, &vault, needed)?;
    check_values::verify(store, &vault, path, missing).await?;
    Ok((vault, origin))
}

fn require(path: &Path, vault: &Vault, needed: Vec<String>) -> Result<(), Error> {
    let known = vault.key_ids();
    let missing: Vec<String> = needed.into_iter().filter(|id| !known.contains(id)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::MissingKeys { path: path.to_owned(), ids: missing })
}

#[cfg(test)]
mod tests;
