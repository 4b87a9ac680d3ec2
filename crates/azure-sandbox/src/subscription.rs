//! The state of a subscription: resource groups, networks, workspaces, clusters, and the long-running operations on
//! them. Requests change it, and it survives a restart.

pub(crate) mod advance;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::json;
use crate::operation::{FinalStatus, LongOperation};

/// The number of long-running operations above which the oldest ended operation is removed; Azure also removes old ones.
const MAX_OPERATIONS: usize = 200;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SubscriptionState {
    /// Whether anything differs from the seed data. Unchanged subscriptions are not stored.
    pub(crate) touched: bool,
    pub(crate) groups: Vec<Group>,
    pub(crate) networks: Vec<Resource>,
    pub(crate) workspaces: Vec<Resource>,
    pub(crate) clusters: Vec<Resource>,
    /// Oldest first.
    #[serde(rename = "works")]
    pub(crate) operations: Vec<LongOperation>,
    /// Resource providers that are not registered.
    pub(crate) unregistered: Vec<String>,
    /// Changed limits by region and name of the quota.
    pub(crate) quotas: BTreeMap<String, BTreeMap<String, u32>>,
}

/// A resource group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) location: String,
    #[serde(default)]
    pub(crate) tags: Option<Value>,
    /// The ID of the cluster whose nodes are in the group.
    #[serde(default)]
    pub(crate) managed_by: Option<String>,
    #[serde(default)]
    pub(crate) deleting: bool,
}

/// A resource in a resource group, with the JSON that Azure returns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) body: Value,
}

/// The index of a resource by group and name.
pub(crate) fn position(resources: &[Resource], group: &str, name: &str) -> Option<usize> {
    resources.iter().position(|resource| resource.is_in(group) && resource.name.eq_ignore_ascii_case(name))
}

pub(crate) fn find<'a>(resources: &'a [Resource], group: &str, name: &str) -> Option<&'a Resource> {
    position(resources, group, name).and_then(|index| resources.get(index))
}

pub(crate) fn find_mut<'a>(
    resources: &'a mut [Resource],
    group: &str,
    name: &str,
) -> Option<&'a mut Resource> {
    position(resources, group, name).and_then(|index| resources.get_mut(index))
}

impl Resource {
    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.group.eq_ignore_ascii_case(group)
    }

    /// `provisioningState`.
    pub(crate) fn state(&self) -> &str {
        json::text(&self.body, "/properties/provisioningState").unwrap_or_default()
    }

    pub(crate) fn set_state(&mut self, state: &str) {
        json::set(&mut self.body, "/properties/provisioningState", state);
    }

    /// Sets the `provisioningState` of a cluster and of its pools.
    pub(crate) fn set_state_with_pools(&mut self, state: &str) {
        self.set_state(state);
        for pool in self.pools_mut().into_iter().flatten() {
            json::set(pool, "/provisioningState", state);
        }
    }

    pub(crate) fn location(&self) -> &str {
        json::text(&self.body, "/location").unwrap_or_default()
    }

    /// The profiles of a cluster's pools.
    pub(crate) fn pools(&self) -> &[Value] {
        json::list(&self.body, "/properties/agentPoolProfiles")
    }

    pub(crate) fn pools_mut(&mut self) -> Option<&mut Vec<Value>> {
        self.body.pointer_mut("/properties/agentPoolProfiles")?.as_array_mut()
    }

    pub(crate) fn pool(&self, name: &str) -> Option<&Value> {
        self.pools().iter().find(|pool| is_named(pool, name))
    }

    pub(crate) fn pool_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.pools_mut()?.iter_mut().find(|pool| is_named(pool, name))
    }

    /// The host name of a cluster's API; the private one of a private cluster.
    pub(crate) fn api_host(&self) -> Option<String> {
        let host = |key: &str| json::text(&self.body, key).map(str::to_ascii_lowercase);
        host("/properties/privateFQDN").or_else(|| host("/properties/fqdn"))
    }
}

/// Whether a pool or subnet has the name.
pub(crate) fn is_named(child: &Value, name: &str) -> bool {
    json::text(child, "/name").is_some_and(|child_name| child_name.eq_ignore_ascii_case(name))
}

/// Whether a `provisioningState` is final: no operation is running.
pub(crate) fn is_terminal(state: &str) -> bool {
    ["Succeeded", "Failed", "Canceled"].contains(&state)
}

impl SubscriptionState {
    pub(crate) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn group_mut(&mut self, name: &str) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn is_registered(&self, provider: &str) -> bool {
        !self.unregistered.iter().any(|missing| missing.eq_ignore_ascii_case(provider))
    }

    /// The running operations.
    pub(crate) fn running(&self) -> impl Iterator<Item = &LongOperation> {
        self.operations.iter().filter(|operation| operation.ended_ms.is_none())
    }

    /// Sets a group and everything in it to `Deleting`, and ends the running operations there.
    pub(crate) fn mark_deleting(&mut self, group: &str, now_ms: i64) {
        self.preempt(now_ms, |operation| operation.target.is_in_group(group));
        self.set_group_state(group, "Deleting", true);
    }

    /// Sets the state of all resources in a group, and whether the group is being deleted.
    fn set_group_state(&mut self, group: &str, state: &str, deleting: bool) {
        for resources in [&mut self.clusters, &mut self.networks, &mut self.workspaces] {
            for resource in resources.iter_mut().filter(|resource| resource.is_in(group)) {
                resource.set_state(state);
            }
        }
        if let Some(group) = self.group_mut(group) {
            group.deleting = deleting;
        }
    }

    /// Ends the running operations that another operation replaces.
    pub(crate) fn preempt(&mut self, now_ms: i64, is_replaced: impl Fn(&LongOperation) -> bool) {
        for operation in self
            .operations
            .iter_mut()
            .filter(|operation| operation.ended_ms.is_none() && is_replaced(operation))
        {
            let text = "Cannot proceed with the operation: it has been preempted by another one.";
            operation.interrupt(now_ms, FinalStatus::Failed, "NotLatestOperation", text);
        }
    }

    /// Adds an operation, and removes the oldest ended one if there are too many.
    pub(crate) fn push(&mut self, operation: LongOperation) {
        self.operations.push(operation);
        if self.operations.len() > MAX_OPERATIONS
            && let Some(oldest) = self.operations.iter().position(|operation| operation.ended_ms.is_some())
        {
            self.operations.remove(oldest);
        }
    }
}

impl Group {
    pub(crate) fn json(&self, subscription: &str) -> Value {
        let state = if self.deleting { "Deleting" } else { "Succeeded" };
        let mut body = json!({
            "id": format!("/subscriptions/{subscription}/resourceGroups/{}", self.name),
            "name": self.name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": self.location,
            "properties": {"provisioningState": state},
        });
        if let Some(tags) = &self.tags {
            json::set(&mut body, "/tags", tags.clone());
        }
        if let Some(owner) = &self.managed_by {
            json::set(&mut body, "/managedBy", owner.as_str());
        }
        body
    }
}
