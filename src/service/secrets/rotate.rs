//! Re-encrypts the data keys of all stored secrets with the active key.

use super::{Error, HEARTBEAT_TIMEOUT_MS, Inner, Secrets, cluster_context, credential_context, needed_keys};
use crate::service::actor::Actor;
use crate::service::audit::Action;
use crate::store::{self, EncryptedColumns};
use crate::vault::Sealed;

/// The type of object in the audit log.
const OBJECT_TYPE: &str = "encryptionKey";

/// The maximum number of rows per query.
const BATCH_SIZE: u32 = 100;

/// The maximum number of passes over the tables. Rows that change concurrently are processed in the next pass.
const MAX_PASSES: usize = 5;

/// The result of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The active key.
    pub key_id: String,
    /// The number of re-encrypted secrets.
    pub rewrapped: u64,
    /// Other keys that stored secrets still need, because servers encrypted with them during the rotation. Rotate again later.
    pub still_needed: Vec<String>,
}

impl Secrets {
    /// Re-encrypts the data keys of all stored secrets with the active key of the key file, so that the other keys are no
    /// longer needed.
    ///
    /// # Errors
    /// [`Error::ReplicaBehind`], before anything is changed. [`Error::Vault`] if a secret cannot be decrypted: earlier secrets
    /// stay re-encrypted, and the next rotation continues from there.
    pub async fn rotate(&self) -> Result<Rotation, Error> {
        let inner = &self.inner;
        let key_id = inner.vault.active_key_id();
        let now_ms = inner.clock.now_ms();
        let running = store::replicas::seen_since(&inner.store, now_ms - HEARTBEAT_TIMEOUT_MS).await?;
        if let Some(behind) = running.into_iter().find(|replica| !replica.key_ids.contains(&key_id)) {
            // Not negative, although the clocks of two machines may differ.
            let seen_s = ((now_ms - behind.seen_ms) / 1_000).max(0);
            return Err(Error::ReplicaBehind { replica: behind.id, seen_s, key_id });
        }
        // Recorded before any change, so that the audit log contains a rotation that is killed.
        let (by, detail) = (Actor::command_line(), "started to wrap the stored secrets with this key");
        let audit = by.audit_with_detail(Action::Call("rotate"), OBJECT_TYPE, &key_id, detail, now_ms);
        store::audit::insert(&inner.store, &audit).await?;
        let mut rewrapped = 0;
        for _ in 0..MAX_PASSES {
            let (credentials_done, credentials_skipped) = rewrap_credentials(inner, &key_id).await?;
            let (clusters_done, clusters_skipped) = rewrap_cluster_secrets(inner, &key_id).await?;
            rewrapped += credentials_done + clusters_done;
            if credentials_skipped + clusters_skipped == 0 {
                break;
            }
        }
        let mut still_needed = needed_keys(&inner.store).await?;
        still_needed.retain(|id| *id != key_id);
        Ok(Rotation { key_id, rewrapped, still_needed })
    }
}

/// One pass over the credentials; returns the number of re-encrypted secrets, and of those that changed concurrently.
async fn rewrap_credentials(inner: &Inner, key_id: &str) -> Result<(u64, u64), Error> {
    let (mut done, mut skipped) = (0, 0);
    let mut after = String::new();
    loop {
        let rows = store::credentials::sealed_by_others(&inner.store, key_id, &after, BATCH_SIZE).await?;
        let Some((last, ..)) = rows.last() else { return Ok((done, skipped)) };
        after.clone_from(last);
        for (id, version, sealed) in &rows {
            let rewrapped = inner.vault.rewrap(&credential_context(id), &Sealed::from(sealed))?;
            if store::credentials::rewrap(&inner.store, id, *version, &EncryptedColumns::from(rewrapped))
                .await?
            {
                done += 1;
            } else {
                skipped += 1;
            }
        }
    }
}

/// One pass over the secrets of clusters, as [`rewrap_credentials`].
async fn rewrap_cluster_secrets(inner: &Inner, key_id: &str) -> Result<(u64, u64), Error> {
    let (mut done, mut skipped) = (0, 0);
    let mut after = (String::new(), String::new());
    loop {
        let rows =
            store::cluster_secrets::sealed_by_others(&inner.store, key_id, (&after.0, &after.1), BATCH_SIZE)
                .await?;
        let Some((cluster, name, _)) = rows.last() else { return Ok((done, skipped)) };
        after = (cluster.clone(), name.clone());
        for (cluster, name, sealed) in &rows {
            let rewrapped = inner.vault.rewrap(&cluster_context(cluster, name), &Sealed::from(sealed))?;
            if store::cluster_secrets::rewrap(&inner.store, cluster, name, sealed, &rewrapped.into()).await? {
                done += 1;
            } else {
                skipped += 1;
            }
        }
    }
}
