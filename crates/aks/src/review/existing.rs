//! Clusters and resource groups that must, or must not, exist already.

use super::azure::{DataPart, Read};
use super::input::{Purpose, RuleInput};
use super::rule::{FieldFindings, Rule, Scope};
use super::sources::{IMPORT_DOC, NODE_GROUP_DOC};

/// The name of the rule that an imported cluster must exist in Azure.
pub(super) const IMPORT_EXISTS: &str = "import-exists";

pub(super) const RULES: &[Rule] = &[
    Rule::error("cluster-new", "docs/contract/provisioning.md#creation", cluster_new)
        .needs(&[DataPart::Cluster])
        .scope(Scope::New),
    Rule::error("node-resource-group-new", NODE_GROUP_DOC, node_group_new)
        .needs(&[DataPart::NodeGroup])
        .scope(Scope::New),
    Rule::error(IMPORT_EXISTS, IMPORT_DOC, import_exists).needs(&[DataPart::Cluster]).scope(Scope::Imports),
    Rule::warning("import-local-accounts", "docs/contract/provisioning.md#limits-of-imports", local_accounts)
        .needs(&[DataPart::Cluster])
        .scope(Scope::Imports),
];

fn cluster_new(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if matches!(input.purpose, Purpose::Create) && input.azure.existing().is_some() {
        let message = format!(
            "cluster [{}] already exists in AKS. Update configuration or import the existing one",
            input.display_name()
        );
        findings.add("clusterName", message, "use another clusterName, or set imported");
    }
}

fn node_group_new(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let Some(group) = &input.spec.node_resource_group else { return };
    if input.azure.node_group == Read::Known(true) {
        let message = format!(
            "nodeResourceGroup {group:?} already exists, but Azure creates the group of the nodes itself"
        );
        let remedy = "use a name that does not exist, or leave nodeResourceGroup out";
        findings.add("nodeResourceGroup", message, remedy);
    }
}

fn import_exists(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.azure.existing().is_none() {
        let name = input.display_name();
        let message = format!("clusterName {name} does not exist in resourceGroup, so it cannot be imported");
        findings.add("clusterName", message, "use a clusterName and resourceGroup that aksClusters lists");
    }
}

fn local_accounts(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.azure.existing().is_some_and(|cluster| cluster.local_accounts_disabled) {
        let message = format!(
            "clusterName {} has local accounts disabled, so it is accessed with the rights of the cloud credential",
            input.display_name()
        );
        let remedy = "give the application of the cloud credential a role inside the cluster, such as Azure Kubernetes Service \
             RBAC Cluster Admin";
        findings.add("clusterName", message, remedy);
    }
}
