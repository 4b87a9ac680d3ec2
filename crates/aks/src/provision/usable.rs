//! Whether a cluster can be used as Azure shows it now: it is there, it is the one that was made or imported, and it runs.

use serde_json::Value;

use super::plan::{Situation, foreign, is_ours, missing, named, unreadable};
use super::upstream::text;
use crate::shell;
use crate::spec::{AksConfig, given};

/// Why a complete cluster cannot be used, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Azure does not have it any more, or has another one in its place.
    Gone(String),
    /// It is stopped in Azure.
    Stopped(String),
    /// Azure does not say what it is.
    Unreadable(String),
}

impl Unusable {
    /// The reason.
    pub fn message(&self) -> &str {
        match self {
            Self::Gone(message) | Self::Stopped(message) | Self::Unreadable(message) => message,
        }
    }
}

/// Why a cluster that was complete cannot be used as Azure shows it now; `None` when it can.
pub fn unusable(situation: &Situation<'_>) -> Option<Unusable> {
    let Situation { spec, observed, .. } = *situation;
    match &observed.cluster {
        None => Some(Unusable::Gone(missing(spec))),
        Some(cluster) if spec.imported != Some(true) && !is_ours(situation, cluster) => {
            Some(Unusable::Gone(foreign(spec)))
        }
        Some(_) if observed.upstream.is_none() => Some(Unusable::Unreadable(unreadable(spec))),
        Some(cluster) if is_stopped(cluster) => Some(Unusable::Stopped(stopped(spec))),
        Some(_) => None,
    }
}

/// Whether the control plane and the nodes are switched off (`az aks stop`).
pub(super) fn is_stopped(cluster: &Value) -> bool {
    let code = text(cluster, &["properties", "powerState", "code"]);
    code.is_some_and(|code| code.eq_ignore_ascii_case("Stopped"))
}

/// That the cluster is stopped, and how it is started.
pub(super) fn stopped(spec: &AksConfig) -> String {
    let group = given(spec.resource_group.as_ref()).unwrap_or_default();
    let name = named(spec);
    let start = ["az", "aks", "start", "--resource-group", group, "--name", &name];
    format!("the cluster {name} is stopped in Azure; start it: {}", shell::command(&start))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cluster_is_stopped_by_its_power_state_alone() {
        for (properties, expected) in [
            (json!({"powerState": {"code": "Stopped"}}), true),
            (json!({"powerState": {"code": "stopped"}, "provisioningState": "Succeeded"}), true),
            (json!({"powerState": {"code": "Running"}}), false),
            (json!({"provisioningState": "Stopped"}), false),
            (json!({"powerState": null}), false),
            (json!({"powerState": "Stopped"}), false),
            (json!({}), false),
        ] {
            assert_eq!(is_stopped(&json!({"properties": properties})), expected, "{properties}");
        }
    }

    #[test]
    fn the_start_command_quotes_what_a_shell_would_split() {
        let spec = |group: &str| AksConfig {
            resource_group: Some(group.to_owned()),
            cluster_name: Some("asleep".to_owned()),
            ..AksConfig::default()
        };
        for (group, expected) in [
            ("rancher", "--resource-group rancher --name asleep"),
            ("my (own) group", "--resource-group 'my (own) group' --name asleep"),
        ] {
            let message = stopped(&spec(group));
            assert_eq!(
                message,
                format!("the cluster asleep is stopped in Azure; start it: az aks start {expected}")
            );
        }
    }
}
