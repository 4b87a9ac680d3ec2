//! What long operations bring about when their time has come. State is a function of the clock: nothing happens
//! between two looks, and a look settles everything that was due, in the order in which it was due.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Deed, Group, Holdings, Resource, Work, find_mut, position};
use crate::endings::Final;
use crate::json;
use crate::times::Times;

/// What has to be told to the Kubernetes APIs.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Clusters, by group and name, that are as their JSON says now.
    pub(crate) changed: Vec<(String, String)>,
    /// Host names of clusters that are no more.
    pub(crate) gone: Vec<String>,
}

impl Holdings {
    pub(crate) fn settle(&mut self, now_ms: i64, times: &Times) -> Changes {
        let mut changes = Changes::default();
        loop {
            let due = |work: &Work| work.ended_ms.is_none() && work.due_ms(times) <= now_ms;
            let next = self.works.iter().enumerate().filter(|(_, work)| due(work));
            let Some((index, at)) =
                next.map(|(index, work)| (index, work.due_ms(times))).min_by_key(|(_, at)| *at)
            else {
                return changes;
            };
            let Some(work) = self.works.get_mut(index) else { return changes };
            work.ended_ms = Some(at);
            let work = work.clone();
            self.apply(&work, &mut changes);
        }
    }

    fn apply(&mut self, work: &Work, changes: &mut Changes) {
        let well = work.end() == Some(Final::Succeeded);
        let (group, name) = (work.group.as_str(), work.name.as_str());
        match work.deed {
            Deed::DeleteCluster if well => self.remove_cluster(group, name, changes),
            Deed::DeleteGroup if well => self.remove_group(group, changes),
            Deed::DeleteGroup => self.spare_group(group),
            Deed::RegisterProvider if well => {
                self.unregistered.retain(|provider| !provider.eq_ignore_ascii_case(name));
            }
            Deed::RegisterProvider => {}
            Deed::CreateWorkspace => {
                if let Some(workspace) = find_mut(&mut self.workspaces, group, name) {
                    workspace.set_state(state_after(work));
                }
            }
            Deed::WriteNetwork | Deed::DeleteNetwork | Deed::WriteSubnet | Deed::DeleteSubnet => {
                self.apply_to_network(work, well);
            }
            _ => {
                if let Some(cluster) = find_mut(&mut self.clusters, group, name) {
                    apply_to_cluster(cluster, work, well);
                    changes.changed.push((group.to_owned(), name.to_owned()));
                }
            }
        }
    }

    fn remove_cluster(&mut self, group: &str, name: &str, changes: &mut Changes) {
        let Some(index) = position(&self.clusters, group, name) else { return };
        let cluster = self.clusters.remove(index);
        let nodes = json::text(&cluster.body, "/properties/nodeResourceGroup").unwrap_or_default();
        self.groups.retain(|group| group.managed_by.is_none() || !group.name.eq_ignore_ascii_case(nodes));
        changes.gone.extend(cluster.api_host());
    }

    fn remove_group(&mut self, name: &str, changes: &mut Changes) {
        let inside: Vec<String> = self
            .clusters
            .iter()
            .filter(|cluster| cluster.group.eq_ignore_ascii_case(name))
            .map(|cluster| cluster.name.clone())
            .collect();
        for cluster in inside {
            self.remove_cluster(name, &cluster, changes);
        }
        for all in [&mut self.networks, &mut self.workspaces] {
            all.retain(|it| !it.group.eq_ignore_ascii_case(name));
        }
        self.groups.retain(|group: &Group| !group.name.eq_ignore_ascii_case(name));
    }

    /// The group could not be deleted, and what is in it has lost its rest.
    fn spare_group(&mut self, name: &str) {
        for all in [&mut self.clusters, &mut self.networks, &mut self.workspaces] {
            for resource in all.iter_mut().filter(|it| it.group.eq_ignore_ascii_case(name)) {
                resource.set_state("Failed");
            }
        }
        if let Some(group) = self.group_mut(name) {
            group.deleting = false;
        }
    }

    fn apply_to_network(&mut self, work: &Work, well: bool) {
        let (group, name) = (work.group.as_str(), work.name.as_str());
        let Some(index) = position(&self.networks, group, name) else { return };
        if work.deed == Deed::DeleteNetwork && well {
            self.networks.remove(index);
            return;
        }
        let Some(network) = self.networks.get_mut(index) else { return };
        let state = state_after(work);
        if let Some(subnets) = network.body.pointer_mut("/properties/subnets").and_then(Value::as_array_mut) {
            let meant = |subnet: &Value| {
                work.part.as_deref().is_none_or(|part| json::text(subnet, "/name") == Some(part))
            };
            if work.deed == Deed::DeleteSubnet && well {
                subnets.retain(|subnet| !meant(subnet));
            }
            for subnet in subnets.iter_mut().filter(|subnet| meant(subnet)) {
                json::set(subnet, "/properties/provisioningState", state);
            }
        }
        if work.part.is_none() {
            network.set_state(state);
        }
    }
}

/// `provisioningState` after the operation.
fn state_after(work: &Work) -> &'static str {
    match work.end() {
        Some(Final::Failed) => "Failed",
        Some(Final::Canceled) => "Canceled",
        _ => "Succeeded",
    }
}

fn apply_to_cluster(cluster: &mut Resource, work: &Work, well: bool) {
    let state = match work.deed {
        Deed::AbortCluster if well => "Canceled",
        _ => state_after(work),
    };
    if let Some(part) = &work.part {
        if work.deed == Deed::DeletePool && well {
            if let Some(pools) = cluster.pools_mut() {
                pools.retain(|pool| json::text(pool, "/name") != Some(part));
            }
        } else if let Some(pool) = cluster.pool_mut(part) {
            json::set(pool, "/provisioningState", state);
        }
    } else {
        cluster.set_state(state);
        if work.deed != Deed::TagCluster {
            for pool in cluster.pools_mut().into_iter().flatten() {
                json::set(pool, "/provisioningState", state);
            }
        }
    }
    if well {
        bring_versions(cluster, work);
        match work.deed {
            Deed::StartCluster => set_power(cluster, "Running"),
            Deed::StopCluster => set_power(cluster, "Stopped"),
            // A change repairs what was never finished, and may have added something.
            Deed::CreateCluster | Deed::UpdateCluster | Deed::UpgradeCluster => furnish(cluster, &work.id),
            _ => {}
        }
    }
}

fn bring_versions(cluster: &mut Resource, work: &Work) {
    for (name, version) in &work.versions {
        if name.is_empty() {
            json::set(&mut cluster.body, "/properties/currentKubernetesVersion", version.as_str());
        } else if let Some(pool) = cluster.pool_mut(name) {
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

/// What Azure can only tell about a cluster once it is there, as far as it is missing. The ids follow from the operation's, so that a restart
/// in between changes nothing.
fn furnish(cluster: &mut Resource, id: &str) {
    let subscription =
        json::text(&cluster.body, "/id").and_then(|id| id.split('/').nth(2)).unwrap_or_default();
    let nodes = json::text(&cluster.body, "/properties/nodeResourceGroup").unwrap_or_default();
    let base = format!("/subscriptions/{subscription}/resourceGroups/{nodes}/providers");
    let id = Uuid::try_parse(id).unwrap_or_default().as_u128();
    let derived = |n: u128| Uuid::from_u128(id.wrapping_add(n)).to_string();
    let (name, region) = (cluster.name.clone(), cluster.location().to_owned());
    let identity = |of: &str, n: u128| {
        json!({
            "resourceId": format!("{base}/Microsoft.ManagedIdentity/userAssignedIdentities/{of}"),
            "clientId": derived(n),
            "objectId": derived(n + 1),
        })
    };
    let kubelet = identity(&format!("{name}-agentpool"), 1);
    let agent = identity(&format!("omsagent-{name}"), 3);
    let balanced =
        json::text(&cluster.body, "/properties/networkProfile/outboundType") == Some("loadBalancer");
    let outbound = format!("{base}/Microsoft.Network/publicIPAddresses/{}", derived(5));
    let link = format!(
        "/subscriptions/{}/resourceGroups/hcp-underlay-{region}/providers/Microsoft.Network/privateLinkServices/{}",
        derived(6),
        derived(7).replace('-', "")
    );
    let body = &mut cluster.body;
    json::default(body, "/properties/identityProfile/kubeletidentity", kubelet);
    if balanced {
        let path = "/properties/networkProfile/loadBalancerProfile/effectiveOutboundIPs";
        json::default(body, path, json!([{"id": outbound}]));
    }
    if json::is_true(body, "/properties/apiServerAccessProfile/enablePrivateCluster") {
        let resource = json!([{
            "name": "management",
            "type": "Microsoft.ContainerService/managedClusters/privateLinkResources",
            "groupId": "management",
            "requiredMembers": ["management"],
            "privateLinkServiceID": link,
        }]);
        json::default(body, "/properties/privateLinkResources", resource);
    }
    let addons = body.pointer_mut("/properties/addonProfiles").and_then(Value::as_object_mut);
    for (key, addon) in addons.into_iter().flatten() {
        if key.eq_ignore_ascii_case("omsagent") && json::is_true(addon, "/enabled") {
            json::default(addon, "/identity", agent.clone());
        }
    }
}
