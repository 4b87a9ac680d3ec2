//! Messages for users about steps that cannot be taken.

use super::upstream::IncompleteCluster;
use crate::shell;
use crate::spec::AksConfig;

/// The name of the cluster.
pub(crate) fn name(spec: &AksConfig) -> &str {
    spec.cluster_name.as_deref().unwrap_or_default()
}

/// A cluster that was active no longer exists.
pub(super) fn missing_cluster(spec: &AksConfig) -> String {
    format!("{} no longer exists in Azure: remove the object, or restore the cluster", name(spec))
}

/// The cluster to be imported does not exist.
pub(super) fn not_importable(spec: &AksConfig) -> String {
    format!("{} does not exist in Azure, so it cannot be imported", name(spec))
}

/// Another cluster has the name of the one to create.
pub(super) fn name_taken(spec: &AksConfig) -> String {
    let name = name(spec);
    format!("cluster [{name}] already exists in AKS. Update configuration or import the existing one")
}

/// Another cluster has replaced ours.
pub(super) fn foreign_cluster(spec: &AksConfig) -> String {
    format!(
        "{} in Azure is not the cluster that this server created, so it is left unchanged: remove the object, and import the \
         cluster to manage it",
        name(spec)
    )
}

/// Azure's response lacks the version.
pub(super) fn incomplete_cluster(spec: &AksConfig) -> String {
    IncompleteCluster::NoVersion(name(spec).to_owned()).to_string()
}

/// The command that starts the cluster.
pub(crate) fn start_command(spec: &AksConfig) -> String {
    let (group, name) = (spec.resource_group.as_deref().unwrap_or_default(), name(spec));
    shell::command(&["az", "aks", "start", "--resource-group", group, "--name", name])
}

/// The cluster is stopped.
pub(super) fn stopped(spec: &AksConfig) -> String {
    format!("the cluster {} is stopped in Azure; start it: {}", name(spec), start_command(spec))
}

/// The creation failed.
pub(super) fn creation_failed(spec: &AksConfig, state: &str) -> String {
    format!("creation for cluster [{}] status: {state}", name(spec))
}

/// A change failed.
pub(super) fn update_failed(spec: &AksConfig, state: &str) -> String {
    format!("update failed for cluster [{}], status: {state}", name(spec))
}

/// A change of a node pool failed.
pub(super) fn pool_failed(spec: &AksConfig, pool: &str) -> String {
    format!("update failed for cluster [{}], node pool {pool} status: Failed", name(spec))
}

/// Azure accepts a change but does not apply it.
pub(super) fn not_applied(part: &str, times: u32) -> String {
    format!(
        "Azure accepted the change of the {part} {times} times but still reports another state: check it in Azure, or change \
         aksConfig"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::config;

    #[test]
    fn start_command_is_quoted_for_the_shell() {
        for (group, expected) in [
            ("rancher", "--resource-group rancher --name asleep"),
            ("my (own) group", "--resource-group 'my (own) group' --name asleep"),
        ] {
            let message = stopped(&config(json!({"resourceGroup": group, "clusterName": "asleep"})));
            let start = format!("the cluster asleep is stopped in Azure; start it: az aks start {expected}");
            assert_eq!(message, start);
        }
    }
}
