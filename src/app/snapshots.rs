//! The snapshot file: the cached lists, encrypted with the active key of the vault. The file is written while the server runs
//! and when it stops, and read when it starts. `service/listings` defines the content.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::error::Error;
use super::files;
use crate::service::listings::{InvalidSnapshot, Listings, Restored};
use crate::service::secrets::Secrets;
use crate::store::EncryptedColumns;
use crate::vault;

/// The name of the file in the data directory.
const FILE: &str = "lists.snapshot";
/// The first word of the file. Increase the number when the format of the header changes.
const MAGIC: &str = "norman-aks-snapshot-1";
/// The version of the program. Snapshots of other versions are discarded, because the format of their lists may differ.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The maximum length of the first line, in bytes: magic word, version and key ID.
const MAX_HEADER_LEN: usize = 256;
/// The length of the encrypted data key, in bytes.
const WRAPPED_KEY_LEN: usize = 60;
/// The time for which the start waits for the lists. If there are many, restoring them continues in the background.
const RESTORE_TIMEOUT: Duration = Duration::from_millis(80);
/// The interval of saving changes.
pub(super) const SAVE_INTERVAL: Duration = Duration::from_mins(1);

/// Reads and writes the snapshot file of one server. Clones share the state.
#[derive(Clone)]
pub(super) struct Snapshots(Arc<Inner>);

struct Inner {
    path: PathBuf,
    /// The ID of the key from which this process derives the fingerprints of credentials. After a restart with another key,
    /// saved lists are useless, because the fingerprints differ.
    key_id: String,
    secrets: Secrets,
    listings: Listings,
    max_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// [`Listings::snapshot_changes`] when the file was written; `None` if the file must be written in any case.
    saved_changes: Option<u64>,
    /// Whether the active key has changed, so that nothing is saved until the next start.
    is_suspended: bool,
    /// Whether the last write failed. Only the first failure is logged.
    is_failing: bool,
}

/// The reason why a snapshot is discarded.
#[derive(Debug, thiserror::Error)]
enum DiscardReason {
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
    #[error("it is larger than {0} bytes, twice the cache")]
    TooLarge(u64),
    #[error("it is not a snapshot")]
    Header,
    #[error("version {0} of norman-aks wrote it")]
    Version(String),
    #[error("it is encrypted with the key {0}, which is not the active one")]
    Key(String),
    #[error("it was altered, or is incomplete")]
    Damaged(#[source] vault::Error),
    #[error("its content is invalid")]
    Invalid(#[from] InvalidSnapshot),
    #[error("its {0} lists are too old")]
    Expired(usize),
}

impl Snapshots {
    pub(super) fn new(data_dir: &Path, secrets: Secrets, listings: Listings, cache_bytes: u64) -> Self {
        Self(Arc::new(Inner {
            path: data_dir.join(FILE),
            key_id: secrets.active_key(),
            secrets,
            max_bytes: cache_bytes.saturating_mul(2),
            state: Mutex::new(State { saved_changes: Some(listings.snapshot_changes()), ..State::default() }),
            listings,
        }))
    }

    /// Reads the lists of the previous process. Waits for at most [`RESTORE_TIMEOUT`].
    pub(super) async fn restore(&self) {
        let inner = Arc::clone(&self.0);
        let _ = timeout(RESTORE_TIMEOUT, spawn_blocking(move || inner.restore())).await;
    }

    /// Writes the file if the lists have changed. Failures are logged.
    pub(super) async fn save(&self) {
        let inner = Arc::clone(&self.0);
        let _ = spawn_blocking(move || inner.save()).await;
    }
}

impl Inner {
    fn restore(&self) {
        // Locked until the lists are restored, so that the file is not overwritten before that.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.path.display();
        match self.read() {
            Ok(None) => {}
            Ok(Some(Restored { lists, expired })) => {
                count_outcome("restored");
                tracing::info!(%file, lists, expired, "snapshot of cached lists restored");
            }
            Err(reason) => {
                count_outcome("discarded");
                state.saved_changes = None;
                let error = &reason as &dyn std::error::Error;
                tracing::warn!(%file, error, "snapshot of cached lists discarded");
            }
        }
    }

    /// Reads the file; `None` if there is none.
    fn read(&self) -> Result<Option<Restored>, DiscardReason> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let length = file.metadata()?.len();
        if length > self.max_bytes {
            return Err(DiscardReason::TooLarge(self.max_bytes));
        }
        let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.take(self.max_bytes).read_to_end(&mut content)?;
        let encrypted = parse(content, &self.key_id)?;
        let plain = self.secrets.decrypt_snapshot(VERSION, encrypted).map_err(DiscardReason::Damaged)?;
        match self.listings.restore(&plain)? {
            Restored { lists: 0, expired } if expired > 0 => Err(DiscardReason::Expired(expired)),
            restored => Ok(Some(restored)),
        }
    }

    fn save(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_suspended {
            return;
        }
        let changes = self.listings.snapshot_changes();
        let result = if self.secrets.active_key() != self.key_id {
            let result = files::remove(&self.path);
            if result.is_ok() {
                state.is_suspended = true;
                tracing::info!(file = %self.path.display(), "encryption key replaced: the snapshot of cached lists is deleted, and written again after a restart");
            }
            result
        } else if state.saved_changes == Some(changes) {
            return;
        } else {
            self.write()
        };
        let is_failing = result.is_err();
        match result {
            Ok(()) => state.saved_changes = Some(changes),
            Err(error) => {
                count_outcome("failed");
                if !state.is_failing {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        "cannot write or delete the snapshot of cached lists; trying again"
                    );
                }
            }
        }
        state.is_failing = is_failing;
    }

    fn write(&self) -> Result<(), Error> {
        let map_error =
            |error: vault::Error| Error::File { path: self.path.clone(), source: io::Error::other(error) };
        let encrypted =
            self.secrets.encrypt_snapshot(VERSION, self.listings.snapshot()).map_err(map_error)?;
        let header = format!("{MAGIC} {VERSION} {}\n", encrypted.key_id);
        files::write_private_parts(
            &self.path,
            &[header.as_bytes(), &encrypted.wrapped_key, &encrypted.ciphertext],
        )?;
        count_outcome("written");
        Ok(())
    }
}

/// The encrypted lists of a file, if this version wrote it with the active key.
fn parse(mut content: Vec<u8>, active_key: &str) -> Result<EncryptedColumns, DiscardReason> {
    let end = content.iter().take(MAX_HEADER_LEN).position(|byte| *byte == b'\n');
    let header = end.and_then(|end| content.get(..end)).and_then(|header| str::from_utf8(header).ok());
    let words: Vec<_> = header.unwrap_or_default().split(' ').map(str::to_owned).collect();
    let (Ok([magic, version, key_id]), Some(end)) = (<[String; 3]>::try_from(words), end) else {
        return Err(DiscardReason::Header);
    };
    if magic != MAGIC {
        return Err(DiscardReason::Header);
    }
    if version != VERSION {
        return Err(DiscardReason::Version(version));
    }
    if key_id != active_key {
        return Err(DiscardReason::Key(key_id));
    }
    content.drain(..=end);
    let ciphertext = content.split_off(content.len().min(WRAPPED_KEY_LEN));
    Ok(EncryptedColumns { key_id, wrapped_key: content, ciphertext })
}

fn count_outcome(outcome: &'static str) {
    metrics::counter!("norman_aks_snapshots_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot_file(header: &str) -> Vec<u8> {
        [header.as_bytes(), &[7; 100]].concat()
    }

    #[test]
    fn snapshot_of_another_version_or_key_is_discarded() {
        let encrypted = parse(snapshot_file(&format!("{MAGIC} {VERSION} key-1\n")), "key-1").unwrap();
        assert_eq!((encrypted.wrapped_key.len(), encrypted.ciphertext.len()), (WRAPPED_KEY_LEN, 40));
        let reason = |header: &str| parse(snapshot_file(header), "key-1").unwrap_err().to_string();
        let other_key = reason(&format!("{MAGIC} {VERSION} key-2\n"));
        assert!(other_key.contains("key-2, which is not the active one"), "{other_key}");
        assert!(reason(&format!("{MAGIC} 9.9.9 key-1\n")).starts_with("version 9.9.9 of"));
        for header in
            ["", "\n", "norman-aks-snapshot-2 0.1.0 key-1\n", &format!("{MAGIC} {VERSION} key-1 \n")]
        {
            assert_eq!(reason(header), "it is not a snapshot", "{header:?}");
        }
        let without_content = parse(format!("{MAGIC} {VERSION} key-1\n").into_bytes(), "key-1").unwrap();
        assert!(without_content.wrapped_key.is_empty() && without_content.ciphertext.is_empty());
    }
}
