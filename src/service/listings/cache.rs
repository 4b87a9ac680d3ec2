//! What Azure listed lately: finished answers, kept per credential and bounded in bytes, each loaded once however
//! many ask for it. Knows times and errors, not what the entries mean.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use metrics::Counter;
use moka::sync::Cache as Memory;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::azure::{self, Cloud, Fingerprint};
use crate::clock::Clock;
use crate::domain::arm::KubernetesVersion;

/// How long one answer may take in all, retries and pages included.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(55);
/// How old an entry may be that is served because Azure does not answer, or while it is loaded anew.
const OLDEST: Duration = Duration::from_hours(24);

/// What is listed. Versions and sizes depend on a region, which the key of an entry then names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Clusters,
    Locations,
    Networks,
    Regions,
    Versions,
    VmSizes,
    VmSizesV2,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Clusters,
        Self::Locations,
        Self::Networks,
        Self::Regions,
        Self::Versions,
        Self::VmSizes,
        Self::VmSizesV2,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Clusters => "clusters",
            Self::Locations => "locations",
            Self::Networks => "virtual_networks",
            Self::Regions => "regions",
            Self::Versions => "kubernetes_versions",
            Self::VmSizes => "vm_sizes",
            Self::VmSizesV2 => "vm_sizes_v2",
        }
    }

    /// How long an entry is as good as new.
    fn time_to_live(self) -> Duration {
        Duration::from_secs(match self {
            Self::Locations | Self::Regions => 24 * 3600,
            Self::VmSizes | Self::VmSizesV2 => 3600,
            Self::Versions => 15 * 60,
            Self::Networks | Self::Clusters => 30,
        })
    }

    /// Whether an older entry is served at once while a new one is loaded. What people change themselves is not:
    /// they would not see what they just made.
    fn served_while_loading(self) -> bool {
        !matches!(self, Self::Networks | Self::Clusters)
    }
}

/// Whose list of what. Two credentials never share an entry, not even two secrets of one application.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) cloud: Cloud,
    /// Lower case.
    pub(super) subscription: String,
    pub(super) fingerprint: Fingerprint,
    pub(super) kind: Kind,
    /// Normalised; empty for kinds that do not depend on a region.
    pub(super) region: Arc<str>,
}

/// A loaded list, finished as far as it can be before the question is known.
#[derive(Debug)]
pub(super) enum Loaded {
    /// The answer itself.
    Answer(Bytes),
    /// Versions, with the finished answer of aksVersions beside what aksUpgrades computes from.
    Versions { answer: Bytes, list: Vec<KubernetesVersion> },
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
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// From memory, within its time to live.
    Hit,
    /// Asked for just now.
    Miss,
    /// From memory, past its time to live: Azure is being asked, or does not answer.
    Stale,
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
type Flights = Arc<Mutex<HashMap<Key, watch::Receiver<Option<Outcome>>>>>;

/// The memory. Clones share it.
#[derive(Clone)]
pub(super) struct Cache {
    entries: Memory<Key, Arc<Entry>>,
    flights: Flights,
    clock: Clock,
    counters: Arc<HashMap<Kind, [Counter; 3]>>,
}

impl Cache {
    /// A memory of at most `bytes`.
    pub(super) fn new(bytes: u64, clock: Clock) -> Self {
        let counter = |kind: Kind, outcome: &'static str| metrics::counter!("norman_aks_cache_lookups_total", "kind" => kind.name(), "outcome" => outcome);
        let counters =
            Kind::ALL.map(|kind| (kind, ["hit", "miss", "stale"].map(|outcome| counter(kind, outcome))));
        let weigh = |key: &Key, entry: &Arc<Entry>| {
            let held = 256 + key.subscription.len() + key.region.len() + entry.loaded.weight();
            u32::try_from(held).unwrap_or(u32::MAX)
        };
        Self {
            // moka's own clock only bounds memory here; what is fresh is judged by ours.
            entries: Memory::builder()
                .max_capacity(bytes)
                .weigher(weigh)
                .time_to_live(OLDEST)
                .support_invalidation_closures()
                .build(),
            flights: Arc::default(),
            clock,
            counters: Arc::new(HashMap::from(counters)),
        }
    }

    /// The list of `key`: remembered, or loaded by `load`, which runs on its own and outlives a caller that goes
    /// away. With `fresh` nothing remembered is taken, but a load under way is joined.
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
        let remembered = self.entries.get(&key).map(|entry| (self.age_of(&entry), entry));
        let found = |entry: &Entry, age, freshness| {
            self.count(kind, freshness);
            Found { loaded: Arc::clone(&entry.loaded), freshness, age }
        };
        if let (Some((age, entry)), false) = (&remembered, fresh) {
            if *age <= kind.time_to_live() {
                return Ok(found(entry, *age, Freshness::Hit));
            }
            if kind.served_while_loading() && *age <= OLDEST {
                self.join(&key, Some(entry), load);
                return Ok(found(entry, *age, Freshness::Stale));
            }
        }
        let flight = self.join(&key, remembered.as_ref().map(|(_, entry)| entry), load);
        match (self.wait(flight).await, remembered) {
            (Ok(entry), _) => Ok(found(&entry, Duration::ZERO, Freshness::Miss)),
            (Err(failure), Some((age, entry))) if !fresh && age <= OLDEST && failure.is_passing() => {
                Ok(found(&entry, age, Freshness::Stale))
            }
            (Err(failure), _) => Err(failure),
        }
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

    /// The load under way for `key`, started if there is none. One that has landed since the caller looked, and saw
    /// `seen`, counts as under way.
    fn join<F>(
        &self,
        key: &Key,
        seen: Option<&Arc<Entry>>,
        load: impl FnOnce() -> F,
    ) -> watch::Receiver<Option<Outcome>>
    where
        F: Future<Output = Result<Loaded, azure::Error>> + Send + 'static,
    {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = flights.get(key) {
            return under_way.clone();
        }
        let now = self.entries.get(key);
        if let Some(landed) = now.filter(|now| seen.is_none_or(|seen| !Arc::ptr_eq(seen, now))) {
            return watch::channel(Some(Ok(landed))).1;
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert(key.clone(), receiver.clone());
        drop(flights);
        let (cache, load) = (self.clone(), load());
        let landing = Landing { flights: Arc::clone(&self.flights), key: key.clone() };
        tokio::spawn(async move {
            let outcome = match tokio::time::timeout(TIME_LIMIT, load).await {
                Ok(Ok(loaded)) => Ok(cache.keep(&landing.key, loaded)),
                Ok(Err(error)) => {
                    cache.drop_refused(&landing.key, &error);
                    Err(Failure::Azure(Arc::new(error)))
                }
                Err(_) => Err(Failure::TimedOut),
            };
            // Off the list of flights before the outcome is known, so that nobody joins what is over.
            drop(landing);
            sender.send_replace(Some(outcome));
        });
        receiver
    }

    async fn wait(&self, mut flight: watch::Receiver<Option<Outcome>>) -> Outcome {
        let landed =
            tokio::time::timeout_at(Instant::now() + TIME_LIMIT, flight.wait_for(Option::is_some)).await;
        match landed {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(Failure::TimedOut)),
            // The load panicked (it is reported where panics are) or took too long.
            Ok(Err(_)) | Err(_) => Err(Failure::TimedOut),
        }
    }

    fn keep(&self, key: &Key, loaded: Loaded) -> Arc<Entry> {
        let entry = Arc::new(Entry { loaded: Arc::new(loaded), at_ms: self.clock.now_ms() });
        self.entries.insert(key.clone(), Arc::clone(&entry));
        entry
    }

    /// Forgets the lists of these kinds that a credential saw.
    pub(super) fn forget(&self, fingerprint: Fingerprint, kinds: &'static [Kind]) {
        let _ = self
            .entries
            .invalidate_entries_if(move |key, _| key.fingerprint == fingerprint && kinds.contains(&key.kind));
    }

    /// A refused login means that nothing this credential ever listed may be shown again; a refused or vanished
    /// list means that this one may not.
    fn drop_refused(&self, key: &Key, error: &azure::Error) {
        if error.is_login_refusal() {
            let fingerprint = key.fingerprint;
            let _ = self.entries.invalidate_entries_if(move |key, _| key.fingerprint == fingerprint);
        } else if matches!(error.upstream_status(), Some(403 | 404)) {
            self.entries.invalidate(key);
        }
    }
}

/// Takes a load off the list when it ends, by a panic too.
struct Landing {
    flights: Flights,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl Failure {
    /// Whether an older answer is better than this failure: no answer, 408, 429, 5xx, a time limit.
    fn is_passing(&self) -> bool {
        match self {
            Self::Azure(error) => error.is_transient(),
            Self::TimedOut => true,
        }
    }
}
