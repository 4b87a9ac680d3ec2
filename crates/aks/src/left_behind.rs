//! The resources that remain in Azure and inside the cluster if only the cluster object of this server is deleted, as far as
//! they are known without a request to Azure or the cluster.

use serde::Serialize;

use super::provision::agent::Deployment;
use super::provision::manifest::node_resource_group;
use super::provision::workspace;
use super::registration::{AGENT_NAME, NAMESPACE};
use super::spec::AksConfig;
use super::status::{ClusterStatus, Progress};

/// The facts about a cluster from which the remaining resources are derived.
#[derive(Clone, Copy, Debug)]
pub struct ClusterFacts<'a> {
    /// The specification.
    pub spec: &'a AksConfig,
    /// The status.
    pub status: &'a ClusterStatus,
    /// The subscription of its credential, if it is known.
    pub subscription_id: Option<&'a str>,
    /// Whether its creation in Azure was requested.
    pub creation_requested: bool,
    /// Whether it has ever been active.
    pub was_active: bool,
    /// A description of Azure's running operation.
    pub running_operation: Option<&'a str>,
    /// The service account that an earlier version created in the cluster, `<namespace>/<name>`, if it still exists.
    pub service_account: Option<&'a str>,
    /// The label of the roles and bindings inside the cluster.
    pub roles_label: &'a str,
}

/// The remaining resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftBehind {
    /// A sentence that lists them.
    pub message: String,
    /// The resources.
    pub resources: Vec<LeftResource>,
}

/// A remaining resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftResource {
    /// `cluster`, `nodeResourceGroup`, `resourceGroup`, `workspace`, `serviceAccount`, `clusterAgent` or `clusterRoles`.
    pub kind: &'static str,
    /// Its ID in Azure, which starts with `/resourceGroups/` if the subscription is unknown; of a service account and of an
    /// agent, `<namespace>/<name>`; of roles and their bindings, their label.
    pub id: String,
    /// A description.
    pub note: &'static str,
}

/// Lists the remaining resources.
pub fn left_behind(facts: &ClusterFacts<'_>) -> LeftBehind {
    let resources = resources(facts);
    let mut message = if resources.is_empty() {
        "only the object was removed; nothing was created for it in Azure".to_owned()
    } else {
        let list: Vec<_> =
            resources.iter().map(|resource| format!("{} ({})", resource.id, resource.note)).collect();
        format!("only the object was removed; these resources remain: {}", list.join("; "))
    };
    if let Some(operation) = facts.running_operation {
        message.push_str("; Azure may still execute this operation: ");
        message.push_str(operation);
    }
    LeftBehind { message, resources }
}

fn resources(facts: &ClusterFacts<'_>) -> Vec<LeftResource> {
    let ClusterFacts { spec, status, .. } = *facts;
    let is_imported = spec.is_import();
    let subscription = facts.subscription_id.map(|id| format!("/subscriptions/{id}")).unwrap_or_default();
    let group_id = |group: &str| format!("{subscription}/resourceGroups/{group}");
    let group = spec.resource_group.as_deref().unwrap_or_default();
    let name = spec.cluster_name.as_deref().unwrap_or_default();
    let cluster_id =
        || format!("{}/providers/Microsoft.ContainerService/managedClusters/{name}", group_id(group));
    let mut remaining = Vec::new();
    let mut add = |kind, id, note| remaining.push(LeftResource { kind, id, note });
    if is_imported {
        add("cluster", cluster_id(), "imported, so this server never deletes it");
    } else if facts.creation_requested {
        let note = if facts.was_active || status.upstream_spec.is_some() {
            "the cluster, created by this server"
        } else {
            "the cluster, whose creation was requested by this server"
        };
        add("cluster", cluster_id(), note);
        let observed_group =
            status.upstream_spec.as_ref().and_then(|upstream| upstream.node_resource_group.as_deref());
        let node_group = observed_group.map_or_else(|| node_resource_group(spec), str::to_owned);
        add("nodeResourceGroup", group_id(&node_group), "its VMs, disks and IP addresses");
    }
    // Prerequisites may exist although the creation of the cluster was never requested.
    let prerequisites_started =
        status.steps.iter().any(|step| step.name == "azure" && step.state != Progress::Pending);
    if !is_imported && (facts.creation_requested || prerequisites_started) {
        add("resourceGroup", group_id(group), "its resource group, perhaps created by this server");
        if spec.monitoring == Some(true) {
            let location = workspace::location(spec);
            let id = format!(
                "{}/providers/Microsoft.OperationalInsights/workspaces/{}",
                group_id(&location.group),
                location.name
            );
            add("workspace", id, "the workspace of its monitoring, perhaps created by this server");
        }
    }
    if let Some(service_account) = facts.service_account {
        let note = "inside the cluster, the service account of this server, whose token is valid until the account is deleted";
        add("serviceAccount", service_account.to_owned(), note);
    }
    if status.agent.as_ref().is_some_and(Deployment::may_have_objects) {
        let note = "inside the cluster, the agent of this server: a deployment, a secret, a network policy and a service account";
        add("clusterAgent", format!("{NAMESPACE}/{AGENT_NAME}"), note);
    }
    if facts.was_active {
        let note = "inside the cluster, the roles and bindings of this server, which have this label";
        add("clusterRoles", facts.roles_label.to_owned(), note);
    }
    remaining
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::status::ProgressStep;
    use crate::testing::{config, extended};

    fn kinds_and_ids(
        spec: Value,
        status: &ClusterStatus,
        change: impl FnOnce(&mut ClusterFacts<'_>),
    ) -> Vec<String> {
        let spec = config(extended(
            json!({"clusterName": "n", "resourceGroup": "g", "resourceLocation": "eastus"}),
            spec,
        ));
        let mut facts = ClusterFacts {
            spec: &spec,
            status,
            subscription_id: Some("s"),
            creation_requested: true,
            was_active: false,
            running_operation: None,
            service_account: None,
            roles_label: "label",
        };
        change(&mut facts);
        let left = left_behind(&facts);
        for resource in &left.resources {
            assert!(left.message.contains(&resource.id), "{}", left.message);
        }
        left.resources.into_iter().map(|resource| format!("{} {}", resource.kind, resource.id)).collect()
    }

    const CLUSTER: &str =
        "cluster /subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/n";
    const GROUP: &str = "resourceGroup /subscriptions/s/resourceGroups/g";

    #[test]
    fn cluster_leaves_its_nodes_and_prerequisites() {
        let mut status = ClusterStatus::default();
        let node_group = "nodeResourceGroup /subscriptions/s/resourceGroups/MC_g_n_eastus";
        assert_eq!(kinds_and_ids(json!({}), &status, |_| {}), [CLUSTER, node_group, GROUP]);
        let observed_group =
            AksConfig { node_resource_group: Some("observed".to_owned()), ..AksConfig::default() };
        status.upstream_spec = Some(observed_group);
        assert_eq!(
            kinds_and_ids(json!({"monitoring": true, "nodeResourceGroup": "wanted"}), &status, |facts| {
                facts.service_account = Some("ns/account");
            }),
            [
                CLUSTER,
                "nodeResourceGroup /subscriptions/s/resourceGroups/observed",
                GROUP,
                "workspace /subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/g-EUS",
                "serviceAccount ns/account",
            ]
        );
        assert_eq!(
            kinds_and_ids(json!({}), &ClusterStatus::default(), |facts| facts.subscription_id = None)[2],
            "resourceGroup /resourceGroups/g"
        );
    }

    #[test]
    fn import_leaves_only_its_cluster() {
        assert_eq!(
            kinds_and_ids(json!({"imported": true, "monitoring": true}), &ClusterStatus::default(), |_| {}),
            [CLUSTER]
        );
    }

    #[test]
    fn objects_inside_the_cluster_are_listed_if_they_may_exist() {
        let mut status = ClusterStatus::default();
        let import = || json!({"imported": true});
        assert_eq!(
            kinds_and_ids(import(), &status, |facts| facts.was_active = true),
            [CLUSTER, "clusterRoles label"]
        );
        status.agent = Some(Deployment { attempted: true, ..Deployment::default() });
        assert_eq!(
            kinds_and_ids(import(), &status, |_| {}),
            [CLUSTER, "clusterAgent cattle-system/cattle-cluster-agent"]
        );
    }

    #[test]
    fn cluster_that_was_never_requested_leaves_at_most_its_group() {
        let mut status = ClusterStatus::default();
        assert!(kinds_and_ids(json!({}), &status, |facts| facts.creation_requested = false).is_empty());
        let step =
            |state| ProgressStep { name: "azure".to_owned(), state, message: String::new(), since_ms: 0 };
        status.steps = vec![step(Progress::Failed)];
        assert_eq!(kinds_and_ids(json!({}), &status, |facts| facts.creation_requested = false), [GROUP]);
        let left = left_behind(&ClusterFacts {
            spec: &AksConfig::default(),
            status: &ClusterStatus::default(),
            subscription_id: None,
            creation_requested: false,
            was_active: false,
            running_operation: Some("Azure: w"),
            service_account: None,
            roles_label: "label",
        });
        assert_eq!(
            left.message,
            "only the object was removed; nothing was created for it in Azure; Azure may still execute this operation: Azure: w"
        );
    }
}
