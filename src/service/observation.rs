//! Looking at Azure for one cluster, only as far as the next decision needs it. `aks::provision::plan` decides.

use aks::provision::plan::{Observed, Phase};
use aks::provision::upstream::{self, Known};
use aks::provision::workspace;
use aks::spec::AksConfig;
use azure::resources::{managed_clusters, providers, resource_groups, workspaces};
use azure::{Arm, Error};
use serde_json::Value;

use super::credentials::AzureAccess;

/// The resource provider of AKS.
pub const PROVIDER: &str = "Microsoft.ContainerService";

/// The resource provider of Log Analytics workspaces.
pub const WORKSPACES: &str = "Microsoft.OperationalInsights";

/// Whether the subscription does not know the service that was asked: then Azure does not even say whether something is
/// there.
pub fn is_unregistered(error: &Error) -> bool {
    error.code() == Some("MissingSubscriptionRegistration")
}

/// Asks Azure what the next step depends on.
pub async fn observe(
    arm: &Arm,
    access: &AzureAccess,
    spec: &AksConfig,
    phase: Phase,
) -> Result<Observed, Error> {
    let group = spec.resource_group.as_deref().unwrap_or_default();
    let name = spec.cluster_name.as_deref().unwrap_or_default();
    let wanted = phase != Phase::Removing && spec.imported != Some(true);
    let cluster = match managed_clusters::get(arm, group, name).await {
        Err(error) if wanted && is_unregistered(&error) => None,
        found => found?.map(|cluster| cluster.raw),
    };
    let upstream = cluster.as_ref().and_then(|cluster| read(access, spec, cluster));
    let mut observed = Observed { cluster, upstream, ..Observed::default() };
    if wanted && observed.cluster.is_none() {
        observed.provider_registered = match providers::get(arm, PROVIDER).await {
            // Whoever has rights in a resource group alone may not look at the subscription's providers, and does not
            // need to: a provider that is not registered is told by the cluster's own address, too.
            Err(error) if error.upstream_status() == Some(403) => None,
            provider => Some(provider?.is_registered()),
        };
        observed.resource_group = Some(resource_groups::exists(arm, group).await?);
    }
    // An active cluster that is monitored stays with the workspace that it has.
    let monitored = observed.upstream.as_ref().is_some_and(|upstream| upstream.monitoring == Some(true));
    let settled = phase == Phase::Removing || (phase == Phase::Active && monitored);
    if !settled && spec.monitoring == Some(true) && observed.resource_group != Some(false) {
        let spec = upstream::located(spec, observed.upstream.as_ref());
        observed.workspace_id = workspace_id(arm, &spec).await?;
    }
    Ok(observed)
}

/// What Azure's description of the cluster means.
pub fn read(access: &AzureAccess, spec: &AksConfig, cluster: &Value) -> Option<AksConfig> {
    let cloud = access.credential().cloud;
    let known = Known {
        spec,
        base_url: &format!("{}/", cloud.arm_origin().trim_end_matches('/')),
        auth_base_url: &format!("{}/", cloud.login_authority().trim_end_matches('/')),
    };
    upstream::read(cluster, known).ok()
}

/// The id of the workspace that the specification means, once it is there.
async fn workspace_id(arm: &Arm, spec: &AksConfig) -> Result<Option<String>, Error> {
    let place = workspace::place(spec);
    let found = match workspaces::get(arm, &place.group, &place.name).await {
        Err(error) if is_unregistered(&error) => None,
        found => found?,
    };
    Ok(found.and_then(|workspace| {
        let state = workspace.view.properties.and_then(|properties| properties.provisioning_state);
        let ready = state.is_none_or(|state| state.eq_ignore_ascii_case("Succeeded"));
        workspace.view.id.filter(|_| ready)
    }))
}
