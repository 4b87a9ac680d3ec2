//! Clusters and resource groups that must, or must not, exist already.

use super::azure::{Block, Read};
use super::case::{Case, Purpose};
use super::rule::{Faults, Rule, Scope};
use super::sources::{IMPORT, NODE_GROUP};

/// The name of the rule that an imported cluster must exist in Azure.
pub(super) const IMPORT_EXISTS: &str = "import-exists";

pub(super) const RULES: &[Rule] = &[
    Rule::error("cluster-new", "docs/contract/provisioning.md#creation", cluster_new)
        .needs(&[Block::Cluster])
        .scope(Scope::New),
    Rule::error("node-resource-group-new", NODE_GROUP, node_group_new)
        .needs(&[Block::NodeGroup])
        .scope(Scope::New),
    Rule::error(IMPORT_EXISTS, IMPORT, import_exists).needs(&[Block::Cluster]).scope(Scope::Imports),
    Rule::warning("import-local-accounts", "docs/contract/provisioning.md#limits-of-imports", local_accounts)
        .needs(&[Block::Cluster])
        .scope(Scope::Imports),
];

fn cluster_new(case: &Case<'_>, faults: &mut Faults) {
    if matches!(case.purpose, Purpose::Create) && case.azure.existing().is_some() {
        let message = format!(
            "cluster [{}] already exists in AKS. Update configuration or import the existing one",
            case.display_name()
        );
        faults.add("clusterName", message, "use another clusterName, or set imported");
    }
}

fn node_group_new(case: &Case<'_>, faults: &mut Faults) {
    let Some(group) = &case.spec.node_resource_group else { return };
    if case.azure.node_group == Read::Known(true) {
        let message = format!(
            "nodeResourceGroup {group:?} exists already, but Azure creates the group of the nodes itself"
        );
        let remedy = "use a name that does not exist, or leave nodeResourceGroup out";
        faults.add("nodeResourceGroup", message, remedy);
    }
}

fn import_exists(case: &Case<'_>, faults: &mut Faults) {
    if case.azure.existing().is_none() {
        let name = case.display_name();
        let message = format!("clusterName {name} does not exist in resourceGroup, so it cannot be imported");
        faults.add("clusterName", message, "use a name and a group that aksClusters lists");
    }
}

fn local_accounts(case: &Case<'_>, faults: &mut Faults) {
    if case.azure.existing().is_some_and(|cluster| cluster.local_accounts_disabled) {
        let message = format!(
            "clusterName {} has local accounts disabled, so it is accessed with the rights of the cloud credential",
            case.display_name()
        );
        let remedy = "give the application of the cloud credential a role inside the cluster, such as Azure Kubernetes Service \
             RBAC Cluster Admin";
        faults.add("clusterName", message, remedy);
    }
}
