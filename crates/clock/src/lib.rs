//! The current time, which tests can advance.
//!
//! For times that are stored or compared with stored ones: expiry, age, time to live. Time limits of requests and connections
//! use tokio's monotonic clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;

/// The system's clock, or a manual one. Clones share the time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<ManualClock>>);

/// The state of a manual clock.
#[derive(Debug)]
struct ManualClock {
    now_ms: AtomicI64,
    advanced: Notify,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stays at `now_ms` (milliseconds since 1970, UTC) until [`Clock::advance`].
    pub fn manual(now_ms: i64) -> Self {
        Self(Some(Arc::new(ManualClock { now_ms: AtomicI64::new(now_ms), advanced: Notify::new() })))
    }

    /// Milliseconds since 1970, UTC.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that tests can replace")]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Some(manual) => manual.now_ms.load(Ordering::Relaxed),
            // 0 if the system's clock is before 1970.
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    /// The current time, to the millisecond.
    pub fn now(&self) -> OffsetDateTime {
        from_ms(self.now_ms())
    }

    /// Advances a manual clock; has no effect on a system clock.
    pub fn advance(&self, duration: Duration) {
        if let Some(manual) = &self.0 {
            manual
                .now_ms
                .fetch_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
            manual.advanced.notify_waiters();
        }
    }

    /// Waits for a duration; with a manual clock, until the clock has been advanced that far.
    pub async fn sleep(&self, duration: Duration) {
        let Some(manual) = &self.0 else { return tokio::time::sleep(duration).await };
        let wake_ms = self.now_ms().saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        loop {
            let mut advanced = std::pin::pin!(manual.advanced.notified());
            // Register the waiter before reading the clock, so that no advance is missed.
            advanced.as_mut().enable();
            if self.now_ms() >= wake_ms {
                return;
            }
            advanced.await;
        }
    }
}

/// The time of `ms` milliseconds since 1970, UTC; the start of 1970 if there is no such time.
pub fn from_ms(ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A time in milliseconds since 1970 as RFC 3339, in UTC and whole seconds.
pub fn rfc3339(ms: i64) -> String {
    from_ms(ms.saturating_sub(ms.rem_euclid(1_000))).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleep_ends_when_a_manual_clock_is_advanced() {
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
    fn clones_of_a_manual_clock_share_the_time() {
        let clock = Clock::manual(1_000);
        let clone = clock.clone();
        assert_eq!(clock.now_ms(), 1_000);
        clock.advance(Duration::from_secs(2));
        assert_eq!(clone.now_ms(), 3_000);
        assert_eq!(clone.now().unix_timestamp(), 3);
    }
}
