//! The rules of the members' two roles. They have no wildcards and no aggregation, because these could add rules that give
//! control of the cluster, and RBAC cannot subtract rules.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// API group, resources, verbs.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str]);

const READ: &[&str] = &["get", "list", "watch"];
const EDIT: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// In the whole cluster: read access to objects outside of namespaces. None of these kinds contains secrets.
const CLUSTER_RULES: [Rule; 10] = [
    ("", &["namespaces", "nodes", "persistentvolumes"], READ),
    ("apiextensions.k8s.io", &["customresourcedefinitions"], READ),
    ("apiregistration.k8s.io", &["apiservices"], READ),
    ("gateway.networking.k8s.io", &["gatewayclasses"], READ),
    ("metrics.k8s.io", &["nodes"], READ),
    ("networking.k8s.io", &["ingressclasses"], READ),
    ("node.k8s.io", &["runtimeclasses"], READ),
    ("scheduling.k8s.io", &["priorityclasses"], READ),
    ("snapshot.storage.k8s.io", &["volumesnapshotclasses"], READ),
    ("storage.k8s.io", &["csidrivers", "storageclasses", "volumeattributesclasses"], READ),
];

/// In a namespace that an owner opened: Kubernetes' `edit`, without impersonation and token requests for service accounts, and
/// with ephemeral containers for debugging and read access to roles and bindings.
const NAMESPACE_RULES: [Rule; 19] = [
    (
        "",
        &[
            "configmaps",
            "events",
            "persistentvolumeclaims",
            "pods",
            "pods/attach",
            "pods/ephemeralcontainers",
            "pods/exec",
            "pods/portforward",
            "pods/proxy",
            "pods/resize",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "secrets",
            "serviceaccounts",
            "services",
            "services/proxy",
        ],
        EDIT,
    ),
    ("", &["pods/eviction"], &["create"]),
    (
        "",
        &[
            "bindings",
            "endpoints",
            "limitranges",
            "persistentvolumeclaims/status",
            "pods/log",
            "pods/status",
            "replicationcontrollers/status",
            "resourcequotas",
            "resourcequotas/status",
            "services/status",
        ],
        READ,
    ),
    (
        "apps",
        &[
            "daemonsets",
            "deployments",
            "deployments/rollback",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
        EDIT,
    ),
    (
        "apps",
        &[
            "controllerrevisions",
            "daemonsets/status",
            "deployments/status",
            "replicasets/status",
            "statefulsets/status",
        ],
        READ,
    ),
    ("autoscaling", &["horizontalpodautoscalers"], EDIT),
    ("autoscaling", &["horizontalpodautoscalers/status"], READ),
    ("batch", &["cronjobs", "jobs"], EDIT),
    ("batch", &["cronjobs/status", "jobs/status"], READ),
    ("coordination.k8s.io", &["leases"], EDIT),
    ("discovery.k8s.io", &["endpointslices"], READ),
    ("events.k8s.io", &["events"], &["get", "list", "watch", "create", "update", "patch"]),
    ("metrics.k8s.io", &["pods"], READ),
    ("networking.k8s.io", &["ingresses", "networkpolicies"], EDIT),
    ("networking.k8s.io", &["ingresses/status"], READ),
    ("policy", &["poddisruptionbudgets"], EDIT),
    ("policy", &["poddisruptionbudgets/status"], READ),
    ("rbac.authorization.k8s.io", &["rolebindings", "roles"], READ),
    ("resource.k8s.io", &["resourceclaims", "resourceclaimtemplates"], EDIT),
];

/// The rules of the role in the whole cluster.
pub(super) fn cluster_rules() -> Vec<PolicyRule> {
    CLUSTER_RULES.iter().map(policy_rule).collect()
}

/// The rules of the role in opened namespaces.
pub(super) fn namespace_rules() -> Vec<PolicyRule> {
    NAMESPACE_RULES.iter().map(policy_rule).collect()
}

fn policy_rule((group, resources, verbs): &Rule) -> PolicyRule {
    let to_strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![(*group).to_owned()]),
        resources: Some(to_strings(resources)),
        verbs: to_strings(verbs),
        ..PolicyRule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rules: &[Rule], verb: &str, group: &str, resource: &str) -> bool {
        rules.iter().any(|(rule_group, resources, verbs)| {
            *rule_group == group && resources.contains(&resource) && verbs.contains(&verb)
        })
    }

    #[test]
    fn rules_have_no_wildcards_and_no_escalating_verbs() {
        for (group, resources, verbs) in CLUSTER_RULES.iter().chain(&NAMESPACE_RULES) {
            for word in resources.iter().chain(*verbs).chain([group]) {
                assert!(!word.contains('*'), "{group} {resources:?} {verbs:?}");
                assert!(!["impersonate", "bind", "escalate", "approve", "sign"].contains(word), "{word}");
            }
            assert!(!resources.contains(&"serviceaccounts/token"), "{resources:?}");
        }
    }

    #[test]
    fn cluster_rules_only_read_objects_without_secrets() {
        for (group, resources, verbs) in CLUSTER_RULES {
            assert_eq!(verbs, READ, "{group} {resources:?}");
            for resource in resources {
                assert!(!resource.contains('/'), "{resource} is a subresource");
                assert!(!["secrets", "pods", "configmaps", "serviceaccounts"].contains(resource));
            }
        }
    }

    #[test]
    fn namespace_rules_edit_workloads_but_not_rights() {
        for (verb, group, resource, expected) in [
            ("create", "", "pods", true),
            ("patch", "", "pods/ephemeralcontainers", true),
            ("delete", "apps", "deployments", true),
            ("update", "apps", "deployments/scale", true),
            ("list", "rbac.authorization.k8s.io", "rolebindings", true),
            ("create", "rbac.authorization.k8s.io", "rolebindings", false),
            ("create", "rbac.authorization.k8s.io", "roles", false),
            ("patch", "", "namespaces", false),
            ("get", "", "namespaces", false),
            ("update", "", "endpoints", false),
            ("update", "", "resourcequotas", false),
            ("create", "", "serviceaccounts/token", false),
            ("impersonate", "", "serviceaccounts", false),
        ] {
            assert_eq!(allows(&NAMESPACE_RULES, verb, group, resource), expected, "{verb} {resource}");
        }
    }
}
