//! The region of existing clusters, and entries of imported clusters that were not set through this server.

use super::finding::Finding;
use super::input::{Purpose, RuleInput};
use super::rule::{FieldFindings, Rule, Scope};
use super::sources::{IMPORT_DOC, MANAGED_CLUSTERS_DOC};
use crate::provision::imported::{RemainingEntries, remaining_entries};
use crate::regions::normalize;
use crate::spec::AksConfig;

const REGION_RULE: Rule = Rule::warning("region-matches", MANAGED_CLUSTERS_DOC, region).scope(Scope::Any);

pub(super) const RULES: &[Rule] =
    &[REGION_RULE, Rule::warning("entries-stay", IMPORT_DOC, entries_stay).scope(Scope::Existing)];

fn region(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let existing = || input.azure.existing().map(|existing| &existing.spec);
    let current = match input.purpose {
        // A cluster that is being created has no region yet, even if another one has the same name.
        Purpose::Create => None,
        Purpose::Import | Purpose::Update(_) => input.current.or_else(existing),
    };
    if let Some(current) = current {
        compare_regions(input.requested, current, findings);
    }
}

fn compare_regions(requested: &AksConfig, current: &AksConfig, findings: &mut FieldFindings) {
    let (Some(requested), Some(current)) = (&requested.resource_location, &current.resource_location) else {
        return;
    };
    if normalize(requested) != normalize(current) {
        let message = format!("resourceLocation is {requested}, but the cluster is in {current}");
        let remedy = format!(
            "set resourceLocation to {current}; once the cluster is active, {current} is used in any case"
        );
        findings.add("resourceLocation", message, remedy);
    }
}

/// The finding if the region in the specification differs from the one that Azure reports.
pub fn region_mismatch(requested: &AksConfig, upstream: &AksConfig) -> Option<Finding> {
    let mut findings = FieldFindings::default();
    compare_regions(requested, upstream, &mut findings);
    REGION_RULE.convert(findings).next()
}

fn entries_stay(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let Purpose::Update(before) = input.purpose else { return };
    let (Some(current), Some(user_entries), true) =
        (input.current, before.user_entries, input.requested.is_import())
    else {
        return;
    };
    // Entries that earlier changes omitted were reported then.
    let reported_before = remaining_entries(before.stored, current, user_entries);
    for RemainingEntries { field, entries } in remaining_entries(input.requested, current, user_entries) {
        let key = field.rsplit('.').next().unwrap_or(&field);
        let (problem, remedy) = match entries.len() {
            1 => (
                "which was not set through this server, so it stays in Azure",
                "remove it in Azure, or keep it",
            ),
            _ => (
                "which were not set through this server, so they stay in Azure",
                "remove them in Azure, or keep them",
            ),
        };
        let message = format!("{key} omits {}, {problem}", entries.join(", "));
        if !reported_before.contains(&RemainingEntries { field: field.clone(), entries }) {
            findings.add_at(field, message, remedy);
        }
    }
}
