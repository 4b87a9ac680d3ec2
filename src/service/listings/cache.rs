//! The cache of Azure's lists, per credential and as rendered responses, with a maximum size in bytes. Concurrent requests
//! share one load.

mod freshness;
mod login_state;
mod restored;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use azure::{Fingerprint, SharedTask};
use clock::Clock;
use metrics::Counter;
use moka::Expiry;
use moka::sync::Cache as MokaCache;
use tokio::time::{timeout, timeout_at};

pub use self::freshness::Freshness;
pub(super) use self::freshness::LoadReason;
use self::freshness::StaleReason;
use self::login_state::LoginState;
use super::encoded::Encoded;
use super::kind::{Key, Kind};
use super::loaded::Loaded;
use crate::service::single_flight::InFlightTasks;

/// The time limit of a load, with retries and pages.
pub(super) const LOAD_TIMEOUT: Duration = Duration::from_secs(55);
/// The duration of a load after which callers get a stale entry, if there is one.
const STALE_AFTER: Duration = Duration::from_secs(3);

/// The time after which the memory of a page is freed.
const PAGE_TTL: Duration = Duration::from_mins(5);

#[derive(Debug)]
struct Entry {
    loaded: Arc<Loaded>,
    loaded_ms: i64,
    /// Whether a load that should have replaced the entry timed out.
    reload_timed_out: AtomicBool,
    /// Whether the credential can still log in, for an entry of an earlier process.
    login: LoginState,
}

impl Entry {
    fn new(loaded: Loaded, loaded_ms: i64, login: LoginState) -> Self {
        Self { loaded: Arc::new(loaded), loaded_ms, reload_timed_out: AtomicBool::new(false), login }
    }

    /// The reason to serve the entry past its TTL without waiting for the load; `None` if callers wait.
    fn stale_reason(&self, kind: Kind) -> Option<StaleReason> {
        if kind.is_served_while_loading() {
            return Some(StaleReason::Refreshing);
        }
        self.reload_timed_out.load(Ordering::Acquire).then_some(StaleReason::TimedOut)
    }
}

/// A list with its age.
#[derive(Debug)]
pub(super) struct LookupResult {
    pub(super) loaded: Arc<Loaded>,
    pub(super) freshness: Freshness,
    pub(super) age: Duration,
}

/// The error of a load.
#[derive(Clone, Debug)]
pub(super) enum LoadError {
    Azure(Arc<azure::Error>),
    TimedOut,
}

type Outcome = Result<Arc<Entry>, LoadError>;

/// The time limits.
#[derive(Clone, Copy, Debug)]
struct Limits {
    load: Duration,
    stale_after: Duration,
}

/// The cache. Clones share it.
#[derive(Clone)]
pub(super) struct Cache {
    limits: Limits,
    entries: MokaCache<Key, Arc<Entry>>,
    loads: InFlightTasks<Key, Outcome>,
    clock: Clock,
    /// Counts changes of entries that are saved for the next process.
    changes: Arc<AtomicU64>,
    /// The counters of hits, misses and stale responses of each kind.
    counters: Arc<[[Counter; 3]; Kind::ALL.len()]>,
}

impl Cache {
    /// A cache of at most `bytes`.
    pub(super) fn new(bytes: u64, clock: Clock) -> Self {
        let counter = |kind: Kind, outcome: &'static str| metrics::counter!("norman_aks_cache_lookups_total", "kind" => kind.name(), "outcome" => outcome);
        let counters = Kind::ALL.map(|kind| ["hit", "miss", "stale"].map(|outcome| counter(kind, outcome)));
        let weigh = |key: &Key, entry: &Arc<Entry>| {
            let size = 256 + key.subscription.len() + key.scope.len() + entry.loaded.weight();
            u32::try_from(size).unwrap_or(u32::MAX)
        };
        Self {
            entries: MokaCache::builder()
                .max_capacity(bytes)
                .weigher(weigh)
                .expire_after(ExpiryByKind)
                .support_invalidation_closures()
                .build(),
            limits: Limits { load: LOAD_TIMEOUT, stale_after: STALE_AFTER },
            loads: InFlightTasks::default(),
            clock,
            changes: Arc::default(),
            counters: Arc::new(counters),
        }
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// The list of `key`, from the cache or loaded by `load`, which runs in its own task and continues if the caller
    /// disconnects. With `bypasses_cache`, the cache is bypassed, but a load in flight is joined. `login` fetches a token within
    /// the given time; it is called only for an entry of an earlier process.
    pub(super) async fn get<L, F>(
        &self,
        key: Key,
        bypasses_cache: bool,
        login: impl FnOnce(Duration) -> L,
        load: impl FnOnce(LoadReason) -> F,
    ) -> Result<LookupResult, LoadError>
    where
        L: Future<Output = Result<(), azure::Error>>,
        F: Future<Output = Result<Loaded, azure::Error>> + Send + 'static,
    {
        let kind = key.kind;
        let cached = self.entries.get(&key).map(|entry| (self.age_of(&entry), entry));
        if let (Some((_, entry)), false) = (&cached, bypasses_cache)
            && let Some(limit) = entry.login.wait_limit(self.limits.stale_after)
        {
            // Boxed, because it is rare and large.
            Box::pin(self.require_login(&key, entry, login(limit))).await?;
        }
        if let (Some((age, entry)), false) = (&cached, bypasses_cache)
            && *age <= kind.time_to_live()
        {
            return Ok(self.lookup_result(kind, entry, *age, Freshness::Hit));
        }
        // Boxed, because it is large and a fresh entry does not need it.
        Box::pin(self.load_or_wait(key, cached, bypasses_cache, load)).await
    }

    /// The second part of [`Self::get`]: there is no fresh entry, or the cache is bypassed.
    async fn load_or_wait<F>(
        &self,
        key: Key,
        cached: Option<(Duration, Arc<Entry>)>,
        bypasses_cache: bool,
        load: impl FnOnce(LoadReason) -> F,
    ) -> Result<LookupResult, LoadError>
    where
        F: Future<Output = Result<Loaded, azure::Error>> + Send + 'static,
    {
        let kind = key.kind;
        let previous = cached.as_ref().map(|(_, entry)| Arc::clone(entry));
        let usable = cached.filter(|(age, _)| !bypasses_cache && *age <= kind.max_age());
        let stale_reason = usable.as_ref().and_then(|(_, entry)| entry.stale_reason(kind));
        let load_reason = if stale_reason.is_some() { LoadReason::Refresh } else { LoadReason::Caller };
        let running = self.join_load(&key, previous.as_ref(), || load(load_reason));
        let Some((age, entry)) = usable else {
            let entry = wait_for_outcome(&running).await?;
            return Ok(self.lookup_result(kind, &entry, Duration::ZERO, Freshness::Miss));
        };
        let serve_stale = |reason| Ok(self.stale_result(kind, &entry, age, reason));
        if let Some(reason) = stale_reason {
            return serve_stale(reason);
        }
        // The wait is counted from the start of the load, which may be older than this request.
        match timeout_at(running.deadline(self.limits.stale_after), wait_for_outcome(&running)).await {
            Ok(Ok(entry)) => Ok(self.lookup_result(kind, &entry, Duration::ZERO, Freshness::Miss)),
            Ok(Err(failure)) if failure.allows_stale() => serve_stale(StaleReason::Failed),
            Ok(Err(failure)) => Err(failure),
            Err(_) => serve_stale(StaleReason::Slow),
        }
    }

    fn lookup_result(&self, kind: Kind, entry: &Entry, age: Duration, freshness: Freshness) -> LookupResult {
        self.count_lookup(kind, freshness);
        LookupResult { loaded: Arc::clone(&entry.loaded), freshness, age }
    }

    fn stale_result(&self, kind: Kind, entry: &Entry, age: Duration, reason: StaleReason) -> LookupResult {
        metrics::counter!("norman_aks_stale_responses_total", "kind" => kind.name(), "reason" => reason.name())
            .increment(1);
        self.lookup_result(kind, entry, age, Freshness::Stale)
    }

    fn age_of(&self, entry: &Entry) -> Duration {
        Duration::from_millis(u64::try_from(self.clock.now_ms() - entry.loaded_ms).unwrap_or(0))
    }

    /// The approximate size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.weighted_size()
    }

    /// The number of changes of entries that are saved for the next process.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn count_change(&self, is_saved: bool) {
        self.changes.fetch_add(is_saved.into(), Ordering::AcqRel);
    }

    fn count_lookup(&self, kind: Kind, freshness: Freshness) {
        let Some([hit, miss, stale]) = self.counters.get(kind as usize) else { return };
        match freshness {
            Freshness::Hit => hit.increment(1),
            Freshness::Miss => miss.increment(1),
            Freshness::Stale => stale.increment(1),
        }
    }

    /// The load in flight for `key`, started if there is none. If a load has ended since the caller read the entry `previous`,
    /// its result is used instead.
    fn join_load<F>(
        &self,
        key: &Key,
        previous: Option<&Arc<Entry>>,
        load: impl FnOnce() -> F,
    ) -> SharedTask<Outcome>
    where
        F: Future<Output = Result<Loaded, azure::Error>> + Send + 'static,
    {
        let new_entry = || {
            let entry = self.entries.get(key);
            entry.filter(|entry| previous.is_none_or(|previous| !Arc::ptr_eq(previous, entry))).map(Ok)
        };
        let start = || {
            let (load, limit) = (load(), self.limits.load);
            async move {
                match timeout(limit, load).await {
                    Ok(Ok(loaded)) => Ok(loaded),
                    Ok(Err(error)) => Err(LoadError::Azure(Arc::new(error))),
                    Err(_) => Err(LoadError::TimedOut),
                }
            }
        };
        let (cache, load_key) = (self.clone(), key.clone());
        let finish = move |outcome, is_current| cache.apply_outcome(&load_key, outcome, is_current);
        self.loads.join(key, new_entry, start, finish)
    }

    /// Applies the outcome of a load to the entries, and counts it.
    fn apply_outcome(&self, key: &Key, outcome: Result<Loaded, LoadError>, is_current: bool) -> Outcome {
        let label = match &outcome {
            Ok(_) => "success",
            Err(failure) if failure.is_deferred() => "deferred",
            Err(failure) if failure.is_timeout() => "timed_out",
            Err(failure) if failure.allows_stale() => "failed",
            Err(_) => "refused",
        };
        metrics::counter!("norman_aks_cache_loads_total", "kind" => key.kind.name(), "outcome" => label)
            .increment(1);
        match outcome {
            Ok(loaded) => {
                let entry = Arc::new(Entry::new(loaded, self.clock.now_ms(), LoginState::done()));
                if is_current {
                    self.entries.insert(key.clone(), Arc::clone(&entry));
                    self.count_change(key.kind.is_saved());
                }
                Ok(entry)
            }
            Err(failure) => {
                if let LoadError::Azure(error) = &failure {
                    self.evict_denied(key, error);
                }
                if failure.is_timeout()
                    && is_current
                    && let Some(entry) = self.entries.get(key)
                {
                    entry.reload_timed_out.store(true, Ordering::Release);
                }
                Err(failure)
            }
        }
    }

    /// The page of `key`, if it was computed from these `sources`, not from earlier loads of the same lists.
    pub(super) fn page(&self, key: &Key, sources: &[&Arc<Loaded>]) -> Option<Arc<Encoded>> {
        let entry = self.entries.get(key)?;
        let Loaded::Page { body, sources: page_sources } = &*entry.loaded else { return None };
        let is_source = |(page_source, source): (&Weak<Loaded>, &&Arc<Loaded>)| {
            std::ptr::eq(page_source.as_ptr(), Arc::as_ptr(source))
        };
        let is_current =
            page_sources.len() == sources.len() && page_sources.iter().zip(sources).all(is_source);
        is_current.then(|| Arc::clone(body))
    }

    /// Caches a page that was computed from these lists.
    pub(super) fn insert_page(&self, key: Key, sources: &[&Arc<Loaded>], body: Arc<Encoded>) {
        let sources = sources.iter().map(|source| Arc::downgrade(source)).collect();
        let entry = Entry::new(Loaded::Page { body, sources }, self.clock.now_ms(), LoginState::done());
        self.entries.insert(key, Arc::new(entry));
    }

    /// Evicts the lists of these kinds that were read with a credential. The results of loads in flight are not cached, because
    /// they may have been read before the change.
    pub(super) fn evict(&self, fingerprint: Fingerprint, kinds: &'static [Kind]) {
        let is_evicted = move |key: &Key| key.fingerprint == fingerprint && kinds.contains(&key.kind);
        self.loads.remove_if(is_evicted);
        self.count_change(kinds.iter().any(|kind| kind.is_saved()));
        let _ = self.entries.invalidate_entries_if(move |key, _| is_evicted(key));
    }

    /// Evicts the lists that an error concerns: all of the credential if its login is rejected, this one if it is denied or no
    /// longer exists.
    fn evict_denied(&self, key: &Key, error: &azure::Error) {
        if error.is_login_rejected() {
            let fingerprint = key.fingerprint;
            self.count_change(true);
            let _ = self.entries.invalidate_entries_if(move |key, _| key.fingerprint == fingerprint);
        } else if error.foreign_reason().is_none() && matches!(error.upstream_status(), Some(403 | 404)) {
            self.count_change(key.kind.is_saved());
            self.entries.invalidate(key);
        }
    }
}

/// Evicts entries that may no longer be served, to bound memory. Moka uses its own clock, so lookups also check the age.
struct ExpiryByKind;

impl Expiry<Key, Arc<Entry>> for ExpiryByKind {
    fn expire_after_create(&self, key: &Key, _: &Arc<Entry>, _: std::time::Instant) -> Option<Duration> {
        // A page is useless after the reload of its lists.
        Some(if key.kind == Kind::Page { PAGE_TTL } else { key.kind.max_age() })
    }

    fn expire_after_update(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        now: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, entry, now)
    }
}

/// Waits for the outcome of a load.
async fn wait_for_outcome(load: &SharedTask<Outcome>) -> Outcome {
    // A load that panicked has no outcome; the panic itself is logged elsewhere.
    timeout(LOAD_TIMEOUT, load.outcome()).await.ok().flatten().unwrap_or(Err(LoadError::TimedOut))
}

impl LoadError {
    /// Whether a stale entry is served instead: for a transient error, or an unusable response.
    fn allows_stale(&self) -> bool {
        match self {
            Self::Azure(error) => error.is_transient() || error.is_unusable_response(),
            Self::TimedOut => true,
        }
    }

    /// Whether the load was deferred until more requests to Azure remain.
    fn is_deferred(&self) -> bool {
        matches!(self, Self::Azure(error) if error.is_deferred())
    }

    fn is_timeout(&self) -> bool {
        match self {
            Self::Azure(error) => error.is_timeout(),
            Self::TimedOut => true,
        }
    }
}

#[cfg(test)]
mod tests;
