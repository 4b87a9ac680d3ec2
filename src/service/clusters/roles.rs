//! The roles of a caller in the clusters that it may see.

use std::collections::BTreeMap;

use aks::role::Role;

use super::{Cluster, Clusters, Result};
use crate::service::Caller;
use crate::store;

impl Clusters {
    /// The clusters that the caller may see, with its role in each.
    pub async fn list_with_roles(&self, caller: &Caller) -> Result<Vec<(Cluster, Role)>> {
        let clusters = self.list(caller).await?;
        if caller.admin {
            return Ok(clusters.into_iter().map(|cluster| (cluster, Role::Owner)).collect());
        }
        let memberships = store::members::list(&self.inner.store, None, Some(&caller.user_id)).await?;
        let mut roles = BTreeMap::<String, Role>::new();
        for row in memberships {
            if let Some(role) = Role::from_name(&row.role) {
                let strongest = roles.entry(row.cluster_id).or_insert(role);
                *strongest = role.max(*strongest);
            }
        }
        let role_in = |cluster: &Cluster| {
            if cluster.owner == caller.user_id { Some(Role::Owner) } else { roles.get(&cluster.id).copied() }
        };
        // A cluster without a role: the membership was deleted between the two queries.
        Ok(clusters.into_iter().filter_map(|cluster| role_in(&cluster).map(|role| (cluster, role))).collect())
    }
}
