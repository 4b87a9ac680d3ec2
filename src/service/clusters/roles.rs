//! What the caller is to the clusters that he sees.

use std::collections::BTreeMap;

use aks::role::Role;

use super::{Cluster, Clusters, Result};
use crate::service::Caller;
use crate::store;

impl Clusters {
    /// Every cluster that the caller may see, and what he is to it.
    pub async fn list_with_roles(&self, caller: &Caller) -> Result<Vec<(Cluster, Role)>> {
        let clusters = self.list(caller).await?;
        if caller.admin {
            return Ok(clusters.into_iter().map(|cluster| (cluster, Role::Owner)).collect());
        }
        let own = store::members::list(&self.inner.store, None, Some(&caller.user_id)).await?;
        let mut roles = BTreeMap::<String, Role>::new();
        for row in own {
            if let Some(role) = Role::of(&row.role) {
                let strongest = roles.entry(row.cluster_id).or_insert(role);
                *strongest = role.max(*strongest);
            }
        }
        let role = |cluster: &Cluster| {
            if cluster.owner == caller.user_id { Some(Role::Owner) } else { roles.get(&cluster.id).copied() }
        };
        // A part that ended between the two looks leaves no role.
        Ok(clusters.into_iter().filter_map(|cluster| role(&cluster).map(|role| (cluster, role))).collect())
    }
}
