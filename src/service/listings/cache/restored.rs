//! Entries of an earlier process: they are saved, restored, and served once their credential has logged in again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::{Cache, Entry, LoadError, Loaded, max_age};
use crate::service::listings::kind::Key;

/// The maximum time by which an entry may be ahead of this server's clock.
const MAX_CLOCK_SKEW_MS: i64 = 60_000;

const REQUIRED: u8 = 0;
const SLOW: u8 = 1;
const DONE: u8 = 2;

/// Whether the credential of an entry has logged in in this process.
#[derive(Debug)]
pub(super) struct LoginState(AtomicU8);

impl LoginState {
    /// For an entry that was loaded in this process, with a token.
    pub(super) fn done() -> Self {
        Self(AtomicU8::new(DONE))
    }

    fn required() -> Self {
        Self(AtomicU8::new(REQUIRED))
    }

    /// The maximum wait for the login before the entry is served; `None` if the credential has logged in. Only the first request
    /// waits for a login service that does not respond.
    pub(super) fn wait_limit(&self, limit: Duration) -> Option<Duration> {
        match self.0.load(Ordering::Acquire) {
            DONE => None,
            SLOW => Some(Duration::ZERO),
            _ => Some(limit),
        }
    }

    fn set(&self, state: u8) {
        self.0.store(state, Ordering::Release);
    }
}

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
            entry.login.set(DONE);
            return Ok(());
        };
        if error.is_timeout() {
            entry.login.set(SLOW);
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
            .filter(|(key, entry)| key.kind.is_saved() && self.age_of(entry) <= max_age(key.kind));
        entries.map(|(key, entry)| (Key::clone(&key), entry.at_ms, Arc::clone(&entry.loaded))).collect()
    }

    /// Inserts an entry of an earlier process, unless a newer one exists. `false` if it is too old, or from the future.
    pub(in crate::service::listings) fn restore(&self, key: Key, at_ms: i64, loaded: Loaded) -> bool {
        let entry = Entry::new(loaded, at_ms, LoginState::required());
        let is_usable = key.kind.is_saved()
            && at_ms <= self.clock.now_ms() + MAX_CLOCK_SKEW_MS
            && self.age_of(&entry) <= max_age(key.kind);
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
