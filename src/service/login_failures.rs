//! Counts failed logins per client IP and delays their responses, to slow down guessing. Valid tokens are never delayed.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::Semaphore;

/// The number of failures without a delay, because users mistype and tokens of running programs expire.
const MAX_UNDELAYED: u32 = 5;
/// The delay of the first delayed failure; it doubles with each further one, up to the maximum.
const MIN_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(3);
/// The maximum number of client IPs.
const CACHE_CAPACITY: u64 = 100_000;
/// The time after its last failure until a client IP is evicted.
const CACHE_IDLE_TTL: Duration = Duration::from_mins(10);
/// The maximum number of responses that are delayed at the same time. Further responses are sent at once, so that waiting ones
/// do not exhaust the server.
const MAX_DELAYED: usize = 512;

/// The numbers of recent failed logins, by client IP. Clones share everything.
#[derive(Clone)]
pub struct LoginFailures {
    failures: Cache<IpAddr, Arc<AtomicU32>>,
    delay_permits: Arc<Semaphore>,
}

impl LoginFailures {
    /// The failures of a server that handles at most `max_requests` at the same time, of which at most half are delayed.
    pub fn new(max_requests: usize) -> Self {
        Self {
            failures: Cache::builder().max_capacity(CACHE_CAPACITY).time_to_idle(CACHE_IDLE_TTL).build(),
            delay_permits: Arc::new(Semaphore::new(MAX_DELAYED.min(max_requests / 2))),
        }
    }

    /// Counts a failed login of a client IP, and waits according to its previous failures.
    pub async fn record(&self, client_ip: IpAddr) {
        metrics::counter!("norman_aks_failed_logins_total").increment(1);
        let delay = self.count_failure(client_ip);
        if delay.is_zero() {
            return;
        }
        if let Ok(_permit) = self.delay_permits.try_acquire() {
            tokio::time::sleep(delay).await;
        }
    }

    /// Counts a failure; returns its delay.
    fn count_failure(&self, client_ip: IpAddr) -> Duration {
        let previous = self.failures.get_with(client_ip, Arc::default).fetch_add(1, Ordering::Relaxed);
        match previous.checked_sub(MAX_UNDELAYED) {
            None => Duration::ZERO,
            Some(doublings) => MIN_DELAY.saturating_mul(1 << doublings.min(10)).min(MAX_DELAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixth_failure_is_delayed_and_later_ones_longer() {
        let failures = LoginFailures::new(1_024);
        let address = IpAddr::from([192, 0, 2, 1]);
        let delays: Vec<u128> = (0..13).map(|_| failures.count_failure(address).as_millis()).collect();
        assert_eq!(delays, [0, 0, 0, 0, 0, 100, 200, 400, 800, 1600, 3000, 3000, 3000]);
        assert_eq!(failures.count_failure(IpAddr::from([192, 0, 2, 2])), Duration::ZERO);
    }

    #[test]
    fn at_most_half_of_the_requests_are_delayed() {
        for (max_requests, max_delayed) in [(1, 0), (2, 1), (100, 50), (1_024, 512), (100_000, 512)] {
            assert_eq!(LoginFailures::new(max_requests).delay_permits.available_permits(), max_delayed);
        }
    }
}
