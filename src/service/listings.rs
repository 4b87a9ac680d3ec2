//! The eight listing actions as use cases: one credential, one request, one finished response, from the cache where
//! that is allowed. `cache` decides what is fresh, `kind` has the times; the shapes of the responses come from the
//! caller as functions.

mod cache;
mod kind;
mod upgrades;

use std::sync::Arc;
use std::time::Duration;

use aks::arm;
use aks::networks::Network;
use aks::{listed_clusters::ListedCluster, networks, regions, versions};
use azure::resources::{
    kubernetes_versions, locations, managed_clusters, skus, subscriptions, virtual_networks, vm_sizes,
};
use azure::{Arm, Azure};
use bytes::Bytes;
use clock::Clock;
use tokio::time::Instant;

pub use self::cache::Freshness;
use self::cache::{Cache, Element, Failure, Found, Loaded, TIME_LIMIT};
use self::kind::{Key, Kind};
pub use self::upgrades::{UpgradeQuestion, Upgrades};
use crate::service::credentials::AzureAccess;
use crate::service::error::Rejection;
use crate::service::{Error, Result};

/// The time limit of `aksCheckCredentials` (`docs/contract/meta-actions.md#akscheckcredentials`).
const CHECK_LIMIT: Duration = Duration::from_secs(30);

/// The service behind the listing actions. Clones share the memory.
#[derive(Clone)]
pub struct Listings {
    azure: Azure,
    cache: Cache,
}

/// One question: with which credential, and whether what is remembered will do.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The credential to ask with.
    pub access: &'a AzureAccess,
    /// Ask Azure even if the answer is known (`Cache-Control: no-cache`).
    pub fresh: bool,
}

/// A finished answer.
#[derive(Debug)]
pub struct Listed {
    /// JSON, as it goes to the client.
    pub body: Bytes,
    /// Where it came from.
    pub freshness: Freshness,
    /// How long ago Azure said so.
    pub age: Duration,
}

impl Listings {
    /// A service that remembers at most `cache_bytes` of answers.
    pub fn new(azure: Azure, cache_bytes: u64, clock: Clock) -> Self {
        Self { azure, cache: Cache::new(cache_bytes, clock) }
    }

    /// Forgets what was listed of clusters and networks with a credential: something was changed there.
    pub fn forget_changed(&self, access: &AzureAccess) {
        let changed = &[Kind::Clusters, Kind::Networks, Kind::UpgradeProfile];
        self.cache.evict(access.credential().fingerprint, changed);
    }

    /// Drops everything that was listed with a credential.
    pub fn evict(&self, access: &AzureAccess) {
        self.cache.evict(access.credential().fingerprint, &Kind::ALL);
    }

    /// Whether the credential logs in and may read its subscription; always asks, with a new token.
    pub async fn check(&self, access: &AzureAccess) -> Result<()> {
        let asking = async {
            let arm = self.azure.arm(access.credential(), Instant::now() + CHECK_LIMIT)?;
            subscriptions::get(&arm.with_new_token()).await.map(drop)
        };
        let outcome = tokio::time::timeout(CHECK_LIMIT, asking).await;
        let outcome = outcome.map_err(|_| Error::TimedOut { limit: CHECK_LIMIT })?;
        outcome.map_err(|source| Error::Azure { prefix: "invalid credentials: ", source: Arc::new(source) })
    }

    /// Regions by name; `render` shapes the list.
    pub async fn locations(&self, ask: Ask<'_>, render: fn(&[arm::Location]) -> Bytes) -> Result<Listed> {
        self.answer(
            ask,
            Kind::Locations,
            Arc::default(),
            "failed to get locations: ",
            move |arm| async move {
                let list = locations::list(&arm, locations::ApiVersion::Plain2016).await?;
                Ok(Loaded::Answer(render(&list)))
            },
        )
        .await
    }

    /// Regions by name, with their zones; `render` shapes the list.
    pub async fn regions(&self, ask: Ask<'_>, render: fn(&[arm::Location]) -> Bytes) -> Result<Listed> {
        self.answer(ask, Kind::Regions, Arc::default(), "failed to get regions: ", move |arm| async move {
            let list = locations::list(&arm, locations::ApiVersion::Zones2022).await?;
            Ok(Loaded::Answer(render(&list)))
        })
        .await
    }

    /// Names of machine sizes that Azure knows in `region`.
    pub async fn vm_sizes(
        &self,
        ask: Ask<'_>,
        region: &str,
        render: fn(&[arm::VmSize]) -> Bytes,
    ) -> Result<Listed> {
        let region = region_of(region)?;
        self.answer(ask, Kind::VmSizes, Arc::clone(&region), VM_SIZES, move |arm| async move {
            Ok(Loaded::Answer(render(&vm_sizes::list(&arm, &region).await?)))
        })
        .await
    }

    /// Machine sizes of `region`, with zones and accelerated networking.
    pub async fn vm_sizes_v2(
        &self,
        ask: Ask<'_>,
        region: &str,
        render: fn(&[arm::VmSku]) -> Bytes,
    ) -> Result<Listed> {
        let region = region_of(region)?;
        self.answer(ask, Kind::VmSizesV2, Arc::clone(&region), VM_SIZES, move |arm| async move {
            Ok(Loaded::Answer(render(&skus::list(&arm, &region).await?)))
        })
        .await
    }

    /// Supported Kubernetes versions of `region`, ascending.
    pub async fn versions(
        &self,
        ask: Ask<'_>,
        region: &str,
        render: fn(&[String]) -> Bytes,
    ) -> Result<Listed> {
        let found = self.kubernetes_versions(ask, region, render).await?;
        match &*found.loaded {
            Loaded::Versions { list, .. } if list.is_empty() => Err(no_versions()),
            Loaded::Versions { answer, .. } => Ok(listed(answer.clone(), &found)),
            _ => Err(no_versions()),
        }
    }

    /// Virtual networks; `region`, when not empty, picks those that lie there.
    pub async fn networks(
        &self,
        ask: Ask<'_>,
        region: &str,
        render: fn(&Network<'_>) -> Bytes,
    ) -> Result<Listed> {
        let found = self
            .find(ask, Kind::Networks, Arc::default(), "failed to get networks: ", move |arm| async move {
                let list = virtual_networks::list(&arm).await?;
                Ok(Loaded::ByRegion(list.iter().map(|network| element(network, render)).collect()))
            })
            .await?;
        let Loaded::ByRegion(elements) = &*found.loaded else {
            return Ok(listed(Bytes::from_static(b"[]"), &found));
        };
        let wanted = regions::normalised(region);
        let picked = elements.iter().filter(|element| wanted.is_empty() || element.region == wanted);
        Ok(listed(joined(picked)?, &found))
    }

    /// The AKS clusters of the subscription.
    pub async fn clusters(&self, ask: Ask<'_>, render: fn(&[ListedCluster<'_>]) -> Bytes) -> Result<Listed> {
        let found = self
            .find(
                ask,
                Kind::Clusters,
                Arc::default(),
                "failed to get cluster list: ",
                move |arm| async move {
                    let list = managed_clusters::list(&arm).await?;
                    let read: Result<Vec<_>, _> = list.iter().map(ListedCluster::read).collect();
                    let json = read.map(|clusters| render(&clusters));
                    Ok(Loaded::ByRegion(vec![Element { region: String::new(), json }]))
                },
            )
            .await?;
        match &*found.loaded {
            Loaded::ByRegion(elements) => match elements.first().map(|element| &element.json) {
                Some(Ok(body)) => Ok(listed(body.clone(), &found)),
                Some(Err(reason)) => Err(Rejection::UnusableResponse(reason).into()),
                None => Ok(listed(Bytes::from_static(b"[]"), &found)),
            },
            _ => Ok(listed(Bytes::from_static(b"[]"), &found)),
        }
    }

    /// About the bytes of answers that are remembered.
    pub fn remembered_bytes(&self) -> u64 {
        self.cache.bytes()
    }

    async fn kubernetes_versions(
        &self,
        ask: Ask<'_>,
        region: &str,
        render: fn(&[String]) -> Bytes,
    ) -> Result<Found> {
        if region.is_empty() {
            return Err(
                Rejection::EmptyParameter { prefix: KUBERNETES_VERSIONS, parameter: "location" }.into()
            );
        }
        let region = region_of(region)?;
        self.find(ask, Kind::Versions, Arc::clone(&region), KUBERNETES_VERSIONS, move |arm| async move {
            let list = kubernetes_versions::list(&arm, &region).await?;
            let answer = render(&versions::supported(&list));
            Ok(Loaded::Versions { answer, list })
        })
        .await
    }

    /// A list whose finished answer is what is kept.
    async fn answer<F>(
        &self,
        ask: Ask<'_>,
        kind: Kind,
        scope: Arc<str>,
        prefix: &'static str,
        load: impl FnOnce(Arm) -> F + Send + 'static,
    ) -> Result<Listed>
    where
        F: Future<Output = Result<Loaded, azure::Error>> + Send + 'static,
    {
        let found = self.find(ask, kind, scope, prefix, load).await?;
        match &*found.loaded {
            Loaded::Answer(body) => Ok(listed(body.clone(), &found)),
            _ => Ok(listed(Bytes::from_static(b"[]"), &found)),
        }
    }

    async fn find<F>(
        &self,
        ask: Ask<'_>,
        kind: Kind,
        scope: Arc<str>,
        prefix: &'static str,
        load: impl FnOnce(Arm) -> F + Send + 'static,
    ) -> Result<Found>
    where
        F: Future<Output = Result<Loaded, azure::Error>> + Send + 'static,
    {
        let credential = ask.access.credential();
        let key = Key {
            cloud: credential.cloud,
            subscription: credential.subscription_id.to_ascii_lowercase(),
            fingerprint: credential.fingerprint,
            kind,
            scope,
        };
        let (azure, credential) = (self.azure.clone(), Arc::clone(credential));
        let by_subscription = matches!(kind, Kind::Locations | Kind::Regions);
        let found = self.cache.get(key, ask.fresh, move || async move {
            let arm = azure.arm(&credential, Instant::now() + TIME_LIMIT)?;
            load(arm).await
        });
        found.await.map_err(|failure| match failure {
            // Here Azure's library has another name for what is missing
            // (`docs/contract/credentials.md#stored-credentials-in-meta`).
            Failure::Azure(source)
                if by_subscription && matches!(*source, azure::Error::EmptySubscription) =>
            {
                Rejection::EmptyParameter { prefix, parameter: "subscriptionID" }.into()
            }
            // The client of Azure cannot even be made: its words stand alone.
            Failure::Azure(source)
                if matches!(*source, azure::Error::InvalidTenant | azure::Error::EmptySecret) =>
            {
                Error::Azure { prefix: "", source }
            }
            Failure::Azure(source) => Error::Azure { prefix, source },
            Failure::TimedOut => Error::TimedOut { limit: TIME_LIMIT },
        })
    }
}

const VM_SIZES: &str = "failed to get VM sizes: ";
const KUBERNETES_VERSIONS: &str = "failed to get Kubernetes versions: ";

/// A region as Azure compares it, or what is wrong with it.
fn region_of(region: &str) -> Result<Arc<str>> {
    // Programs send it as Azure names it.
    let is_normalised = region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let normalised: Arc<str> = if is_normalised { region.into() } else { regions::normalised(region).into() };
    if regions::is_plausible(&normalised) {
        return Ok(normalised);
    }
    Err(Rejection::InvalidRegion(region.to_owned()).into())
}

fn no_versions() -> Error {
    Rejection::NoVersions.into()
}

fn listed(body: Bytes, found: &Found) -> Listed {
    Listed { body, freshness: found.freshness, age: found.age }
}

fn element(network: &arm::VirtualNetwork, render: fn(&Network<'_>) -> Bytes) -> Element {
    let region = regions::normalised(network.location.as_deref().unwrap_or_default());
    Element { region, json: networks::read(network).map(|network| render(&network)) }
}

/// The elements as one JSON list; the first that cannot be shown ends it.
fn joined<'a>(elements: impl Iterator<Item = &'a Element>) -> Result<Bytes> {
    let mut list = vec![b'['];
    for element in elements {
        let json =
            element.json.as_ref().map_err(|reason| Error::from(Rejection::UnusableResponse(reason)))?;
        if list.len() > 1 {
            list.push(b',');
        }
        list.extend_from_slice(json);
    }
    list.push(b']');
    Ok(list.into())
}
