//! Lists and maps of an imported cluster, which contain entries of the user and entries that others set in Azure. Address ranges,
//! tags, labels and taints are merged entry by entry. An entry belongs to the user if it differed from Azure when it was sent
//! ([`Named`]); only such an entry is removed when the user omits it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::OWNER_TAG;
use super::difference::plain_range;
use crate::spec::{AksConfig, NodePool};

type Map = BTreeMap<String, String>;

/// The entries of an import that belong to its user. Stored from the first write of an entry until Azure no longer has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Named {
    /// Address ranges in canonical form.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub ranges: BTreeSet<String>,
    /// Names of tags in lower case, because Azure ignores their letter case.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Entries of node pools, by the name of the pool.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pools: BTreeMap<String, NamedInPool>,
}

/// The entries of one node pool that belong to the user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NamedInPool {
    /// Names of labels.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// The keys and effects of taints.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub taints: BTreeSet<String>,
}

/// An entry of a list or map: its key, and the complete entry.
type Entry<'a> = (String, &'a str);

fn ranges(config: &AksConfig) -> Vec<Entry<'_>> {
    let list = config.authorized_ip_ranges.iter().flatten();
    list.map(|range| (plain_range(range), range.as_str())).collect()
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
    let (rest, effect) = taint.rsplit_once(':').unwrap_or((taint, ""));
    format!("{}:{effect}", rest.split_once('=').map_or(rest, |(key, _)| key))
}

fn keys(entries: &[Entry<'_>]) -> BTreeSet<String> {
    entries.iter().map(|(key, _)| key.clone()).collect()
}

impl Named {
    /// Whether no entry belongs to the user.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the entries of the user's specification that Azure does not have, or has with another value.
    pub fn note(&mut self, stated: &AksConfig, azure: &AksConfig) {
        // Ranges are compared in canonical form.
        let open = keys(&ranges(azure));
        self.ranges.extend(keys(&ranges(stated)).into_iter().filter(|range| !open.contains(range)));
        self.tags.extend(new_keys(&tags(stated), &tags(azure)));
        let none = NodePool::default();
        for (name, pool) in stated.pools().iter().filter_map(|pool| Some((pool.name.as_ref()?, pool))) {
            let theirs = azure.pool(name).unwrap_or(&none);
            let new_labels = new_keys(&labels(pool), &labels(theirs));
            let new_taints = new_keys(&taints(pool), &taints(theirs));
            if !new_labels.is_empty() || !new_taints.is_empty() {
                let named = self.pools.entry(name.clone()).or_default();
                named.labels.extend(new_labels);
                named.taints.extend(new_taints);
            }
        }
    }

    /// Drops entries after Azure matches the specification: those that Azure no longer has, and those that the user omits. The
    /// entries of an unset key are not dropped, except address ranges.
    pub fn settle(&mut self, stated: &AksConfig, azure: &AksConfig) {
        let (said, open) = (keys(&ranges(stated)), keys(&ranges(azure)));
        self.ranges.retain(|range| said.contains(range) && open.contains(range));
        retain(&mut self.tags, stated.tags.as_ref().map(|_| tags(stated)), &tags(azure));
        self.pools.retain(|name, named| {
            let Some(theirs) = azure.pool(name) else { return false };
            let own = stated.pool(name);
            let said = |is_set: bool, list: fn(&NodePool) -> Vec<Entry<'_>>| own.filter(|_| is_set).map(list);
            let label_set = own.is_some_and(|pool| pool.node_labels.is_some());
            let taint_set = own.is_some_and(|pool| pool.node_taints.is_some());
            retain(&mut named.labels, said(label_set, labels), &labels(theirs));
            retain(&mut named.taints, said(taint_set, taints), &taints(theirs));
            !named.labels.is_empty() || !named.taints.is_empty()
        });
    }
}

/// The keys of `stated` that `azure` does not have with the same value.
fn new_keys(stated: &[Entry<'_>], azure: &[Entry<'_>]) -> BTreeSet<String> {
    stated.iter().filter(|entry| !azure.contains(entry)).map(|(key, _)| key.clone()).collect()
}

fn retain(named: &mut BTreeSet<String>, stated: Option<Vec<Entry<'_>>>, azure: &[Entry<'_>]) {
    let (stated, azure) = (stated.map(|stated| keys(&stated)), keys(azure));
    named.retain(|key| azure.contains(key) && stated.as_ref().is_none_or(|stated| stated.contains(key)));
}

/// The desired state: Azure's entries, plus those of the user's specification, minus the user's entries that it no longer
/// contains. An unset key remains unset, except that the user's address ranges are removed with it.
pub fn merged(stated: &AksConfig, azure: &AksConfig, named: &Named) -> AksConfig {
    let mut merged = stated.clone();
    if stated.authorized_ip_ranges.is_some() || !named.ranges.is_empty() {
        // Ranges are compared in canonical form.
        merged.authorized_ip_ranges =
            Some(merged_list(&ranges(stated), &ranges(azure), &named.ranges, false));
    }
    merged.tags = stated.tags.as_ref().map(|own| {
        let (said, mut all) = (keys(&tags(stated)), azure.tags.clone().unwrap_or_default());
        all.retain(|key, _| {
            let key = key.to_lowercase();
            !said.contains(&key) && !named.tags.contains(&key)
        });
        all.extend(own.clone());
        all
    });
    let nothing = NamedInPool::default();
    for pool in merged.node_pools.iter_mut().flatten() {
        let Some(name) = pool.name.clone() else { continue };
        let Some(theirs) = azure.pool(&name) else { continue };
        let named = named.pools.get(&name).unwrap_or(&nothing);
        pool.node_labels = pool.node_labels.as_ref().map(|own| merged_labels(own, theirs, named));
        if pool.node_taints.is_some() {
            pool.node_taints = Some(merged_list(&taints(pool), &taints(theirs), &named.taints, true));
        }
    }
    merged
}

fn merged_labels(own: &Map, theirs: &NodePool, named: &NamedInPool) -> Map {
    let mut all = theirs.node_labels.clone().unwrap_or_default();
    all.retain(|key, _| !named.labels.contains(key));
    all.extend(own.clone());
    all
}

/// Azure's entries in its order and spelling, then the missing ones. With `replaces`, an entry replaces Azure's entry with the
/// same key.
fn merged_list(
    stated: &[Entry<'_>],
    azure: &[Entry<'_>],
    named: &BTreeSet<String>,
    replaces: bool,
) -> Vec<String> {
    let said = keys(stated);
    let stays = |(key, _): &&Entry<'_>| said.contains(key) || !named.contains(key);
    let mut all: Vec<Entry<'_>> = azure.iter().filter(stays).cloned().collect();
    for entry in stated {
        match all.iter_mut().find(|(key, _)| *key == entry.0) {
            Some(known) if replaces => *known = entry.clone(),
            Some(_) => {}
            None => all.push(entry.clone()),
        }
    }
    all.into_iter().map(|(_, whole)| whole.to_owned()).collect()
}

/// The observed state of an import without entries that others have set and the specification does not contain.
pub fn own_part(stated: &AksConfig, azure: &AksConfig) -> AksConfig {
    let mut part = azure.clone();
    let said = keys(&ranges(stated));
    let own_ranges = part.authorized_ip_ranges.take();
    part.authorized_ip_ranges =
        own_ranges.map(|list| list.into_iter().filter(|range| said.contains(&plain_range(range))).collect());
    let said = keys(&tags(stated));
    if let Some(tags) = &mut part.tags {
        tags.retain(|key, _| said.contains(&key.to_lowercase()));
    }
    for pool in part.node_pools.iter_mut().flatten() {
        let Some(own) = pool.name.as_ref().and_then(|name| stated.pool(name)) else { continue };
        let (own_labels, own_taints) = (keys(&labels(own)), keys(&taints(own)));
        if let Some(labels) = &mut pool.node_labels {
            labels.retain(|key, _| own_labels.contains(key));
        }
        if let Some(taints) = &mut pool.node_taints {
            taints.retain(|taint| own_taints.contains(&taint_key(taint)));
        }
    }
    part
}

/// Entries of one key that remain in Azure although the specification omits them, because they do not belong to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// `aksConfig.authorizedIpRanges`
    pub field: String,
    /// The entries in Azure.
    pub entries: Vec<String>,
}

/// The entries of set lists and maps that remain in Azure because others have set them.
pub fn kept(stated: &AksConfig, azure: &AksConfig, named: &Named) -> Vec<Kept> {
    let mut kept = Vec::new();
    let mut add = |field: String, own: &[Entry<'_>], theirs: &[Entry<'_>], named: &BTreeSet<String>| {
        let said = keys(own);
        let stays = theirs.iter().filter(|(key, _)| !said.contains(key) && !named.contains(key));
        let entries: Vec<String> = stays.map(|(_, shown)| (*shown).to_owned()).collect();
        if !entries.is_empty() {
            kept.push(Kept { field, entries });
        }
    };
    if stated.authorized_ip_ranges.is_some() {
        add("aksConfig.authorizedIpRanges".to_owned(), &ranges(stated), &ranges(azure), &named.ranges);
    }
    if stated.tags.is_some() {
        let visible = by_name(azure.tags.as_ref(), str::to_lowercase);
        add("aksConfig.tags".to_owned(), &tags(stated), &visible, &named.tags);
    }
    let nothing = NamedInPool::default();
    for (index, pool) in stated.node_pools.iter().flatten().enumerate() {
        let Some(name) = pool.name.as_deref() else { continue };
        let Some(theirs) = azure.pool(name) else { continue };
        let named = named.pools.get(name).unwrap_or(&nothing);
        let field = |key: &str| format!("aksConfig.nodePools[{index}].{key}");
        if pool.node_labels.is_some() {
            let present = by_name(theirs.node_labels.as_ref(), str::to_owned);
            add(field("nodeLabels"), &labels(pool), &present, &named.labels);
        }
        if pool.node_taints.is_some() {
            add(field("nodeTaints"), &taints(pool), &taints(theirs), &named.taints);
        }
    }
    kept
}

/// The names in a map, with their canonical form.
fn by_name(map: Option<&Map>, compared: fn(&str) -> String) -> Vec<Entry<'_>> {
    map.into_iter().flatten().map(|(key, _)| (compared(key), key.as_str())).collect()
}

#[cfg(test)]
mod tests;
