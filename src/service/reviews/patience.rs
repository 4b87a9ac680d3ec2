//! How long a request waits for Azure to know what was created just before: a secret, an application, a role.

use std::time::Duration;

use clock::Clock;
use tokio::time::Instant;

/// The longest wait. Role assignments and new secrets often work within a minute; Azure says up to ten for roles. Clients wait
/// for the answer, the Terraform provider for 120 s.
const MAX_WAIT: Duration = Duration::from_secs(45);

/// Pauses between two looks; the last one counts for all that follow.
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(10)];

/// No further look begins later in the life of a request: it ends with what was found, and the server's own limit for a request
/// is 60 s, which a look of at most 10 s must not reach.
const LAST_LOOK: Duration = Duration::from_secs(46);

/// The patience of one request, which its repetitions share.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct Patience {
    started: Instant,
    started_ms: i64,
    looks: usize,
}

impl Patience {
    pub(super) fn new(clock: &Clock) -> Self {
        Self { started: Instant::now(), started_ms: clock.now_ms(), looks: 0 }
    }

    /// Waits until the next look; `false` when there is no time for one.
    pub(super) async fn pause(&mut self, clock: &Clock) -> bool {
        let pause = PAUSES.get(self.looks).or(PAUSES.last()).copied().unwrap_or(MAX_WAIT);
        self.looks += 1;
        let waited_ms = clock.now_ms().saturating_sub(self.started_ms);
        let waited = Duration::from_millis(u64::try_from(waited_ms).unwrap_or_default());
        if waited + pause > MAX_WAIT {
            return false;
        }
        tokio::time::timeout_at(self.started + LAST_LOOK, clock.sleep(pause)).await.is_ok()
    }
}
