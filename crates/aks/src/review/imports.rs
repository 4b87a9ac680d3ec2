//! The region of existing clusters, and entries of imported clusters that were not set through this server.

use super::case::{Case, Purpose};
use super::finding::Finding;
use super::rule::{Faults, Rule, Scope};
use super::sources::{IMPORT, MANAGED_CLUSTERS};
use crate::provision::imported::{RemainingEntries, remaining_entries};
use crate::regions::normalize;
use crate::spec::AksConfig;

const REGION: Rule = Rule::warning("region-matches", MANAGED_CLUSTERS, region).scope(Scope::Any);

pub(super) const RULES: &[Rule] =
    &[REGION, Rule::warning("entries-stay", IMPORT, entries_stay).scope(Scope::Existing)];

fn region(case: &Case<'_>, faults: &mut Faults) {
    let existing = || case.azure.existing().map(|existing| &existing.spec);
    let current = match case.purpose {
        // A cluster that is being created has no region yet, even if another one has the same name.
        Purpose::Create => None,
        Purpose::Import | Purpose::Update(_) => case.current.or_else(existing),
    };
    if let Some(current) = current {
        compare_regions(case.requested, current, faults);
    }
}

fn compare_regions(requested: &AksConfig, current: &AksConfig, faults: &mut Faults) {
    let (Some(requested), Some(current)) = (&requested.resource_location, &current.resource_location) else {
        return;
    };
    if normalize(requested) != normalize(current) {
        let message = format!("resourceLocation is {requested}, but the cluster is in {current}");
        let remedy = format!(
            "set resourceLocation to {current}; once the cluster is active, {current} is used in any case"
        );
        faults.add("resourceLocation", message, remedy);
    }
}

/// The finding if the region in the specification differs from the one that Azure reports.
pub fn region_mismatch(requested: &AksConfig, upstream: &AksConfig) -> Option<Finding> {
    let mut faults = Faults::default();
    compare_regions(requested, upstream, &mut faults);
    REGION.convert(faults).next()
}

fn entries_stay(case: &Case<'_>, faults: &mut Faults) {
    let Purpose::Update(before) = case.purpose else { return };
    let (Some(current), Some(user_entries), true) =
        (case.current, before.user_entries, case.requested.is_import())
    else {
        return;
    };
    // Entries that earlier changes left out were reported then.
    let reported_before = remaining_entries(before.stored, current, user_entries);
    for RemainingEntries { field, entries } in remaining_entries(case.requested, current, user_entries) {
        let key = field.rsplit('.').next().unwrap_or(&field);
        let message = format!(
            "{key} leaves out {}, which was not set through this server and stays in Azure",
            entries.join(", ")
        );
        if !reported_before.contains(&RemainingEntries { field: field.clone(), entries }) {
            faults.add_at(field, message, "remove it in Azure, or leave it");
        }
    }
}
