//! The remaining requests of an application in a subscription, by the headers of Azure's responses, and who may use them.
//!
//! Resource Manager counts reads, writes and deletes of each subscription and application in token buckets; Compute counts
//! requests of its own. If little is left, background refreshes stop first, then speculative requests; if nothing is left,
//! callers get an error with the time of the next attempt. Nothing is limited before Azure has sent such a header or a 429.

mod headers;
mod pool;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clock::Clock;
use http::{HeaderMap, Method};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use self::headers::{ARM_THROTTLED_CODE, ArmLimit, GLOBAL_FACTOR, remaining, remaining_of_compute};
use self::pool::{DeferralReason, Pool, Rejection};
use crate::cloud::Cloud;
use crate::credential::Credential;
use crate::error::Error;
use crate::error_response::ArmError;
use crate::request_name::RequestName;

/// Budgets that are not used for this long are evicted: their buckets are full by then.
const IDLE_TIMEOUT: Duration = Duration::from_mins(10);

const CAPACITY: u64 = 4_096;

/// The values of the label `kind` in metrics.
const KINDS: [&str; 4] = ["reads", "writes", "deletes", COMPUTE];

/// The value for limits of Compute.
const COMPUTE: &str = "compute";

/// The most URLs with limits of their own in one budget.
const MAX_URLS: usize = 64;

/// The time in milliseconds for which a caller that could not be served is counted as waiting.
const WAITING_MS: i64 = 5_000;

/// The caller of a request to Azure, as far as fairness needs to know.
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

/// The importance of a request when little of the budget is left, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// The caller waits for the response.
    Caller(CallerId),
    /// No caller waits for the response.
    Speculative,
    /// Refreshes a value that is served meanwhile.
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

/// Azure's limits apply to an application in a subscription; IDs in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    cloud: Cloud,
    subscription_id: String,
    client_id: String,
}

impl Budgets {
    pub(super) fn new(clock: Clock) -> Self {
        let by_key = Cache::builder()
            .max_capacity(CAPACITY)
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

    /// Sets the gauges to the least that is left in any budget; to NaN where it is unknown.
    pub(super) fn set_gauges(&self) {
        let mut least: HashMap<&'static str, f64> = KINDS.into_iter().map(|kind| (kind, f64::NAN)).collect();
        for (_, budget) in &self.by_key {
            for (kind, left) in budget.left() {
                // The minimum of NaN and a number is the number.
                least.entry(kind).and_modify(|least| *least = least.min(left.floor().max(0.0)));
            }
        }
        for (kind, left) in least {
            metrics::gauge!("norman_aks_azure_budget_remaining", "kind" => kind).set(left);
        }
    }
}

/// What is left to one application in one subscription.
#[derive(Debug)]
pub(super) struct Budget {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// By [`ArmLimit`]: of the application, and of all applications.
    arm: [[Pool; 2]; 3],
    /// Limits of resource providers, by method and URL without its query: they depend on operation and region.
    by_url: HashMap<String, Pool>,
    callers: HashMap<CallerId, CallerActivity>,
}

/// The requests of a caller that are in flight or wait.
#[derive(Debug, Default)]
struct CallerActivity {
    in_flight: u32,
    /// The time until which a request that was not sent counts as waiting.
    waiting_until_ms: i64,
}

/// The limits and the caller for which a request counts.
#[derive(Clone, Debug)]
struct Charge {
    limit: ArmLimit,
    url: String,
    is_compute: bool,
    caller: CallerId,
}

impl Budget {
    fn new(clock: Clock) -> Self {
        let arm = ArmLimit::ALL.map(|limit| {
            let documented = limit.documented();
            [1, GLOBAL_FACTOR]
                .map(|factor| Pool::new(documented.bucket * factor, documented.refill_per_second * factor))
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

    /// Counts a request that is sent in any case.
    pub(super) fn reserve(self: &Arc<Self>, priority: Priority, request: &RequestKind<'_>) -> Reservation {
        let charge = Charge::new(priority.caller(), request);
        self.lock().start(&charge, self.clock.now_ms());
        self.reservation(charge)
    }

    fn reservation(self: &Arc<Self>, charge: Charge) -> Reservation {
        Reservation { budget: Arc::clone(self), charge, left: Remaining::default() }
    }

    /// What is left, by the value of the label `kind`.
    fn left(&self) -> Vec<(&'static str, f64)> {
        let now_ms = self.clock.now_ms();
        let state = self.lock();
        let arm = ArmLimit::ALL.iter().zip(&state.arm).flat_map(|(limit, pools)| {
            pools.iter().filter_map(move |pool| Some((limit.name(), pool.available(now_ms)?)))
        });
        let compute = state.by_url.values().filter_map(|pool| Some((COMPUTE, pool.available(now_ms)?)));
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
    /// Without its query.
    pub(super) url: &'a str,
}

impl Charge {
    fn new(caller: CallerId, request: &RequestKind<'_>) -> Self {
        let RequestKind { name, method, url } = request;
        let is_compute =
            matches!(name, RequestName::ListSkus | RequestName::ListVmSizes | RequestName::ListUsages);
        Self { limit: ArmLimit::new(method), url: request_key(method, url), is_compute, caller }
    }
}

impl Charge {
    /// Whether an error is that of the same request.
    fn is_for(&self, error: &ArmError) -> bool {
        self.url == request_key(&error.method, &error.url)
    }
}

/// Method and URL.
fn request_key(method: &Method, url: &str) -> String {
    format!("{method} {}", url.to_ascii_lowercase())
}

impl State {
    fn pools(&self, charge: &Charge) -> impl Iterator<Item = &Pool> {
        self.arm.get(charge.limit as usize).into_iter().flatten().chain(self.by_url.get(&charge.url))
    }

    fn check(&self, priority: Priority, charge: &Charge, now_ms: i64) -> Result<(), Rejection> {
        let others_wait = self.callers.iter().any(|(caller, activity)| {
            *caller != charge.caller && (activity.in_flight > 0 || activity.waiting_until_ms > now_ms)
        });
        let checked = self.pools(charge).try_for_each(|pool| pool.check(priority, others_wait, now_ms));
        // The error of another request names what another caller requested.
        checked.map_err(|rejection| Rejection {
            error: rejection.error.filter(|error| charge.is_for(error)),
            ..rejection
        })
    }

    fn start(&mut self, charge: &Charge, now_ms: i64) {
        if charge.is_compute {
            self.add_url(&charge.url, now_ms);
        }
        let Self { arm, by_url, callers } = self;
        for pool in
            arm.get_mut(charge.limit as usize).into_iter().flatten().chain(by_url.get_mut(&charge.url))
        {
            pool.start(charge.caller, now_ms);
        }
        callers.entry(charge.caller).or_default().in_flight += 1;
    }

    fn finish(&mut self, charge: &Charge, left: Remaining, now_ms: i64) {
        let Self { arm, by_url, callers } = self;
        if let Some(arm) = arm.get_mut(charge.limit as usize) {
            for (pool, left) in arm.iter_mut().zip(left.arm) {
                pool.finish(left, now_ms);
            }
        }
        if let Some(pool) = by_url.get_mut(&charge.url) {
            pool.finish(left.compute, now_ms);
        }
        if let Some(activity) = callers.get_mut(&charge.caller) {
            activity.in_flight = activity.in_flight.saturating_sub(1);
        }
        callers.retain(|_, activity| activity.in_flight > 0 || activity.waiting_until_ms > now_ms);
    }

    /// Adds the limit of a URL if there is room.
    fn add_url(&mut self, url: &str, now_ms: i64) {
        if !self.by_url.contains_key(url) && self.by_url.len() >= MAX_URLS {
            self.by_url.retain(|_, pool| !pool.is_idle(now_ms));
        }
        if self.by_url.contains_key(url) || self.by_url.len() < MAX_URLS {
            self.by_url.entry(url.to_owned()).or_default();
        }
    }
}

/// A request that is being sent. Dropping it ends the request.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<Budget>,
    charge: Charge,
    left: Remaining,
}

/// What Azure says is left after a request.
#[derive(Clone, Copy, Debug, Default)]
struct Remaining {
    /// Of the application, and of all applications.
    arm: [Option<u32>; 2],
    compute: Option<u32>,
}

impl Reservation {
    /// Reads what is left from the headers of the response.
    pub(super) fn observe(&mut self, headers: &HeaderMap) {
        let documented = self.charge.limit.documented();
        self.left = Remaining {
            arm: [documented.header, documented.global_header].map(|name| remaining(headers, name)),
            compute: remaining_of_compute(headers),
        };
    }

    /// Records a 429 that says when to retry: for all such requests if it is Resource Manager's own, for the same URL if it
    /// is a resource provider's.
    pub(super) fn throttle(&self, error: &ArmError) {
        let now_ms = self.budget.clock.now_ms();
        let mut state = self.budget.lock();
        if error.code.as_deref() == Some(ARM_THROTTLED_CODE) {
            if let Some([pool, _]) = state.arm.get_mut(self.charge.limit as usize) {
                pool.throttle(error, now_ms);
            }
            return;
        }
        state.add_url(&self.charge.url, now_ms);
        if let Some(pool) = state.by_url.get_mut(&self.charge.url) {
            pool.throttle(error, now_ms);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.lock().finish(&self.charge, self.left, self.budget.clock.now_ms());
    }
}

/// A request that was not sent.
#[derive(Debug)]
pub(super) struct Deferral {
    priority: Priority,
    rejection: Rejection,
}

impl Deferral {
    /// The time after which it may be sent.
    pub(super) fn delay(&self) -> Duration {
        self.rejection.delay
    }

    /// Counts it, and turns it into an error: Azure's own if Azure has throttled such requests.
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
