//! The cache of lists: finished responses per credential, bounded in bytes, each loaded once however many callers
//! wait for it. Knows ages and errors, not the contents of entries.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aks::arm::KubernetesVersion;
use azure::Fingerprint;
use bytes::Bytes;
use clock::Clock;
use metrics::Counter;
use moka::sync::Cache as Memory;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::kind::{Key, Kind};

/// The limit of one load, retries and pages included.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(55);
/// How long after its time to live an entry may still be served, because Azure fails or a new one is being loaded.
const MAX_STALENESS: Duration = Duration::from_hours(24);
/// How long a load may run before callers that have an older entry get that.
const STALE_AFTER: Duration = Duration::from_secs(3);

/// A loaded list, finished as far as it can be before the question is known.
#[derive(Debug)]
pub(super) enum Loaded {
    /// The answer itself.
    Answer(Bytes),
    /// Versions, with the finished answer of aksVersions beside what aksUpgrades computes from.
    Versions { answer: Bytes, list: Vec<KubernetesVersion> },
    /// The versions that Azure upgrades a cluster to.
    UpgradeTargets(Vec<String>),
    /// Elements with the region that each belongs to; picked from at answer time.
    ByRegion(Vec<Element>),
}

/// One finished element of an answer, or why it cannot be one.
#[derive(Debug)]
pub(super) struct Element {
    /// Normalised.
    pub(super) region: String,
    pub(super) json: Result<Bytes, &'static str>,
}

impl Loaded {
    /// About the bytes that it holds in memory.
    fn weight(&self) -> usize {
        let versions = |list: &[KubernetesVersion]| list.len() * 2048;
        match self {
            Self::Answer(answer) => answer.len(),
            Self::Versions { answer, list } => answer.len() + versions(list),
            Self::UpgradeTargets(targets) => targets.len() * 32,
            Self::ByRegion(elements) => {
                elements.iter().map(|e| 96 + e.json.as_ref().map_or(0, Bytes::len)).sum()
            }
        }
    }
}

#[derive(Debug)]
struct Entry {
    loaded: Arc<Loaded>,
    at_ms: i64,
    /// Whether a load that should have replaced it timed out.
    reload_timed_out: AtomicBool,
}

/// Where a response came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// From the cache, within its time to live.
    Hit,
    /// Loaded for this request.
    Miss,
    /// From the cache, past its time to live: Azure is being asked, is slow, or fails.
    Stale,
}

/// Why a stale entry is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// Entries of this kind are served while a new one is loaded.
    Refreshing,
    /// The load runs for longer than [`STALE_AFTER`].
    Slow,
    /// The previous load timed out, and none has succeeded since.
    TimedOut,
    /// The load failed in a way that says nothing about the entry.
    Failed,
}

impl Reason {
    /// The value of the label `reason` in metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Refreshing => "refreshing",
            Self::Slow => "slow",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
        }
    }
}

/// A found list, with its age.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) loaded: Arc<Loaded>,
    pub(super) freshness: Freshness,
    pub(super) age: Duration,
}

/// Why there is no list.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    Azure(Arc<azure::Error>),
    TimedOut,
}

type Outcome = Result<Arc<Entry>, Failure>;

/// A load that is running, or has just ended.
#[derive(Clone, Debug)]
struct Load {
    started: Instant,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// The loads that are running, each under the key of its entry.
type Loads = Arc<Mutex<HashMap<Key, Load>>>;

/// The limits of waiting.
#[derive(Clone, Copy, Debug)]
struct Limits {
    load: Duration,
    stale_after: Duration,
}

/// The cache. Clones share it.
#[derive(Clone)]
pub(super) struct Cache {
    limits: Limits,
    entries: Memory<Key, Arc<Entry>>,
    loads: Loads,
    clock: Clock,
    counters: Arc<HashMap<Kind, [Counter; 3]>>,
}

impl Cache {
    /// A cache of at most `bytes`.
    pub(super) fn new(bytes: u64, clock: Clock) -> Self {
        let counter = |kind: Kind, outcome: &'static str| metrics::counter!("norman_aks_cache_lookups_total", "kind" => kind.name(), "outcome" => outcome);
        let counters =
            Kind::ALL.map(|kind| (kind, ["hit", "miss", "stale"].map(|outcome| counter(kind, outcome))));
        let weigh = |key: &Key, entry: &Arc<Entry>| {
            let held = 256 + key.subscription.len() + key.scope.len() + entry.loaded.weight();
            u32::try_from(held).unwrap_or(u32::MAX)
        };
        let longest = Kind::ALL.map(max_age).into_iter().max().unwrap_or(MAX_STALENESS);
        Self {
            // moka's own clock only bounds memory here; what is fresh is judged by ours.
            entries: Memory::builder()
                .max_capacity(bytes)
                .weigher(weigh)
                .time_to_live(longest)
                .support_invalidation_closures()
                .build(),
            limits: Limits { load: TIME_LIMIT, stale_after: STALE_AFTER },
            loads: Arc::default(),
            clock,
            counters: Arc::new(HashMap::from(counters)),
        }
    }

    /// The list of `key`: from the cache, or loaded by `load`, which runs on its own and outlives a caller that goes
    /// away. With `fresh` nothing cached is taken, but a load in flight is joined.
    pub(super) async fn get<F>(
        &self,
        key: Key,
        fresh: bool,
        load: impl FnOnce() -> F,
    ) -> Result<Found, Failure>
    where
        F: Future<Output = Result<Loaded, azure::Error>> + Send + 'static,
    {
        let kind = key.kind;
        let cached = self.entries.get(&key).map(|entry| (self.age_of(&entry), entry));
        if let (Some((age, entry)), false) = (&cached, fresh)
            && *age <= kind.time_to_live()
        {
            return Ok(self.found(kind, entry, *age, Freshness::Hit));
        }
        let running = self.join(&key, cached.as_ref().map(|(_, entry)| entry), load);
        let Some((age, entry)) = cached.filter(|(age, _)| !fresh && *age <= max_age(kind)) else {
            let entry = running.outcome().await?;
            return Ok(self.found(kind, &entry, Duration::ZERO, Freshness::Miss));
        };
        let stale = |reason| Ok(self.stale(kind, &entry, age, reason));
        if kind.served_while_loading() {
            return stale(Reason::Refreshing);
        }
        if entry.reload_timed_out.load(Ordering::Acquire) {
            return stale(Reason::TimedOut);
        }
        // Counted from the start of the load, which may be older than this request.
        match timeout_at(running.started + self.limits.stale_after, running.outcome()).await {
            Ok(Ok(entry)) => Ok(self.found(kind, &entry, Duration::ZERO, Freshness::Miss)),
            Ok(Err(failure)) if failure.allows_stale() => stale(Reason::Failed),
            Ok(Err(failure)) => Err(failure),
            Err(_) => stale(Reason::Slow),
        }
    }

    fn found(&self, kind: Kind, entry: &Entry, age: Duration, freshness: Freshness) -> Found {
        self.count(kind, freshness);
        Found { loaded: Arc::clone(&entry.loaded), freshness, age }
    }

    fn stale(&self, kind: Kind, entry: &Entry, age: Duration, reason: Reason) -> Found {
        metrics::counter!("norman_aks_stale_responses_total", "kind" => kind.name(), "reason" => reason.name())
            .increment(1);
        self.found(kind, entry, age, Freshness::Stale)
    }

    fn age_of(&self, entry: &Entry) -> Duration {
        Duration::from_millis(u64::try_from(self.clock.now_ms() - entry.at_ms).unwrap_or(0))
    }

    /// About the bytes that are held now.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.weighted_size()
    }

    fn count(&self, kind: Kind, freshness: Freshness) {
        let Some([hit, miss, stale]) = self.counters.get(&kind) else { return };
        match freshness {
            Freshness::Hit => hit.increment(1),
            Freshness::Miss => miss.increment(1),
            Freshness::Stale => stale.increment(1),
        }
    }

    /// The load in flight for `key`, started if there is none. One that has ended since the caller looked, and saw
    /// `seen`, counts as in flight.
    fn join<F>(&self, key: &Key, seen: Option<&Arc<Entry>>, load: impl FnOnce() -> F) -> Load
    where
        F: Future<Output = Result<Loaded, azure::Error>> + Send + 'static,
    {
        let started = Instant::now();
        let mut loads = self.lock();
        if let Some(running) = loads.get(key) {
            return running.clone();
        }
        let now = self.entries.get(key);
        if let Some(landed) = now.filter(|now| seen.is_none_or(|seen| !Arc::ptr_eq(seen, now))) {
            return Load { started, outcome: watch::channel(Some(Ok(landed))).1 };
        }
        let (sender, outcome) = watch::channel(None);
        let running = Load { started, outcome };
        loads.insert(key.clone(), running.clone());
        drop(loads);
        let (cache, load) = (self.clone(), load());
        let guard = LoadGuard { loads: Arc::clone(&self.loads), key: key.clone(), load: running.clone() };
        tokio::spawn(async move {
            let outcome = match tokio::time::timeout(cache.limits.load, load).await {
                Ok(Ok(loaded)) => Ok(loaded),
                Ok(Err(error)) => Err(Failure::Azure(Arc::new(error))),
                Err(_) => Err(Failure::TimedOut),
            };
            let outcome = cache.settle(&guard, outcome);
            // Off the list of loads before the outcome is known, so that nobody joins what is over.
            drop(guard);
            sender.send_replace(Some(outcome));
        });
        running
    }

    /// Changes the entries as the end of a load demands, and counts it.
    fn settle(&self, guard: &LoadGuard, outcome: Result<Loaded, Failure>) -> Outcome {
        let key = &guard.key;
        let label = match &outcome {
            Ok(_) => "success",
            Err(failure) if failure.is_timeout() => "timed_out",
            Err(failure) if failure.allows_stale() => "failed",
            Err(_) => "refused",
        };
        metrics::counter!("norman_aks_cache_loads_total", "kind" => key.kind.name(), "outcome" => label)
            .increment(1);
        let loads = self.lock();
        let is_current = guard.is_in(&loads);
        match outcome {
            Ok(loaded) => {
                let (loaded, at_ms) = (Arc::new(loaded), self.clock.now_ms());
                let entry = Arc::new(Entry { loaded, at_ms, reload_timed_out: AtomicBool::new(false) });
                if is_current {
                    self.entries.insert(key.clone(), Arc::clone(&entry));
                }
                Ok(entry)
            }
            Err(failure) => {
                if let Failure::Azure(error) = &failure {
                    self.drop_refused(key, error);
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

    /// Evicts the lists of these kinds that a credential saw. What is being loaded of them is not kept either: it may
    /// have been read before the change.
    pub(super) fn evict(&self, fingerprint: Fingerprint, kinds: &'static [Kind]) {
        let is_of = move |key: &Key| key.fingerprint == fingerprint && kinds.contains(&key.kind);
        self.lock().retain(|key, _| !is_of(key));
        let _ = self.entries.invalidate_entries_if(move |key, _| is_of(key));
    }

    /// A refused login means that nothing this credential ever listed may be shown again; a refused or vanished
    /// list means that this one may not.
    fn drop_refused(&self, key: &Key, error: &azure::Error) {
        if error.is_login_refusal() {
            let fingerprint = key.fingerprint;
            let _ = self.entries.invalidate_entries_if(move |key, _| key.fingerprint == fingerprint);
        } else if error.foreign().is_none() && matches!(error.upstream_status(), Some(403 | 404)) {
            self.entries.invalidate(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Load>> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The age up to which an entry may be served at all.
fn max_age(kind: Kind) -> Duration {
    kind.time_to_live() + MAX_STALENESS
}

impl Load {
    /// Waits for the end of the load.
    async fn outcome(&self) -> Outcome {
        let mut outcome = self.outcome.clone();
        match timeout_at(Instant::now() + TIME_LIMIT, outcome.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(Failure::TimedOut)),
            // The load panicked (it is reported where panics are) or took too long.
            Ok(Err(_)) | Err(_) => Err(Failure::TimedOut),
        }
    }
}

/// Takes a load off the list when it ends, by a panic too.
struct LoadGuard {
    loads: Loads,
    key: Key,
    load: Load,
}

impl LoadGuard {
    /// Whether the load is still the one of its key.
    fn is_in(&self, loads: &HashMap<Key, Load>) -> bool {
        loads.get(&self.key).is_some_and(|load| load.outcome.same_channel(&self.load.outcome))
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_in(&loads) {
            loads.remove(&self.key);
        }
    }
}

impl Failure {
    /// Whether an older entry is better than this failure: a transient one, or a response that cannot be used.
    fn allows_stale(&self) -> bool {
        match self {
            Self::Azure(error) => error.is_transient() || error.is_unusable_response(),
            Self::TimedOut => true,
        }
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
