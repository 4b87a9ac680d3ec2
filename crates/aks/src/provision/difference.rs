//! The differences between a specification and Azure (`docs/contract/provisioning.md#update`). Only keys set by the specification
//! are compared, and different spellings with the same meaning are equal.

use std::collections::{BTreeMap, BTreeSet};

use crate::spec::rules::Violation;
use crate::spec::{AksConfig, NodePool};
use crate::versions;

type Tags = BTreeMap<String, String>;

/// The differences, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Whether the tags differ.
    pub tags: bool,
    /// The keys of `aksConfig` that differ, except `tags` and `nodePools`.
    pub cluster: Vec<&'static str>,
    /// Pools to create or update: System pools first, otherwise in the user's order.
    pub pools: Vec<String>,
    /// Pools of this server to delete, in Azure's order.
    pub deleted_pools: Vec<String>,
}

/// Compares the desired state with the observed one, in which versions are the running ones
/// ([`ClusterDetails`](crate::cluster_details::ClusterDetails)). The desired state of an import is the result of
/// [`merge_entries`](super::imported::merge_entries). `applied` is the last fully applied specification, and `created` are the
/// pools created since then: only pools in one of the two may be deleted.
///
/// # Errors
/// The first violation that prevents the update.
pub fn between(
    desired: &AksConfig,
    azure: &AksConfig,
    applied: Option<&AksConfig>,
    created: &BTreeSet<String>,
) -> Result<Differences, Violation> {
    let cluster_name = || desired.cluster_name.clone().unwrap_or_default();
    let mut differences = Differences {
        tags: tags_differ(desired.tags.as_ref(), azure.tags.as_ref()),
        cluster: changed_keys(desired, azure),
        ..Differences::default()
    };
    if desired.pools().is_empty() {
        return Ok(differences);
    }
    let mut desired_names = BTreeSet::new();
    for (name, pool) in pools_by_name(desired) {
        if !desired_names.insert(name) {
            return Err(Violation::DuplicatePool { cluster: cluster_name(), pool: name.to_owned() });
        }
        let differs = match azure.pool(name) {
            Some(azure_pool) => pool_differs(pool, azure_pool, cluster_name, name)?,
            None => true,
        };
        if differs {
            differences.pools.push(name.to_owned());
        }
    }
    let applied = applied.into_iter().flat_map(pools_by_name).map(|(name, _)| name);
    let own_pools: BTreeSet<&str> = applied.chain(created.iter().map(String::as_str)).collect();
    let is_deleted = |name: &str| own_pools.contains(name) && !desired_names.contains(name);
    let pools_to_delete: Vec<(&str, &NodePool)> =
        pools_by_name(azure).filter(|(name, _)| is_deleted(name)).collect();
    // Pools are created and updated before any is deleted.
    let remains_system_pool = |(name, pool): (&str, &NodePool)| {
        let after_change = desired.pool(name).filter(|desired| desired.mode.is_some()).unwrap_or(pool);
        !is_deleted(name) && after_change.is_system()
    };
    let keeps_system_pool =
        pools_by_name(azure).any(remains_system_pool) || desired.pools().iter().any(NodePool::is_system);
    if let (false, Some((system_pool, _))) =
        (keeps_system_pool, pools_to_delete.iter().find(|(_, pool)| pool.is_system()))
    {
        return Err(Violation::LastSystemPool { cluster: cluster_name(), pool: (*system_pool).to_owned() });
    }
    differences.deleted_pools = pools_to_delete.into_iter().map(|(name, _)| name.to_owned()).collect();
    // Azure does not change the mode of the last System pool, so pools that become System pools come first.
    differences.pools.sort_by_key(|name| !desired.pool(name).is_some_and(NodePool::is_system));
    Ok(differences)
}

/// The pools that have a name, with their names.
fn pools_by_name(config: &AksConfig) -> impl Iterator<Item = (&str, &NodePool)> {
    config.pools().iter().filter_map(|pool| Some((pool.name.as_deref()?, pool)))
}

/// Whether set tags differ from Azure's. Azure ignores the letter case of their names.
pub(super) fn tags_differ(desired: Option<&Tags>, azure: Option<&Tags>) -> bool {
    let canonical = |tags: &Tags| -> Tags {
        let pairs = tags.iter().map(|(key, value)| (key.to_lowercase(), value.clone()));
        pairs.filter(|(key, _)| key != super::OWNER_TAG).collect()
    };
    desired.is_some_and(|tags| canonical(tags) != azure.map(canonical).unwrap_or_default())
}

/// The canonical form of a range: `192.0.2.1` for `192.0.2.1/32`, in lower case and trimmed.
pub(super) fn canonical_range(range: &str) -> String {
    let range = range.trim().to_ascii_lowercase();
    range.strip_suffix("/32").map(str::to_owned).unwrap_or(range)
}

/// The canonical forms of ranges.
pub(super) fn canonical_ranges(ranges: &[String]) -> BTreeSet<String> {
    ranges.iter().map(|range| canonical_range(range)).collect()
}

fn changed_keys(desired: &AksConfig, azure: &AksConfig) -> Vec<&'static str> {
    let mut keys = Vec::new();
    if version_differs(desired.kubernetes_version.as_ref(), azure.kubernetes_version.as_ref()) {
        keys.push("kubernetesVersion");
    }
    let azure_ranges = canonical_ranges(azure.authorized_ip_ranges.as_deref().unwrap_or_default());
    if desired.authorized_ip_ranges.as_ref().is_some_and(|ranges| canonical_ranges(ranges) != azure_ranges) {
        keys.push("authorizedIpRanges");
    }
    for (key, desired, azure) in [
        ("httpApplicationRouting", desired.http_routing(), azure.http_application_routing),
        ("monitoring", desired.monitoring, azure.monitoring),
    ] {
        if desired.is_some_and(|desired| desired != azure.unwrap_or(false)) {
            keys.push(key);
        }
    }
    keys
}

fn pool_differs(
    desired: &NodePool,
    azure: &NodePool,
    cluster_name: impl Fn() -> String,
    name: &str,
) -> Result<bool, Violation> {
    let is_autoscaled = azure.is_autoscaled();
    let scaling_differs = match desired.enable_auto_scaling {
        Some(true) => {
            let limits = [(desired.min_count, azure.min_count), (desired.max_count, azure.max_count)];
            !is_autoscaled || limits.into_iter().any(|(desired, azure)| is_set_and_different(desired, azure))
        }
        Some(false) if desired.min_count.is_some() && desired.max_count.is_some() => {
            return Err(Violation::CountsWithoutAutoscaling {
                cluster: cluster_name(),
                pool: name.to_owned(),
            });
        }
        Some(false) => is_autoscaled || is_set_and_different(desired.count, azure.count),
        None => !is_autoscaled && is_set_and_different(desired.count, azure.count),
    };
    let zones = |pool: &NodePool| Some(pool.zones()?.iter().cloned().collect::<BTreeSet<_>>());
    if let (Some(desired), Some(azure)) = (zones(desired), zones(azure))
        && desired != azure
    {
        return Err(Violation::ZonesChanged { cluster: cluster_name(), pool: name.to_owned() });
    }
    let differs_ignoring_case = |desired: &Option<String>, azure: &Option<String>| {
        let azure = azure.as_deref().unwrap_or_default();
        desired.as_ref().is_some_and(|desired| !azure.eq_ignore_ascii_case(desired))
    };
    let labels_differ = desired
        .node_labels
        .as_ref()
        .is_some_and(|labels| !labels.iter().eq(azure.node_labels.iter().flatten()));
    let taints_differ = desired.node_taints.as_ref().is_some_and(|taints| {
        taints.iter().collect::<BTreeSet<_>>() != azure.node_taints.iter().flatten().collect()
    });
    Ok(scaling_differs
        || version_differs(desired.orchestrator_version.as_ref(), azure.orchestrator_version.as_ref())
        || differs_ignoring_case(&desired.max_surge, &azure.max_surge)
        || differs_ignoring_case(&desired.mode, &azure.mode)
        || labels_differ
        || taints_differ)
}

/// Whether the desired version is set and requires an upgrade.
fn version_differs(desired: Option<&String>, running: Option<&String>) -> bool {
    desired.is_some_and(|desired| running.is_none_or(|running| versions::requires_upgrade(desired, running)))
}

fn is_set_and_different(desired: Option<i64>, azure: Option<i64>) -> bool {
    desired.is_some() && desired != azure
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{cases, config, extended};

    fn spec(value: Value) -> AksConfig {
        config(extended(json!({"clusterName": "n"}), value))
    }

    /// The differences, such as `tags kubernetesVersion +changed -deleted`.
    fn compare(desired: Value, azure: Value) -> String {
        let applied = spec(json!({"nodePools": [{"name": "a"}, {"name": "b"}, {"name": "ours"}]}));
        match between(&spec(desired), &spec(azure), Some(&applied), &BTreeSet::new()) {
            Err(violation) => violation.to_string(),
            Ok(differences) => {
                let tags = differences.tags.then(|| "tags".to_owned());
                let cluster = differences.cluster.iter().map(|key| (*key).to_owned());
                let pools = differences.pools.iter().map(|pool| format!("+{pool}"));
                let deleted_pools = differences.deleted_pools.iter().map(|pool| format!("-{pool}"));
                tags.into_iter()
                    .chain(cluster)
                    .chain(pools)
                    .chain(deleted_pools)
                    .collect::<Vec<_>>()
                    .join(" ")
            }
        }
    }

    #[test]
    fn only_set_keys_with_another_meaning_differ() {
        for (desired, azure, expected) in cases! {
            {}, {"kubernetesVersion": "1.31.8", "tags": {"a": "b"}, "monitoring": true, "nodePools": [{"name": "x"}]} => "";
            {"kubernetesVersion": ""}, {"kubernetesVersion": "1.31.8"} => "";
            {"kubernetesVersion": "1.32.1"}, {"kubernetesVersion": "1.31.8"} => "kubernetesVersion";
            {"kubernetesVersion": "v1.31.8 "}, {"kubernetesVersion": "1.31.8"} => "";
            {"kubernetesVersion": "1.31"}, {"kubernetesVersion": "1.31.8"} => "";
            {"kubernetesVersion": "1.31.8"}, {"kubernetesVersion": "1.31.9"} => "";
            {"kubernetesVersion": "1.32"}, {"kubernetesVersion": "1.31.9"} => "kubernetesVersion";
            {"tags": {}}, {"tags": {"a": "b"}} => "tags";
            {"tags": {"norman-aks-owner": "x", "a": "b"}}, {"tags": {"a": "b"}} => "";
            {"monitoring": false, "httpApplicationRouting": false}, {} => "";
            {"monitoring": true}, {"monitoring": false} => "monitoring";
            {"httpApplicationRouting": true}, {} => "httpApplicationRouting";
            {"httpApplicationRouting": true, "resourceLocation": "chinaeast2"}, {} => "";
            {"authorizedIpRanges": []}, {"authorizedIpRanges": ["1.1.1.1/32"]} => "authorizedIpRanges";
            {"authorizedIpRanges": ["1.1.1.1", "10.0.0.0/8"]}, {"authorizedIpRanges": ["10.0.0.0/8", "1.1.1.1/32"]} => "";
            {"tags": {"Team": "a"}}, {"tags": {"team": "a"}} => "";
            {"tags": {"Team": "A"}}, {"tags": {"team": "a"}} => "tags";
        } {
            assert_eq!(compare(desired.clone(), azure), expected, "{desired}");
        }
    }

    #[test]
    fn pools_are_compared_key_by_key() {
        let counts = "min and max node count must be nil for node pool [a] for cluster [n], because autoscaling is disabled";
        let zones = "changing availability zones for node pool [a] in cluster [n] is not permitted";
        for (desired, azure, expected) in cases! {
            {"count": 2}, {"count": 2} => "";
            {"count": 3}, {"count": 2} => "+a";
            {"count": 3, "enableAutoScaling": true, "minCount": 1, "maxCount": 5},
                {"count": 2, "enableAutoScaling": true, "minCount": 1, "maxCount": 5} => "";
            {"enableAutoScaling": true, "minCount": 1, "maxCount": 6},
                {"enableAutoScaling": true, "minCount": 1, "maxCount": 5} => "+a";
            {"count": 2, "enableAutoScaling": false}, {"count": 2, "enableAutoScaling": true} => "+a";
            {"enableAutoScaling": false, "minCount": 1, "maxCount": 2}, {} => counts;
            {"mode": "system"}, {} => "";
            {"orchestratorVersion": ""}, {"orchestratorVersion": "1.31.8"} => "";
            {"orchestratorVersion": "1.32.1"}, {"orchestratorVersion": "1.31.8"} => "+a";
            {"orchestratorVersion": "1.31"}, {"orchestratorVersion": "1.31.8"} => "";
            {"orchestratorVersion": "v1.31.8"}, {"orchestratorVersion": "1.32.1"} => "";
            {"maxSurge": "33%"}, {"maxSurge": "1"} => "+a";
            {"availabilityZones": ["2", "1"]}, {"availabilityZones": ["1", "2"]} => "";
            {"availabilityZones": []}, {"availabilityZones": ["1"]} => "";
            {"availabilityZones": ["3"]}, {"availabilityZones": ["1"]} => zones;
            {"nodeLabels": {}}, {"nodeLabels": {"a": "b"}} => "+a";
            {"nodeTaints": []}, {} => "";
            {"nodeTaints": ["a=b:NoSchedule", "c=d:NoSchedule"]}, {"nodeTaints": ["c=d:NoSchedule", "a=b:NoSchedule"]} => "";
            {"enableAutoScaling": true}, {"enableAutoScaling": true, "minCount": 1, "maxCount": 5} => "";
            {"nodeTaints": ["k=v:NoSchedule"]}, {} => "+a";
            {"vmSize": "other", "osDiskSizeGB": 1, "maxPods": 9}, {"vmSize": "one"} => "";
        } {
            let pool =
                |more: Value| json!({"nodePools": [extended(json!({"name": "a", "mode": "System"}), more)]});
            assert_eq!(compare(pool(desired.clone()), pool(azure)), expected, "{desired}");
        }
    }

    #[test]
    fn system_pools_come_first_and_only_own_pools_are_deleted() {
        let azure = json!([{"name": "ours", "mode": "User"}, {"name": "theirs", "mode": "User"}, {"name": "a", "mode": "System"}]);
        let two = json!([{"name": "a", "mode": "System"}, {"name": "b", "mode": "User"}]);
        let last = "cannot remove node pool [a] with mode System from cluster [n]";
        for (desired, azure, expected) in [
            (json!([{"name": "z"}, {"name": "a"}, {"name": "b"}]), &azure, "+z +b -ours"),
            // Without pools in the specification, pools are not managed.
            (json!([]), &azure, ""),
            (json!([{"name": "ours"}, {"name": "theirs"}]), &azure, last),
            (
                json!([{"name": "a"}, {"name": "a"}]),
                &two,
                "cluster [n] cannot have multiple nodepools with name a",
            ),
            // A System pool can be replaced, and two pools can swap their modes.
            (json!([{"name": "b"}, {"name": "new", "mode": "System"}]), &two, "+new -a"),
            (json!([{"name": "b", "mode": "system"}]), &two, "+b -a"),
            (json!([{"name": "a", "mode": "User"}, {"name": "b", "mode": "System"}]), &two, "+b +a"),
            (json!([{"name": "b", "mode": "User"}]), &two, last),
        ] {
            assert_eq!(
                compare(json!({"nodePools": desired}), json!({"nodePools": azure})),
                expected,
                "{desired}"
            );
        }
    }

    #[test]
    fn pool_that_was_neither_applied_nor_created_is_not_deleted() {
        let desired = spec(json!({"nodePools": [{"name": "a"}]}));
        let azure = spec(json!({"nodePools": [{"name": "a"}, {"name": "ours"}]}));
        let deleted_pools = |created: &[&str]| {
            let created = created.iter().map(|name| (*name).to_owned()).collect();
            between(&desired, &azure, None, &created).unwrap().deleted_pools
        };
        assert_eq!(deleted_pools(&["a"]), [""; 0]);
        assert_eq!(deleted_pools(&["a", "ours"]), ["ours"]);
    }
}
