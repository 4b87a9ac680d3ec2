//! `Microsoft.ContainerService/managedClusters/<cluster>/agentPools`.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::call::Call;
use super::clusters::change::{check_pool as check_immutable, upgrade_of_pool};
use super::clusters::check::{check_pool, check_system_pool};
use super::clusters::check_availability;
use super::clusters::defaults::{self, PoolDefaults};
use super::clusters::lookup::{self, check_precondition, ensure_idle, ensure_running, is_long_term};
use super::clusters::merge::merge_pool;
use super::error::ArmError;
use crate::json;
use crate::operation::{LongOperation, OperationKind, Target};
use crate::response::SandboxResponse;
use crate::subscription::{Resource, find, find_mut};

pub(crate) fn list(call: &Call<'_>, cluster: &str) -> Result<SandboxResponse, ArmError> {
    let cluster = parent_cluster(call, cluster)?;
    call.page(cluster.pools().iter().map(|pool| representation(call, cluster, pool)))
}

pub(crate) fn handle_pool(
    call: &mut Call<'_>,
    cluster: &str,
    name: &str,
) -> Result<SandboxResponse, ArmError> {
    let cluster = parent_cluster(call, cluster)?.clone();
    match call.request.method {
        Method::PUT => create_or_update(call, &cluster, name),
        Method::DELETE => delete(call, &cluster, name),
        _ => {
            let pool = cluster.pool(name).ok_or_else(|| pool_not_found(name, &cluster))?;
            Ok(SandboxResponse::json(StatusCode::OK, &representation(call, &cluster, pool)))
        }
    }
}

pub(crate) fn upgrade_profile(
    call: &Call<'_>,
    cluster: &str,
    name: &str,
) -> Result<SandboxResponse, ArmError> {
    let cluster = parent_cluster(call, cluster)?;
    let pool = cluster.pool(name).ok_or_else(|| pool_not_found(name, cluster))?;
    let versions = call.sandbox.catalog.kubernetes_versions(call.request.cloud);
    let pool_property = |pointer| json::text(pool, pointer).unwrap_or_default();
    let current = pool_property("/currentOrchestratorVersion");
    let max_version = json::text(&cluster.body, "/properties/currentKubernetesVersion").unwrap_or_default();
    let upgrades: Vec<Value> = versions
        .upgrades_for(current, is_long_term(&cluster.body))
        .into_iter()
        .filter(|version| crate::versions::is_compatible(version, max_version))
        .map(|version| json!({ "kubernetesVersion": version }))
        .collect();
    Ok(SandboxResponse::json(
        StatusCode::OK,
        &json!({
            "id": format!("{}/upgradeProfiles/default", pool_id(cluster, pool_property("/name"))),
            "name": "default",
            "type": "Microsoft.ContainerService/managedClusters/agentPools/upgradeProfiles",
            "properties": {
                "kubernetesVersion": current,
                "osType": pool_property("/osType"),
                "upgrades": upgrades,
                "latestNodeImageVersion": pool_property("/nodeImageVersion"),
            },
        }),
    ))
}

fn parent_cluster<'a>(call: &'a Call<'_>, cluster: &str) -> Result<&'a Resource, ArmError> {
    let group = call.target.group.as_deref().unwrap_or_default();
    find(&call.resources.clusters, group, cluster).ok_or_else(|| ArmError::parent_not_found(cluster))
}

fn pool_not_found(name: &str, cluster: &Resource) -> ArmError {
    let text = format!(
        "Could not find agent pool '{name}' of managed cluster '{}', resourceGroup: {}.",
        cluster.name, cluster.group
    );
    ArmError::from_aks(StatusCode::NOT_FOUND, "NotFound", text)
}

fn pool_id(cluster: &Resource, pool: &str) -> String {
    format!("{}/agentPools/{pool}", json::text(&cluster.body, "/id").unwrap_or_default())
}

/// The pool as a resource in the representation of the api-version.
fn representation(call: &Call<'_>, cluster: &Resource, profile: &Value) -> Value {
    let name = json::text(profile, "/name").unwrap_or_default();
    let cluster_body = json!({"properties": {"agentPoolProfiles": [profile]}});
    let properties =
        lookup::representation(call, &cluster_body).pointer("/properties/agentPoolProfiles/0").cloned();
    let mut properties = properties.unwrap_or_default();
    json::remove(&mut properties, "/name");
    json!({
        "id": pool_id(cluster, name),
        "name": name,
        "type": "Microsoft.ContainerService/managedClusters/agentPools",
        "properties": properties,
    })
}

fn create_or_update(
    call: &mut Call<'_>,
    cluster: &Resource,
    name: &str,
) -> Result<SandboxResponse, ArmError> {
    let body = call.body_object()?;
    let mut properties =
        body.get("properties").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    defaults::remove_read_only(&mut properties);
    ensure_idle(cluster)?;
    ensure_running(cluster)?;
    let old = cluster.pool(name);
    check_precondition(call, old.and_then(|old| json::text(old, "/eTag")))?;
    let versions = call.sandbox.catalog.kubernetes_versions(call.request.cloud);
    let cluster_property = |pointer| json::text(&cluster.body, pointer).unwrap_or_default();
    let cluster_version = cluster_property("/properties/currentKubernetesVersion");
    let requested = json::text(&properties, "/orchestratorVersion").unwrap_or_default().to_owned();
    let long_term = is_long_term(&cluster.body);
    let (kind, pool, upgrade) = match old {
        None => {
            let requested_cluster_version = cluster_property("/properties/kubernetesVersion");
            let requested = if requested.is_empty() { requested_cluster_version } else { &requested };
            upgrade_of_pool(versions, None, requested, cluster_version, long_term)?;
            json::set(&mut properties, "/name", name);
            let pool_defaults =
                PoolDefaults::new(versions, requested_cluster_version, cluster_version, &cluster.body);
            defaults::apply_to_pool(&mut properties, pool_defaults);
            (OperationKind::CreatePool, properties, None)
        }
        Some(old) => {
            check_immutable(old, &properties, "properties")?;
            let old_version = json::text(old, "/currentOrchestratorVersion");
            let upgrade = upgrade_of_pool(versions, old_version, &requested, cluster_version, long_term)?;
            let mut new = old.clone();
            merge_pool(&mut new, &properties);
            defaults::normalize_pool(&mut new);
            let kind = operation_kind(old, &new, upgrade.is_some());
            (kind, new, upgrade)
        }
    };
    check_pool(&pool)?;
    let new_cluster = with_pool(cluster, &pool);
    check_system_pool(json::list(&new_cluster, "/properties/agentPoolProfiles"))?;
    check_availability(call, &new_cluster, Some(&cluster.body), cluster.location())?;
    Ok(start_operation(call, cluster, kind, pool, upgrade))
}

/// The kind of operation that changes a pool from `old` to `new`.
fn operation_kind(old: &Value, new: &Value, is_upgrade: bool) -> OperationKind {
    let scaling_keys = ["count", "minCount", "maxCount", "enableAutoScaling"];
    if is_upgrade {
        OperationKind::UpgradePool
    } else if scaling_keys.iter().any(|key| old.get(key) != new.get(key)) {
        OperationKind::ScalePool
    } else {
        OperationKind::UpdatePool
    }
}

/// The body of the cluster with `pool` added or replaced.
fn with_pool(cluster: &Resource, pool: &Value) -> Value {
    let mut cluster = cluster.clone();
    let name = json::text(pool, "/name").unwrap_or_default();
    match cluster.pool_mut(name) {
        Some(existing) => *existing = pool.clone(),
        None => cluster.pools_mut().into_iter().for_each(|pools| pools.push(pool.clone())),
    }
    cluster.body
}

fn start_operation(
    call: &mut Call<'_>,
    cluster: &Resource,
    kind: OperationKind,
    mut pool: Value,
    upgrade: Option<String>,
) -> SandboxResponse {
    let (status, state) = match kind {
        OperationKind::CreatePool => (StatusCode::CREATED, "Creating"),
        OperationKind::UpgradePool => (StatusCode::OK, "Upgrading"),
        OperationKind::ScalePool => (StatusCode::OK, "Scaling"),
        _ => (StatusCode::OK, "Updating"),
    };
    json::set(&mut pool, "/provisioningState", state);
    json::set(&mut pool, "/eTag", lookup::new_etag());
    let name = json::text(&pool, "/name").unwrap_or_default().to_owned();
    let response = SandboxResponse::json(status, &representation(call, cluster, &pool));
    let body = with_pool(cluster, &pool);
    if let Some(cluster) = find_mut(&mut call.resources.clusters, &cluster.group, &cluster.name) {
        cluster.body = body;
    }
    let target = Target::child(&cluster.group, &cluster.name, &name);
    let mut operation = LongOperation::new(kind, target, cluster.location());
    operation.versions.pools.extend(upgrade.map(|version| (name, version)));
    let operation = call.start(operation);
    call.with_operation_url(response, &operation)
}

fn delete(call: &mut Call<'_>, cluster: &Resource, name: &str) -> Result<SandboxResponse, ArmError> {
    let Some(pool) = cluster.pool(name) else { return Ok(SandboxResponse::empty(StatusCode::NO_CONTENT)) };
    let name = json::text(pool, "/name").unwrap_or_default();
    let target = Target::child(&cluster.group, &cluster.name, name);
    let is_deletion = |operation: &&LongOperation| {
        operation.kind == OperationKind::DeletePool && operation.target == target
    };
    let running = call.resources.running().find(is_deletion).cloned();
    if let Some(operation) = running {
        return Ok(call.with_result_url(SandboxResponse::empty(StatusCode::ACCEPTED), &operation));
    }
    ensure_idle(cluster)?;
    let others: Vec<Value> =
        cluster.pools().iter().filter(|other| json::text(other, "/name") != Some(name)).cloned().collect();
    if others.is_empty() {
        let text = "There has to be at least one agent pool.";
        return Err(ArmError::from_aks(StatusCode::CONFLICT, "OperationNotAllowed", text));
    }
    check_system_pool(&others)?;
    let mut changed = cluster.clone();
    if let Some(pool) = changed.pool_mut(name) {
        json::set(pool, "/provisioningState", "Deleting");
    }
    if let Some(stored) = find_mut(&mut call.resources.clusters, &cluster.group, &cluster.name) {
        stored.body = changed.body;
    }
    let operation = LongOperation::new(OperationKind::DeletePool, target, cluster.location());
    let operation = call.start(operation);
    Ok(call.with_result_url(SandboxResponse::empty(StatusCode::ACCEPTED), &operation))
}
