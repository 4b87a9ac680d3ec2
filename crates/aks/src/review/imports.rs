//! Clusters that others made: where they really are, and what of them stays as others set it.

use super::Finding;
use super::case::{Case, Purpose};
use super::changes::CLUSTERS;
use super::rule::{Fault, Rule, Scope};
use crate::provision::imported::{Kept, kept};
use crate::regions::normalised;
use crate::spec::{AksConfig, given};

/// A cluster is in one region, and Azure is asked about that one.
const REGION: Rule = Rule::error("region-matches", CLUSTERS, region).about(Scope::Any).warning();

pub(super) const RULES: &[Rule] = &[
    REGION,
    Rule::error("entries-stay", "docs/contract/provisioning.md#import", entries_stay)
        .about(Scope::Existing)
        .warning(),
];

fn region(case: &Case<'_>) -> Vec<Fault> {
    let found = || Some(&case.azure.cluster.known()?.as_ref()?.spec);
    // A cluster that is to be made is nowhere yet, whatever is in its place.
    let own = match case.purpose {
        Purpose::Create => None,
        Purpose::Import | Purpose::Update(_) => case.current.or_else(found),
    };
    own.and_then(|own| misplaced_fault(case.said, own)).into_iter().collect()
}

fn misplaced_fault(stated: &AksConfig, own: &AksConfig) -> Option<Fault> {
    let (stated, own) = (given(stated.resource_location.as_ref())?, given(own.resource_location.as_ref())?);
    (normalised(stated) != normalised(own)).then(|| {
        Fault::new(
            "aksConfig.resourceLocation",
            format!("resourceLocation is {stated}, but the cluster is in {own}"),
            format!(
                "set resourceLocation to {own}; once the cluster is active, Azure is asked about {own} anyway"
            ),
        )
    })
}

/// The finding for a specification with another region than the one that Azure reports.
pub fn misplaced(stated: &AksConfig, upstream: &AksConfig) -> Option<Finding> {
    misplaced_fault(stated, upstream).map(|fault| REGION.finding(fault))
}

fn entries_stay(case: &Case<'_>) -> Vec<Fault> {
    let Purpose::Update(before) = case.purpose else { return Vec::new() };
    let (Some(current), Some(named)) = (case.current, before.named) else { return Vec::new() };
    if case.said.imported != Some(true) {
        return Vec::new();
    }
    let known = kept(before.stored, current, named);
    // What this change does not touch was told with the change that brought it.
    let new = kept(case.said, current, named).into_iter().filter(|kept| !known.contains(kept));
    new.map(|Kept { field, entries }| {
        let key = field.rsplit('.').next().unwrap_or(&field);
        let message = format!(
            "{key} leaves out {}, which was not set through this server, so it stays in Azure",
            entries.join(", ")
        );
        Fault::new(field, message, "remove it in Azure, or leave it")
    })
    .collect()
}
