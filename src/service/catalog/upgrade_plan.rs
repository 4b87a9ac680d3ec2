//! Plans upgrades: reads a cluster, its upgrades, and the versions, sizes and quotas of its region from Azure, or the stored
//! state if Azure cannot be read. `aks::upgrade_plan` computes the plan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aks::arm::{KubernetesVersion, UpgradeProfile, Usage, VmSku};
use aks::cluster_details::ClusterDetails;
use aks::provision::preview::{Azure as AzureQuery, Unseen};
use aks::provision::upstream::{self, ReadContext};
use aks::spec::{AKS_CONFIG, AksConfig};
use aks::status::State;
use aks::upgrade_plan::{self, Blocker, PoolState, UpgradePlan, UpgradePlanInput};
use aks::upgrades::UpgradeStart;
use aks::versions;
use azure::resources::managed_clusters;
use azure::{Arm, Azure};
use clock::Clock;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{Part, Renderers, first_line, part_within_timeout};
use crate::service::actor::Actor;
use crate::service::audit::{Action, AuditLog};
use crate::service::base::Base;
use crate::service::clusters::{Cluster, Clusters};
use crate::service::credentials::Credentials;
use crate::service::listings::{CachedList, ListingRequest, Listings};
use crate::service::plan_access::{NoAccess, resolve_access};
use crate::service::reviews::denial;
use crate::service::{Error, Invalid, Result};

/// The time limit for Azure: a user is waiting.
const AZURE_TIMEOUT: Duration = Duration::from_secs(25);

/// The plan for a cluster.
#[derive(Debug)]
pub struct ClusterUpgradePlan {
    /// The ID of the cluster.
    pub cluster_id: String,
    /// The region; empty if it is unknown.
    pub region: String,
    /// Whether the cluster has long-term support.
    pub long_term: bool,
    /// The plan.
    pub plan: UpgradePlan,
    /// Whether Azure was read, and if not, why.
    pub azure: AzureQuery,
    /// The parts of the state that were not read.
    pub unseen: Vec<Unseen>,
    /// The current time, in milliseconds since 1970.
    pub at_ms: i64,
}

/// The plans of upgrades. Clones share everything.
#[derive(Clone)]
pub struct UpgradePlans {
    inner: Arc<Inner>,
}

struct Inner {
    azure: Azure,
    clusters: Clusters,
    credentials: Credentials,
    listings: Listings,
    audit_log: AuditLog,
    clock: Clock,
}

impl UpgradePlans {
    /// The plans of this server.
    pub fn new(base: &Base, clusters: Clusters, credentials: Credentials, listings: Listings) -> Self {
        let Base { azure, audit_log, clock, .. } = base.clone();
        Self { inner: Arc::new(Inner { azure, clusters, credentials, listings, audit_log, clock }) }
    }

    /// The plan of an upgrade to the version `requested`, else to the newest stable one, for a cluster that the caller may see.
    /// Azure is read if the caller may use the cluster's credential.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the code `InvalidState` if the cluster is not in Azure, or is being removed.
    pub async fn get(
        &self,
        by: &Actor,
        id: &str,
        requested: Option<&str>,
        renderers: Renderers,
    ) -> Result<ClusterUpgradePlan> {
        let inner = &*self.inner;
        let (row, role) = inner.clusters.row_and_role(&by.caller, id).await?;
        let action = Action::Call("upgradePlan");
        let access = resolve_access(&inner.credentials, &inner.audit_log, by, &row, role, action).await?;
        let cluster = Cluster::try_from(row)?;
        if cluster.state == State::Removing {
            return Err(invalid_state("the cluster is being removed"));
        }
        let facts = match access {
            Ok(access) => {
                let request = ListingRequest {
                    access: &access,
                    caller: &by.caller,
                    bypasses_cache: false,
                    is_one_of_many: false,
                };
                Box::pin(inner.read_facts(&cluster, request, renderers)).await?
            }
            Err(NoAccess { reason, denial }) => {
                let blockers = denial.as_ref().map(upgrade_plan::access_blocker);
                PlanFacts::from_stored(&cluster, reason, blockers.into_iter().collect())
            }
        };
        let plan = facts.plan(&cluster, requested)?;
        Ok(ClusterUpgradePlan {
            plan,
            cluster_id: cluster.id,
            region: facts.region,
            long_term: facts.details.long_term,
            azure: facts.azure,
            unseen: facts.unseen,
            at_ms: inner.clock.now_ms(),
        })
    }
}

/// The lists of the region.
struct Lists {
    versions: Part<CachedList<KubernetesVersion>>,
    sizes: Part<CachedList<VmSku>>,
    usages: Part<CachedList<Usage>>,
}

/// A cluster as Azure returns it, with its upgrade profile.
struct ObservedCluster {
    cluster: Value,
    profile: Part<UpgradeProfile>,
}

impl Inner {
    async fn read_facts(
        &self,
        cluster: &Cluster,
        request: ListingRequest<'_>,
        renderers: Renderers,
    ) -> Result<PlanFacts> {
        let arm = match self.azure.arm(request.access.credential(), Instant::now() + AZURE_TIMEOUT) {
            Ok(arm) => arm,
            Err(error) => return Ok(PlanFacts::from_error(cluster, &error)),
        };
        let stored = PlanFacts::from_stored(cluster, AzureQuery::Asked, Vec::new());
        let reads = async {
            tokio::join!(
                self.read_cluster(&arm, cluster),
                self.read_lists(request, &stored.region, renderers)
            )
        };
        let Ok((cluster_read, lists)) = timeout(AZURE_TIMEOUT, reads).await else {
            let reason = format!("Azure did not respond within {} s", AZURE_TIMEOUT.as_secs());
            return Ok(PlanFacts::from_stored(cluster, AzureQuery::Failed(reason), Vec::new()));
        };
        let facts = match cluster_read {
            Ok(Some(observed)) => PlanFacts::from_observed(cluster, observed).ok_or_else(|| {
                invalid_state("Azure does not report the version of the cluster; try again in a moment")
            })?,
            Ok(None) => {
                return Err(invalid_state("the cluster is not in Azure, so there is nothing to upgrade"));
            }
            Err(error) => PlanFacts::from_error(cluster, &error),
        };
        Ok(facts.with_lists(lists))
    }

    /// Reads the cluster and then its upgrade profile; `None` if the cluster does not exist.
    async fn read_cluster(
        &self,
        arm: &Arm,
        cluster: &Cluster,
    ) -> Result<Option<ObservedCluster>, azure::Error> {
        let spec = cluster.spec.aks();
        let group = spec.resource_group.as_deref().unwrap_or_default();
        let name = spec.cluster_name.as_deref().unwrap_or_default();
        let Some(found) = managed_clusters::get(arm, group, name).await? else { return Ok(None) };
        let profile = managed_clusters::upgrade_profile(arm, group, name).await;
        let profile = profile.map(Option::unwrap_or_default).map_err(|error| error.to_string());
        Ok(Some(ObservedCluster { cluster: found.raw, profile }))
    }

    /// The lists of the region. Quotas bypass the cache, because every node changes them.
    async fn read_lists(&self, cached: ListingRequest<'_>, region: &str, renderers: Renderers) -> Lists {
        let uncached = ListingRequest { bypasses_cache: true, ..cached };
        let (versions, sizes, usages) = tokio::join!(
            part_within_timeout(self.listings.version_list(cached, region, renderers.versions)),
            part_within_timeout(self.listings.vm_skus(cached, region, renderers.vm_sizes)),
            part_within_timeout(self.listings.usages(uncached, region)),
        );
        Lists { versions, sizes, usages }
    }
}

fn invalid_state(message: &str) -> Error {
    Invalid::field("InvalidState", "state", message).into()
}

/// The facts that a plan is based on.
struct PlanFacts {
    details: ClusterDetails,
    running: Option<String>,
    region: String,
    pools: Vec<PoolState>,
    profile: UpgradeProfile,
    lists: Option<Lists>,
    blockers: Vec<Blocker>,
    azure: AzureQuery,
    unseen: Vec<Unseen>,
}

impl PlanFacts {
    /// The last observed facts.
    fn from_stored(cluster: &Cluster, azure: AzureQuery, blockers: Vec<Blocker>) -> Self {
        let details = cluster.status.details.clone();
        let upstream = cluster.status.upstream_spec.clone().unwrap_or_else(|| cluster.spec.aks().clone());
        let running = cluster.status.upstream_spec.as_ref().and_then(|_| cluster.running_version());
        let unseen = match &azure {
            AzureQuery::NotAllowed(reason) | AzureQuery::Failed(reason) => vec![unseen("azure", reason)],
            AzureQuery::Asked | AzureQuery::NotNeeded(_) => Vec::new(),
        };
        Self { running, blockers, azure, unseen, ..Self::new(&upstream, details, None) }
    }

    /// The last observed facts, after an error of Azure.
    fn from_error(cluster: &Cluster, error: &azure::Error) -> Self {
        let blockers = denial::from_cluster_error(error).as_ref().map(upgrade_plan::access_blocker);
        Self::from_stored(cluster, AzureQuery::Failed(first_line(error)), blockers.into_iter().collect())
    }

    /// The facts in Azure; `None` if Azure's response is incomplete.
    fn from_observed(cluster: &Cluster, observed: ObservedCluster) -> Option<Self> {
        // With an empty specification, node counts are those in Azure, also during an operation.
        let spec = AksConfig::default();
        let context = ReadContext { spec: &spec, base_url: "", auth_base_url: "" };
        let upstream = upstream::read(&observed.cluster, context).ok()?;
        let details = ClusterDetails::read(&observed.cluster);
        let current = details.running_version.as_deref();
        let running = versions::running(current, None, [upstream.kubernetes_version.as_deref()]);
        let blockers = upgrade_plan::state_blockers(&observed.cluster, cluster.spec.aks());
        let facts = Self { running, blockers, ..Self::new(&upstream, details, Some(&observed.cluster)) };
        Some(match observed.profile {
            Ok(profile) => Self { profile, ..facts },
            Err(reason) => Self { unseen: vec![unseen("upgradeProfile", &reason)], ..facts },
        })
    }

    fn new(upstream: &AksConfig, details: ClusterDetails, cluster: Option<&Value>) -> Self {
        let region = details.region.clone().or_else(|| upstream.resource_location.clone());
        Self {
            pools: upgrade_plan::pool_states(upstream, &details, cluster),
            region: region.unwrap_or_default(),
            details,
            running: None,
            profile: UpgradeProfile::default(),
            lists: None,
            blockers: Vec::new(),
            azure: AzureQuery::Asked,
            unseen: Vec::new(),
        }
    }

    fn with_lists(mut self, lists: Lists) -> Self {
        let Lists { versions, sizes, usages } = &lists;
        let reasons = [
            ("versions", versions.as_ref().err()),
            ("vmSizes", sizes.as_ref().err()),
            ("quotas", usages.as_ref().err()),
        ];
        let missing = reasons.into_iter().filter_map(|(what, reason)| Some(unseen(what, reason?)));
        self.unseen.extend(missing.collect::<Vec<_>>());
        self.lists = Some(lists);
        self
    }

    fn plan(&self, cluster: &Cluster, requested: Option<&str>) -> Result<UpgradePlan> {
        let Some(running) = self.running.as_deref() else {
            return Err(invalid_state(
                "the version that the cluster runs is not known yet; try again when it is active",
            ));
        };
        let targets = self.profile.control_plane_targets();
        let lists = self.lists.as_ref();
        let stored_pools =
            cluster.spec.body().get(AKS_CONFIG).and_then(|config| config.get("nodePools")?.as_array());
        let pool_targets: BTreeMap<String, Vec<String>> = self.profile.pool_targets();
        Ok(upgrade_plan::plan(&UpgradePlanInput {
            start: UpgradeStart { running, long_term: self.details.long_term, own_targets: &targets },
            requested,
            region: &self.region,
            offered: lists.and_then(|lists| lists.versions.as_deref().ok()),
            pools: &self.pools,
            pool_targets: &pool_targets,
            sizes: lists.and_then(|lists| lists.sizes.as_deref().ok()),
            usages: lists.and_then(|lists| lists.usages.as_deref().ok()),
            stored_pools: stored_pools.map_or(&[], Vec::as_slice),
            current_blockers: &self.blockers,
        }))
    }
}

fn unseen(what: &'static str, reason: &str) -> Unseen {
    Unseen { what, reason: reason.to_owned() }
}
