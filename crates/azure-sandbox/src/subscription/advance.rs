//! The effects of long-running operations at their scheduled times. State is a function of the clock: each request first
//! completes all due operations, in the order of their scheduled times.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Group, Resource, SubscriptionState, find_mut, position};
use crate::json;
use crate::operation::{FinalStatus, LongOperation, OperationKind};

/// Changes for the Kubernetes APIs of clusters.
#[derive(Debug, Default)]
pub(crate) struct ClusterChanges {
    /// Created or changed clusters, by group and name.
    pub(crate) changed: Vec<(String, String)>,
    /// Host names of deleted clusters.
    pub(crate) deleted: Vec<String>,
    /// IDs of commands to run.
    pub(crate) commands: Vec<String>,
}

impl SubscriptionState {
    /// Completes the operations that are due. `scale` multiplies their durations.
    pub(crate) fn advance_to(&mut self, now_ms: i64, scale: f64) -> ClusterChanges {
        let mut changes = ClusterChanges::default();
        let is_due = |operation: &&mut LongOperation| {
            operation.ended_ms.is_none() && operation.due_ms(scale) <= now_ms
        };
        while let Some(operation) =
            self.operations.iter_mut().filter(is_due).min_by_key(|operation| operation.due_ms(scale))
        {
            operation.ended_ms = Some(operation.due_ms(scale));
            let operation = operation.clone();
            self.apply(&operation, &mut changes);
        }
        changes
    }

    fn apply(&mut self, operation: &LongOperation, changes: &mut ClusterChanges) {
        let status = operation.final_status().unwrap_or(FinalStatus::Succeeded);
        let succeeded = status == FinalStatus::Succeeded;
        let target = &operation.target;
        let group = target.group_name().unwrap_or_default();
        let name = target.resource_name().unwrap_or_default();
        match operation.kind {
            OperationKind::DeleteCluster if succeeded => self.remove_cluster(group, name, changes),
            OperationKind::DeleteGroup if succeeded => self.remove_group(group, changes),
            OperationKind::DeleteGroup => self.set_group_state(group, "Failed", false),
            OperationKind::RegisterProvider if succeeded => {
                self.unregistered.retain(|provider| !provider.eq_ignore_ascii_case(target.name()));
            }
            OperationKind::RegisterProvider => {}
            OperationKind::RunCommand => changes.commands.push(operation.id.clone()),
            OperationKind::CreateWorkspace => {
                if let Some(workspace) = find_mut(&mut self.workspaces, group, name) {
                    workspace.set_state(status.as_str());
                }
            }
            OperationKind::WriteNetwork
            | OperationKind::DeleteNetwork
            | OperationKind::WriteSubnet
            | OperationKind::DeleteSubnet => self.apply_to_network(operation, status),
            _ => {
                if let Some(cluster) = find_mut(&mut self.clusters, group, name) {
                    apply_to_cluster(cluster, operation, status);
                    changes.changed.push((group.to_owned(), name.to_owned()));
                }
            }
        }
    }

    fn remove_cluster(&mut self, group: &str, name: &str, changes: &mut ClusterChanges) {
        let Some(index) = position(&self.clusters, group, name) else { return };
        let cluster = self.clusters.remove(index);
        let node_group = json::text(&cluster.body, "/properties/nodeResourceGroup").unwrap_or_default();
        self.groups
            .retain(|group| group.managed_by.is_none() || !group.name.eq_ignore_ascii_case(node_group));
        changes.deleted.extend(cluster.api_host());
    }

    fn remove_group(&mut self, name: &str, changes: &mut ClusterChanges) {
        let clusters: Vec<String> = self
            .clusters
            .iter()
            .filter(|cluster| cluster.is_in(name))
            .map(|cluster| cluster.name.clone())
            .collect();
        for cluster in clusters {
            self.remove_cluster(name, &cluster, changes);
        }
        for resources in [&mut self.networks, &mut self.workspaces] {
            resources.retain(|resource| !resource.is_in(name));
        }
        self.groups.retain(|group: &Group| !group.name.eq_ignore_ascii_case(name));
    }

    fn apply_to_network(&mut self, operation: &LongOperation, status: FinalStatus) {
        let (Some(group), Some(name)) = (operation.target.group_name(), operation.target.resource_name())
        else {
            return;
        };
        let succeeded = status == FinalStatus::Succeeded;
        if operation.kind == OperationKind::DeleteNetwork && succeeded {
            self.networks.retain(|network| !operation.target.is_within(&network.group, &network.name));
            return;
        }
        let Some(network) = find_mut(&mut self.networks, group, name) else { return };
        if let Some(subnets) = network.body.pointer_mut("/properties/subnets").and_then(Value::as_array_mut) {
            let is_affected = |subnet: &Value| {
                operation.target.child_name().is_none_or(|child| json::text(subnet, "/name") == Some(child))
            };
            if operation.kind == OperationKind::DeleteSubnet && succeeded {
                subnets.retain(|subnet| !is_affected(subnet));
            }
            for subnet in subnets.iter_mut().filter(|subnet| is_affected(subnet)) {
                json::set(subnet, "/properties/provisioningState", status.as_str());
            }
        }
        if operation.target.child_name().is_none() {
            network.set_state(status.as_str());
        }
    }
}

fn apply_to_cluster(cluster: &mut Resource, operation: &LongOperation, status: FinalStatus) {
    let succeeded = status == FinalStatus::Succeeded;
    let state = match operation.kind {
        OperationKind::AbortCluster if succeeded => "Canceled",
        _ => status.as_str(),
    };
    if let Some(name) = operation.target.child_name() {
        if operation.kind == OperationKind::DeletePool && succeeded {
            if let Some(pools) = cluster.pools_mut() {
                pools.retain(|pool| json::text(pool, "/name") != Some(name));
            }
        } else if let Some(pool) = cluster.pool_mut(name) {
            json::set(pool, "/provisioningState", state);
        }
    } else if operation.kind == OperationKind::TagCluster {
        cluster.set_state(state);
    } else {
        cluster.set_state_with_pools(state);
    }
    if succeeded {
        apply_versions(cluster, operation);
        match operation.kind {
            OperationKind::StartCluster => set_power(cluster, "Running"),
            OperationKind::StopCluster => set_power(cluster, "Stopped"),
            // A change repairs a cluster whose creation failed, and may enable an add-on.
            OperationKind::CreateCluster | OperationKind::UpdateCluster | OperationKind::UpgradeCluster => {
                add_created_properties(cluster, &operation.id);
            }
            _ => {}
        }
    }
}

fn apply_versions(cluster: &mut Resource, operation: &LongOperation) {
    if let Some(version) = &operation.versions.cluster {
        json::set(&mut cluster.body, "/properties/currentKubernetesVersion", version.as_str());
    }
    for (name, version) in &operation.versions.pools {
        if let Some(pool) = cluster.pool_mut(name) {
            json::set(pool, "/currentOrchestratorVersion", version.as_str());
        }
    }
}

fn set_power(cluster: &mut Resource, code: &str) {
    json::set(&mut cluster.body, "/properties/powerState/code", code);
    for pool in cluster.pools_mut().into_iter().flatten() {
        json::set(pool, "/powerState/code", code);
    }
}

/// Adds the properties that a cluster has once it is created. Their IDs are derived from the ID of the operation, so that they
/// survive a restart.
fn add_created_properties(cluster: &mut Resource, operation_id: &str) {
    let subscription =
        json::text(&cluster.body, "/id").and_then(|id| id.split('/').nth(2)).unwrap_or_default();
    let node_group = json::text(&cluster.body, "/properties/nodeResourceGroup").unwrap_or_default();
    let base = format!("/subscriptions/{subscription}/resourceGroups/{node_group}/providers");
    let first_id = Uuid::try_parse(operation_id).unwrap_or_default().as_u128();
    let derived_id = |n: u128| Uuid::from_u128(first_id.wrapping_add(n)).to_string();
    let (name, region) = (cluster.name.clone(), cluster.location().to_owned());
    let identity = |identity_name: &str, n: u128| {
        json!({
            "resourceId": format!("{base}/Microsoft.ManagedIdentity/userAssignedIdentities/{identity_name}"),
            "clientId": derived_id(n),
            "objectId": derived_id(n + 1),
        })
    };
    let kubelet_identity = identity(&format!("{name}-agentpool"), 1);
    let monitoring_identity = identity(&format!("omsagent-{name}"), 3);
    let has_load_balancer =
        json::text(&cluster.body, "/properties/networkProfile/outboundType") == Some("loadBalancer");
    let outbound_ip = format!("{base}/Microsoft.Network/publicIPAddresses/{}", derived_id(5));
    let private_link_service = format!(
        "/subscriptions/{}/resourceGroups/hcp-underlay-{region}/providers/Microsoft.Network/privateLinkServices/{}",
        derived_id(6),
        derived_id(7).replace('-', "")
    );
    let body = &mut cluster.body;
    json::set_default(body, "/properties/identityProfile/kubeletidentity", kubelet_identity);
    if has_load_balancer {
        let path = "/properties/networkProfile/loadBalancerProfile/effectiveOutboundIPs";
        json::set_default(body, path, json!([{"id": outbound_ip}]));
    }
    if json::is_true(body, "/properties/apiServerAccessProfile/enablePrivateCluster") {
        let link_resources = json!([{
            "name": "management",
            "type": "Microsoft.ContainerService/managedClusters/privateLinkResources",
            "groupId": "management",
            "requiredMembers": ["management"],
            "privateLinkServiceID": private_link_service,
        }]);
        json::set_default(body, "/properties/privateLinkResources", link_resources);
    }
    let addons = body.pointer_mut("/properties/addonProfiles").and_then(Value::as_object_mut);
    for (key, addon) in addons.into_iter().flatten() {
        if key.eq_ignore_ascii_case("omsagent") && json::is_true(addon, "/enabled") {
            json::set_default(addon, "/identity", monitoring_identity.clone());
        }
    }
}
