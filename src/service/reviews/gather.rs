//! Reads the data of a review from Azure. The parts are requested concurrently; a failure of one does not affect the others.

use aks::arm::{ManagedCluster, Resource, Subscription, VmSku};
use aks::cluster_details::ClusterDetails;
use aks::provision::upstream::{self, ReadContext};
use aks::review::{
    self, AzureData, DataPart, Denial, ExistingCluster, NetworkRef, Permissions, ProviderState, Read,
    ReadNetwork, Subject,
};
use aks::spec::AksConfig;
use azure::resources::{
    kubernetes_versions, locations, managed_clusters, permissions, providers, resource_groups, skus,
    subscriptions, usages, virtual_networks,
};
use azure::{Arm, Azure, Priority};
use tokio::time::Instant;

use super::denial;
use crate::service::actor::Actor;
use crate::service::credentials::AzureAccess;
use crate::service::observation::{AKS_PROVIDER, is_unregistered};

/// Reads all data that the review of `subject` needs, until `deadline`.
pub(super) async fn all(
    azure: &Azure,
    access: &AzureAccess,
    by: &Actor,
    subject: &Subject<'_>,
    deadline: Instant,
) -> AzureData {
    let arm = match azure.arm(access.credential(), deadline) {
        Ok(arm) => arm.with_priority(Priority::Caller(by.caller.budget_id())),
        Err(error) => {
            let denial = denial::from_login_error(&error);
            return AzureData { denial, ..AzureData::unknown(&error.to_string()) };
        }
    };
    let reader =
        Reader { arm, needed: review::needed_data(subject).into_iter().collect(), spec: subject.spec };
    let region = review::region(subject);
    let networks = review::networks(subject);
    let arm = &reader.arm;
    let (versions, sizes, networks, usages, regions, node_group, cluster, subscription_parts) = tokio::join!(
        reader.read_part(DataPart::Versions, kubernetes_versions::list(arm, &region)),
        reader.read_part(DataPart::Sizes, reader.sizes(&region)),
        reader.networks(networks.into_iter().collect()),
        reader.read_part(DataPart::Usages, usages::list(arm, &region)),
        reader.read_part(DataPart::Regions, locations::list(arm, locations::ApiVersion::Zones2022)),
        reader.read_part(DataPart::NodeGroup, reader.node_group_exists()),
        reader.read_part(DataPart::Cluster, reader.cluster()),
        reader.subscription_parts(),
    );
    let (subscription, permissions, provider) = subscription_parts;
    let mut data = AzureData::default();
    let mut denial = match &cluster {
        Some(Err(Failure::Azure(error))) => denial::from_cluster_error(error),
        _ => None,
    };
    data.versions = into_read(versions, &mut denial);
    data.cluster = into_read(cluster, &mut denial);
    data.own_targets = reader.own_targets(subject, &data).await;
    data.sizes = into_read(sizes, &mut denial);
    data.networks = into_read(networks, &mut denial);
    data.usages = into_read(usages, &mut denial);
    data.regions = into_read(regions, &mut denial);
    data.node_group = into_read(node_group, &mut denial);
    data.subscription = into_read(subscription, &mut denial);
    data.permissions = into_read(permissions, &mut denial);
    data.provider = into_read(provider, &mut denial);
    data.denial = denial;
    data
}

/// Reads only the cluster and the permissions of the credential, with a new token, because rights may have changed since the
/// last token was issued.
pub(super) async fn cluster_and_permissions(
    azure: &Azure,
    access: &AzureAccess,
    by: &Actor,
    subject: &Subject<'_>,
    deadline: Instant,
) -> AzureData {
    let mut data = AzureData::default();
    let needed = review::needed_data(subject).into_iter().collect();
    let Ok(arm) = azure.arm(access.credential(), deadline) else { return data };
    let arm = arm.with_new_token().with_priority(Priority::Caller(by.caller.budget_id()));
    let reader = Reader { arm, needed, spec: subject.spec };
    // Sequential, so that a failing login is tried once.
    match reader.read_part(DataPart::Cluster, reader.cluster()).await {
        Some(Err(Failure::Azure(error))) => data.denial = denial::from_cluster_error(&error),
        _ => {
            data.permissions =
                into_read(reader.read_part(DataPart::Permissions, reader.permissions()).await, &mut None);
        }
    }
    data
}

/// A part of the data; `None` if the review does not need it.
type Part<T> = Option<Result<T, Failure>>;

enum Failure {
    Azure(azure::Error),
    /// The network is not read, because its subscription is not that of the credential.
    OtherSubscription(NetworkRef),
}

struct Reader<'a> {
    arm: Arm,
    needed: Vec<DataPart>,
    spec: &'a AksConfig,
}

impl Reader<'_> {
    async fn read_part<T>(
        &self,
        part: DataPart,
        read: impl Future<Output = Result<T, azure::Error>>,
    ) -> Part<T> {
        if !self.needed.contains(&part) {
            return None;
        }
        Some(read.await.map_err(Failure::Azure))
    }

    /// The VM sizes that the specification names. Azure's whole list has about a thousand.
    async fn sizes(&self, region: &str) -> Result<Vec<VmSku>, azure::Error> {
        let mut offers = skus::list(&self.arm, region).await?;
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

    async fn networks(&self, references: Vec<NetworkRef>) -> Part<Vec<ReadNetwork>> {
        if !self.needed.contains(&DataPart::Networks) {
            return None;
        }
        let mut networks = Vec::with_capacity(references.len());
        for reference in references {
            if reference.subscription.is_some() {
                return Some(Err(Failure::OtherSubscription(reference)));
            }
            match virtual_networks::get(&self.arm, &reference.group, &reference.name).await {
                Ok(network) => networks.push(ReadNetwork { reference, network }),
                Err(error) => return Some(Err(Failure::Azure(error))),
            }
        }
        Some(Ok(networks))
    }

    /// The resource group and the name of the cluster.
    fn group_and_name(&self) -> (&str, &str) {
        (
            self.spec.resource_group.as_deref().unwrap_or_default(),
            self.spec.cluster_name.as_deref().unwrap_or_default(),
        )
    }

    async fn node_group_exists(&self) -> Result<bool, azure::Error> {
        let group = self.spec.node_resource_group.as_deref().unwrap_or_default();
        resource_groups::exists(&self.arm, group).await
    }

    /// The upgrade targets of this cluster, if the review needs more than the versions of the region. Empty if they cannot be
    /// read; the review then uses the versions of the region.
    async fn own_targets(&self, subject: &Subject<'_>, data: &AzureData) -> Vec<String> {
        let (group, name) = self.group_and_name();
        if !review::needs_own_targets(subject, data) || group.is_empty() || name.is_empty() {
            return Vec::new();
        }
        match managed_clusters::upgrade_targets(&self.arm, group, name).await {
            Ok(targets) => targets,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::info!(error, "cannot read the upgrade profile of a cluster");
                Vec::new()
            }
        }
    }

    async fn cluster(&self) -> Result<Option<ExistingCluster>, azure::Error> {
        let (group, name) = self.group_and_name();
        match managed_clusters::get(&self.arm, group, name).await {
            // A subscription without the provider has no clusters.
            Err(error) if is_unregistered(&error) => Ok(None),
            cluster => Ok(cluster?.map(|cluster| to_existing(&cluster, self.spec))),
        }
    }

    /// The state of the subscription, and the permissions of the credential.
    async fn subscription_parts(&self) -> (Part<Subscription>, Part<Permissions>, Part<ProviderState>) {
        tokio::join!(
            self.read_part(DataPart::Subscription, subscriptions::get(&self.arm)),
            self.read_part(DataPart::Permissions, self.permissions()),
            self.read_part(DataPart::Provider, self.provider()),
        )
    }

    async fn permissions(&self) -> Result<Permissions, azure::Error> {
        let group = self.spec.resource_group.as_deref().unwrap_or_default();
        let group_roles = permissions::list(&self.arm, Some(group)).await?;
        let credential = self.arm.credential();
        let subscription = format!("/subscriptions/{}", credential.subscription_id);
        let (scope, group_exists, roles) = match group_roles {
            Some(roles) => (format!("{subscription}/resourceGroups/{group}"), true, roles),
            None => (subscription, false, permissions::list(&self.arm, None).await?.unwrap_or_default()),
        };
        Ok(Permissions { client_id: credential.client_id.clone(), scope, group_exists, roles })
    }

    async fn provider(&self) -> Result<ProviderState, azure::Error> {
        let provider = providers::get(&self.arm, AKS_PROVIDER).await?;
        let registered = provider.is_registered() || provider.is_registering();
        let roles = if registered { None } else { permissions::list(&self.arm, None).await.ok().flatten() };
        Ok(ProviderState { registered, subscription_roles: roles })
    }
}

fn to_existing(cluster: &Resource<ManagedCluster>, spec: &AksConfig) -> ExistingCluster {
    let properties = cluster.view.properties.as_ref();
    let state =
        properties.and_then(|properties| properties.provisioning_state.as_deref()).unwrap_or_default();
    ExistingCluster {
        spec: upstream::read(&cluster.raw, ReadContext { spec, base_url: "", auth_base_url: "" })
            .unwrap_or_default(),
        details: ClusterDetails::read(&cluster.raw),
        failed: ["Failed", "Canceled"].iter().any(|word| word.eq_ignore_ascii_case(state)),
        local_accounts_disabled: properties.and_then(|properties| properties.disable_local_accounts)
            == Some(true),
    }
}

/// Converts a part. For a login error, also sets `denial` unless there is one already.
fn into_read<T>(part: Part<T>, denial: &mut Option<Denial>) -> Read<T> {
    match part {
        None => Read::NotRequested,
        Some(Ok(data)) => Read::Known(data),
        Some(Err(Failure::OtherSubscription(network))) => Read::Unknown(format!(
            "the network {} is in another subscription than the cloud credential",
            network.name
        )),
        Some(Err(Failure::Azure(error))) => {
            if denial.is_none() {
                *denial = denial::from_login_error(&error);
            }
            Read::Unknown(error.to_string())
        }
    }
}
