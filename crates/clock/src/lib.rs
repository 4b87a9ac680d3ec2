//! The time of day, as something that tests can move.
//!
//! Time limits of requests and connections use tokio's monotonic clock instead; this one is for what is
//! written down or compared with what was written down: expiry, age, time to live.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Notify;

/// The system's clock, or one that stands still until it is moved. Clones share the same hands.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Hands>>);

/// The state of a manual clock.
#[derive(Debug)]
struct Hands {
    now_ms: AtomicI64,
    moved: Notify,
}

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that shows `now_ms` (milliseconds since 1970, UTC) until [`Clock::advance`] moves it.
    pub fn manual(now_ms: i64) -> Self {
        Self(Some(Arc::new(Hands { now_ms: AtomicI64::new(now_ms), moved: Notify::new() })))
    }

    /// Milliseconds since 1970, UTC.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Some(hands) => hands.now_ms.load(Ordering::Relaxed),
            None => i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000)
                .unwrap_or(i64::MAX),
        }
    }

    /// The same moment as a date, to the millisecond.
    pub fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.now_ms()) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// Moves a manual clock forward; a system clock takes no notice.
    pub fn advance(&self, by: Duration) {
        if let Some(hands) = &self.0 {
            hands.now_ms.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
            hands.moved.notify_waiters();
        }
    }

    /// Waits until so much time has passed; with a manual clock, until it was moved so far.
    pub async fn sleep(&self, duration: Duration) {
        let Some(hands) = &self.0 else { return tokio::time::sleep(duration).await };
        let wake_ms = self.now_ms().saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        loop {
            let mut moved = std::pin::pin!(hands.moved.notified());
            // A move between the look at the clock and the wait is noticed as well.
            moved.as_mut().enable();
            if self.now_ms() >= wake_ms {
                return;
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleep_on_a_manual_clock_ends_when_it_was_moved() {
        let clock = Clock::manual(0);
        let sleeper = clock.clone();
        let sleep = tokio::spawn(async move { sleeper.sleep(Duration::from_secs(10)).await });
        for _ in 0..2 {
            tokio::task::yield_now().await;
            assert!(!sleep.is_finished());
            clock.advance(Duration::from_secs(5));
        }
        sleep.await.unwrap();
    }

    #[test]
    fn a_manual_clock_stands_still_until_it_is_moved_and_clones_move_with_it() {
        let clock = Clock::manual(1_000);
        let clone = clock.clone();
        assert_eq!(clock.now_ms(), 1_000);
        clock.advance(Duration::from_secs(2));
        assert_eq!(clone.now_ms(), 3_000);
        assert_eq!(clone.now().unix_timestamp(), 3);
    }
}
