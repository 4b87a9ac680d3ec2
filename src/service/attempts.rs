//! Failed logins, counted per address, so that guessing gets slow. A valid token is never slowed.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::Semaphore;

/// So many failures cost nothing: people mistype, and tokens expire under running programs.
const FREE: u32 = 5;
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(3);
/// Addresses remembered at once, and for how long after their last failure.
const ADDRESSES: u64 = 100_000;
const MEMORY: Duration = Duration::from_mins(10);
/// Refusals that may wait at once. Beyond that they go out at once, so that guessers cannot fill the server.
const WAITING: usize = 512;

/// The failed logins of the last ten minutes.
#[derive(Clone)]
pub struct Attempts {
    failures: Cache<IpAddr, Arc<AtomicU32>>,
    waiting: Arc<Semaphore>,
}

impl Attempts {
    /// For a server that works on so many `requests` at once: those that wait here never take more than half of them.
    pub fn new(requests: usize) -> Self {
        Self {
            failures: Cache::builder().max_capacity(ADDRESSES).time_to_idle(MEMORY).build(),
            waiting: Arc::new(Semaphore::new(WAITING.min(requests / 2))),
        }
    }

    /// Counts a failed login from `address` and waits as long as its history asks for.
    pub async fn failed(&self, address: IpAddr) {
        metrics::counter!("norman_aks_failed_logins_total").increment(1);
        let delay = self.count(address);
        if delay.is_zero() {
            return;
        }
        if let Ok(_place) = self.waiting.try_acquire() {
            tokio::time::sleep(delay).await;
        }
    }

    fn count(&self, address: IpAddr) -> Duration {
        let before = self.failures.get_with(address, Arc::default).fetch_add(1, Ordering::Relaxed);
        match before.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(beyond) => FIRST_DELAY.saturating_mul(1 << beyond.min(10)).min(LONGEST_DELAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_failure_waits_and_each_further_one_longer_up_to_a_limit() {
        let attempts = Attempts::new(1_024);
        let address = IpAddr::from([192, 0, 2, 1]);
        let delays: Vec<u128> = (0..13).map(|_| attempts.count(address).as_millis()).collect();
        assert_eq!(delays, [0, 0, 0, 0, 0, 100, 200, 400, 800, 1600, 3000, 3000, 3000]);
        assert_eq!(attempts.count(IpAddr::from([192, 0, 2, 2])), Duration::ZERO);
    }

    #[test]
    fn half_of_the_places_are_never_taken_by_those_who_wait() {
        for (requests, waiting) in [(1, 0), (2, 1), (100, 50), (1_024, 512), (100_000, 512)] {
            assert_eq!(Attempts::new(requests).waiting.available_permits(), waiting);
        }
    }
}
