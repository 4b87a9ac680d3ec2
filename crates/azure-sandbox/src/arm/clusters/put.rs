//! Creating and updating a cluster.

use http::StatusCode;
use serde_json::{Value, json};

use super::availability::check_availability;
use super::defaults::PoolDefaults;
use super::lookup::{
    RESOURCE_TYPE, check_precondition, ensure_idle, ensure_running, is_long_term, new_etag, representation,
};
use super::merge::{POOLS, merge_cluster};
use super::{change, check, defaults};
use crate::arm::call::Call;
use crate::arm::error::ArmError;
use crate::arm::policies;
use crate::json;
use crate::operation::{LongOperation, OperationKind, Target, TargetVersions};
use crate::response::SandboxResponse;
use crate::subscription::{Group, Resource, find, find_mut};
use crate::templates::node_group;

pub(crate) fn create_or_update(call: &mut Call<'_>, name: &str) -> Result<SandboxResponse, ArmError> {
    let mut body = call.body_object()?;
    let location = call.parse_location(&body, RESOURCE_TYPE)?;
    check_subnet_permissions(call, &body)?;
    check_tag_policy(call, name, &body)?;
    defaults::remove_read_only_and_secrets(&mut body);
    json::set_default(&mut body, "/properties", json!({}));
    let group = call.group_name();
    match find(&call.resources.clusters, &group, name).cloned() {
        Some(old) if old.location() != location => {
            Err(ArmError::location_conflict(name, old.location(), &location, &group))
        }
        Some(old) => update(call, old, &body),
        None => create(call, &group, name, &location, body),
    }
}

/// Checks that the cluster has the tag that a policy of the subscription requires, if there is one.
fn check_tag_policy(call: &Call<'_>, name: &str, body: &Value) -> Result<(), ArmError> {
    let Some(tag) = call.required_tag else { return Ok(()) };
    let tags = body.get("tags").and_then(Value::as_object);
    if tags.is_some_and(|tags| tags.keys().any(|key| key.eq_ignore_ascii_case(tag))) {
        return Ok(());
    }
    let base = format!("/subscriptions/{}/providers/Microsoft.Authorization", call.subscription);
    let assignment = policies::assignment_name(tag);
    let identifiers = json!([{
        "policyAssignment": {"name": format!("Require the tag {tag}"), "id": format!("{base}/policyAssignments/{assignment}")},
        "policyDefinition": {
            "name": "Require a tag on resources",
            "id": policies::definition_id(),
        },
    }]);
    let text = format!("Resource '{name}' was disallowed by policy. Policy identifiers: '{identifiers}'.");
    let info = json!({
        "type": "PolicyViolation",
        "info": {
            "policyDefinitionDisplayName": "Require a tag on resources",
            "policyAssignmentName": assignment,
            "policyAssignmentDisplayName": format!("Require the tag {tag}"),
            "policyAssignmentScope": format!("/subscriptions/{}", call.subscription),
            "policyDefinitionEffect": "deny",
            "policyAssignmentParameters": {"tagName": {"value": tag}},
        },
    });
    Err(ArmError::denied_by_policy(name, text, info))
}

/// Checks that the caller may join the subnets of the pools.
fn check_subnet_permissions(call: &Call<'_>, body: &Value) -> Result<(), ArmError> {
    const JOIN: &str = "Microsoft.Network/virtualNetworks/subnets/join/action";
    let pools = body.pointer(POOLS).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut subnets = pools.iter().filter_map(|pool| json::text(pool, "/vnetSubnetID"));
    let may_join = |subnet: &&str| {
        let group = subnet.split('/').nth(4);
        call.roles.iter().any(|role| role.holds_in(group) && role.grants(JOIN))
    };
    let Some(subnet) = subnets.find(|subnet| !may_join(subnet)) else { return Ok(()) };
    let text = format!(
        "The client '{client}' with object id '{client}' has permission to perform action \
         'Microsoft.ContainerService/managedClusters/write' on scope '{scope}'; however, it does not have permission to \
         perform action(s) '{JOIN}' on the linked scope(s) '{subnet}' (respectively) or the linked scope(s) are invalid.",
        client = call.client_id,
        scope = call.target.scope(),
    );
    Err(ArmError::new(StatusCode::FORBIDDEN, "LinkedAuthorizationFailed", text))
}

fn create(
    call: &mut Call<'_>,
    group: &str,
    name: &str,
    location: &str,
    mut body: Value,
) -> Result<SandboxResponse, ArmError> {
    check_precondition(call, None)?;
    check::check_name(name)?;
    let versions = call.sandbox.catalog.kubernetes_versions(call.request.cloud);
    let requested = json::text(&body, "/properties/kubernetesVersion").unwrap_or_default().to_owned();
    let long_term = is_long_term(&body);
    let full_version = change::initial_version(versions, &requested, long_term)?;
    // Stored as requested; may be a minor version.
    let requested_version = if requested.is_empty() { full_version.clone() } else { requested };
    json::set(&mut body, "/properties/kubernetesVersion", requested_version.as_str());
    json::set(&mut body, "/properties/currentKubernetesVersion", full_version.as_str());
    defaults::apply_to_cluster(call, &mut body, group, name, location);
    let pool_defaults = PoolDefaults::new(versions, &requested_version, &full_version, &body);
    for pool in body.pointer_mut(POOLS).and_then(Value::as_array_mut).into_iter().flatten() {
        let requested = json::text(pool, "/orchestratorVersion").unwrap_or(&requested_version);
        // Called only to check the version.
        change::upgrade_of_pool(versions, None, requested, &full_version, long_term)?;
        defaults::apply_to_pool(pool, pool_defaults);
    }
    check::check_cluster(&body)?;
    check_principal(call, &body)?;
    check_availability(call, &body, None, location)?;
    let cluster = Resource { group: group.to_owned(), name: name.to_owned(), body };
    let node_group = node_group(&cluster);
    if let Some(Group { name: node_group_name, .. }) = &node_group
        && (node_group_name.chars().count() > 80 || call.resources.group(node_group_name).is_some())
    {
        let why = format!("the resource group '{node_group_name}' exists already, or its name is too long");
        return Err(ArmError::invalid("nodeResourceGroup", &why));
    }
    call.resources.groups.extend(node_group);
    let response = SandboxResponse::json(StatusCode::CREATED, &representation(call, &cluster.body));
    call.resources.clusters.push(cluster);
    let operation =
        call.start(LongOperation::new(OperationKind::CreateCluster, Target::resource(group, name), location));
    Ok(call.with_operation_url(response, &operation))
}

/// Checks that the service principal is an application of the tenant. In clusters with a managed identity, its ID is `msi`.
fn check_principal(call: &Call<'_>, body: &Value) -> Result<(), ArmError> {
    let Some(client) = json::text(body, "/properties/servicePrincipalProfile/clientId") else {
        return Ok(());
    };
    let exists = client == "msi"
        || call
            .apps
            .iter()
            .any(|app| app.tenant == call.tenant && app.client_id.eq_ignore_ascii_case(client));
    if exists {
        return Ok(());
    }
    let text = format!(
        "Service principal clientID: {client} not found in Active Directory tenant {}, Please see \
         https://aka.ms/aks-sp-help for more details.",
        call.tenant
    );
    Err(ArmError::from_aks(StatusCode::BAD_REQUEST, "ServicePrincipalNotFound", text))
}

fn update(call: &mut Call<'_>, old: Resource, body: &Value) -> Result<SandboxResponse, ArmError> {
    ensure_idle(&old)?;
    ensure_running(&old)?;
    check_precondition(call, json::text(&old.body, "/eTag"))?;
    change::check_cluster(&old.body, body)?;
    let versions = call.sandbox.catalog.kubernetes_versions(call.request.cloud);
    let current = json::text(&old.body, "/properties/currentKubernetesVersion").unwrap_or_default();
    let requested = json::text(body, "/properties/kubernetesVersion").unwrap_or_default();
    let long_term = is_long_term(body) || is_long_term(&old.body);
    let upgrade = change::upgrade_of_cluster(versions, current, requested, long_term)?;
    let (kind, state) = match upgrade {
        Some(_) => (OperationKind::UpgradeCluster, "Upgrading"),
        None => (OperationKind::UpdateCluster, "Updating"),
    };
    let new_version = upgrade.as_deref().unwrap_or(current);
    let mut target_versions = TargetVersions { cluster: upgrade.clone(), ..TargetVersions::default() };

    let mut new = merge_cluster(&old.body, body);
    let requested_version = json::text(body, "/properties/kubernetesVersion").unwrap_or(new_version);
    let pool_defaults = PoolDefaults::new(versions, requested_version, new_version, &new);
    for pool in new.pointer_mut(POOLS).and_then(Value::as_array_mut).into_iter().flatten() {
        let name = json::text(pool, "/name").unwrap_or_default().to_owned();
        let requested = json::text(pool, "/orchestratorVersion").unwrap_or_default();
        // `None` for a new pool.
        let old_version =
            old.pool(&name).map(|pool| json::text(pool, "/currentOrchestratorVersion").unwrap_or_default());
        let pool_upgrade = change::upgrade_of_pool(versions, old_version, requested, new_version, long_term)?;
        if old_version.is_none() {
            defaults::apply_to_pool(pool, pool_defaults);
            continue;
        }
        target_versions.pools.extend(pool_upgrade.map(|version| (name, version)));
        defaults::normalize_pool(pool);
        json::set(pool, "/provisioningState", state);
    }
    defaults::apply_to_addons(&mut new);
    check::check_cluster(&new)?;
    check_availability(call, &new, Some(&old.body), old.location())?;
    json::set(&mut new, "/eTag", new_etag());
    json::set(&mut new, "/properties/provisioningState", state);
    let response = SandboxResponse::json(StatusCode::OK, &representation(call, &new));
    let mut operation = LongOperation::new(kind, Target::resource(&old.group, &old.name), old.location());
    operation.versions = target_versions;
    if let Some(cluster) = find_mut(&mut call.resources.clusters, &old.group, &old.name) {
        cluster.body = new;
    }
    let operation = call.start(operation);
    Ok(call.with_operation_url(response, &operation))
}
