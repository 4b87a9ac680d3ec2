//! Tags of the resource, and labels and taints of nodes.

use std::collections::BTreeSet;

use super::input::RuleInput;
use super::names::has_alphanumeric_ends;
use super::rule::{FieldFindings, Rule};
use super::sources::learn;
use crate::provision::OWNER_TAG;

const TAGS_DOC: &str = learn!(
    "Use tags to organize resources, limitations",
    "azure/azure-resource-manager/management/tag-resources"
);
const LABELS_DOC: &str = learn!("Use labels in an AKS cluster", "azure/aks/use-labels");
// Azure rejects a taint without `=` as `invalid taint spec` (github.com/hashicorp/terraform-provider-azurerm/pull/32269); the
// Azure CLI also rejects an empty value.
const TAINTS_DOC: &str = learn!("Use node taints in an AKS cluster", "azure/aks/use-node-taints");

pub(super) const RULES: &[Rule] = &[
    Rule::error("tags", TAGS_DOC, tags),
    Rule::error("tag-count", TAGS_DOC, tag_count),
    Rule::error("node-labels", LABELS_DOC, labels),
    Rule::warning("node-labels-reserved", LABELS_DOC, reserved_labels),
    Rule::error("node-taints", TAINTS_DOC, taints),
    Rule::warning("node-taints-empty", TAINTS_DOC, taints_without_value),
];

/// Azure allows 50 tags, and this server adds one that marks the owner.
const MAX_TAGS: usize = 49;

fn tags(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let mut seen_keys = BTreeSet::new();
    let mut add = |message: String, remedy: &str| {
        findings.add("tags", message, remedy);
    };
    for (key, value) in input.spec.tags.iter().flatten() {
        if key.is_empty() || key.chars().count() > 512 || key.contains(['<', '>', '%', '&', '\\', '?', '/']) {
            let message = format!("the key {key:?} in tags is not valid in Azure");
            add(message, "use 1 to 512 characters without < > % & \\ ? /");
        }
        if value.chars().count() > 256 {
            add(format!("the value of {key:?} in tags is longer than 256 characters"), "shorten it");
        }
        let lower_key = key.to_lowercase();
        if ["azure", "microsoft", "windows"].iter().any(|prefix| lower_key.starts_with(prefix)) {
            let message = format!("the key {key:?} in tags starts with a word that Azure reserves");
            add(message, "do not start keys with azure, microsoft or windows");
        }
        if !seen_keys.insert(lower_key) {
            let message = format!("the key {key:?} in tags occurs twice, because Azure ignores letter case");
            add(message, "remove one of them");
        }
    }
}

fn tag_count(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let count =
        input.spec.tags.iter().flatten().filter(|(key, _)| !key.eq_ignore_ascii_case(OWNER_TAG)).count();
    if count > MAX_TAGS {
        let message = format!(
            "tags has {count} entries, but a cluster can have at most {MAX_TAGS} besides the one that marks its owner"
        );
        findings.add("tags", message, "remove some");
    }
}

fn labels(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        for (key, value) in pool.spec.node_labels.iter().flatten() {
            if !is_qualified_name(key) || !is_label_value(value) {
                let name = pool.name();
                let message = format!(
                    "{key:?}: {value:?} in nodeLabels of node pool {name} is not a valid Kubernetes label"
                );
                let remedy = "use at most 63 letters, digits, hyphens, underscores and dots, starting and ending with a letter or \
                    digit; a key may start with a host name and a slash";
                findings.add(pool.key("nodeLabels"), message, remedy);
            }
        }
    }
}

fn reserved_labels(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        for (key, value) in pool.spec.node_labels.iter().flatten() {
            let host = key.split_once('/').map_or("", |(host, _)| host);
            let is_unchanged =
                pool.current.and_then(|pool| pool.node_labels.as_ref()?.get(key)) == Some(value);
            if !is_unchanged && (host == "kubernetes.azure.com" || host.ends_with(".kubernetes.azure.com")) {
                let message = format!(
                    "{key:?} in nodeLabels of node pool {} has a prefix that AKS reserves",
                    pool.name()
                );
                findings.add(pool.key("nodeLabels"), message, "use a prefix of your own");
            }
        }
    }
}

fn taints(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        for taint in pool.spec.node_taints.iter().flatten().filter(|taint| !is_taint(taint)) {
            let name = pool.name();
            let message =
                format!("{taint:?} in nodeTaints of node pool {name} is not a taint that Azure accepts");
            let remedy = "use the form key=value:Effect with the effect NoSchedule, PreferNoSchedule or NoExecute, such as \
                 key=true:NoSchedule";
            findings.add(pool.key("nodeTaints"), message, remedy);
        }
    }
}

fn taints_without_value(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for pool in input.pools() {
        let taints = pool.spec.node_taints.iter().flatten();
        for taint in taints.filter(|taint| is_taint(taint) && taint.contains("=:")) {
            let name = pool.name();
            let message = format!(
                "{taint:?} in nodeTaints of node pool {name} has an empty value, which Azure may reject"
            );
            findings.add(pool.key("nodeTaints"), message, "give it a value, such as key=true:NoSchedule");
        }
    }
}

/// Whether a string is a name segment: a Kubernetes qualified name without its prefix.
fn is_name_segment(text: &str) -> bool {
    text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && has_alphanumeric_ends(text)
}

/// Whether a string is a Kubernetes qualified name, such as the key of a label or taint.
fn is_qualified_name(text: &str) -> bool {
    let is_host_part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    match text.split_once('/') {
        Some((host, name)) => host.len() <= 253 && host.split('.').all(is_host_part) && is_name_segment(name),
        None => is_name_segment(text),
    }
}

fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_segment(text)
}

fn is_taint(text: &str) -> bool {
    let Some((key_value, effect)) = text.rsplit_once(':') else { return false };
    let Some((key, value)) = key_value.split_once('=') else { return false };
    matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute")
        && is_qualified_name(key)
        && is_label_value(value)
}
