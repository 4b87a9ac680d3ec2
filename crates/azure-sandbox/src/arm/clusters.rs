//! `Microsoft.ContainerService/managedClusters`. Creation and updates are in [`put`], defaults in [`defaults`], validation
//! in [`check`], [`change`] and [`availability`].

mod availability;
pub(crate) mod change;
pub(crate) mod check;
mod credential;
pub(crate) mod defaults;
pub(crate) mod lookup;
pub(crate) mod merge;
pub(crate) mod network;
mod put;
mod run_command;

pub(crate) use availability::check_availability;
pub(crate) use run_command::result as command_result;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::call::Call;
use super::error::ArmError;
use super::route::ClusterAction;
use crate::json;
use crate::operation::{FinalStatus, LongOperation, OperationKind, Target};
use crate::response::SandboxResponse;
use crate::subscription::find_mut;
use lookup::{check_precondition, ensure_idle, get_cluster, is_long_term, new_etag, representation};

pub(crate) fn list(call: &Call<'_>) -> Result<SandboxResponse, ArmError> {
    call.page(call.in_scope(&call.resources.clusters).map(|cluster| representation(call, &cluster.body)))
}

pub(crate) fn handle_cluster(call: &mut Call<'_>, name: &str) -> Result<SandboxResponse, ArmError> {
    match call.request.method {
        Method::PUT => put::create_or_update(call, name),
        Method::PATCH => patch(call, name),
        Method::DELETE => Ok(delete(call, name)),
        _ => get_cluster(call, name)
            .map(|cluster| SandboxResponse::json(StatusCode::OK, &representation(call, &cluster.body))),
    }
}

pub(crate) fn handle_action(
    call: &mut Call<'_>,
    name: &str,
    action: ClusterAction,
) -> Result<SandboxResponse, ArmError> {
    match action {
        ClusterAction::Start => set_power(call, name, true),
        ClusterAction::Stop => set_power(call, name, false),
        ClusterAction::Abort => abort(call, name),
        ClusterAction::RunCommand => run_command::start(call, name),
        _ => credential::list(call, name, action),
    }
}

/// PATCH replaces the tags, and changes nothing else.
fn patch(call: &mut Call<'_>, name: &str) -> Result<SandboxResponse, ArmError> {
    let body = call.body_object()?;
    let cluster = get_cluster(call, name)?;
    ensure_idle(cluster)?;
    check_precondition(call, json::text(&cluster.body, "/eTag"))?;
    let (group, name, region) = (cluster.group.clone(), cluster.name.clone(), cluster.location().to_owned());
    if let Some(cluster) = find_mut(&mut call.resources.clusters, &group, &name) {
        json::set(&mut cluster.body, "/tags", Call::tags(&body).unwrap_or_else(|| json!({})));
        json::set(&mut cluster.body, "/eTag", new_etag());
        cluster.set_state("Updating");
    }
    let operation =
        call.start(LongOperation::new(OperationKind::TagCluster, Target::resource(&group, &name), &region));
    let cluster = get_cluster(call, &name)?;
    Ok(call.with_operation_url(
        SandboxResponse::json(StatusCode::OK, &representation(call, &cluster.body)),
        &operation,
    ))
}

/// Starts the deletion of a cluster, which interrupts its other operations. A running deletion continues.
fn delete(call: &mut Call<'_>, name: &str) -> SandboxResponse {
    let Ok(cluster) = get_cluster(call, name) else { return SandboxResponse::empty(StatusCode::NO_CONTENT) };
    let (group, name, region) = (cluster.group.clone(), cluster.name.clone(), cluster.location().to_owned());
    let is_deletion = |operation: &&LongOperation| {
        operation.kind == OperationKind::DeleteCluster && operation.target.is_within(&group, &name)
    };
    let running = call.resources.running().find(is_deletion).cloned();
    let operation = running.unwrap_or_else(|| {
        let now_ms = call.now_ms;
        call.resources.preempt(now_ms, |operation| {
            operation.kind.is_on_cluster() && operation.target.is_within(&group, &name)
        });
        start_with_state(call, OperationKind::DeleteCluster, "Deleting", (&group, &name), &region)
    });
    call.with_result_url(SandboxResponse::empty(StatusCode::ACCEPTED), &operation)
}

/// Starts an operation, and sets the state of the cluster and its pools.
fn start_with_state(
    call: &mut Call<'_>,
    kind: OperationKind,
    state: &str,
    (group, name): (&str, &str),
    region: &str,
) -> LongOperation {
    if let Some(cluster) = find_mut(&mut call.resources.clusters, group, name) {
        cluster.set_state_with_pools(state);
    }
    call.start(LongOperation::new(kind, Target::resource(group, name), region))
}

fn set_power(call: &mut Call<'_>, name: &str, turn_on: bool) -> Result<SandboxResponse, ArmError> {
    let cluster = get_cluster(call, name)?;
    ensure_idle(cluster)?;
    let (group, name, region) = (cluster.group.clone(), cluster.name.clone(), cluster.location().to_owned());
    let (kind, state) = if turn_on {
        (OperationKind::StartCluster, "Starting")
    } else {
        (OperationKind::StopCluster, "Stopping")
    };
    let operation = start_with_state(call, kind, state, (&group, &name), &region);
    Ok(call.with_result_url(SandboxResponse::empty(StatusCode::ACCEPTED), &operation))
}

fn abort(call: &mut Call<'_>, name: &str) -> Result<SandboxResponse, ArmError> {
    let cluster = get_cluster(call, name)?;
    let (group, name, region) = (cluster.group.clone(), cluster.name.clone(), cluster.location().to_owned());
    let now_ms = call.now_ms;
    let mut any_interrupted = false;
    let operations = call.resources.operations.iter_mut().filter(|operation| {
        operation.ended_ms.is_none()
            && operation.kind.is_on_cluster()
            && ![OperationKind::DeleteCluster, OperationKind::DeletePool, OperationKind::RunCommand]
                .contains(&operation.kind)
            && operation.target.is_within(&group, &name)
    });
    for operation in operations {
        let text = "The operation was stopped by a request to abort it.";
        operation.interrupt(now_ms, FinalStatus::Canceled, "OperationPreempted", text);
        any_interrupted = true;
    }
    if !any_interrupted {
        let text = "Operation is not allowed: there is no operation in progress that could be aborted.";
        return Err(ArmError::from_aks(StatusCode::BAD_REQUEST, "OperationNotAllowed", text));
    }
    let operation =
        start_with_state(call, OperationKind::AbortCluster, "Canceling", (&group, &name), &region);
    Ok(call.with_result_url(SandboxResponse::empty(StatusCode::ACCEPTED), &operation))
}

pub(crate) fn upgrade_profile(call: &Call<'_>, name: &str) -> Result<SandboxResponse, ArmError> {
    let cluster = get_cluster(call, name)?;
    let versions = call.sandbox.catalog.kubernetes_versions(call.request.cloud);
    let long_term = is_long_term(&cluster.body);
    let upgrades_from = |from: &str| -> Vec<Value> {
        versions
            .upgrades_for(from, long_term)
            .into_iter()
            .map(|version| {
                let mut target = json!({ "kubernetesVersion": version });
                if versions.is_preview(version) {
                    json::set(&mut target, "/isPreview", true);
                }
                target
            })
            .collect()
    };
    let current = json::text(&cluster.body, "/properties/currentKubernetesVersion").unwrap_or_default();
    let pools: Vec<Value> = cluster
        .pools()
        .iter()
        .map(|pool| {
            let version = json::text(pool, "/currentOrchestratorVersion").unwrap_or_default();
            json!({
                "name": pool.get("name"), "kubernetesVersion": version, "osType": pool.get("osType"),
                "upgrades": upgrades_from(version),
            })
        })
        .collect();
    let id = json::text(&cluster.body, "/id").unwrap_or_default();
    Ok(SandboxResponse::json(
        StatusCode::OK,
        &json!({
            "id": format!("{id}/upgradeprofiles/default"),
            "name": "default",
            "type": "Microsoft.ContainerService/managedClusters/upgradeprofiles",
            "properties": {
                "controlPlaneProfile": {
                    "kubernetesVersion": current, "osType": "Linux", "upgrades": upgrades_from(current),
                },
                "agentPoolProfiles": pools,
            },
        }),
    ))
}
