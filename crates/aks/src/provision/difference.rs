//! What of a specification Azure does not have yet (`docs/contract/provisioning.md#update`). Only keys that the
//! specification sets count; spellings that mean the same are no difference.

use std::collections::{BTreeMap, BTreeSet};

use crate::spec::{AksConfig, NodePool, given, http_application_routing};
use crate::versions;

type Tags = BTreeMap<String, String>;

/// What differs, in the order in which it is brought about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// The user's tags are not Azure's.
    pub tags: bool,
    /// Keys of the cluster itself that differ, as users name them.
    pub cluster: Vec<&'static str>,
    /// Pools to make or to change, in the user's order.
    pub pools: Vec<String>,
    /// Pools of ours that are no longer wanted, in Azure's order.
    pub removed: Vec<String>,
}

impl Differences {
    /// Whether Azure has everything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A specification that cannot be brought about; the texts are Rancher's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Two pools of one name.
    #[error("cluster [{cluster}] cannot have multiple nodepools with name {pool}")]
    Twice {
        /// The name of the cluster.
        cluster: String,
        /// The name of the pools.
        pool: String,
    },
    /// Counts of the autoscaler without one.
    #[error(
        "min and max node count must be nil for node pool [{pool}] for cluster [{cluster}], because autoscaling is disabled"
    )]
    CountsWithoutScaling {
        /// The name of the cluster.
        cluster: String,
        /// The name of the pool.
        pool: String,
    },
    /// Zones are fixed when a pool is made.
    #[error("changing availability zones for node pool [{pool}] in cluster [{cluster}] is not permitted")]
    Zones {
        /// The name of the cluster.
        cluster: String,
        /// The name of the pool.
        pool: String,
    },
    /// The system pods would have no place.
    #[error("cannot remove node pool [{pool}] with mode System from cluster [{cluster}]")]
    LastSystemPool {
        /// The name of the cluster.
        cluster: String,
        /// The name of the pool.
        pool: String,
    },
}

/// Compares what is wanted with what Azure has, in which versions are those that run
/// ([`ClusterDetails`](crate::cluster_details::ClusterDetails)); of an import, after
/// [`merged`](super::imported::merged). `applied` is what was wanted when everything was last brought about, `made`
/// the pools that were made since: only pools that one of them names may be removed, because only those are ours.
///
/// # Errors
/// [`Refused`], for the first thing that cannot be.
pub fn between(
    wanted: &AksConfig,
    azure: &AksConfig,
    applied: Option<&AksConfig>,
    made: &BTreeSet<String>,
) -> Result<Differences, Refused> {
    let cluster = wanted.cluster_name.clone().unwrap_or_default();
    let mut differences = Differences {
        tags: tags_differ(wanted.tags.as_ref(), azure.tags.as_ref()),
        ..Differences::default()
    };
    differences.cluster = changed_keys(wanted, azure);
    let Some(pools) = wanted.node_pools.as_ref().filter(|pools| !pools.is_empty()) else {
        return Ok(differences);
    };
    let existing: BTreeMap<&str, &NodePool> = named(azure.node_pools.iter().flatten()).collect();
    let mut seen = BTreeSet::new();
    for (name, pool) in named(pools) {
        if !seen.insert(name) {
            return Err(Refused::Twice { cluster, pool: name.to_owned() });
        }
        let differs = match existing.get(name) {
            Some(found) => pool_differs(pool, found, &cluster, name)?,
            None => true,
        };
        if differs {
            differences.pools.push(name.to_owned());
        }
    }
    let applied = named(applied.iter().flat_map(|it| it.node_pools.iter().flatten())).map(|(name, _)| name);
    let ours: BTreeSet<&str> = applied.chain(made.iter().map(String::as_str)).collect();
    let found = named(azure.node_pools.iter().flatten());
    let gone: Vec<&str> =
        found.map(|(name, _)| name).filter(|name| ours.contains(name) && !seen.contains(name)).collect();
    let system = |pool: &NodePool| is_system(pool.mode.as_ref());
    // What is left in the end: pools are made and changed before any is removed.
    let wanted_mode: BTreeMap<&str, &NodePool> = named(pools).collect();
    let is_left = |name: &str, pool: &NodePool| {
        let becomes = wanted_mode.get(name).and_then(|wanted| wanted.mode.as_ref());
        !gone.contains(&name) && is_system(given(becomes).map_or(pool.mode.as_ref(), |_| becomes))
    };
    let left =
        existing.iter().any(|(name, pool)| is_left(name, pool)) || named(pools).any(|(_, pool)| system(pool));
    let last = gone.iter().find(|name| existing.get(**name).is_some_and(|pool| system(pool)));
    if let (false, Some(last)) = (left, last) {
        return Err(Refused::LastSystemPool { cluster, pool: (*last).to_owned() });
    }
    differences.removed = gone.into_iter().map(str::to_owned).collect();
    // Azure never lets the last System pool become another one, so new ones come first.
    let becomes_system = |name: &String| wanted_mode.get(name.as_str()).is_some_and(|pool| system(pool));
    differences.pools.sort_by_key(|name| !becomes_system(name));
    Ok(differences)
}

fn is_system(mode: Option<&String>) -> bool {
    given(mode).is_some_and(|mode| mode.eq_ignore_ascii_case("System"))
}

fn named<'a>(pools: impl IntoIterator<Item = &'a NodePool>) -> impl Iterator<Item = (&'a str, &'a NodePool)> {
    pools.into_iter().filter_map(|pool| Some((given(pool.name.as_ref())?, pool)))
}

/// Whether tags that are set are not Azure's. Azure knows their names without letter case.
pub(super) fn tags_differ(wanted: Option<&Tags>, azure: Option<&Tags>) -> bool {
    let plain = |tags: &Tags| -> Tags {
        let pairs = tags.iter().map(|(key, value)| (key.to_lowercase(), value.clone()));
        pairs.filter(|(key, _)| key != super::OWNER_TAG).collect()
    };
    wanted.is_some_and(|tags| plain(tags) != azure.map(plain).unwrap_or_default())
}

/// A range as it is compared: an address alone is the range of only this address.
pub(super) fn plain_range(text: &str) -> String {
    let text = text.trim().to_ascii_lowercase();
    text.strip_suffix("/32").map(str::to_owned).unwrap_or(text)
}

/// Ranges as they are compared.
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
        ("httpApplicationRouting", http_application_routing(wanted), azure.http_application_routing),
        ("monitoring", wanted.monitoring, azure.monitoring),
    ] {
        if wanted.is_some_and(|wanted| wanted != azure.unwrap_or(false)) {
            keys.push(key);
        }
    }
    keys
}

fn pool_differs(wanted: &NodePool, azure: &NodePool, cluster: &str, name: &str) -> Result<bool, Refused> {
    let scales = azure.enable_auto_scaling == Some(true);
    let scaling = match wanted.enable_auto_scaling {
        Some(true) => {
            let limits = [(wanted.min_count, azure.min_count), (wanted.max_count, azure.max_count)];
            !scales || limits.into_iter().any(|(wanted, azure)| set_and_other(wanted, azure))
        }
        Some(false) if wanted.min_count.is_some() && wanted.max_count.is_some() => {
            return Err(Refused::CountsWithoutScaling { cluster: cluster.to_owned(), pool: name.to_owned() });
        }
        Some(false) => scales || set_and_other(wanted.count, azure.count),
        None => !scales && set_and_other(wanted.count, azure.count),
    };
    let zones = |pool: &NodePool| {
        let zones = pool.availability_zones.as_ref().filter(|zones| !zones.is_empty());
        zones.map(|zones| zones.iter().cloned().collect::<BTreeSet<_>>())
    };
    if let (Some(wanted), Some(azure)) = (zones(wanted), zones(azure))
        && wanted != azure
    {
        return Err(Refused::Zones { cluster: cluster.to_owned(), pool: name.to_owned() });
    }
    let other = |wanted: &Option<String>, azure: &Option<String>| {
        given(wanted.as_ref())
            .is_some_and(|wanted| !azure.as_deref().unwrap_or_default().eq_ignore_ascii_case(wanted))
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

/// Whether a version that is set is yet to be reached.
fn version_differs(wanted: Option<&String>, running: Option<&String>) -> bool {
    given(wanted)
        .is_some_and(|wanted| given(running).is_none_or(|running| versions::differs(wanted, running)))
}

fn set_and_other(wanted: Option<i64>, azure: Option<i64>) -> bool {
    wanted.is_some() && wanted != azure
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(value: Value) -> AksConfig {
        let mut whole = json!({"clusterName": "n"});
        whole.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    fn shown(wanted: Value, azure: Value) -> String {
        let applied = spec(json!({"nodePools": [{"name": "a"}, {"name": "b"}, {"name": "ours"}]}));
        match between(&spec(wanted), &spec(azure), Some(&applied), &BTreeSet::new()) {
            Err(refused) => refused.to_string(),
            Ok(found) => {
                let tags = if found.tags { vec!["tags".to_owned()] } else { vec![] };
                let cluster = found.cluster.iter().map(|key| (*key).to_owned());
                let pools = found.pools.iter().map(|pool| format!("+{pool}"));
                let removed = found.removed.iter().map(|pool| format!("-{pool}"));
                tags.into_iter().chain(cluster).chain(pools).chain(removed).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn only_what_is_set_and_means_something_else_differs() {
        for (wanted, azure, expected) in [
            (
                json!({}),
                json!({"kubernetesVersion": "1.31.8", "tags": {"a": "b"}, "monitoring": true, "nodePools": [{"name": "x"}]}),
                "",
            ),
            (json!({"kubernetesVersion": ""}), json!({"kubernetesVersion": "1.31.8"}), ""),
            (
                json!({"kubernetesVersion": "1.32.1"}),
                json!({"kubernetesVersion": "1.31.8"}),
                "kubernetesVersion",
            ),
            (json!({"kubernetesVersion": "v1.31.8 "}), json!({"kubernetesVersion": "1.31.8"}), ""),
            (json!({"kubernetesVersion": "1.31"}), json!({"kubernetesVersion": "1.31.8"}), ""),
            (json!({"kubernetesVersion": "1.31.8"}), json!({"kubernetesVersion": "1.31.9"}), ""),
            (
                json!({"kubernetesVersion": "1.32"}),
                json!({"kubernetesVersion": "1.31.9"}),
                "kubernetesVersion",
            ),
            (json!({"tags": {}}), json!({"tags": {"a": "b"}}), "tags"),
            (json!({"tags": {"norman-aks-owner": "x", "a": "b"}}), json!({"tags": {"a": "b"}}), ""),
            (json!({"monitoring": false, "httpApplicationRouting": false}), json!({}), ""),
            (json!({"monitoring": true}), json!({"monitoring": false}), "monitoring"),
            (json!({"httpApplicationRouting": true}), json!({}), "httpApplicationRouting"),
            (json!({"httpApplicationRouting": true, "resourceLocation": "chinaeast2"}), json!({}), ""),
            (
                json!({"authorizedIpRanges": []}),
                json!({"authorizedIpRanges": ["1.1.1.1/32"]}),
                "authorizedIpRanges",
            ),
            (
                json!({"authorizedIpRanges": ["1.1.1.1", "10.0.0.0/8"]}),
                json!({"authorizedIpRanges": ["10.0.0.0/8", "1.1.1.1/32"]}),
                "",
            ),
            (json!({"tags": {"Team": "a"}}), json!({"tags": {"team": "a"}}), ""),
            (json!({"tags": {"Team": "A"}}), json!({"tags": {"team": "a"}}), "tags"),
        ] {
            assert_eq!(shown(wanted.clone(), azure), expected, "{wanted}");
        }
    }

    #[test]
    fn pools_are_compared_key_by_key() {
        let pool = |more: Value| {
            let mut pool = json!({"name": "a", "mode": "System"});
            pool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"nodePools": [pool]})
        };
        for (wanted, azure, expected) in [
            (json!({"count": 2}), json!({"count": 2}), ""),
            (json!({"count": 3}), json!({"count": 2}), "+a"),
            (
                json!({"count": 3, "enableAutoScaling": true, "minCount": 1, "maxCount": 5}),
                json!({"count": 2, "enableAutoScaling": true, "minCount": 1, "maxCount": 5}),
                "",
            ),
            (
                json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 6}),
                json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 5}),
                "+a",
            ),
            (
                json!({"count": 2, "enableAutoScaling": false}),
                json!({"count": 2, "enableAutoScaling": true}),
                "+a",
            ),
            (
                json!({"enableAutoScaling": false, "minCount": 1, "maxCount": 2}),
                json!({}),
                "min and max node count must be nil for node pool [a] for cluster [n], because autoscaling is disabled",
            ),
            (json!({"mode": "system"}), json!({}), ""),
            (json!({"orchestratorVersion": ""}), json!({"orchestratorVersion": "1.31.8"}), ""),
            (json!({"orchestratorVersion": "1.32.1"}), json!({"orchestratorVersion": "1.31.8"}), "+a"),
            (json!({"orchestratorVersion": "1.31"}), json!({"orchestratorVersion": "1.31.8"}), ""),
            (json!({"orchestratorVersion": "v1.31.8"}), json!({"orchestratorVersion": "1.32.1"}), ""),
            (json!({"maxSurge": "33%"}), json!({"maxSurge": "1"}), "+a"),
            (json!({"availabilityZones": ["2", "1"]}), json!({"availabilityZones": ["1", "2"]}), ""),
            (json!({"availabilityZones": []}), json!({"availabilityZones": ["1"]}), ""),
            (
                json!({"availabilityZones": ["3"]}),
                json!({"availabilityZones": ["1"]}),
                "changing availability zones for node pool [a] in cluster [n] is not permitted",
            ),
            (json!({"nodeLabels": {}}), json!({"nodeLabels": {"a": "b"}}), "+a"),
            (json!({"nodeTaints": []}), json!({}), ""),
            (
                json!({"nodeTaints": ["a=b:NoSchedule", "c=d:NoSchedule"]}),
                json!({"nodeTaints": ["c=d:NoSchedule", "a=b:NoSchedule"]}),
                "",
            ),
            (
                json!({"enableAutoScaling": true}),
                json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 5}),
                "",
            ),
            (json!({"nodeTaints": ["k=v:NoSchedule"]}), json!({}), "+a"),
            (json!({"vmSize": "other", "osDiskSizeGB": 1, "maxPods": 9}), json!({"vmSize": "one"}), ""),
        ] {
            assert_eq!(shown(pool(wanted.clone()), pool(azure)), expected, "{wanted}");
        }
    }

    #[test]
    fn pools_come_in_the_users_order_and_only_our_own_go() {
        let azure = json!({"nodePools": [{"name": "ours", "mode": "User"}, {"name": "theirs", "mode": "User"}, {"name": "a", "mode": "System"}]});
        let wanted = json!({"nodePools": [{"name": "z"}, {"name": "a"}, {"name": "b"}]});
        assert_eq!(shown(wanted, azure.clone()), "+z +b -ours");
        assert_eq!(
            shown(json!({"nodePools": []}), azure.clone()),
            "",
            "no pools means that pools are not managed"
        );
        let last = json!({"nodePools": [{"name": "ours"}, {"name": "theirs"}]});
        assert_eq!(shown(last, azure), "cannot remove node pool [a] with mode System from cluster [n]");
        let twice = json!({"nodePools": [{"name": "a"}, {"name": "a"}]});
        assert_eq!(
            shown(twice, json!({"nodePools": [{"name": "a"}]})),
            "cluster [n] cannot have multiple nodepools with name a"
        );
    }

    #[test]
    fn a_system_pool_can_be_replaced_and_two_pools_can_change_places() {
        let azure = json!({"nodePools": [{"name": "a", "mode": "System"}, {"name": "b", "mode": "User"}]});
        for (wanted, expected) in [
            (json!([{"name": "b"}, {"name": "new", "mode": "System"}]), "+new -a"),
            (json!([{"name": "b", "mode": "system"}]), "+b -a"),
            (json!([{"name": "a", "mode": "User"}, {"name": "b", "mode": "System"}]), "+b +a"),
            (
                json!([{"name": "b", "mode": "User"}]),
                "cannot remove node pool [a] with mode System from cluster [n]",
            ),
        ] {
            assert_eq!(shown(json!({"nodePools": wanted}), azure.clone()), expected, "{wanted}");
        }
    }

    #[test]
    fn a_pool_that_was_neither_applied_nor_made_is_not_ours_to_remove() {
        let (wanted, azure) = (
            spec(json!({"nodePools": [{"name": "a"}]})),
            spec(json!({"nodePools": [{"name": "a"}, {"name": "ours"}]})),
        );
        let removed = |made: &[&str]| {
            let made = made.iter().map(|name| (*name).to_owned()).collect();
            between(&wanted, &azure, None, &made).unwrap().removed
        };
        assert_eq!(removed(&["a"]), [""; 0]);
        assert_eq!(removed(&["a", "ours"]), ["ours"]);
    }
}
