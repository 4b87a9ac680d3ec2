//! The wait for Azure to recognize a secret, application or role that was just created.

use std::time::Duration;

use clock::Clock;
use tokio::time::Instant;

/// The maximum wait. New role assignments and secrets often work within a minute; Azure documents up to ten minutes for roles.
/// Clients wait for the response; the Terraform provider waits for 120 s.
const MAX_WAIT: Duration = Duration::from_secs(45);

/// The intervals between attempts; the last one repeats.
const INTERVALS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(10)];

/// The age of a request after which no attempt starts. An attempt takes up to 10 s, and the server's limit for a request is
/// 60 s.
const MAX_REQUEST_AGE: Duration = Duration::from_secs(46);

/// The wait of one request. An attempt to save that is repeated continues the same wait.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct AccessWait {
    started: Instant,
    started_ms: i64,
    attempts: usize,
}

impl AccessWait {
    pub(super) fn new(clock: &Clock) -> Self {
        Self { started: Instant::now(), started_ms: clock.now_ms(), attempts: 0 }
    }

    /// Waits until the next attempt; returns `false` if there is no time for another.
    pub(super) async fn next_attempt(&mut self, clock: &Clock) -> bool {
        let interval = INTERVALS.get(self.attempts).or(INTERVALS.last()).copied().unwrap_or(MAX_WAIT);
        self.attempts += 1;
        let waited_ms = clock.now_ms().saturating_sub(self.started_ms);
        let waited = Duration::from_millis(u64::try_from(waited_ms).unwrap_or_default());
        if waited + interval > MAX_WAIT {
            return false;
        }
        tokio::time::timeout_at(self.started + MAX_REQUEST_AGE, clock.sleep(interval)).await.is_ok()
    }
}
