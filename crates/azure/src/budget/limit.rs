//! One limit of Azure: the number of remaining requests, and which priorities and callers may use them. Pure: the time is a
//! parameter.

use std::collections::HashMap;
use std::time::Duration;

use super::{CallerId, Priority};
use crate::error_response::ArmError;

/// The time after which a report of Azure and the share of a caller expire. The buckets of Resource Manager are full again
/// after 20 s, and those of Compute get new tokens each minute.
const MAX_AGE_MS: i64 = 60_000;

/// Background refreshes stop if fewer requests remain than this fraction of the largest reported number, or than the second
/// value.
const BACKGROUND_FLOOR: (f64, f64) = (0.2, 10.0);

/// The same for speculative requests, which stop later.
const SPECULATIVE_FLOOR: (f64, f64) = (0.1, 5.0);

/// The shortest delay that is requested of callers.
const MIN_DELAY: Duration = Duration::from_millis(20);

/// One limit, with the requests that count against it.
#[derive(Debug, Default)]
pub(super) struct Limit {
    /// The documented size of the bucket, and the tokens that are added each second; both 0 if they are unknown.
    bucket_size: f64,
    refill_per_second: f64,
    report: Option<Report>,
    /// The largest number that Azure reported.
    largest_reported: f64,
    in_flight: u32,
    throttled: Option<Throttled>,
    shares: HashMap<CallerId, Share>,
}

/// The remaining requests that Azure reported, less those sent since.
#[derive(Clone, Copy, Debug)]
struct Report {
    left: f64,
    /// The time for which `left` was computed.
    computed_ms: i64,
    /// The time of Azure's report.
    received_ms: i64,
}

/// A 429 of Azure.
#[derive(Debug)]
struct Throttled {
    until_ms: i64,
    error: Box<ArmError>,
}

/// The requests of a caller that still counted against its share at `computed_ms`.
#[derive(Clone, Copy, Debug)]
struct Share {
    used: f64,
    computed_ms: i64,
}

/// The reason why a request must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeferralReason {
    /// The few remaining requests are reserved for callers and speculative requests.
    Background,
    /// The few remaining requests are reserved for callers.
    Speculative,
    /// No requests remain.
    Exhausted,
    /// Azure has throttled requests of this limit.
    Throttled,
    /// The caller has used its half; the rest is reserved for other active callers.
    Share,
}

impl DeferralReason {
    /// The value of the label `reason` in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Speculative => "speculative",
            Self::Exhausted => "exhausted",
            Self::Throttled => "throttled",
            Self::Share => "share",
        }
    }
}

/// A request that must not be sent now.
#[derive(Debug)]
pub(super) struct Rejection {
    pub(super) reason: DeferralReason,
    /// The time until it may be sent.
    pub(super) delay: Duration,
    /// Azure's response, if Azure has throttled requests of this limit.
    pub(super) error: Option<Box<ArmError>>,
}

impl Limit {
    /// A limit with a known bucket.
    pub(super) fn new(bucket_size: u32, refill_per_second: u32) -> Self {
        Self {
            bucket_size: bucket_size.into(),
            refill_per_second: refill_per_second.into(),
            ..Self::default()
        }
    }

    /// The number of requests that are left; `None` if it is unknown.
    pub(super) fn available(&self, now_ms: i64) -> Option<f64> {
        Some(self.left(now_ms)? - f64::from(self.in_flight))
    }

    /// Like [`Self::available`], but without subtracting the requests in flight.
    fn left(&self, now_ms: i64) -> Option<f64> {
        let report = self.report.filter(|report| now_ms - report.received_ms < MAX_AGE_MS)?;
        let refilled = report.left + self.refill_per_second * seconds(now_ms - report.computed_ms);
        Some(refilled.min(self.bucket_size.max(self.largest_reported)))
    }

    /// Whether no request is in flight, and neither a report nor a 429 would limit one.
    pub(super) fn is_idle(&self, now_ms: i64) -> bool {
        self.in_flight == 0 && self.available(now_ms).is_none() && self.active_throttling(now_ms).is_none()
    }

    /// The remaining time of a 429, and its error.
    fn active_throttling(&self, now_ms: i64) -> Option<(Duration, &ArmError)> {
        let Throttled { until_ms, error } = self.throttled.as_ref()?;
        let remaining_ms = u64::try_from(until_ms - now_ms).ok().filter(|ms| *ms > 0)?;
        Some((Duration::from_millis(remaining_ms), error))
    }

    /// Checks whether a request may be sent now. `is_contended`: whether other callers have requests in flight, or were
    /// rejected recently.
    pub(super) fn check(&self, priority: Priority, is_contended: bool, now_ms: i64) -> Result<(), Rejection> {
        if let Some((delay, error)) = self.active_throttling(now_ms) {
            let error = Some(Box::new(ArmError { retry_after: Some(delay), ..error.clone() }));
            return Err(Rejection { reason: DeferralReason::Throttled, delay, error });
        }
        let Some(available) = self.available(now_ms) else { return Ok(()) };
        let (reason, needed) = match priority {
            Priority::Background => (DeferralReason::Background, self.floor(BACKGROUND_FLOOR)),
            Priority::Speculative => (DeferralReason::Speculative, self.floor(SPECULATIVE_FLOOR)),
            Priority::Caller(_) if available < 1.0 => (DeferralReason::Exhausted, 1.0),
            Priority::Caller(caller) if is_contended => {
                let used = self.used(caller, now_ms);
                // Each caller may send at least one request.
                if used + 1.0 > f64::midpoint(available, used).max(1.0) {
                    // The caller gets half of each new token, so it needs two.
                    (DeferralReason::Share, available + 2.0)
                } else {
                    return Ok(());
                }
            }
            Priority::Caller(_) => return Ok(()),
        };
        if available >= needed {
            return Ok(());
        }
        Err(Rejection { reason, delay: self.delay(needed - available, now_ms), error: None })
    }

    fn floor(&self, (fraction, minimum): (f64, f64)) -> f64 {
        (fraction * self.largest_reported).max(minimum)
    }

    /// The time until `missing` tokens are refilled or the report expires; if the rate is unknown, until the report expires.
    fn delay(&self, missing: f64, now_ms: i64) -> Duration {
        let until_expiry_ms = self.report.map_or(0, |report| report.received_ms + MAX_AGE_MS - now_ms);
        let until_expiry = Duration::from_millis(u64::try_from(until_expiry_ms).unwrap_or(0));
        // The conversion fails for a rate of 0.
        let until_refilled = Duration::try_from_secs_f64(missing / self.refill_per_second);
        until_refilled.unwrap_or(until_expiry).min(until_expiry).max(MIN_DELAY)
    }

    /// The requests of a caller that count against its share. They decay at half the refill rate, because the other half is for
    /// other callers.
    fn used(&self, caller: CallerId, now_ms: i64) -> f64 {
        let Some(share) = self.shares.get(&caller).filter(|share| now_ms - share.computed_ms < MAX_AGE_MS)
        else {
            return 0.0;
        };
        (share.used - self.refill_per_second / 2.0 * seconds(now_ms - share.computed_ms)).max(0.0)
    }

    /// Counts a request that is about to be sent.
    pub(super) fn start(&mut self, caller: CallerId, now_ms: i64) {
        self.in_flight += 1;
        let used = self.used(caller, now_ms) + 1.0;
        self.shares.retain(|_, share| now_ms - share.computed_ms < MAX_AGE_MS);
        self.shares.insert(caller, Share { used, computed_ms: now_ms });
    }

    /// Counts a finished request. `left` is the number of remaining requests in Azure's response.
    pub(super) fn finish(&mut self, left: Option<u32>, now_ms: i64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(left) = left.map(f64::from) {
            self.report = Some(Report { left, computed_ms: now_ms, received_ms: now_ms });
            self.largest_reported = self.largest_reported.max(left);
        } else if let (Some(left), Some(report)) = (self.left(now_ms), &mut self.report) {
            (report.left, report.computed_ms) = (left - 1.0, now_ms);
        }
    }

    /// Records a 429, if it says when to retry.
    pub(super) fn record_throttling(&mut self, error: &ArmError, now_ms: i64) {
        let Some(after_ms) = error.retry_after.and_then(|after| i64::try_from(after.as_millis()).ok()) else {
            return;
        };
        self.throttled = Some(Throttled { until_ms: now_ms + after_ms, error: Box::new(error.clone()) });
    }
}

/// Converts milliseconds to seconds; 0 for a negative number.
fn seconds(ms: i64) -> f64 {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64()
}
