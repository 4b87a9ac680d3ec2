//! Wrapping all stored secrets by the active key.

use super::{ALIVE_MS, Error, Inner, cluster_context, context, needed_keys};
use crate::service::actor::Actor;
use crate::service::events::Action;
use crate::store::{self, SealedColumns};
use crate::vault::Sealed;

/// The kind of object in the audit.
const OBJECT: &str = "encryptionKey";

/// Rows per read.
const BATCH: u32 = 100;

/// Passes over the table: rows that somebody changes at the same moment are left for the next one.
const PASSES: usize = 5;

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The active key.
    pub key_id: String,
    /// Secrets that were wrapped anew.
    pub rewrapped: u64,
    /// Other keys that stored secrets still need, because servers went on sealing by them; repeat later.
    pub still_needed: Vec<String>,
}

pub(super) async fn rotate(inner: &Inner) -> Result<Rotation, Error> {
    let key_id = inner.vault.active_id();
    let now_ms = inner.clock.now_ms();
    let alive = store::replicas::seen_since(&inner.store, now_ms - ALIVE_MS).await?;
    if let Some(behind) = alive.into_iter().find(|replica| !replica.key_ids.contains(&key_id)) {
        // The clocks of two machines may differ a little.
        let seen_s = ((now_ms - behind.seen_ms) / 1_000).max(0);
        return Err(Error::ReplicaBehind { replica: behind.id, seen_s, key_id });
    }
    // Before anything changes: a rotation that is killed has its record.
    let event = Actor::command_line().event(Action::Call("rotate"), OBJECT, &key_id, &Ok(()));
    let event = event.detail("started to wrap the stored secrets with this key");
    store::events::insert(&inner.store, &event.into_row(now_ms)).await?;
    let mut rewrapped = 0;
    for _ in 0..PASSES {
        let (done, left) = pass(inner, &key_id).await?;
        let (of_clusters, left_of_clusters) = pass_clusters(inner, &key_id).await?;
        rewrapped += done + of_clusters;
        if left + left_of_clusters == 0 {
            break;
        }
    }
    let mut still_needed = needed_keys(&inner.store).await?;
    still_needed.retain(|id| *id != key_id);
    Ok(Rotation { key_id, rewrapped, still_needed })
}

/// Goes over the table once; returns how many secrets were wrapped anew, and how many changed under our hands.
async fn pass(inner: &Inner, key_id: &str) -> Result<(u64, u64), Error> {
    let (mut done, mut left) = (0, 0);
    let mut after = String::new();
    loop {
        let rows = store::credentials::sealed_by_others(&inner.store, key_id, &after, BATCH).await?;
        let Some((last, ..)) = rows.last() else { return Ok((done, left)) };
        after.clone_from(last);
        for (id, version, sealed) in &rows {
            let anew = inner.vault.rewrap(&context(id), &Sealed::from(sealed))?;
            if store::credentials::rewrap(&inner.store, id, *version, &SealedColumns::from(anew)).await? {
                done += 1;
            } else {
                left += 1;
            }
        }
    }
}

/// The same for the secrets of clusters.
async fn pass_clusters(inner: &Inner, key_id: &str) -> Result<(u64, u64), Error> {
    let (mut done, mut left) = (0, 0);
    let mut after = (String::new(), String::new());
    loop {
        let rows =
            store::cluster_secrets::sealed_by_others(&inner.store, key_id, (&after.0, &after.1), BATCH)
                .await?;
        let Some((cluster, name, _)) = rows.last() else { return Ok((done, left)) };
        after = (cluster.clone(), name.clone());
        for (cluster, name, sealed) in &rows {
            let anew = inner.vault.rewrap(&cluster_context(cluster, name), &Sealed::from(sealed))?;
            if store::cluster_secrets::rewrap(&inner.store, cluster, name, sealed, &anew.into()).await? {
                done += 1;
            } else {
                left += 1;
            }
        }
    }
}
