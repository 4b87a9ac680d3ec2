//! Entries of an earlier process: they are saved, restored, and served once their credential has logged in again.

use std::sync::Arc;

use super::login_state::LoginState;
use super::{Cache, Entry, LoadError, Loaded};
use crate::service::listings::kind::Key;

/// The maximum time by which an entry may be ahead of this server's clock.
const MAX_CLOCK_SKEW_MS: i64 = 60_000;

impl Cache {
    /// Waits for the first login of a credential whose entry an earlier process loaded. If the login service cannot be used, the
    /// entry may be served; if it rejects the credential, its entries are evicted.
    pub(super) async fn require_login(
        &self,
        key: &Key,
        entry: &Entry,
        login: impl Future<Output = Result<(), azure::Error>>,
    ) -> Result<(), LoadError> {
        let Err(error) = login.await else {
            entry.login.set_done();
            return Ok(());
        };
        if error.is_timeout() {
            entry.login.set_slow();
        }
        self.evict_denied(key, &error);
        let failure = LoadError::Azure(error.into());
        if failure.allows_stale() { Ok(()) } else { Err(failure) }
    }

    /// The entries that may be served after a restart, with the times at which they were loaded.
    pub(in crate::service::listings) fn saved(&self) -> Vec<(Key, i64, Arc<Loaded>)> {
        let entries = self
            .entries
            .iter()
            .filter(|(key, entry)| key.kind.is_saved() && self.age_of(entry) <= key.kind.max_age());
        entries.map(|(key, entry)| (Key::clone(&key), entry.loaded_ms, Arc::clone(&entry.loaded))).collect()
    }

    /// Inserts an entry of an earlier process, unless a newer one exists. Returns `false` if the entry is too old, or from
    /// the future.
    pub(in crate::service::listings) fn restore(&self, key: Key, loaded_ms: i64, loaded: Loaded) -> bool {
        let entry = Entry::new(loaded, loaded_ms, LoginState::required());
        let is_usable = key.kind.is_saved()
            && loaded_ms <= self.clock.now_ms() + MAX_CLOCK_SKEW_MS
            && self.age_of(&entry) <= key.kind.max_age();
        if is_usable {
            self.entries.entry(key).or_insert(entry.into());
        }
        is_usable
    }

    /// Makes [`Cache::bytes`] exact after many entries were restored.
    pub(in crate::service::listings) fn update_size(&self) {
        self.entries.run_pending_tasks();
    }
}
