//! The Azure data that a review needs.

use std::collections::BTreeSet;

use super::azure::DataPart;
use super::input::{Purpose, RuleInput};
use super::pool::Pool;

/// The parts of Azure's data that the review of a cluster reads.
pub(super) fn needed(input: &RuleInput<'_>) -> BTreeSet<DataPart> {
    let spec = &input.spec;
    let mut parts = BTreeSet::new();
    let mut need = |part: DataPart, is_needed: bool| {
        if is_needed {
            parts.insert(part);
        }
    };
    let has_region = spec.resource_location.is_some();
    let has_name = spec.resource_group.is_some() && spec.cluster_name.is_some();
    let pools = input.pools();
    let grows = pools.iter().any(|pool| pool.max_growth() > 0);
    match input.purpose {
        Purpose::Import => {
            need(DataPart::Cluster, has_name);
            need(DataPart::Subscription, true);
            return parts;
        }
        Purpose::Create => {
            need(DataPart::Cluster, has_name);
            need(DataPart::Subscription, true);
            need(DataPart::Permissions, has_name);
            need(DataPart::Provider, true);
            need(DataPart::Regions, has_region);
            need(DataPart::NodeGroup, spec.node_resource_group.is_some());
        }
        Purpose::Update(before) => {
            let is_unobserved = before.upstream.is_none() && before.applied.is_none();
            // A change requires writes to Azure; these parts show whether the credential permits them.
            let has_changes = before.stored != input.requested;
            need(
                DataPart::Cluster,
                has_name && (is_unobserved || grows || has_changes || input.has_version_change()),
            );
            need(DataPart::Subscription, has_changes);
            need(DataPart::Regions, has_region && is_unobserved);
        }
    }
    let has_upgrade = pools.iter().any(Pool::needs_upgrade);
    let has_new_size = pools.iter().any(|pool| pool.is_new() && pool.spec.vm_size.is_some());
    need(DataPart::Versions, has_region && input.has_version_change());
    need(DataPart::Sizes, has_region && (has_new_size || grows || has_upgrade));
    need(DataPart::Usages, has_region && (grows || has_upgrade));
    need(DataPart::Networks, !input.networks().is_empty() && (grows || input.current.is_none()));
    parts
}
