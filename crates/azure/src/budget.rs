//! The budget of an application in a subscription: the number of requests that Azure still accepts, as the headers of its
//! responses report it. Decides which requests may be sent.
//!
//! Resource Manager counts the reads, writes and deletes of each application in a subscription in token buckets; Compute has
//! limits of its own. If few requests remain, background refreshes stop first, then speculative requests; if none remain,
//! callers get an error that says when to retry. Nothing is limited before Azure has sent such a header or a 429.

mod headers;
mod limit;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clock::Clock;
use http::{HeaderMap, Method};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use self::headers::{ARM_THROTTLED_CODE, ArmLimit, GLOBAL_FACTOR, parse_compute_remaining, parse_remaining};
use self::limit::{DeferralReason, Limit, Rejection};
use crate::cloud::Cloud;
use crate::credential::Credential;
use crate::error::Error;
use crate::error_response::ArmError;
use crate::request_name::RequestName;

/// Budgets that are not used for this long are evicted: their buckets are full by then.
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);

const MAX_BUDGETS: u64 = 4_096;

/// The values of the label `kind` in metrics.
const KINDS: [&str; 4] = ["reads", "writes", "deletes", COMPUTE];

/// The value of the label `kind` for limits of Compute.
const COMPUTE: &str = "compute";

/// The maximum number of URLs with their own limit in one budget.
const MAX_URLS: usize = 64;

/// The time for which a rejected caller counts as waiting.
const WAITING_MS: i64 = 5_000;

/// Identifies the caller of a request to Azure, so that callers get fair shares of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallerId(u64);

impl CallerId {
    /// The server itself.
    pub const SERVER: Self = Self(0);

    /// The ID of the caller with this name.
    pub fn new(name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The priority of a request when few requests remain, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// The caller waits for the response.
    Caller(CallerId),
    /// No caller waits for the response: the worker reads the state of a cluster.
    Speculative,
    /// No caller waits for the response: it refreshes a cached value.
    Background,
}

impl Priority {
    fn caller(self) -> CallerId {
        match self {
            Self::Caller(caller) => caller,
            Self::Speculative | Self::Background => CallerId::SERVER,
        }
    }
}

/// The budgets of all applications and subscriptions.
#[derive(Debug)]
pub(super) struct Budgets {
    clock: Clock,
    by_key: Cache<Key, Arc<Budget>>,
}

/// The application and subscription of a budget, with IDs in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    cloud: Cloud,
    subscription_id: String,
    client_id: String,
}

impl Budgets {
    pub(super) fn new(clock: Clock) -> Self {
        let by_key = Cache::builder()
            .max_capacity(MAX_BUDGETS)
            .time_to_idle(IDLE_TIMEOUT)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { clock, by_key }
    }

    pub(super) fn get(&self, credential: &Credential) -> Arc<Budget> {
        let key = Key {
            cloud: credential.cloud,
            subscription_id: credential.subscription_id.to_ascii_lowercase(),
            client_id: credential.client_id.to_ascii_lowercase(),
        };
        self.by_key.get_with(key, || Arc::new(Budget::new(self.clock.clone())))
    }

    /// Sets the gauges to the minima of all budgets; NaN if no budget knows the number.
    pub(super) fn set_gauges(&self) {
        let mut minima: HashMap<&'static str, f64> = KINDS.into_iter().map(|kind| (kind, f64::NAN)).collect();
        for (_, budget) in &self.by_key {
            for (kind, available) in budget.available_by_kind() {
                // The minimum of NaN and a number is the number.
                minima.entry(kind).and_modify(|minimum| *minimum = minimum.min(available.floor().max(0.0)));
            }
        }
        for (kind, minimum) in minima {
            metrics::gauge!("norman_aks_azure_budget_remaining", "kind" => kind).set(minimum);
        }
    }
}

/// The budget of one application in one subscription.
#[derive(Debug)]
pub(super) struct Budget {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// For each [`ArmLimit`], the limit of the application and that of all applications together.
    arm: [[Limit; 2]; 3],
    /// Limits of resource providers, by [`request_key`]: they depend on operation and region.
    by_url: HashMap<String, Limit>,
    callers: HashMap<CallerId, CallerActivity>,
}

/// The requests of a caller that are in flight or waiting.
#[derive(Debug, Default)]
struct CallerActivity {
    in_flight: u32,
    /// The time until which the caller counts as waiting, because a request was rejected.
    waiting_until_ms: i64,
}

/// The limits and the caller that a request counts against.
#[derive(Clone, Debug)]
struct Charge {
    arm_limit: ArmLimit,
    /// The [`request_key`].
    key: String,
    is_compute: bool,
    caller: CallerId,
}

impl Budget {
    fn new(clock: Clock) -> Self {
        let arm = ArmLimit::ALL.map(|arm_limit| {
            let limit = arm_limit.documented();
            [1, GLOBAL_FACTOR]
                .map(|factor| Limit::new(limit.bucket_size * factor, limit.refill_per_second * factor))
        });
        Self { clock, state: Mutex::new(State { arm, by_url: HashMap::new(), callers: HashMap::new() }) }
    }

    /// Admits a request, or says why and for how long it must not be sent.
    pub(super) fn admit(
        self: &Arc<Self>,
        priority: Priority,
        request: &RequestKind<'_>,
    ) -> Result<Reservation, Deferral> {
        let charge = Charge::new(priority.caller(), request);
        let now_ms = self.clock.now_ms();
        let mut state = self.lock();
        match state.check(priority, &charge, now_ms) {
            Ok(()) => {
                state.start(&charge, now_ms);
                drop(state);
                Ok(self.reservation(charge))
            }
            Err(rejection) => {
                if matches!(priority, Priority::Caller(_)) {
                    let activity = state.callers.entry(charge.caller).or_default();
                    activity.waiting_until_ms = now_ms + WAITING_MS;
                }
                Err(Deferral { priority, rejection })
            }
        }
    }

    /// Counts a request that is sent even if the budget is exhausted.
    pub(super) fn reserve(self: &Arc<Self>, priority: Priority, request: &RequestKind<'_>) -> Reservation {
        let charge = Charge::new(priority.caller(), request);
        self.lock().start(&charge, self.clock.now_ms());
        self.reservation(charge)
    }

    fn reservation(self: &Arc<Self>, charge: Charge) -> Reservation {
        Reservation { budget: Arc::clone(self), charge, remaining: Remaining::default() }
    }

    /// The available requests of each known limit, with the value of the label `kind`.
    fn available_by_kind(&self) -> Vec<(&'static str, f64)> {
        let now_ms = self.clock.now_ms();
        let state = self.lock();
        let arm = ArmLimit::ALL.iter().zip(&state.arm).flat_map(|(arm_limit, limits)| {
            limits.iter().filter_map(move |limit| Some((arm_limit.name(), limit.available(now_ms)?)))
        });
        let compute = state.by_url.values().filter_map(|limit| Some((COMPUTE, limit.available(now_ms)?)));
        arm.chain(compute).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The properties of a request that its limits depend on.
#[derive(Debug)]
pub(super) struct RequestKind<'a> {
    pub(super) name: RequestName,
    pub(super) method: &'a Method,
    /// The URL without its query.
    pub(super) url: &'a str,
}

impl Charge {
    fn new(caller: CallerId, request: &RequestKind<'_>) -> Self {
        let RequestKind { name, method, url } = request;
        let is_compute =
            matches!(name, RequestName::ListSkus | RequestName::ListVmSizes | RequestName::ListUsages);
        Self { arm_limit: ArmLimit::new(method), key: request_key(method, url), is_compute, caller }
    }

    /// Whether the error is Azure's response to the same request.
    fn matches_error(&self, error: &ArmError) -> bool {
        self.key == request_key(&error.method, &error.url)
    }
}

/// The key of a request: its method, and its URL in lower case.
fn request_key(method: &Method, url: &str) -> String {
    format!("{method} {}", url.to_ascii_lowercase())
}

impl State {
    fn limits(&self, charge: &Charge) -> impl Iterator<Item = &Limit> {
        self.arm.get(charge.arm_limit as usize).into_iter().flatten().chain(self.by_url.get(&charge.key))
    }

    fn check(&self, priority: Priority, charge: &Charge, now_ms: i64) -> Result<(), Rejection> {
        let is_contended = self.callers.iter().any(|(caller, activity)| {
            *caller != charge.caller && (activity.in_flight > 0 || activity.waiting_until_ms > now_ms)
        });
        let checked = self.limits(charge).try_for_each(|limit| limit.check(priority, is_contended, now_ms));
        // The error of another request would reveal what another caller requested.
        checked.map_err(|rejection| Rejection {
            error: rejection.error.filter(|error| charge.matches_error(error)),
            ..rejection
        })
    }

    fn start(&mut self, charge: &Charge, now_ms: i64) {
        if charge.is_compute {
            self.add_url(&charge.key, now_ms);
        }
        let Self { arm, by_url, callers } = self;
        let arm = arm.get_mut(charge.arm_limit as usize).into_iter().flatten();
        for limit in arm.chain(by_url.get_mut(&charge.key)) {
            limit.start(charge.caller, now_ms);
        }
        callers.entry(charge.caller).or_default().in_flight += 1;
    }

    fn finish(&mut self, charge: &Charge, remaining: Remaining, now_ms: i64) {
        let Self { arm, by_url, callers } = self;
        if let Some(limits) = arm.get_mut(charge.arm_limit as usize) {
            for (limit, remaining) in limits.iter_mut().zip(remaining.arm) {
                limit.finish(remaining, now_ms);
            }
        }
        if let Some(limit) = by_url.get_mut(&charge.key) {
            limit.finish(remaining.compute, now_ms);
        }
        if let Some(activity) = callers.get_mut(&charge.caller) {
            activity.in_flight = activity.in_flight.saturating_sub(1);
        }
        callers.retain(|_, activity| activity.in_flight > 0 || activity.waiting_until_ms > now_ms);
    }

    /// Adds the limit of a URL, unless there are [`MAX_URLS`] others in use.
    fn add_url(&mut self, key: &str, now_ms: i64) {
        if self.by_url.contains_key(key) {
            return;
        }
        if self.by_url.len() >= MAX_URLS {
            self.by_url.retain(|_, limit| !limit.is_idle(now_ms));
        }
        if self.by_url.len() < MAX_URLS {
            self.by_url.insert(key.to_owned(), Limit::default());
        }
    }
}

/// A counted request in flight. Dropping it counts the request as finished.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<Budget>,
    charge: Charge,
    remaining: Remaining,
}

/// The remaining requests that Azure reports in a response.
#[derive(Clone, Copy, Debug, Default)]
struct Remaining {
    /// Of the application, and of all applications together.
    arm: [Option<u32>; 2],
    compute: Option<u32>,
}

impl Reservation {
    /// Reads the remaining requests from the headers of the response.
    pub(super) fn observe(&mut self, headers: &HeaderMap) {
        let documented = self.charge.arm_limit.documented();
        self.remaining = Remaining {
            arm: [documented.header, documented.global_header].map(|name| parse_remaining(headers, name)),
            compute: parse_compute_remaining(headers),
        };
    }

    /// Records a 429 that says when to retry. A 429 of Resource Manager applies to all reads, writes or deletes; a 429 of a
    /// resource provider applies to the same method and URL.
    pub(super) fn record_throttling(&self, error: &ArmError) {
        let now_ms = self.budget.clock.now_ms();
        let mut state = self.budget.lock();
        if error.code.as_deref() == Some(ARM_THROTTLED_CODE) {
            if let Some([limit, _]) = state.arm.get_mut(self.charge.arm_limit as usize) {
                limit.record_throttling(error, now_ms);
            }
            return;
        }
        state.add_url(&self.charge.key, now_ms);
        if let Some(limit) = state.by_url.get_mut(&self.charge.key) {
            limit.record_throttling(error, now_ms);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.lock().finish(&self.charge, self.remaining, self.budget.clock.now_ms());
    }
}

/// The rejection of a request, with its priority.
#[derive(Debug)]
pub(super) struct Deferral {
    priority: Priority,
    rejection: Rejection,
}

impl Deferral {
    /// The time after which the request may be sent.
    pub(super) fn delay(&self) -> Duration {
        self.rejection.delay
    }

    /// Counts the deferral in the metrics and converts it to an error: Azure's own if Azure throttled the same request.
    pub(super) fn into_error(self) -> Error {
        let Self { priority, rejection: Rejection { reason, delay, error } } = self;
        metrics::counter!("norman_aks_azure_deferred_requests_total", "reason" => reason.name()).increment(1);
        let retry_after = whole_seconds(delay);
        match (priority, error) {
            (Priority::Background | Priority::Speculative, _) => Error::Deferred { retry_after },
            (Priority::Caller(_), Some(error)) => {
                Error::Arm(Box::new(ArmError { retry_after: Some(retry_after), ..*error }))
            }
            (Priority::Caller(_), None) => {
                Error::BudgetExhausted { retry_after, shared: reason == DeferralReason::Share }
            }
        }
    }
}

/// Rounds up to seconds, at least one.
fn whole_seconds(delay: Duration) -> Duration {
    Duration::from_secs(delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests;
