//! `aksUpgrades` (`docs/contract/meta-actions.md#aksupgrades`).

use aks::regions::normalised;
use aks::upgrades::Upgrade;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::call::AzureCall;
use super::docs::{CredentialAndRegion, Failures, OptionalRegion, StoredCredentialAndCluster};
use super::error::Error;
use super::{answer, versions};
use crate::api::norman::json;
use crate::api::state::AppState;
use crate::service;
use crate::service::clusters::ClusterVersion;
use crate::service::listings::{UpgradeQuestion, Upgrades};

/// Where a cluster may go from its version.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AksUpgrades<'a> {
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
    fn of(target: &'a Upgrade) -> Self {
        Self { version: &target.version, enabled: target.reachable }
    }
}

fn render(upgrades: &Upgrades) -> Bytes {
    json::to_bytes(&AksUpgrades {
        current_version: &upgrades.current,
        upgrades: upgrades.targets.iter().map(AksUpgrade::of).collect(),
    })
}

/// The Kubernetes versions that a cluster may be upgraded to.
///
/// With a stored credential. The cluster is named by its Rancher id; the region is the cluster's when it is not named.
#[utoipa::path(
    get,
    path = "/meta/aksUpgrades",
    operation_id = "getAksUpgrades",
    tag = "AKS actions",
    params(StoredCredentialAndCluster, OptionalRegion),
    responses((status = 200, description = "The version of the cluster and the newer ones", body = AksUpgrades<'static>), Failures),
)]
pub(super) async fn get(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

/// The Kubernetes versions that a cluster may be upgraded to.
///
/// With the credential in the body. The cluster is named by its Rancher id; the region is the cluster's when it is
/// not named.
#[utoipa::path(
    post,
    path = "/meta/aksUpgrades",
    operation_id = "postAksUpgrades",
    tag = "AKS actions",
    request_body = CredentialAndRegion,
    responses((status = 200, description = "The version of the cluster and the newer ones", body = AksUpgrades<'static>), Failures),
)]
pub(super) async fn post(state: State<AppState>, call: AzureCall) -> Result<Response, Error> {
    list(state, call).await
}

pub(super) async fn list(State(state): State<AppState>, call: AzureCall) -> Result<Response, Error> {
    let listed = async {
        let cluster = state.clusters().kubernetes_version(&call.caller, &call.cluster_id).await;
        let cluster = cluster.map_err(|error| match error {
            error @ service::Error::Rejected(_) => Error::from(error).with_hint(
                "clusterId is the id of a cluster that you see at /v3/clusters, such as c-x7k9z; the name in AKS is none",
            ),
            error => error.into(),
        })?;
        let (Some(current), Some(running)) = (&cluster.stated, &cluster.running) else {
            return Err(Error::bad_request("kubernetes version of the cluster cannot be determined"));
        };
        // Clients pass on the region of the specification; of an import it may be wrong, and the cluster's own is meant.
        let asked = normalised(call.region());
        let is_stated = cluster.stated_region.as_ref().is_some_and(|stated| normalised(stated) == asked);
        let region = match &cluster.region {
            Some(own) if asked.is_empty() || is_stated => own,
            _ => call.region(),
        };
        let ClusterVersion { long_term, group, name, .. } = &cluster;
        let question = UpgradeQuestion { region, current, running, long_term: *long_term, group, name };
        Ok(state.listings().upgrades(call.ask(), &question, versions::render, render).await?)
    };
    answer(&state, &call, "aksUpgrades", listed.await).await
}
