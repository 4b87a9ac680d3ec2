//! The Azure data that a review needs.

use std::collections::BTreeSet;

use super::azure::Block;
use super::input::{Purpose, RuleInput};
use super::pool::Pool;

/// The blocks of Azure data that the review of a cluster reads.
pub(super) fn needed(input: &RuleInput<'_>) -> BTreeSet<Block> {
    let spec = &input.spec;
    let mut blocks = BTreeSet::new();
    let mut need = |block: Block, is_needed: bool| {
        if is_needed {
            blocks.insert(block);
        }
    };
    let has_region = spec.resource_location.is_some();
    let has_name = spec.resource_group.is_some() && spec.cluster_name.is_some();
    let pools = input.pools();
    let grows = pools.iter().any(|pool| pool.max_growth() > 0);
    match input.purpose {
        Purpose::Import => {
            need(Block::Cluster, has_name);
            need(Block::Subscription, true);
            return blocks;
        }
        Purpose::Create => {
            need(Block::Cluster, has_name);
            need(Block::Subscription, true);
            need(Block::Permissions, has_name);
            need(Block::Provider, true);
            need(Block::Regions, has_region);
            need(Block::NodeGroup, spec.node_resource_group.is_some());
        }
        Purpose::Update(before) => {
            let is_unobserved = before.upstream.is_none() && before.applied.is_none();
            // A change requires writes to Azure; these blocks show whether the credential permits them.
            let has_changes = before.stored != input.requested;
            need(
                Block::Cluster,
                has_name && (is_unobserved || grows || has_changes || input.has_version_change()),
            );
            need(Block::Subscription, has_changes);
            need(Block::Regions, has_region && is_unobserved);
        }
    }
    let has_upgrade = pools.iter().any(Pool::needs_upgrade);
    let has_new_size = pools.iter().any(|pool| pool.is_new() && pool.spec.vm_size.is_some());
    need(Block::Versions, has_region && input.has_version_change());
    need(Block::Sizes, has_region && (has_new_size || grows || has_upgrade));
    need(Block::Usages, has_region && (grows || has_upgrade));
    need(Block::Networks, !input.networks().is_empty() && (grows || input.current.is_none()));
    blocks
}
