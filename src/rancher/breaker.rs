//! Suspends requests to a Rancher that does not respond: callers get an error at once, and a Rancher that recovers is not
//! flooded.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The number of consecutive failures after which requests are suspended.
const MAX_FAILURES: u32 = 3;
/// The duration of a suspension. After it, one request is admitted to check whether Rancher responds.
const SUSPENSION_DURATION: Duration = Duration::from_secs(2);

/// Counts failures, and suspends requests after too many.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    consecutive_failures: u32,
    suspended_until: Option<Instant>,
}

impl Breaker {
    /// Whether a request may be sent now. At the end of each suspension, admits one request and suspends the others again.
    pub(super) fn try_admit(&self) -> bool {
        let mut state = self.lock();
        match state.suspended_until {
            None => true,
            Some(until) if Instant::now() < until => false,
            Some(_) => {
                state.suspended_until = Some(Instant::now() + SUSPENSION_DURATION);
                true
            }
        }
    }

    /// Whether requests are suspended now.
    pub(super) fn is_suspended(&self) -> bool {
        self.lock().suspended_until.is_some_and(|until| Instant::now() < until)
    }

    /// Records whether Rancher responded to a request.
    pub(super) fn record(&self, has_responded: bool) {
        let mut state = self.lock();
        if has_responded {
            *state = State::default();
        } else {
            state.consecutive_failures = state.consecutive_failures.saturating_add(1);
            if state.consecutive_failures >= MAX_FAILURES {
                state.suspended_until = Some(Instant::now() + SUSPENSION_DURATION);
            }
        }
        metrics::gauge!("norman_aks_rancher_up").set(if has_responded { 1.0 } else { 0.0 });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_suspend_requests_until_one_succeeds() {
        let breaker = Breaker::default();
        for _ in 0..MAX_FAILURES {
            assert!(breaker.try_admit());
            breaker.record(false);
        }
        assert!(!breaker.try_admit());
        tokio::time::advance(SUSPENSION_DURATION).await;
        assert!(breaker.try_admit(), "one request is admitted");
        assert!(!breaker.try_admit(), "the others stay suspended");
        breaker.record(true);
        assert!(breaker.try_admit() && breaker.try_admit());
        breaker.record(false);
        assert!(breaker.try_admit(), "a single failure does not suspend requests");
    }
}
