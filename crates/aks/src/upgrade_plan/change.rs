//! The changes of `aksConfig` that start the upgrades of a plan. A PUT merges `aksConfig` key by key and replaces lists, so a
//! change of a node pool contains all pools of the user's configuration, with the versions of the earlier hops.

use serde_json::{Value, json};

use crate::spec::Object;

/// The change that upgrades the control plane.
pub(super) fn control_plane_change(to: &str) -> Object {
    Object::from_iter([("kubernetesVersion".to_owned(), to.into())])
}

/// The node pools of the specification after the hops so far.
pub(super) struct PlannedPools {
    pools: Vec<Value>,
}

impl PlannedPools {
    /// Starts with the pools of the stored `aksConfig`, as the user wrote them.
    pub(super) fn new(stored_pools: &[Value]) -> Self {
        Self { pools: stored_pools.to_vec() }
    }

    /// The change that upgrades a pool, after the changes of earlier hops. A pool that the user did not list is added with only
    /// its name and version.
    pub(super) fn upgrade_pool(&mut self, name: &str, to: &str) -> Object {
        let is_named = |pool: &&mut Value| pool.get("name").and_then(Value::as_str) == Some(name);
        match self.pools.iter_mut().find(is_named).and_then(Value::as_object_mut) {
            Some(pool) => drop(pool.insert("orchestratorVersion".to_owned(), to.into())),
            None => self.pools.push(json!({"name": name, "orchestratorVersion": to})),
        }
        Object::from_iter([("nodePools".to_owned(), self.pools.clone().into())])
    }
}
