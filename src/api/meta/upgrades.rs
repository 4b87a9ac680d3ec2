//! `aksUpgrades` (`docs/contract/meta-actions.md#aksupgrades`).

use aks::regions::normalize;
use aks::upgrades::Upgrade;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::action::ListingAction;
use super::call::{AzureCall, Sender};
use super::docs::{ActionDocs, Scope, component};
use super::error::Error;
use super::rancher;
use super::versions::render as render_versions;
use crate::api::norman::json;
use crate::api::source::MetaState;
use crate::service;
use crate::service::clusters::ClusterVersion;
use crate::service::error::Rejection;
use crate::service::listings::{ListingResponse, UpgradableCluster, Upgrades};

/// The versions to which a cluster can be upgraded.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AksUpgrades)]
pub(super) struct AvailableUpgrades<'a> {
    /// The version of the cluster's control plane.
    #[schema(example = "1.31.5")]
    current_version: &'a str,
    /// Every newer version of the region, ascending.
    upgrades: Vec<AksUpgrade<'a>>,
}

/// A newer version.
#[derive(Serialize, ToSchema)]
pub(super) struct AksUpgrade<'a> {
    /// The version.
    #[schema(example = "1.32.1")]
    version: &'a str,
    /// Whether Azure upgrades to it from the current version in one step.
    enabled: bool,
}

impl<'a> AksUpgrade<'a> {
    fn new(target: &'a Upgrade) -> Self {
        Self { version: &target.version, enabled: target.reachable }
    }
}

fn render(upgrades: &Upgrades) -> Bytes {
    json::to_bytes(&AvailableUpgrades {
        current_version: &upgrades.current,
        upgrades: upgrades.targets.iter().map(AksUpgrade::new).collect(),
    })
}

/// The action `aksUpgrades`.
pub(super) struct AksUpgrades;

impl ListingAction for AksUpgrades {
    const NAME: &'static str = "aksUpgrades";
    const DOCS: ActionDocs = ActionDocs {
        summary: "The Kubernetes versions that a cluster may be upgraded to.",
        description: "The cluster is identified by its Rancher ID; without a region, the cluster's own region is used.",
        scope: Scope::Cluster,
        response: "The version of the cluster and the newer ones",
        schema: component::<AvailableUpgrades<'static>>,
    };

    async fn load(state: &MetaState, call: &AzureCall) -> Result<ListingResponse, Error> {
        let cluster = cluster_version(state, call).await?;
        let (Some(current), Some(running)) = (&cluster.stated, &cluster.running) else {
            return Err(Error::bad_request("kubernetes version of the cluster cannot be determined"));
        };
        // Clients send the region of the specification, which may be wrong for an imported cluster, so the cluster's own region
        // replaces it.
        let requested_region = normalize(&call.region);
        let is_stated_region =
            cluster.stated_region.as_ref().is_some_and(|stated| normalize(stated) == requested_region);
        let region = match &cluster.region {
            Some(own_region) if requested_region.is_empty() || is_stated_region => own_region,
            _ => &call.region,
        };
        let ClusterVersion { long_term, group, name, .. } = &cluster;
        let target = UpgradableCluster { region, current, running, long_term: *long_term, group, name };
        Ok(state.listings().upgrades(call.listing_request(), &target, render_versions, render).await?)
    }
}

async fn cluster_version(state: &MetaState, call: &AzureCall) -> Result<ClusterVersion, Error> {
    let id = &call.cluster_id;
    let version = match (state, &call.sender) {
        (MetaState::Own(state), Sender::Own(caller)) => state.clusters.kubernetes_version(caller, id).await,
        (MetaState::Rancher(state), Sender::Rancher(_, session)) => {
            let version = state.access.cluster_version(session, call.access.credential_id(), id).await;
            version.map_err(rancher::unavailable)?.ok_or_else(|| Rejection::UnknownCluster.into())
        }
        _ => Err(Rejection::UnknownCluster.into()),
    };
    version.map_err(|error| match error {
        error @ service::Error::Rejected(_) => Error::from(error).with_hint(
            "clusterId must be the ID of a cluster at /v3/clusters, such as c-x7k9z, and not its name in AKS",
        ),
        error => error.into(),
    })
}
