//! Retries: the delay that Azure requests, our own growing delay, and the one loop that applies both.

use std::time::{Duration, UNIX_EPOCH};

use clock::Clock;
use http::HeaderMap;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// The longest delay before a retry; if Azure requests more, the caller gets the error
/// (`docs/contract/azure.md#retries`).
const MAX_DELAY: Duration = Duration::from_mins(1);

/// Longer values of `Retry-After` are cut to this.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// An error that may say when to retry.
pub(super) trait RetryAfter {
    fn retry_after(&self) -> Option<Duration>;
}

/// The limits of a request's retries.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryPolicy {
    pub(super) max_attempts: u32,
    /// The delay before the first retry; later delays grow from it.
    pub(super) base_delay: Duration,
    /// The longest delay that the caller accepts.
    pub(super) max_delay: Duration,
    pub(super) deadline: Instant,
}

impl RetryPolicy {
    /// Repeats `attempt` while its error is retryable and the limits allow it.
    pub(super) async fn run<T, E, F>(
        self,
        attempt: impl FnMut() -> F,
        is_retryable: impl Fn(&E) -> bool,
    ) -> Result<T, E>
    where
        E: RetryAfter,
        F: Future<Output = Result<T, E>>,
    {
        self.run_after(&mut 0, attempt, is_retryable).await
    }

    /// Like [`Self::run`], but counts `failed_attempts` earlier attempts as well, and updates their number.
    pub(super) async fn run_after<T, E, F>(
        self,
        failed_attempts: &mut u32,
        mut attempt: impl FnMut() -> F,
        is_retryable: impl Fn(&E) -> bool,
    ) -> Result<T, E>
    where
        E: RetryAfter,
        F: Future<Output = Result<T, E>>,
    {
        loop {
            let error = match attempt().await {
                Err(error) if is_retryable(&error) => error,
                outcome => return outcome,
            };
            *failed_attempts += 1;
            let max_delay = self.deadline.saturating_duration_since(Instant::now()).min(self.max_delay);
            match delay(*failed_attempts, error.retry_after(), max_delay, self.base_delay, jitter()) {
                Some(delay) if *failed_attempts < self.max_attempts => sleep(delay).await,
                _ => return Err(error),
            }
        }
    }
}

/// The delay that Azure requests, at most an hour: `x-ms-retry-after-ms`, `retry-after-ms`, or `Retry-After` in seconds
/// or as a date. `None` without a valid header, or if the date has passed.
pub(super) fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let header = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let parse_millis = |name: &str| parse_saturating(header(name)?).map(Duration::from_millis);
    let requested =
        parse_millis("x-ms-retry-after-ms").or_else(|| parse_millis("retry-after-ms")).or_else(|| {
            let value = header("retry-after")?;
            if let Some(seconds) = parse_saturating(value) {
                return Some(Duration::from_secs(seconds));
            }
            let date = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
            let now = Duration::from_millis(u64::try_from(clock.now_ms()).ok()?);
            date.checked_sub(now)
        });
    requested.map(|requested| requested.min(MAX_RETRY_AFTER))
}

/// A number of any length, capped at the largest `u64`.
fn parse_saturating(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// The delay after this many failed attempts: the one that Azure requested, or `base_delay` times 1, 3, 7, … times `jitter`.
/// `None` if it would exceed a minute, or not be shorter than `max_delay`.
fn delay(
    failed_attempts: u32,
    requested: Option<Duration>,
    max_delay: Duration,
    base_delay: Duration,
    jitter: f64,
) -> Option<Duration> {
    let delay = match requested {
        Some(requested) if !requested.is_zero() => requested,
        _ => {
            let factor = 2_u32.saturating_pow(failed_attempts).saturating_sub(1);
            base_delay.saturating_mul(factor).min(MAX_DELAY).mul_f64(jitter).min(MAX_DELAY)
        }
    };
    (delay <= MAX_DELAY && delay < max_delay).then_some(delay)
}

/// A random factor between 0.8 and 1.3, so that callers that failed together do not retry together.
fn jitter() -> f64 {
    let [byte, ..] = Uuid::new_v4().into_bytes();
    0.8 + 0.5 * f64::from(byte) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::response;

    /// 1994-11-06T08:49:27Z
    const NOW_MS: i64 = 784_111_767_000;

    #[tokio::test]
    async fn earlier_attempts_count_toward_the_limit() {
        struct Failure;
        impl RetryAfter for Failure {
            fn retry_after(&self) -> Option<Duration> {
                None
            }
        }
        let deadline = Instant::now() + Duration::from_hours(1);
        let policy =
            RetryPolicy { max_attempts: 4, base_delay: Duration::ZERO, max_delay: Duration::MAX, deadline };
        let (mut failed_attempts, mut attempts) = (2, 0);
        let attempt = || {
            attempts += 1;
            async { Err::<(), _>(Failure) }
        };
        assert!(policy.run_after(&mut failed_attempts, attempt, |_| true).await.is_err());
        assert_eq!((attempts, failed_attempts), (2, 4));
    }

    #[test]
    fn all_retry_headers_are_parsed() {
        let clock = Clock::manual(NOW_MS);
        let seconds = |s| Some(Duration::from_secs(s));
        for (headers, expected) in [
            (&[("retry-after", "7")][..], seconds(7)),
            (&[("retry-after", " 7 ")], seconds(7)),
            (&[("retry-after", "0")], seconds(0)),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], seconds(10)),
            (&[("retry-after", "Sunday, 06-Nov-94 08:49:37 GMT")], seconds(10)),
            (&[("retry-after", "Sun Nov  6 08:49:37 1994")], seconds(10)),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:07 GMT")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-5")], None),
            (&[("retry-after", "3600")], seconds(3_600)),
            (&[("retry-after", "3601")], seconds(3_600)),
            (&[("retry-after", "315360000")], seconds(3_600)),
            (&[("retry-after", "99999999999999999999999")], seconds(3_600)),
            (&[("retry-after", "Sun, 06 Nov 2044 08:49:37 GMT")], seconds(3_600)),
            (&[("x-ms-retry-after-ms", "99999999999999999999999")], seconds(3_600)),
            (&[("retry-after", "+5")], None),
            (&[("retry-after", "")], None),
            (&[("retry-after-ms", "1500"), ("retry-after", "7")], Some(Duration::from_millis(1500))),
            (&[("x-ms-retry-after-ms", "20"), ("retry-after-ms", "1500")], Some(Duration::from_millis(20))),
            (&[("x-ms-retry-after-ms", "x"), ("retry-after", "7")], seconds(7)),
            (&[], None),
        ] {
            let headers = response(429, headers, "").headers;
            assert_eq!(retry_after(&headers, &clock), expected, "{headers:?}");
        }
    }

    #[test]
    fn delays_grow_unless_azure_requests_one() {
        let ms = Duration::from_millis;
        let base_delay = ms(800);
        let hour = Duration::from_hours(1);
        for (failed_attempts, requested, max_delay, expected) in [
            (1, None, hour, Some(ms(800))),
            (2, None, hour, Some(ms(2_400))),
            (3, None, hour, Some(ms(5_600))),
            (40, None, hour, Some(ms(60_000))),
            (1, Some(ms(0)), hour, Some(ms(800))),
            (1, Some(ms(3_000)), hour, Some(ms(3_000))),
            (3, Some(ms(60_000)), hour, Some(ms(60_000))),
            (1, Some(ms(60_001)), hour, None),
            (1, Some(ms(3_000)), ms(3_000), None),
            (1, None, ms(700), None),
        ] {
            assert_eq!(
                delay(failed_attempts, requested, max_delay, base_delay, 1.0),
                expected,
                "{failed_attempts} {requested:?} {max_delay:?}"
            );
        }
        assert_eq!(delay(2, None, hour, base_delay, 1.25), Some(ms(3_000)));
    }

    #[test]
    fn jitter_varies_within_its_bounds() {
        let factors: Vec<f64> = (0..200).map(|_| jitter()).collect();
        assert!(factors.iter().all(|factor| (0.8..=1.3).contains(factor)));
        assert!(factors.iter().any(|factor| *factor < 1.0) && factors.iter().any(|factor| *factor > 1.1));
    }
}
