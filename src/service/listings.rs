//! The eight listing actions: each returns a list of Azure as a response in JSON, from the cache if it is fresh enough. `kind`
//! defines the TTLs. Callers pass the function that renders a response.

mod cache;
mod encoded;
mod kind;
mod loaded;
mod objects;
mod page;
mod snapshot;
mod typed;
mod upgrades;

use std::sync::Arc;
use std::time::Duration;

use aks::arm;
use aks::regions;
use azure::resources::{locations, subscriptions, vm_sizes};
use azure::{Arm, Azure, Priority};
use bytes::Bytes;
use clock::Clock;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use self::cache::Freshness;
use self::cache::{Cache, LOAD_TIMEOUT, LoadError, LoadReason, LookupResult};
pub use self::encoded::{Coding, Encoded, Representation};
use self::kind::{Key, Kind};
use self::loaded::{Loaded, TypedList};
pub use self::snapshot::{InvalidSnapshot, Restored};
pub use self::typed::{CachedList, PageSource};
pub use self::upgrades::{UpgradableCluster, Upgrades};
use crate::service::concurrency::CallerPermits;
use crate::service::credentials::AzureAccess;
use crate::service::error::Rejection;
use crate::service::{Caller, Error, Result};

/// The maximum number of pages of the catalog that are built concurrently: a long page takes milliseconds of CPU time.
const MAX_CONCURRENT_PAGES: usize = 2;

/// The maximum number of lists that are read concurrently for one request that needs many, and for one caller.
pub const CONCURRENT_LISTS: usize = 4;

/// The time limit of `aksCheckCredentials` (`docs/contract/meta-actions.md#akscheckcredentials`).
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// The service behind the listing actions. Clones share the cache.
#[derive(Clone)]
pub struct Listings {
    pub(super) azure: Azure,
    cache: Cache,
    pub(super) caller_permits: CallerPermits,
    /// Limits the pages of the catalog that are built at the same time.
    page_builds: Arc<Semaphore>,
}

/// A request of a listing action.
#[derive(Clone, Copy, Debug)]
pub struct ListingRequest<'a> {
    /// The credential for Azure.
    pub access: &'a AzureAccess,
    /// The caller. While other callers wait, it gets at most half of the remaining requests to Azure.
    pub caller: &'a Caller,
    /// Whether to bypass the cache (`Cache-Control: no-cache`).
    pub bypasses_cache: bool,
    /// Whether the caller needs many lists, of which [`CONCURRENT_LISTS`] are loaded at the same time.
    pub is_one_of_many: bool,
}

/// A response of a listing action.
#[derive(Debug)]
pub struct ListingResponse {
    /// The body, in JSON.
    pub body: Arc<Encoded>,
    /// Whether it came from the cache.
    pub freshness: Freshness,
    /// The time since it was read from Azure.
    pub age: Duration,
}

impl Listings {
    /// A service with a cache of at most `cache_bytes`.
    pub fn new(azure: Azure, cache_bytes: u64, clock: Clock) -> Self {
        let caller_permits = CallerPermits::new(CONCURRENT_LISTS);
        let page_builds = Arc::new(Semaphore::new(MAX_CONCURRENT_PAGES));
        Self { azure, cache: Cache::new(cache_bytes, clock), caller_permits, page_builds }
    }

    /// Evicts the lists of clusters, upgrades, networks and quotas that were read with a credential, after a change in Azure.
    pub fn evict_changed(&self, access: &AzureAccess) {
        let changed = &[Kind::Clusters, Kind::Networks, Kind::UpgradeProfile, Kind::Usages];
        self.cache.evict(access.credential().fingerprint, changed);
    }

    /// Evicts all lists that were read with a credential.
    pub fn evict(&self, access: &AzureAccess) {
        self.cache.evict(access.credential().fingerprint, &Kind::ALL);
    }

    /// Checks that the credential can log in and read its subscription, with a new token and without the cache.
    pub async fn check(&self, access: &AzureAccess) -> Result<()> {
        let check = async {
            let arm = self.azure.arm(access.credential(), Instant::now() + CHECK_TIMEOUT)?;
            subscriptions::get(&arm.with_new_token()).await.map(drop)
        };
        let outcome = tokio::time::timeout(CHECK_TIMEOUT, check).await;
        let outcome = outcome.map_err(|_| Error::TimedOut { limit: CHECK_TIMEOUT })?;
        outcome.map_err(|source| Error::Azure { prefix: "invalid credentials: ", source: Arc::new(source) })
    }

    /// The regions, by name.
    pub async fn locations(
        &self,
        request: ListingRequest<'_>,
        render: fn(&[arm::Location]) -> Bytes,
    ) -> Result<ListingResponse> {
        let prefix = "failed to get locations: ";
        let lookup = self.find(request, Kind::Locations, Arc::default(), prefix, move |arm| async move {
            let list = locations::list(&arm, locations::ApiVersion::Plain2016).await?;
            Ok(Loaded::body(render(&list), TypedList::Unused))
        });
        body_response(&lookup.await?)
    }

    /// The names of the VM sizes of `region`.
    pub async fn vm_sizes(
        &self,
        request: ListingRequest<'_>,
        region: &str,
        render: fn(&[arm::VmSize]) -> Bytes,
    ) -> Result<ListingResponse> {
        let region = normalize_region(region)?;
        let lookup = self.find(
            request,
            Kind::VmSizes,
            Arc::clone(&region),
            VM_SIZES_ERROR_PREFIX,
            move |arm| async move {
                let list = vm_sizes::list(&arm, &region).await?;
                Ok(Loaded::body(render(&list), TypedList::Unused))
            },
        );
        body_response(&lookup.await?)
    }

    /// The current time, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.cache.now_ms()
    }

    /// Updates the gauges of the cache, and of the remaining requests to Azure.
    pub fn set_gauges(&self) {
        #[expect(clippy::cast_precision_loss, reason = "caches have less than 2^53 bytes")]
        metrics::gauge!("norman_aks_cache_bytes").set(self.cache_bytes() as f64);
        self.azure.set_gauges();
    }

    /// The approximate size of the cache in bytes.
    pub fn cache_bytes(&self) -> u64 {
        self.cache.bytes()
    }

    async fn find<F>(
        &self,
        request: ListingRequest<'_>,
        kind: Kind,
        scope: Arc<str>,
        prefix: &'static str,
        load: impl FnOnce(Arm) -> F + Send + 'static,
    ) -> Result<LookupResult>
    where
        F: Future<Output = Result<Loaded, azure::Error>> + Send + 'static,
    {
        let key = cache_key(request.access, kind, scope);
        let credential = request.access.credential();
        let is_region_list = matches!(kind, Kind::Locations | Kind::Regions);
        let login = async |limit| self.azure.arm(credential, Instant::now() + limit)?.log_in().await;
        let (azure, credential) = (self.azure.clone(), Arc::clone(credential));
        let permits = request
            .is_one_of_many
            .then(|| (self.caller_permits.clone(), request.access.permit_key(request.caller)));
        let lookup = self.cache.get(key, request.bypasses_cache, login, move |load_reason| {
            let priority = match load_reason {
                LoadReason::Caller => Priority::Caller(request.caller.budget_id()),
                LoadReason::Refresh => Priority::Background,
            };
            async move {
                let _permit = match permits {
                    Some((permits, caller)) => permits.acquire(&caller).await,
                    None => None,
                };
                let arm = azure.arm(&credential, Instant::now() + LOAD_TIMEOUT)?;
                load(arm.with_priority(priority)).await
            }
        });
        lookup.await.map_err(|failure| match failure {
            // For region lists, Rancher's message names the parameter differently
            // (`docs/contract/credentials.md#stored-credentials-in-meta`).
            LoadError::Azure(source)
                if is_region_list && matches!(*source, azure::Error::EmptySubscription) =>
            {
                Rejection::EmptyParameter { prefix, parameter: "subscriptionID" }.into()
            }
            // Errors of creating the client have no prefix.
            LoadError::Azure(source)
                if matches!(*source, azure::Error::InvalidTenant | azure::Error::EmptySecret) =>
            {
                Error::Azure { prefix: "", source }
            }
            LoadError::Azure(source) => Error::Azure { prefix, source },
            LoadError::TimedOut => Error::TimedOut { limit: LOAD_TIMEOUT },
        })
    }
}

const CLUSTERS_ERROR_PREFIX: &str = "failed to get cluster list: ";
const VM_SIZES_ERROR_PREFIX: &str = "failed to get VM sizes: ";

/// The key of a list that is read with a credential.
fn cache_key(access: &AzureAccess, kind: Kind, scope: Arc<str>) -> Key {
    let credential = access.credential();
    Key {
        cloud: credential.cloud,
        subscription: credential.subscription_id.to_ascii_lowercase(),
        fingerprint: credential.fingerprint,
        kind,
        scope,
    }
}

/// Normalizes a region, or rejects it.
fn normalize_region(region: &str) -> Result<Arc<str>> {
    // Most clients send the normalized name, which then is copied only once.
    let is_normalized = region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let normalized: Arc<str> = if is_normalized { region.into() } else { regions::normalize(region).into() };
    if regions::is_valid_name(&normalized) {
        return Ok(normalized);
    }
    Err(Rejection::InvalidRegion(region.to_owned()).into())
}

/// The response of an action whose body is cached as a whole.
fn body_response(lookup: &LookupResult) -> Result<ListingResponse> {
    match &*lookup.loaded {
        Loaded::Body { body, .. } => Ok(to_response(Arc::clone(body), lookup)),
        Loaded::Unusable(reason) => Err(Rejection::UnusableResponse(reason).into()),
        Loaded::Page { .. } | Loaded::UpgradeTargets(_) | Loaded::ByRegion { .. } => Ok(empty_list(lookup)),
    }
}

fn to_response(body: Arc<Encoded>, lookup: &LookupResult) -> ListingResponse {
    ListingResponse { body, freshness: lookup.freshness, age: lookup.age }
}

fn empty_list(lookup: &LookupResult) -> ListingResponse {
    to_response(Arc::new(Encoded::new(Bytes::from_static(b"[]"))), lookup)
}
