//! Lists and maps of an imported cluster, which contain entries of the user and entries that were set in Azure. Address ranges,
//! tags, labels and taints are merged entry by entry. An entry belongs to the user if it differed from Azure when it was sent
//! ([`UserEntries`]); only such an entry is removed when the user omits it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::OWNER_TAG;
use super::difference::canonical_range;
use crate::spec::{AksConfig, NodePool};

type StringMap = BTreeMap<String, String>;

/// The entries of an imported cluster that belong to its user. An entry is stored from its first write until the user omits it
/// or Azure no longer has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UserEntries {
    /// Address ranges in canonical form.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub ranges: BTreeSet<String>,
    /// Names of tags in lower case, because Azure ignores their letter case.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Entries of node pools, by the name of the pool.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pools: BTreeMap<String, UserPoolEntries>,
}

/// The entries of one node pool that belong to the user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UserPoolEntries {
    /// Names of labels.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// The keys and effects of taints.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub taints: BTreeSet<String>,
}

/// The canonical key of an entry, and its text: the value of a map entry, or the whole entry of a list.
type Entry<'a> = (String, &'a str);

fn ranges(config: &AksConfig) -> Vec<Entry<'_>> {
    let ranges = config.authorized_ip_ranges.iter().flatten();
    ranges.map(|range| (canonical_range(range), range.as_str())).collect()
}

fn tags(config: &AksConfig) -> Vec<Entry<'_>> {
    let tags = config.tags.iter().flatten().map(|(key, value)| (key.to_lowercase(), value.as_str()));
    tags.filter(|(key, _)| key != OWNER_TAG).collect()
}

fn labels(pool: &NodePool) -> Vec<Entry<'_>> {
    pool.node_labels.iter().flatten().map(|(key, value)| (key.clone(), value.as_str())).collect()
}

fn taints(pool: &NodePool) -> Vec<Entry<'_>> {
    pool.node_taints.iter().flatten().map(|taint| (taint_key(taint), taint.as_str())).collect()
}

/// `key:Effect` of `key=value:Effect`. A node has at most one taint with each such key.
fn taint_key(taint: &str) -> String {
    let (key_and_value, effect) = taint.rsplit_once(':').unwrap_or((taint, ""));
    format!("{}:{effect}", key_and_value.split_once('=').map_or(key_and_value, |(key, _)| key))
}

fn keys(entries: &[Entry<'_>]) -> BTreeSet<String> {
    entries.iter().map(|(key, _)| key.clone()).collect()
}

impl UserEntries {
    /// Whether no entry belongs to the user.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the entries of the user's specification that Azure does not have, or has with another value.
    pub fn record(&mut self, desired: &AksConfig, azure: &AksConfig) {
        // Ranges are compared in canonical form.
        let azure_ranges = keys(&ranges(azure));
        self.ranges.extend(keys(&ranges(desired)).into_iter().filter(|range| !azure_ranges.contains(range)));
        self.tags.extend(new_keys(&tags(desired), &tags(azure)));
        let empty_pool = NodePool::default();
        for (name, pool) in desired.pools().iter().filter_map(|pool| Some((pool.name.as_ref()?, pool))) {
            let azure_pool = azure.pool(name).unwrap_or(&empty_pool);
            let new_labels = new_keys(&labels(pool), &labels(azure_pool));
            let new_taints = new_keys(&taints(pool), &taints(azure_pool));
            if !new_labels.is_empty() || !new_taints.is_empty() {
                let user_entries = self.pools.entry(name.clone()).or_default();
                user_entries.labels.extend(new_labels);
                user_entries.taints.extend(new_taints);
            }
        }
    }

    /// Removes entries after Azure matches the specification: those that Azure no longer has, and those that the user omits. If
    /// a key itself is unset, its entries are kept, except address ranges.
    pub fn prune(&mut self, desired: &AksConfig, azure: &AksConfig) {
        let (desired_ranges, azure_ranges) = (keys(&ranges(desired)), keys(&ranges(azure)));
        self.ranges.retain(|range| desired_ranges.contains(range) && azure_ranges.contains(range));
        retain_entries(&mut self.tags, desired.tags.as_ref().map(|_| tags(desired)), &tags(azure));
        self.pools.retain(|name, user_entries| {
            let Some(azure_pool) = azure.pool(name) else { return false };
            let desired_pool = desired.pool(name);
            let desired_entries = |is_set: bool, entries: fn(&NodePool) -> Vec<Entry<'_>>| {
                desired_pool.filter(|_| is_set).map(entries)
            };
            let sets_labels = desired_pool.is_some_and(|pool| pool.node_labels.is_some());
            let sets_taints = desired_pool.is_some_and(|pool| pool.node_taints.is_some());
            retain_entries(
                &mut user_entries.labels,
                desired_entries(sets_labels, labels),
                &labels(azure_pool),
            );
            retain_entries(
                &mut user_entries.taints,
                desired_entries(sets_taints, taints),
                &taints(azure_pool),
            );
            !user_entries.labels.is_empty() || !user_entries.taints.is_empty()
        });
    }
}

/// The keys of `desired` that `azure` does not have with the same value.
fn new_keys(desired: &[Entry<'_>], azure: &[Entry<'_>]) -> BTreeSet<String> {
    desired.iter().filter(|entry| !azure.contains(entry)).map(|(key, _)| key.clone()).collect()
}

fn retain_entries(user_keys: &mut BTreeSet<String>, desired: Option<Vec<Entry<'_>>>, azure: &[Entry<'_>]) {
    let (desired, azure) = (desired.map(|desired| keys(&desired)), keys(azure));
    user_keys
        .retain(|key| azure.contains(key) && desired.as_ref().is_none_or(|desired| desired.contains(key)));
}

/// The desired state: Azure's entries, plus those of the user's specification, minus the user's entries that it no longer
/// contains. An unset key remains unset, except that the user's address ranges are removed with it.
pub fn merge_entries(desired: &AksConfig, azure: &AksConfig, user_entries: &UserEntries) -> AksConfig {
    let mut merged = desired.clone();
    if desired.authorized_ip_ranges.is_some() || !user_entries.ranges.is_empty() {
        // Ranges are compared in canonical form.
        merged.authorized_ip_ranges =
            Some(merge_lists(&ranges(desired), &ranges(azure), &user_entries.ranges, false));
    }
    merged.tags = desired.tags.as_ref().map(|desired_tags| {
        let (desired_keys, mut tags) = (keys(&tags(desired)), azure.tags.clone().unwrap_or_default());
        tags.retain(|key, _| {
            let key = key.to_lowercase();
            !desired_keys.contains(&key) && !user_entries.tags.contains(&key)
        });
        tags.extend(desired_tags.clone());
        tags
    });
    let no_entries = UserPoolEntries::default();
    for pool in merged.node_pools.iter_mut().flatten() {
        let Some(name) = pool.name.clone() else { continue };
        let Some(azure_pool) = azure.pool(&name) else { continue };
        let user_entries = user_entries.pools.get(&name).unwrap_or(&no_entries);
        pool.node_labels =
            pool.node_labels.as_ref().map(|labels| merge_labels(labels, azure_pool, user_entries));
        if pool.node_taints.is_some() {
            pool.node_taints =
                Some(merge_lists(&taints(pool), &taints(azure_pool), &user_entries.taints, true));
        }
    }
    merged
}

fn merge_labels(desired: &StringMap, azure_pool: &NodePool, user_entries: &UserPoolEntries) -> StringMap {
    let mut labels = azure_pool.node_labels.clone().unwrap_or_default();
    labels.retain(|key, _| !user_entries.labels.contains(key));
    labels.extend(desired.clone());
    labels
}

/// Azure's entries in Azure's order and spelling, without the user's that are no longer desired, then the desired ones that
/// Azure lacks. With `replaces_same_key`, a desired entry replaces Azure's entry with the same key.
fn merge_lists(
    desired: &[Entry<'_>],
    azure: &[Entry<'_>],
    user_keys: &BTreeSet<String>,
    replaces_same_key: bool,
) -> Vec<String> {
    let desired_keys = keys(desired);
    let is_kept = |(key, _): &&Entry<'_>| desired_keys.contains(key) || !user_keys.contains(key);
    let mut merged: Vec<Entry<'_>> = azure.iter().filter(is_kept).cloned().collect();
    for entry in desired {
        match merged.iter_mut().find(|(key, _)| *key == entry.0) {
            Some(existing) if replaces_same_key => *existing = entry.clone(),
            Some(_) => {}
            None => merged.push(entry.clone()),
        }
    }
    merged.into_iter().map(|(_, entry)| entry.to_owned()).collect()
}

/// The observed state of an imported cluster without the entries that are not in its specification.
pub fn without_foreign_entries(desired: &AksConfig, azure: &AksConfig) -> AksConfig {
    let mut filtered = azure.clone();
    let desired_keys = keys(&ranges(desired));
    let azure_ranges = filtered.authorized_ip_ranges.take();
    filtered.authorized_ip_ranges = azure_ranges.map(|ranges| {
        ranges.into_iter().filter(|range| desired_keys.contains(&canonical_range(range))).collect()
    });
    let desired_keys = keys(&tags(desired));
    if let Some(tags) = &mut filtered.tags {
        tags.retain(|key, _| desired_keys.contains(&key.to_lowercase()));
    }
    for pool in filtered.node_pools.iter_mut().flatten() {
        let Some(desired_pool) = pool.name.as_ref().and_then(|name| desired.pool(name)) else { continue };
        let (desired_labels, desired_taints) = (keys(&labels(desired_pool)), keys(&taints(desired_pool)));
        if let Some(labels) = &mut pool.node_labels {
            labels.retain(|key, _| desired_labels.contains(key));
        }
        if let Some(taints) = &mut pool.node_taints {
            taints.retain(|taint| desired_taints.contains(&taint_key(taint)));
        }
    }
    filtered
}

/// Entries of one key that remain in Azure although the specification omits them, because they do not belong to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemainingEntries {
    /// `aksConfig.authorizedIpRanges`
    pub field: String,
    /// The entries in Azure.
    pub entries: Vec<String>,
}

/// The entries of set lists and maps that remain in Azure because they were not set through this server.
pub fn remaining_entries(
    desired: &AksConfig,
    azure: &AksConfig,
    user_entries: &UserEntries,
) -> Vec<RemainingEntries> {
    let mut remaining = Vec::new();
    let mut add =
        |field: String, desired: &[Entry<'_>], azure: &[Entry<'_>], user_keys: &BTreeSet<String>| {
            let desired_keys = keys(desired);
            let foreign =
                azure.iter().filter(|(key, _)| !desired_keys.contains(key) && !user_keys.contains(key));
            let entries: Vec<String> = foreign.map(|(_, entry)| (*entry).to_owned()).collect();
            if !entries.is_empty() {
                remaining.push(RemainingEntries { field, entries });
            }
        };
    if desired.authorized_ip_ranges.is_some() {
        add(
            "aksConfig.authorizedIpRanges".to_owned(),
            &ranges(desired),
            &ranges(azure),
            &user_entries.ranges,
        );
    }
    if desired.tags.is_some() {
        let azure_tags = names(azure.tags.as_ref(), str::to_lowercase);
        add("aksConfig.tags".to_owned(), &tags(desired), &azure_tags, &user_entries.tags);
    }
    let no_entries = UserPoolEntries::default();
    for (index, pool) in desired.node_pools.iter().flatten().enumerate() {
        let Some(name) = pool.name.as_deref() else { continue };
        let Some(azure_pool) = azure.pool(name) else { continue };
        let user_entries = user_entries.pools.get(name).unwrap_or(&no_entries);
        let field = |key: &str| format!("aksConfig.nodePools[{index}].{key}");
        if pool.node_labels.is_some() {
            let azure_labels = names(azure_pool.node_labels.as_ref(), str::to_owned);
            add(field("nodeLabels"), &labels(pool), &azure_labels, &user_entries.labels);
        }
        if pool.node_taints.is_some() {
            add(field("nodeTaints"), &taints(pool), &taints(azure_pool), &user_entries.taints);
        }
    }
    remaining
}

/// The entries of a map, with their names instead of their values.
fn names(map: Option<&StringMap>, canonical: fn(&str) -> String) -> Vec<Entry<'_>> {
    map.into_iter().flatten().map(|(key, _)| (canonical(key), key.as_str())).collect()
}

#[cfg(test)]
mod tests;
