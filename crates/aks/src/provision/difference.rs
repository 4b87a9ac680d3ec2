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
    /// Keys of the cluster itself, with the users' names.
    pub cluster: Vec<&'static str>,
    /// Pools to create or update, in the user's order.
    pub pools: Vec<String>,
    /// Pools of this server to delete, in Azure's order.
    pub removed: Vec<String>,
}

/// Compares the desired state with the observed one, in which versions are the running ones
/// ([`ClusterDetails`](crate::cluster_details::ClusterDetails)). Call it after [`merged`](super::imported::merged) for an
/// import. `applied` is the last fully applied specification, and `made` are the pools created since then: only pools in one of
/// them may be deleted.
///
/// # Errors
/// The first violation that prevents the update.
pub fn between(
    wanted: &AksConfig,
    azure: &AksConfig,
    applied: Option<&AksConfig>,
    made: &BTreeSet<String>,
) -> Result<Differences, Violation> {
    let cluster = || wanted.cluster_name.clone().unwrap_or_default();
    let mut differences = Differences {
        tags: tags_differ(wanted.tags.as_ref(), azure.tags.as_ref()),
        cluster: changed_keys(wanted, azure),
        ..Differences::default()
    };
    if wanted.pools().is_empty() {
        return Ok(differences);
    }
    let mut seen = BTreeSet::new();
    for (name, pool) in named(wanted) {
        if !seen.insert(name) {
            return Err(Violation::DuplicatePool { cluster: cluster(), pool: name.to_owned() });
        }
        let differs = match azure.pool(name) {
            Some(found) => pool_differs(pool, found, cluster, name)?,
            None => true,
        };
        if differs {
            differences.pools.push(name.to_owned());
        }
    }
    let applied = applied.into_iter().flat_map(named).map(|(name, _)| name);
    let ours: BTreeSet<&str> = applied.chain(made.iter().map(String::as_str)).collect();
    let is_removed = |name: &str| ours.contains(name) && !seen.contains(name);
    let removed: Vec<(&str, &NodePool)> = named(azure).filter(|(name, _)| is_removed(name)).collect();
    // Pools are created and updated before any is deleted.
    let remains_system = |(name, pool): (&str, &NodePool)| {
        let becomes = wanted.pool(name).filter(|wanted| wanted.mode.is_some()).unwrap_or(pool);
        !is_removed(name) && becomes.is_system()
    };
    let remains = named(azure).any(remains_system) || wanted.pools().iter().any(NodePool::is_system);
    if let (false, Some((last, _))) = (remains, removed.iter().find(|(_, pool)| pool.is_system())) {
        return Err(Violation::LastSystemPool { cluster: cluster(), pool: (*last).to_owned() });
    }
    differences.removed = removed.into_iter().map(|(name, _)| name.to_owned()).collect();
    // Azure does not change the mode of the last System pool, so new ones come first.
    differences.pools.sort_by_key(|name| !wanted.pool(name).is_some_and(NodePool::is_system));
    Ok(differences)
}

fn named(config: &AksConfig) -> impl Iterator<Item = (&str, &NodePool)> {
    config.pools().iter().filter_map(|pool| Some((pool.name.as_deref()?, pool)))
}

/// Whether set tags differ from Azure's. Azure ignores the letter case of their names.
pub(super) fn tags_differ(wanted: Option<&Tags>, azure: Option<&Tags>) -> bool {
    let plain = |tags: &Tags| -> Tags {
        let pairs = tags.iter().map(|(key, value)| (key.to_lowercase(), value.clone()));
        pairs.filter(|(key, _)| key != super::OWNER_TAG).collect()
    };
    wanted.is_some_and(|tags| plain(tags) != azure.map(plain).unwrap_or_default())
}

/// The canonical form of a range: a single address is a range with only that address.
pub(super) fn plain_range(text: &str) -> String {
    let text = text.trim().to_ascii_lowercase();
    text.strip_suffix("/32").map(str::to_owned).unwrap_or(text)
}

/// The canonical forms of ranges.
pub(super) fn ranges(list: &[String]) -> BTreeSet<String> {
    list.iter().map(|text| plain_range(text)).collect()
}

fn changed_keys(wanted: &AksConfig, azure: &AksConfig) -> Vec<&'static str> {
    let mut keys = Vec::new();
    if version_differs(wanted.kubernetes_version.as_ref(), azure.kubernetes_version.as_ref()) {
        keys.push("kubernetesVersion");
    }
    let open = ranges(azure.authorized_ip_ranges.as_deref().unwrap_or_default());
    if wanted.authorized_ip_ranges.as_ref().is_some_and(|list| ranges(list) != open) {
        keys.push("authorizedIpRanges");
    }
    for (key, wanted, azure) in [
        ("httpApplicationRouting", wanted.http_routing(), azure.http_application_routing),
        ("monitoring", wanted.monitoring, azure.monitoring),
    ] {
        if wanted.is_some_and(|wanted| wanted != azure.unwrap_or(false)) {
            keys.push(key);
        }
    }
    keys
}

fn pool_differs(
    wanted: &NodePool,
    azure: &NodePool,
    cluster: impl Fn() -> String,
    name: &str,
) -> Result<bool, Violation> {
    let scales = azure.is_autoscaled();
    let scaling = match wanted.enable_auto_scaling {
        Some(true) => {
            let limits = [(wanted.min_count, azure.min_count), (wanted.max_count, azure.max_count)];
            !scales || limits.into_iter().any(|(wanted, azure)| set_and_other(wanted, azure))
        }
        Some(false) if wanted.min_count.is_some() && wanted.max_count.is_some() => {
            return Err(Violation::CountsWithoutAutoscaling { cluster: cluster(), pool: name.to_owned() });
        }
        Some(false) => scales || set_and_other(wanted.count, azure.count),
        None => !scales && set_and_other(wanted.count, azure.count),
    };
    let zones = |pool: &NodePool| Some(pool.zones()?.iter().cloned().collect::<BTreeSet<_>>());
    if let (Some(wanted), Some(azure)) = (zones(wanted), zones(azure))
        && wanted != azure
    {
        return Err(Violation::ZonesChanged { cluster: cluster(), pool: name.to_owned() });
    }
    let other = |wanted: &Option<String>, azure: &Option<String>| {
        let azure = azure.as_deref().unwrap_or_default();
        wanted.as_ref().is_some_and(|wanted| !azure.eq_ignore_ascii_case(wanted))
    };
    let labels = wanted
        .node_labels
        .as_ref()
        .is_some_and(|labels| !labels.iter().eq(azure.node_labels.iter().flatten()));
    let taints = wanted.node_taints.as_ref().is_some_and(|taints| {
        taints.iter().collect::<BTreeSet<_>>() != azure.node_taints.iter().flatten().collect()
    });
    Ok(scaling
        || version_differs(wanted.orchestrator_version.as_ref(), azure.orchestrator_version.as_ref())
        || other(&wanted.max_surge, &azure.max_surge)
        || other(&wanted.mode, &azure.mode)
        || labels
        || taints)
}

/// Whether a set version is not yet running.
fn version_differs(wanted: Option<&String>, running: Option<&String>) -> bool {
    wanted.is_some_and(|wanted| running.is_none_or(|running| versions::differs(wanted, running)))
}

fn set_and_other(wanted: Option<i64>, azure: Option<i64>) -> bool {
    wanted.is_some() && wanted != azure
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{cases, config, extended};

    fn spec(value: Value) -> AksConfig {
        config(extended(json!({"clusterName": "n"}), value))
    }

    /// The differences, such as `tags kubernetesVersion +changed -removed`.
    fn compare(wanted: Value, azure: Value) -> String {
        let applied = spec(json!({"nodePools": [{"name": "a"}, {"name": "b"}, {"name": "ours"}]}));
        match between(&spec(wanted), &spec(azure), Some(&applied), &BTreeSet::new()) {
            Err(violation) => violation.to_string(),
            Ok(found) => {
                let tags = found.tags.then(|| "tags".to_owned());
                let cluster = found.cluster.iter().map(|key| (*key).to_owned());
                let pools = found.pools.iter().map(|pool| format!("+{pool}"));
                let removed = found.removed.iter().map(|pool| format!("-{pool}"));
                tags.into_iter().chain(cluster).chain(pools).chain(removed).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn only_set_keys_with_another_meaning_differ() {
        for (wanted, azure, expected) in cases! {
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
            assert_eq!(compare(wanted.clone(), azure), expected, "{wanted}");
        }
    }

    #[test]
    fn pools_are_compared_key_by_key() {
        let counts = "min and max node count must be nil for node pool [a] for cluster [n], because autoscaling is disabled";
        let zones = "changing availability zones for node pool [a] in cluster [n] is not permitted";
        for (wanted, azure, expected) in cases! {
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
            assert_eq!(compare(pool(wanted.clone()), pool(azure)), expected, "{wanted}");
        }
    }

    #[test]
    fn pools_keep_the_users_order_and_only_our_own_are_deleted() {
        let azure = json!([{"name": "ours", "mode": "User"}, {"name": "theirs", "mode": "User"}, {"name": "a", "mode": "System"}]);
        let two = json!([{"name": "a", "mode": "System"}, {"name": "b", "mode": "User"}]);
        let last = "cannot remove node pool [a] with mode System from cluster [n]";
        for (wanted, azure, expected) in [
            (json!([{"name": "z"}, {"name": "a"}, {"name": "b"}]), &azure, "+z +b -ours"),
            // No pools: they are not managed.
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
                compare(json!({"nodePools": wanted}), json!({"nodePools": azure})),
                expected,
                "{wanted}"
            );
        }
    }

    #[test]
    fn pool_that_was_neither_applied_nor_created_is_not_deleted() {
        let wanted = spec(json!({"nodePools": [{"name": "a"}]}));
        let azure = spec(json!({"nodePools": [{"name": "a"}, {"name": "ours"}]}));
        let removed = |made: &[&str]| {
            let made = made.iter().map(|name| (*name).to_owned()).collect();
            between(&wanted, &azure, None, &made).unwrap().removed
        };
        assert_eq!(removed(&["a"]), [""; 0]);
        assert_eq!(removed(&["a", "ours"]), ["ours"]);
    }
}
