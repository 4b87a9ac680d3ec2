//! Limits on the requests of each application in a subscription to Resource Manager and Compute, as token buckets.

use std::collections::HashMap;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::response::SandboxResponse;

/// The number of [`Level`] units of one token, so that a refill of n tokens each minute is n units each millisecond.
const UNITS_PER_TOKEN: u64 = 60_000;
/// `Retry-After` in seconds if a bucket is empty and never refilled.
const NO_REFILL_RETRY_SECONDS: u64 = 3_600;
/// The documented limit of all applications together, as a multiple of the limit of one.
const GLOBAL_FACTOR: u64 = 15;

/// The limits on the requests of each application in a subscription; an unset limit allows every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestBudget {
    /// GET and HEAD.
    pub reads: Option<Bucket>,
    /// PUT, PATCH and POST.
    pub writes: Option<Bucket>,
    /// DELETE.
    pub deletes: Option<Bucket>,
    /// Requests to Microsoft.Compute, in addition to the limit of their method.
    pub compute: Option<Bucket>,
}

/// A token bucket, which is full at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// The number of tokens.
    pub size: u32,
    /// The number of tokens that are added each minute.
    pub refill_per_minute: u32,
}

/// The budget of a subscription, and the levels of its applications' buckets.
#[derive(Default)]
pub(crate) struct BudgetState {
    budget: RequestBudget,
    /// By client ID and limit.
    levels: HashMap<(String, Limit), Level>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Limit {
    Reads,
    Writes,
    Deletes,
    Compute,
}

/// The tokens in a bucket.
#[derive(Clone, Copy)]
struct Level {
    /// One token is [`UNITS_PER_TOKEN`].
    units: u64,
    updated_ms: i64,
}

/// The error of an empty bucket.
pub(crate) struct Throttled {
    pub(crate) is_compute: bool,
    pub(crate) retry_after_seconds: u64,
}

/// The response headers with the numbers of remaining requests.
#[derive(Debug, Default)]
pub(crate) struct RateLimitHeaders(Vec<(&'static str, String)>);

impl RateLimitHeaders {
    /// Adds the headers that the response does not have.
    pub(crate) fn add_to(self, mut response: SandboxResponse) -> SandboxResponse {
        for (name, value) in self.0 {
            if !response.headers.contains_key(name) {
                response.set(name, &value);
            }
        }
        response
    }
}

impl BudgetState {
    pub(crate) fn budget(&self) -> &RequestBudget {
        &self.budget
    }

    /// Sets the budget, with full buckets.
    pub(crate) fn set(&mut self, budget: RequestBudget) {
        *self = Self { budget, levels: HashMap::new() };
    }

    /// Counts a request. The headers belong in the response even if a bucket is empty.
    pub(crate) fn count(
        &mut self,
        client_id: &str,
        method: &Method,
        is_compute: bool,
        now_ms: i64,
    ) -> (RateLimitHeaders, Result<(), Throttled>) {
        let method_limit = match *method {
            Method::GET | Method::HEAD => Limit::Reads,
            Method::DELETE => Limit::Deletes,
            _ => Limit::Writes,
        };
        let mut rate_limit_headers = RateLimitHeaders::default();
        for limit in [method_limit, Limit::Compute].into_iter().take(if is_compute { 2 } else { 1 }) {
            let result = self.take(client_id, limit, now_ms);
            rate_limit_headers.0.extend(limit.headers(*result.as_ref().unwrap_or(&0)));
            if let Err(retry_after_seconds) = result {
                let is_compute = limit == Limit::Compute;
                return (rate_limit_headers, Err(Throttled { is_compute, retry_after_seconds }));
            }
        }
        (rate_limit_headers, Ok(()))
    }

    /// Takes a token. Returns the number of remaining tokens, or the seconds until there is one.
    fn take(&mut self, client_id: &str, limit: Limit, now_ms: i64) -> Result<u64, u64> {
        let Some(bucket) = self.bucket(limit) else { return Ok(limit.documented_size() - 1) };
        let full = u64::from(bucket.size) * UNITS_PER_TOKEN;
        let level = self
            .levels
            .entry((client_id.to_owned(), limit))
            .or_insert(Level { units: full, updated_ms: now_ms });
        let refill = u64::from(bucket.refill_per_minute);
        let elapsed_ms = u64::try_from(now_ms - level.updated_ms).unwrap_or(0);
        level.units = full.min(level.units.saturating_add(refill.saturating_mul(elapsed_ms)));
        level.updated_ms = now_ms;
        match level.units.checked_sub(UNITS_PER_TOKEN) {
            Some(remaining) => {
                level.units = remaining;
                Ok(remaining / UNITS_PER_TOKEN)
            }
            None if refill == 0 => Err(NO_REFILL_RETRY_SECONDS),
            None => Err((UNITS_PER_TOKEN - level.units).div_ceil(refill).div_ceil(1_000)),
        }
    }

    fn bucket(&self, limit: Limit) -> Option<Bucket> {
        match limit {
            Limit::Reads => self.budget.reads,
            Limit::Writes => self.budget.writes,
            Limit::Deletes => self.budget.deletes,
            Limit::Compute => self.budget.compute,
        }
    }
}

impl Limit {
    /// The size of the bucket that Azure documents.
    fn documented_size(self) -> u64 {
        match self {
            Self::Reads => 250,
            Self::Writes | Self::Deletes => 200,
            Self::Compute => 360,
        }
    }

    fn headers(self, remaining: u64) -> Vec<(&'static str, String)> {
        let global = (GLOBAL_FACTOR * self.documented_size() - 1).to_string();
        let remaining = remaining.to_string();
        match self {
            Self::Reads => vec![
                ("x-ms-ratelimit-remaining-subscription-reads", remaining),
                ("x-ms-ratelimit-remaining-subscription-global-reads", global),
            ],
            Self::Writes => vec![
                ("x-ms-ratelimit-remaining-subscription-writes", remaining),
                ("x-ms-ratelimit-remaining-subscription-global-writes", global),
            ],
            Self::Deletes => vec![
                ("x-ms-ratelimit-remaining-subscription-deletes", remaining),
                ("x-ms-ratelimit-remaining-subscription-global-deletes", global),
            ],
            Self::Compute => {
                vec![(
                    "x-ms-ratelimit-remaining-resource",
                    format!("Microsoft.Compute/GetSubscriptionInfo3Min;{remaining}"),
                )]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remaining_reads(state: &mut BudgetState, client: &str, now_ms: i64) -> Result<String, u64> {
        let (rate_limit_headers, outcome) = state.count(client, &Method::GET, false, now_ms);
        outcome.map_err(|throttled| throttled.retry_after_seconds)?;
        Ok(rate_limit_headers.0.into_iter().next().unwrap().1)
    }

    #[test]
    fn buckets_empty_and_refill_for_each_application() {
        let mut state = BudgetState::default();
        state.set(RequestBudget {
            reads: Some(Bucket { size: 2, refill_per_minute: 30 }),
            ..RequestBudget::default()
        });
        assert_eq!(remaining_reads(&mut state, "a", 0), Ok("1".to_owned()));
        assert_eq!(remaining_reads(&mut state, "a", 0), Ok("0".to_owned()));
        assert_eq!(remaining_reads(&mut state, "a", 0), Err(2));
        assert_eq!(remaining_reads(&mut state, "a", 1_001), Err(1));
        assert_eq!(remaining_reads(&mut state, "b", 0), Ok("1".to_owned()));
        assert_eq!(remaining_reads(&mut state, "a", 2_000), Ok("0".to_owned()));
        assert_eq!(remaining_reads(&mut state, "a", 100_000), Ok("1".to_owned()), "at most the size");
    }

    #[test]
    fn unset_limits_are_never_reached() {
        let mut state = BudgetState::default();
        for _ in 0..1_000 {
            assert_eq!(remaining_reads(&mut state, "a", 0), Ok("249".to_owned()));
        }
    }

    #[test]
    fn compute_has_a_bucket_of_its_own() {
        let mut state = BudgetState::default();
        let compute = Some(Bucket { size: 1, refill_per_minute: 0 });
        state.set(RequestBudget { compute, ..RequestBudget::default() });
        assert!(state.count("a", &Method::GET, true, 0).1.is_ok());
        let (rate_limit_headers, outcome) = state.count("a", &Method::GET, true, 0);
        let throttled = outcome.err().unwrap();
        assert!(throttled.is_compute && throttled.retry_after_seconds == NO_REFILL_RETRY_SECONDS);
        assert!(
            rate_limit_headers.0.iter().any(|(name, value)| *name == "x-ms-ratelimit-remaining-resource"
                && value == "Microsoft.Compute/GetSubscriptionInfo3Min;0")
        );
        assert!(state.count("a", &Method::GET, false, 0).1.is_ok());
    }
}
