//! Things that are there already, or are not.

use super::azure::{Block, ExistingCluster, Read};
use super::case::{Case, Purpose};
use super::rule::{Fault, Rule, Scope};
use crate::spec::given;

const OPERATOR: &str = "docs/contract/provisioning.md#creation";
const IMPORT: &str = "docs/contract/provisioning.md#import";
const USERS: &str = "docs/contract/provisioning.md#limits-of-imports";
const FAQ: &str = "Azure: AKS FAQ, node resource group, https://learn.microsoft.com/azure/aks/faq";

/// The rule that an import is in Azure.
pub(super) const IMPORT_EXISTS: &str = "import-exists";

pub(super) const RULES: &[Rule] = &[
    Rule::error("cluster-new", OPERATOR, cluster_new).needs(&[Block::Cluster]).about(Scope::New),
    Rule::error("node-resource-group-new", FAQ, node_group_new).needs(&[Block::NodeGroup]).about(Scope::New),
    Rule::error(IMPORT_EXISTS, IMPORT, import_exists).needs(&[Block::Cluster]).about(Scope::Imports),
    Rule::error("import-local-accounts", USERS, local_accounts)
        .needs(&[Block::Cluster])
        .about(Scope::Imports)
        .warning(),
];

fn found<'a>(case: &'a Case<'_>) -> Option<&'a ExistingCluster> {
    case.azure.cluster.known()?.as_ref()
}

fn cluster_new(case: &Case<'_>) -> Vec<Fault> {
    if !matches!(case.purpose, Purpose::Create) || found(case).is_none() {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.clusterName",
        format!(
            "cluster [{}] already exists in AKS. Update configuration or import the existing one",
            case.named()
        ),
        "use another clusterName, or set imported",
    )]
}

fn node_group_new(case: &Case<'_>) -> Vec<Fault> {
    let Some(group) = given(case.spec.node_resource_group.as_ref()) else { return Vec::new() };
    if case.azure.node_group != Read::Known(true) {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.nodeResourceGroup",
        format!(
            "nodeResourceGroup {group:?} exists already, and Azure makes the group of the machines itself"
        ),
        "use a name that does not exist, or leave nodeResourceGroup out",
    )]
}

fn import_exists(case: &Case<'_>) -> Vec<Fault> {
    if found(case).is_some() {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.clusterName",
        format!("clusterName {} does not exist in resourceGroup, so it cannot be imported", case.named()),
        "use a name and a group that aksClusters lists",
    )]
}

fn local_accounts(case: &Case<'_>) -> Vec<Fault> {
    if !found(case).is_some_and(|found| found.local_accounts_disabled) {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.clusterName",
        format!(
            "clusterName {} has its local accounts disabled, so that it is reached with the credential's own rights",
            case.named()
        ),
        "give the application of the cloud credential a role inside the cluster, such as Azure Kubernetes Service RBAC Cluster Admin",
    )]
}
