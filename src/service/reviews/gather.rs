//! What a review needs to know of Azure, asked for at once, each part for itself: one that fails leaves the others.

use std::time::Duration;

use tokio::time::Instant;

use crate::azure::resources::{
    kubernetes_versions, locations, managed_clusters, resource_groups, skus, usages, virtual_networks,
};
use crate::azure::{self, Arm, Azure};
use crate::domain::arm::{ManagedCluster, Resource, VmOffer};
use crate::domain::cluster_details::ClusterDetails;
use crate::domain::provision::upstream::{self, Known};
use crate::domain::review::{
    self, AzureData, Block, ExistingCluster, NetworkRef, Read, ReadNetwork, Subject,
};
use crate::domain::spec::{self, AksConfig};
use crate::service::credentials::AzureAccess;

/// Everything that the review of `subject` needs, as far as Azure says it within `limit`.
pub(super) async fn all(
    azure: &Azure,
    access: &AzureAccess,
    subject: &Subject<'_>,
    limit: Duration,
) -> AzureData {
    let arm = match azure.arm(access.credential(), Instant::now() + limit) {
        Ok(arm) => arm,
        Err(error) => return AzureData::unknown(&error.to_string()),
    };
    let asking = Asking { arm, needed: review::needed(subject).into_iter().collect(), spec: subject.spec };
    let region = review::region(subject);
    let networks = review::networks(subject);
    let arm = &asking.arm;
    let (versions, sizes, networks, usages, regions, node_group, cluster) = tokio::join!(
        asking.part(Block::Versions, kubernetes_versions::list(arm, &region)),
        asking.part(Block::Sizes, asking.sizes(&region)),
        asking.networks(networks.into_iter().collect()),
        asking.part(Block::Usages, usages::list(arm, &region)),
        asking.part(Block::Regions, locations::list(arm, locations::ApiVersion::Zones2022)),
        asking.part(Block::NodeGroup, asking.node_group()),
        asking.part(Block::Cluster, asking.cluster()),
    );
    let mut data = AzureData::default();
    let mut refusal = None;
    data.versions = told(versions, &mut refusal);
    data.cluster = told(cluster, &mut refusal);
    data.own_upgrades = asking.own_upgrades(subject, &data).await;
    data.sizes = told(sizes, &mut refusal);
    data.networks = told(networks, &mut refusal);
    data.usages = told(usages, &mut refusal);
    data.regions = told(regions, &mut refusal);
    data.node_group = told(node_group, &mut refusal);
    data.login_refusal = refusal;
    data
}

/// A part that was asked for, or that nobody needs.
type Part<T> = Option<Result<T, Failure>>;

enum Failure {
    Azure(azure::Error),
    /// A network of another subscription, which this credential is not for.
    Elsewhere(NetworkRef),
}

struct Asking<'a> {
    arm: Arm,
    needed: Vec<Block>,
    spec: &'a AksConfig,
}

impl Asking<'_> {
    async fn part<T>(&self, block: Block, read: impl Future<Output = Result<T, azure::Error>>) -> Part<T> {
        if !self.needed.contains(&block) {
            return None;
        }
        Some(read.await.map_err(Failure::Azure))
    }

    /// Only those that the specification names: the list has a thousand.
    async fn sizes(&self, region: &str) -> Result<Vec<VmOffer>, azure::Error> {
        let mut offers = skus::offers(&self.arm, region).await?;
        let pools = self.spec.node_pools.as_deref().unwrap_or_default();
        offers.retain(|offer| {
            let name = offer.name.as_deref().unwrap_or_default();
            pools
                .iter()
                .filter_map(|pool| pool.vm_size.as_deref())
                .any(|size| size.eq_ignore_ascii_case(name))
        });
        Ok(offers)
    }

    async fn networks(&self, wanted: Vec<NetworkRef>) -> Part<Vec<ReadNetwork>> {
        if !self.needed.contains(&Block::Networks) {
            return None;
        }
        let mut read = Vec::with_capacity(wanted.len());
        for reference in wanted {
            if reference.subscription.is_some() {
                return Some(Err(Failure::Elsewhere(reference)));
            }
            match virtual_networks::get(&self.arm, &reference.group, &reference.name).await {
                Ok(network) => read.push(ReadNetwork { reference, network }),
                Err(error) => return Some(Err(Failure::Azure(error))),
            }
        }
        Some(Ok(read))
    }

    async fn node_group(&self) -> Result<bool, azure::Error> {
        let group = spec::given(self.spec.node_resource_group.as_ref()).unwrap_or_default();
        resource_groups::exists(&self.arm, group).await
    }

    /// The targets that Azure names for this very cluster, where the list of the region does not say enough. Without them
    /// the list alone counts.
    async fn own_upgrades(&self, subject: &Subject<'_>, data: &AzureData) -> Vec<String> {
        let text = |text: Option<&String>| spec::given(text).unwrap_or_default().to_owned();
        let (group, name) = (text(self.spec.resource_group.as_ref()), text(self.spec.cluster_name.as_ref()));
        if !review::needs_own_upgrades(subject, data) || group.is_empty() || name.is_empty() {
            return Vec::new();
        }
        match managed_clusters::upgrade_targets(&self.arm, &group, &name).await {
            Ok(targets) => targets,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::info!(error, "cannot read the upgrade profile of a cluster");
                Vec::new()
            }
        }
    }

    async fn cluster(&self) -> Result<Option<ExistingCluster>, azure::Error> {
        let text = |text: Option<&String>| spec::given(text).unwrap_or_default().to_owned();
        let (group, name) = (text(self.spec.resource_group.as_ref()), text(self.spec.cluster_name.as_ref()));
        let found = managed_clusters::get(&self.arm, &group, &name).await?;
        Ok(found.map(|found| existing(&found, self.spec)))
    }
}

fn existing(found: &Resource<ManagedCluster>, spec: &AksConfig) -> ExistingCluster {
    let properties = found.view.properties.as_ref();
    let state = properties.and_then(|it| it.provisioning_state.as_deref()).unwrap_or_default();
    ExistingCluster {
        spec: upstream::read(&found.raw, Known { spec, base_url: "", auth_base_url: "" }).unwrap_or_default(),
        details: ClusterDetails::read(&found.raw),
        failed: ["Failed", "Canceled"].iter().any(|word| word.eq_ignore_ascii_case(state)),
        local_accounts_disabled: properties.and_then(|it| it.disable_local_accounts) == Some(true),
    }
}

/// The part with its failure in words; keeps what the login service said when it refused the credential.
fn told<T>(part: Part<T>, refusal: &mut Option<String>) -> Read<T> {
    match part {
        None => Read::NotAsked,
        Some(Ok(answer)) => Read::Known(answer),
        Some(Err(Failure::Elsewhere(network))) => Read::Unknown(format!(
            "the network {} lies in another subscription than the cloud credential's",
            network.name
        )),
        Some(Err(Failure::Azure(error))) => {
            if let azure::Error::Login(login) = &error
                && error.is_login_refusal()
            {
                let said = login.description.as_deref().and_then(|text| text.lines().next());
                let said = said.map_or_else(|| login.to_string(), str::to_owned);
                // The remedy follows in the same sentence.
                *refusal = Some(said.trim_end_matches(['.', ' ']).to_owned());
            }
            Read::Unknown(error.to_string())
        }
    }
}
