//! Reads the observed state of one cluster from Azure, as far as `aks::provision::plan` needs it.

use aks::provision::plan::{Observed, Phase};
use aks::provision::upstream::{self, ReadContext};
use aks::provision::workspace;
use aks::spec::AksConfig;
use azure::resources::{managed_clusters, providers, resource_groups, workspaces};
use azure::{Arm, Error};
use serde_json::Value;

use super::credentials::AzureAccess;

/// The resource provider of AKS.
pub const AKS_PROVIDER: &str = "Microsoft.ContainerService";

/// The resource provider of Log Analytics workspaces.
pub const WORKSPACE_PROVIDER: &str = "Microsoft.OperationalInsights";

/// Whether a request failed because its resource provider is not registered in the subscription. Azure then does not report
/// whether an object exists.
pub fn is_unregistered(error: &Error) -> bool {
    error.code() == Some("MissingSubscriptionRegistration")
}

/// Reads the state that the next step depends on.
pub async fn observe(
    arm: &Arm,
    access: &AzureAccess,
    spec: &AksConfig,
    phase: Phase,
) -> Result<Observed, Error> {
    let group = spec.resource_group.as_deref().unwrap_or_default();
    let name = spec.cluster_name.as_deref().unwrap_or_default();
    let may_create = phase != Phase::Removing && spec.imported != Some(true);
    let cluster = match managed_clusters::get(arm, group, name).await {
        Err(error) if may_create && is_unregistered(&error) => None,
        result => result?.map(|cluster| cluster.raw),
    };
    let upstream = cluster.as_ref().and_then(|cluster| read_spec(access, spec, cluster));
    let mut observed = Observed { cluster, upstream, ..Observed::default() };
    if may_create && observed.cluster.is_none() {
        observed.provider_registered = match providers::get(arm, AKS_PROVIDER).await {
            // A credential with rights in only one resource group may not read providers. That is no problem: if AKS is not
            // registered, the request that creates the cluster fails with a specific error code.
            Err(error) if error.upstream_status() == Some(403) => None,
            result => Some(result?.is_registered()),
        };
        observed.resource_group = Some(resource_groups::exists(arm, group).await?);
    }
    // An active cluster that is already monitored keeps its workspace, which need not be read.
    let is_monitored = observed.upstream.as_ref().is_some_and(|upstream| upstream.monitoring == Some(true));
    let needs_no_workspace = phase == Phase::Removing || (phase == Phase::Active && is_monitored);
    if !needs_no_workspace && spec.monitoring == Some(true) && observed.resource_group != Some(false) {
        let spec = upstream::with_actual_region(spec, observed.upstream.as_ref());
        observed.workspace_id = workspace_id(arm, &spec).await?;
    }
    Ok(observed)
}

/// The observed spec of a cluster, from Azure's JSON.
pub fn read_spec(access: &AzureAccess, spec: &AksConfig, cluster: &Value) -> Option<AksConfig> {
    let cloud = access.credential().cloud;
    let context = ReadContext {
        spec,
        base_url: &format!("{}/", cloud.arm_origin().trim_end_matches('/')),
        auth_base_url: &format!("{}/", cloud.login_authority().trim_end_matches('/')),
    };
    upstream::read(cluster, context).ok()
}

/// The ID of the workspace that the specification names; `None` if it does not exist or is not ready yet.
async fn workspace_id(arm: &Arm, spec: &AksConfig) -> Result<Option<String>, Error> {
    let location = workspace::location(spec);
    let workspace = match workspaces::get(arm, &location.group, &location.name).await {
        Err(error) if is_unregistered(&error) => None,
        result => result?,
    };
    Ok(workspace.and_then(|workspace| {
        let state = workspace.view.properties.and_then(|properties| properties.provisioning_state);
        let is_ready = state.is_none_or(|state| state.eq_ignore_ascii_case("Succeeded"));
        workspace.view.id.filter(|_| is_ready)
    }))
}
