//! The cache of lists: finished responses per credential, bounded in bytes, each loaded once however many callers
//! wait for it. Knows ages and errors, not the contents of entries.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aks::arm::KubernetesVersion;
use azure::{Fingerprint, SharedTask};
use bytes::Bytes;
use clock::Clock;
use metrics::Counter;
use moka::sync::Cache as Memory;
use tokio::time::{timeout, timeout_at};

use super::kind::{Key, Kind};
use crate::service::single_flight::Flights;

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
    loads: Flights<Key, Outcome>,
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
            loads: Flights::default(),
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
            let entry = outcome(&running).await?;
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
        match timeout_at(running.deadline(self.limits.stale_after), outcome(&running)).await {
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
    fn join<F>(&self, key: &Key, seen: Option<&Arc<Entry>>, load: impl FnOnce() -> F) -> SharedTask<Outcome>
    where
        F: Future<Output = Result<Loaded, azure::Error>> + Send + 'static,
    {
        let landed = || {
            let now = self.entries.get(key);
            now.filter(|now| seen.is_none_or(|seen| !Arc::ptr_eq(seen, now))).map(Ok)
        };
        let start = || {
            let (load, limit) = (load(), self.limits.load);
            async move {
                match timeout(limit, load).await {
                    Ok(Ok(loaded)) => Ok(loaded),
                    Ok(Err(error)) => Err(Failure::Azure(Arc::new(error))),
                    Err(_) => Err(Failure::TimedOut),
                }
            }
        };
        let (cache, settled) = (self.clone(), key.clone());
        let settle = move |outcome, is_current| cache.settle(&settled, outcome, is_current);
        self.loads.join(key, landed, start, settle)
    }

    /// Changes the entries as the end of a load demands, and counts it.
    fn settle(&self, key: &Key, outcome: Result<Loaded, Failure>, is_current: bool) -> Outcome {
        let label = match &outcome {
            Ok(_) => "success",
            Err(failure) if failure.is_timeout() => "timed_out",
            Err(failure) if failure.allows_stale() => "failed",
            Err(_) => "refused",
        };
        metrics::counter!("norman_aks_cache_loads_total", "kind" => key.kind.name(), "outcome" => label)
            .increment(1);
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
        self.loads.remove_if(is_of);
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
}

/// The age up to which an entry may be served at all.
fn max_age(kind: Kind) -> Duration {
    kind.time_to_live() + MAX_STALENESS
}

/// Waits for the end of a load.
async fn outcome(load: &SharedTask<Outcome>) -> Outcome {
    // A load that panicked (it is reported where panics are) has no outcome.
    timeout(TIME_LIMIT, load.outcome()).await.ok().flatten().unwrap_or(Err(Failure::TimedOut))
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
