//! The data of Azure that a review needs.

use std::collections::BTreeSet;

use super::azure::Block;
use super::case::{Case, Purpose};
use super::pool::Pool;

/// The blocks that the review of a cluster reads.
pub(super) fn needed(case: &Case<'_>) -> BTreeSet<Block> {
    let spec = &case.spec;
    let mut blocks = BTreeSet::new();
    let mut need = |block: Block, when: bool| {
        if when {
            blocks.insert(block);
        }
    };
    let located = spec.resource_location.is_some();
    let named = spec.resource_group.is_some() && spec.cluster_name.is_some();
    let pools = case.pools();
    let grown = pools.iter().any(|pool| pool.growth() > 0);
    match case.purpose {
        Purpose::Import => {
            need(Block::Cluster, named);
            need(Block::Subscription, true);
            return blocks;
        }
        Purpose::Create => {
            need(Block::Cluster, named);
            need(Block::Subscription, true);
            need(Block::Permissions, named);
            need(Block::Provider, true);
            need(Block::Regions, located);
            need(Block::NodeGroup, spec.node_resource_group.is_some());
        }
        Purpose::Update(before) => {
            let unseen = before.upstream.is_none() && before.applied.is_none();
            // Azure has to change something, which it may deny to this credential.
            let changes = before.stored != case.requested;
            need(Block::Cluster, named && (unseen || grown || changes || case.versions_change()));
            need(Block::Subscription, changes);
            need(Block::Regions, located && unseen);
        }
    }
    let upgraded = pools.iter().any(Pool::is_upgraded);
    let sized = pools.iter().any(|pool| pool.is_new() && pool.spec.vm_size.is_some());
    need(Block::Versions, located && case.versions_change());
    need(Block::Sizes, located && (sized || grown || upgraded));
    need(Block::Usages, located && (grown || upgraded));
    need(Block::Networks, !case.networks().is_empty() && (grown || case.current.is_none()));
    blocks
}
