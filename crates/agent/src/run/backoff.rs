//! Delays between attempts to connect.

use std::time::Duration;

/// The upper limit of the first delay.
const MAX_FIRST_DELAY: Duration = Duration::from_secs(1);

/// The upper limit of every delay.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// The minimum duration of a healthy session, after which the delays start over.
const MIN_HEALTHY_DURATION: Duration = Duration::from_secs(30);

/// Random delays between half of a limit and the limit, which doubles with each attempt. They are random so that the agents of
/// a restarting server do not reconnect in the same second.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub(super) fn next_delay(&mut self) -> Duration {
        // The exponent is limited to avoid an overflow; 2^5 s is already more than the maximum.
        let limit = MAX_FIRST_DELAY.saturating_mul(1 << self.attempts.min(5)).min(MAX_DELAY);
        self.attempts += 1;
        limit.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Records the duration of a session: resets the delay if it was healthy.
    pub(super) fn record_session(&mut self, duration: Duration) {
        if duration >= MIN_HEALTHY_DURATION {
            self.attempts = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_limit_and_vary() {
        let mut backoff = Backoff::default();
        for limit in [1, 2, 4, 8, 16, 30, 30, 30] {
            let (delay, limit) = (backoff.next_delay(), Duration::from_secs(limit));
            assert!(delay >= limit / 2 && delay <= limit, "{delay:?} of {limit:?}");
        }
        let delays: Vec<_> = (0..10).map(|_| backoff.next_delay()).collect();
        assert!(delays.iter().any(|delay| *delay != delays[0]));
    }

    #[test]
    fn only_a_healthy_session_resets_the_delay() {
        let mut backoff = Backoff { attempts: 5 };
        backoff.record_session(Duration::from_secs(1));
        assert!(backoff.next_delay() > Duration::from_secs(10));
        backoff.record_session(MIN_HEALTHY_DURATION);
        assert!(backoff.next_delay() <= MAX_FIRST_DELAY);
    }
}
