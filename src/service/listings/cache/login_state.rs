//! The login state of the credential of a cached list.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

const REQUIRED: u8 = 0;
const SLOW: u8 = 1;
const DONE: u8 = 2;

/// Whether the credential of an entry has logged in since this process started.
#[derive(Debug)]
pub(super) struct LoginState(AtomicU8);

impl LoginState {
    /// For an entry that was loaded in this process, with a token.
    pub(super) fn done() -> Self {
        Self(AtomicU8::new(DONE))
    }

    /// For an entry of an earlier process.
    pub(super) fn required() -> Self {
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

    /// Records that the credential has logged in.
    pub(super) fn set_done(&self) {
        self.0.store(DONE, Ordering::Release);
    }

    /// Records that the login service did not respond in time.
    pub(super) fn set_slow(&self) {
        self.0.store(SLOW, Ordering::Release);
    }
}
