//! The lists that are saved for the next process, as bytes: the length of the index, the index in JSON, and the bodies in all
//! their codings. `app` encrypts snapshots, writes and reads their file, and discards those of other versions of the program.

use std::sync::Arc;

use azure::{Cloud, Fingerprint};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Listings;
use super::cache::Cache;
use super::encoded::{Coding, Encoded, Tag};
use super::kind::{Key, Kind};
use super::loaded::{Loaded, TypedList};

/// The length of the prefix, which contains the length of the index.
const PREFIX_LEN: usize = 4;

/// A snapshot that is not in the format of this version.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSnapshot {
    #[error("it is incomplete")]
    Incomplete,
    #[error("its index cannot be read")]
    Index(#[from] serde_json::Error),
    #[error("it contains an unknown list")]
    UnknownList,
}

/// The result of restoring a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The number of lists that were added to the cache.
    pub lists: usize,
    /// The number of lists that are too old to be served, or from the future.
    pub expired: usize,
}

/// An entry without its bodies. `L` is a list, or a reference to one.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct SavedEntry<L> {
    cloud: String,
    subscription: String,
    fingerprint: [u8; 32],
    kind: String,
    scope: String,
    /// The time at which the list was loaded.
    at_ms: i64,
    tag: Tag,
    /// The lengths of the body, its gzip form and its zstd form; 0 for none.
    lengths: [usize; 3],
    list: L,
}

impl Listings {
    /// The number of changes so far of lists that [`Listings::snapshot`] contains.
    pub fn snapshot_changes(&self) -> u64 {
        self.cache.changes()
    }

    /// The cached lists of what Azure offers, for [`Listings::restore`] in the next process. Contains no secret.
    pub fn snapshot(&self) -> Vec<u8> {
        encode(&self.cache.saved())
    }

    /// Adds the lists of a snapshot to the cache. Each one is served only after its credential has logged in, or while the
    /// login service does not respond.
    pub fn restore(&self, snapshot: &[u8]) -> Result<Restored, InvalidSnapshot> {
        restore(&self.cache, snapshot)
    }
}

fn encode(entries: &[(Key, i64, Arc<Loaded>)]) -> Vec<u8> {
    let saved: Vec<_> = entries.iter().filter_map(to_saved).collect();
    let index: Vec<_> = saved.iter().map(|(entry, _)| entry).collect();
    // Serializing strings and numbers cannot fail.
    let index = serde_json::to_vec(&index).unwrap_or_default();
    let bodies = saved.iter().flat_map(|(_, bodies)| bodies).flatten();
    let total_len = PREFIX_LEN + index.len() + bodies.clone().map(|body| body.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(total_len + SEAL_OVERHEAD);
    bytes.extend_from_slice(&u32::try_from(index.len()).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(&index);
    bodies.for_each(|body| bytes.extend_from_slice(body));
    bytes
}

/// Spare capacity, so that encryption in place need not copy the snapshot.
const SEAL_OVERHEAD: usize = 64;

/// The body, its gzip form and its zstd form.
type Bodies<'a> = [Option<&'a Bytes>; 3];

fn to_saved((key, at_ms, loaded): &(Key, i64, Arc<Loaded>)) -> Option<(SavedEntry<&TypedList>, Bodies<'_>)> {
    let Loaded::Body { body, list } = &**loaded else { return None };
    let bodies = [Coding::Identity, Coding::Gzip, Coding::Zstd]
        .map(|coding| body.get(coding).map(|representation| &representation.body));
    let entry = SavedEntry {
        cloud: key.cloud.environment().to_owned(),
        subscription: key.subscription.clone(),
        fingerprint: key.fingerprint.0,
        kind: key.kind.name().to_owned(),
        scope: key.scope.as_ref().to_owned(),
        at_ms: *at_ms,
        tag: *body.tag(),
        lengths: bodies.map(|body| body.map_or(0, Bytes::len)),
        list,
    };
    Some((entry, bodies))
}

/// Adds the entries of a snapshot to the cache, all or none.
fn restore(cache: &Cache, snapshot: &[u8]) -> Result<Restored, InvalidSnapshot> {
    let entries = decode(snapshot)?;
    let total = entries.len();
    let restored = entries
        .into_iter()
        .filter_map(|(key, at_ms, loaded)| cache.restore(key, at_ms, loaded).then_some(()));
    let lists = restored.count();
    cache.update_size();
    Ok(Restored { lists, expired: total - lists })
}

fn decode(snapshot: &[u8]) -> Result<Vec<(Key, i64, Loaded)>, InvalidSnapshot> {
    let (prefix, rest) = snapshot.split_first_chunk::<PREFIX_LEN>().ok_or(InvalidSnapshot::Incomplete)?;
    let index_len = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
    let (index, mut bodies) = rest.split_at_checked(index_len).ok_or(InvalidSnapshot::Incomplete)?;
    let index: Vec<SavedEntry<TypedList>> = serde_json::from_slice(index)?;
    index.into_iter().map(|entry| from_saved(entry, &mut bodies)).collect()
}

/// Converts an entry; takes its bodies from the start of `bodies`.
fn from_saved(
    entry: SavedEntry<TypedList>,
    bodies: &mut &[u8],
) -> Result<(Key, i64, Loaded), InvalidSnapshot> {
    let cloud = Cloud::ALL.into_iter().find(|cloud| cloud.environment() == entry.cloud);
    let (Some(cloud), Some(kind)) = (cloud, Kind::from_name(&entry.kind)) else {
        return Err(InvalidSnapshot::UnknownList);
    };
    let mut next_body = |length: usize| {
        let (body, rest) = bodies.split_at_checked(length).ok_or(InvalidSnapshot::Incomplete)?;
        *bodies = rest;
        // Copied, so that an entry does not keep the whole snapshot in memory.
        Ok::<_, InvalidSnapshot>(Bytes::copy_from_slice(body))
    };
    let [body_len, gzip_len, zstd_len] = entry.lengths;
    let (body, gzip, zstd) = (next_body(body_len)?, next_body(gzip_len)?, next_body(zstd_len)?);
    let [gzip, zstd] = [gzip, zstd].map(|form| Some(form).filter(|form| !form.is_empty()));
    let key = Key {
        cloud,
        subscription: entry.subscription,
        fingerprint: Fingerprint(entry.fingerprint),
        kind,
        scope: entry.scope.into(),
    };
    let body = Arc::new(Encoded::from_parts(entry.tag, body, gzip, zstd));
    Ok((key, entry.at_ms, Loaded::Body { body, list: entry.list }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aks::arm::{Capabilities, KubernetesVersion, PatchVersion, VmCapabilities, VmSku};
    use clock::Clock;

    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;
    const HOUR_MS: i64 = 3_600_000;

    fn key(kind: Kind, fingerprint: u8) -> Key {
        let subscription = "s".to_owned();
        let fingerprint = Fingerprint([fingerprint; 32]);
        Key { cloud: Cloud::China, subscription, fingerprint, kind, scope: "chinaeast2".into() }
    }

    fn version() -> KubernetesVersion {
        KubernetesVersion {
            version: Some("1.31".to_owned()),
            is_preview: None,
            is_default: Some(true),
            capabilities: Some(Capabilities { support_plan: vec!["KubernetesOfficial".to_owned()] }),
            patch_versions: BTreeMap::from([(
                "1.31.5".to_owned(),
                PatchVersion { upgrades: vec!["1.32.1".to_owned()] },
            )]),
        }
    }

    fn entries() -> Vec<(Key, i64, Arc<Loaded>)> {
        let long = Bytes::from("[\"Standard_D2s_v5\"]".repeat(100));
        let short = Bytes::from_static(b"[\"1.31.5\"]");
        let versions = Loaded::body(short, TypedList::Versions(vec![version()]));
        let sku = VmSku {
            name: Some("Standard_D2s_v5".to_owned()),
            zones: vec!["3".to_owned(), "1".to_owned()],
            capabilities: VmCapabilities { vcpus: Some(2), ..VmCapabilities::default() },
            ..VmSku::default()
        };
        let sizes = Loaded::body(long.clone(), TypedList::VmSizes(vec![sku]));
        vec![
            (key(Kind::VmSizes, 1), NOW_MS - HOUR_MS, Arc::new(Loaded::body(long, TypedList::Unused))),
            (key(Kind::Versions, 2), NOW_MS, Arc::new(versions)),
            (key(Kind::VmSizesV2, 1), NOW_MS, Arc::new(sizes)),
        ]
    }

    fn cache(now_ms: i64) -> Cache {
        Cache::new(1 << 20, Clock::manual(now_ms))
    }

    #[test]
    fn restored_lists_equal_the_saved_ones() {
        let snapshot = encode(&entries());
        let decoded = decode(&snapshot).unwrap();
        for ((key, at_ms, loaded), (decoded_key, decoded_ms, decoded)) in entries().iter().zip(&decoded) {
            assert_eq!((key, at_ms), (decoded_key, decoded_ms));
            assert_eq!(format!("{loaded:?}"), format!("{decoded:?}"));
        }
        let cache = cache(NOW_MS);
        assert_eq!(restore(&cache, &snapshot).unwrap(), Restored { lists: 3, expired: 0 });
        assert_eq!(cache.saved().len(), 3);
        assert!(cache.bytes() > 2_000 && cache.changes() == 0, "{} bytes", cache.bytes());
        assert_eq!(decode(&encode(&[])).unwrap().len(), 0);
    }

    #[test]
    fn lists_that_are_too_old_or_from_the_future_are_not_restored() {
        let snapshot = encode(&entries());
        let restored = |now_ms| restore(&cache(now_ms), &snapshot).unwrap();
        // The versions may be served for 24 h and 15 min, the sizes for 25 h.
        assert_eq!(restored(NOW_MS + 24 * HOUR_MS), Restored { lists: 3, expired: 0 });
        assert_eq!(restored(NOW_MS + 24 * HOUR_MS + 1), Restored { lists: 2, expired: 1 });
        assert_eq!(restored(NOW_MS + 25 * HOUR_MS), Restored { lists: 1, expired: 2 });
        assert_eq!(restored(NOW_MS + 25 * HOUR_MS + 1), Restored { lists: 0, expired: 3 });
        assert_eq!(restored(NOW_MS - HOUR_MS), Restored { lists: 1, expired: 2 });
    }

    #[test]
    fn invalid_snapshot_restores_nothing() {
        let snapshot = encode(&entries());
        let cache = cache(NOW_MS);
        for length in [0, 3, 4, 100, snapshot.len() - 1] {
            assert!(restore(&cache, &snapshot[..length]).is_err(), "{length}");
        }
        let mut unknown = snapshot.clone();
        let position = unknown.windows(8).position(|bytes| bytes == b"vm_sizes").unwrap();
        unknown[position] = b'x';
        assert!(matches!(restore(&cache, &unknown), Err(InvalidSnapshot::UnknownList)));
        unknown[PREFIX_LEN] = b'{';
        assert!(matches!(restore(&cache, &unknown), Err(InvalidSnapshot::Index(_))));
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn lists_of_users_objects_are_neither_saved_nor_restored() {
        let cache = cache(NOW_MS);
        let loaded = || Loaded::body(Bytes::from_static(b"[]"), TypedList::Unused);
        for kind in Kind::ALL {
            let is_saved = kind.is_saved();
            assert_eq!(cache.restore(key(kind, 1), NOW_MS, loaded()), is_saved, "{kind:?}");
            assert!(!is_saved || kind.time_to_live().as_secs() >= 15 * 60, "{kind:?}");
        }
    }
}
