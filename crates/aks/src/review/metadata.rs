//! Tags of the resource, and labels and taints of nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::case::Case;
use super::pool::Pool;
use super::rule::{Fault, Rule};
use crate::provision::OWNER_TAG;

const TAGS: &str = "Azure: Use tags to organize resources, limitations, \
    https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources";
const LABELS: &str = "Azure: Use labels in an AKS cluster, https://learn.microsoft.com/azure/aks/use-labels";
// Azure rejects a taint without `=` as `invalid taint spec` (github.com/hashicorp/terraform-provider-azurerm/pull/32269); its
// command line also rejects an empty value.
const TAINTS: &str =
    "Azure: Use node taints in an AKS cluster, https://learn.microsoft.com/azure/aks/use-node-taints";

pub(super) const RULES: &[Rule] = &[
    Rule::error("tags", TAGS, tags),
    Rule::error("tag-count", TAGS, tag_count),
    Rule::error("node-labels", LABELS, labels),
    Rule::error("node-labels-reserved", LABELS, reserved_labels).warning(),
    Rule::error("node-taints", TAINTS, taints),
    Rule::error("node-taints-empty", TAINTS, taints_without_value).warning(),
];

/// Fifty, less the one that marks the clusters that are made here.
const MOST_TAGS: usize = 49;

fn tags(case: &Case<'_>) -> Vec<Fault> {
    let tags = case.spec.tags.iter().flatten();
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for (key, value) in tags {
        let mut wrong =
            |message: String, remedy: &str| faults.push(Fault::new("aksConfig.tags", message, remedy));
        if key.is_empty() || key.chars().count() > 512 || key.contains(['<', '>', '%', '&', '\\', '?', '/']) {
            wrong(
                format!("the key {key:?} in tags is none that Azure takes"),
                "use 1 to 512 characters without < > % & \\ ? /",
            );
        }
        if value.chars().count() > 256 {
            wrong(format!("the value of {key:?} in tags is longer than 256 characters"), "shorten it");
        }
        let lower = key.to_lowercase();
        if ["azure", "microsoft", "windows"].iter().any(|prefix| lower.starts_with(prefix)) {
            wrong(
                format!("the key {key:?} in tags begins with a word that Azure keeps for itself"),
                "do not begin keys with azure, microsoft or windows",
            );
        }
        if !seen.insert(lower) {
            wrong(
                format!("the key {key:?} in tags is there twice, because Azure does not look at letter case"),
                "remove one of them",
            );
        }
    }
    faults
}

fn tag_count(case: &Case<'_>) -> Vec<Fault> {
    let own = |key: &&String| !key.eq_ignore_ascii_case(OWNER_TAG);
    let count = case.spec.tags.as_ref().map_or(0, |tags| tags.keys().filter(own).count());
    if count <= MOST_TAGS {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.tags",
        format!(
            "tags has {count} entries, and a cluster can have {MOST_TAGS} beside the one that marks its owner"
        ),
        "remove some",
    )]
}

/// The labels of all pools.
fn all_labels<'a>(pools: &'a [Pool<'a>]) -> impl Iterator<Item = (&'a Pool<'a>, &'a String, &'a String)> {
    fn of<'a>(pool: &'a Pool<'a>) -> impl Iterator<Item = (&'a String, &'a String)> {
        let labels: Option<&BTreeMap<String, String>> = pool.wanted.node_labels.as_ref();
        labels.into_iter().flatten()
    }
    pools.iter().flat_map(|pool| of(pool).map(move |(key, value)| (pool, key, value)))
}

fn labels(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let wrong = all_labels(&pools).filter(|(_, key, value)| !is_key(key) || !is_value(value));
    wrong
        .map(|(pool, key, value)| {
            Fault::new(
                pool.field("nodeLabels"),
                format!("{key:?}: {value:?} in nodeLabels of node pool {} is no label of Kubernetes", pool.name()),
                "use at most 63 letters, digits, hyphens, underscores and dots, beginning and ending with a letter or digit; \
                 a key may have a host name and a slash before it",
            )
        })
        .collect()
}

fn reserved_labels(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let reserved = all_labels(&pools).filter(|(pool, key, value)| {
        let host = key.split_once('/').map_or("", |(host, _)| host);
        let known = pool.current.and_then(|it| it.node_labels.as_ref()?.get(*key)) == Some(*value);
        !known && (host == "kubernetes.azure.com" || host.ends_with(".kubernetes.azure.com"))
    });
    reserved
        .map(|(pool, key, _)| {
            Fault::new(
                pool.field("nodeLabels"),
                format!(
                    "{key:?} in nodeLabels of node pool {} begins with what AKS keeps for itself",
                    pool.name()
                ),
                "use a prefix of your own",
            )
        })
        .collect()
}

fn taints(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let wrong = pools.iter().flat_map(|pool| {
        let taints = pool.wanted.node_taints.iter().flatten();
        taints.filter(|taint| !is_taint(taint)).map(move |taint| (pool, taint))
    });
    wrong
        .map(|(pool, taint)| {
            Fault::new(
                pool.field("nodeTaints"),
                format!("{taint:?} in nodeTaints of node pool {} is not a taint that Azure accepts", pool.name()),
                "use the form key=value:Effect with the effect NoSchedule, PreferNoSchedule or NoExecute, such as \
                 key=true:NoSchedule",
            )
        })
        .collect()
}

fn taints_without_value(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let empty = pools.iter().flat_map(|pool| {
        let taints = pool.wanted.node_taints.iter().flatten();
        taints.filter(|taint| is_taint(taint) && taint.contains("=:")).map(move |taint| (pool, taint))
    });
    empty
        .map(|(pool, taint)| {
            let message = format!(
                "{taint:?} in nodeTaints of node pool {} has an empty value, which Azure may reject",
                pool.name()
            );
            Fault::new(pool.field("nodeTaints"), message, "give it a value, such as key=true:NoSchedule")
        })
        .collect()
}

/// One part of a label: what Kubernetes calls a qualified name.
fn is_part(text: &str) -> bool {
    text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_key(text: &str) -> bool {
    let host = |host: &str| {
        host.len() <= 253
            && host.split('.').all(|label| {
                !label.is_empty()
                    && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            })
    };
    match text.split_once('/') {
        Some((before, name)) => host(before) && is_part(name),
        None => is_part(text),
    }
}

fn is_value(text: &str) -> bool {
    text.is_empty() || is_part(text)
}

fn is_taint(text: &str) -> bool {
    let Some((rest, effect)) = text.rsplit_once(':') else { return false };
    let Some((key, value)) = rest.split_once('=') else { return false };
    matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") && is_key(key) && is_value(value)
}
