//! The region of existing clusters, and entries of imported clusters that others have set.

use super::case::{Case, Purpose};
use super::finding::Finding;
use super::rule::{Faults, Rule, Scope};
use super::sources::{IMPORT, MANAGED_CLUSTERS};
use crate::provision::imported::{Kept, kept};
use crate::regions::normalised;
use crate::spec::AksConfig;

const REGION: Rule = Rule::warning("region-matches", MANAGED_CLUSTERS, region).about(Scope::Any);

pub(super) const RULES: &[Rule] =
    &[REGION, Rule::warning("entries-stay", IMPORT, entries_stay).about(Scope::Existing)];

fn region(case: &Case<'_>, faults: &mut Faults) {
    let found = || Some(&case.azure.cluster.known()?.as_ref()?.spec);
    let own = match case.purpose {
        // A cluster that is being created has no region yet, even if another one has the same name.
        Purpose::Create => None,
        Purpose::Import | Purpose::Update(_) => case.current.or_else(found),
    };
    if let Some(own) = own {
        compare_regions(case.requested, own, faults);
    }
}

fn compare_regions(requested: &AksConfig, own: &AksConfig, faults: &mut Faults) {
    let (Some(requested), Some(own)) = (&requested.resource_location, &own.resource_location) else { return };
    if normalised(requested) != normalised(own) {
        let message = format!("resourceLocation is {requested}, but the cluster is in {own}");
        let remedy =
            format!("set resourceLocation to {own}; once the cluster is active, {own} is used in any case");
        faults.add("resourceLocation", message, remedy);
    }
}

/// The finding if the region in the specification differs from the one that Azure reports.
pub fn misplaced(requested: &AksConfig, upstream: &AksConfig) -> Option<Finding> {
    let mut faults = Faults::default();
    compare_regions(requested, upstream, &mut faults);
    REGION.convert(faults).next()
}

fn entries_stay(case: &Case<'_>, faults: &mut Faults) {
    let Purpose::Update(before) = case.purpose else { return };
    let (Some(current), Some(named), true) = (case.current, before.named, case.requested.is_import()) else {
        return;
    };
    // The others were reported by earlier changes.
    let known = kept(before.stored, current, named);
    for Kept { field, entries } in kept(case.requested, current, named) {
        let key = field.rsplit('.').next().unwrap_or(&field);
        let message = format!(
            "{key} leaves out {}, which was not set through this server and stays in Azure",
            entries.join(", ")
        );
        if !known.contains(&Kept { field: field.clone(), entries }) {
            faults.add_at(field, message, "remove it in Azure, or leave it");
        }
    }
}
