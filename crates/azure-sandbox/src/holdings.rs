//! What a subscription has: resource groups, networks, workspaces, clusters, and the long operations on them. This
//! is what requests change, and what a restart finds again.

mod settle;
mod work;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use work::Deed;
pub(crate) use work::{Trouble, Wanted, Work, date};

use super::endings::Final;
use super::json;

/// Long operations that are remembered after their end; Azure forgets them too.
const REMEMBERED: usize = 200;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Holdings {
    /// Whether anything is not as it was seeded. Only such holdings are kept.
    pub(crate) touched: bool,
    pub(crate) groups: Vec<Group>,
    pub(crate) networks: Vec<Resource>,
    pub(crate) workspaces: Vec<Resource>,
    pub(crate) clusters: Vec<Resource>,
    /// Oldest first.
    pub(crate) works: Vec<Work>,
    /// Resource providers that are not registered.
    pub(crate) unregistered: Vec<String>,
    /// Limits that differ from the usual ones: by region, by name of the quota.
    pub(crate) quotas: BTreeMap<String, BTreeMap<String, u32>>,
}

/// A resource group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) location: String,
    #[serde(default)]
    pub(crate) tags: Option<Value>,
    /// The cluster whose nodes are in it.
    #[serde(default)]
    pub(crate) managed_by: Option<String>,
    #[serde(default)]
    pub(crate) deleting: bool,
}

/// Something in a resource group, as the JSON that Azure answers with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) body: Value,
}

/// Where something of that name is among the resources of a group.
pub(crate) fn position(all: &[Resource], group: &str, name: &str) -> Option<usize> {
    all.iter().position(|it| it.group.eq_ignore_ascii_case(group) && it.name.eq_ignore_ascii_case(name))
}

pub(crate) fn find<'a>(all: &'a [Resource], group: &str, name: &str) -> Option<&'a Resource> {
    position(all, group, name).and_then(|index| all.get(index))
}

pub(crate) fn find_mut<'a>(all: &'a mut [Resource], group: &str, name: &str) -> Option<&'a mut Resource> {
    position(all, group, name).and_then(|index| all.get_mut(index))
}

impl Resource {
    /// `provisioningState`.
    pub(crate) fn state(&self) -> &str {
        json::text(&self.body, "/properties/provisioningState").unwrap_or_default()
    }

    pub(crate) fn set_state(&mut self, state: &str) {
        json::set(&mut self.body, "/properties/provisioningState", state);
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

    /// The host name of a cluster's API: the private one where there is one.
    pub(crate) fn api_host(&self) -> Option<String> {
        let host = |key: &str| json::text(&self.body, key).map(str::to_ascii_lowercase);
        host("/properties/privateFQDN").or_else(|| host("/properties/fqdn"))
    }
}

fn is_named(pool: &Value, name: &str) -> bool {
    json::text(pool, "/name").is_some_and(|known| known.eq_ignore_ascii_case(name))
}

/// Whether nothing goes on in what has this `provisioningState`.
pub(crate) fn is_at_rest(state: &str) -> bool {
    ["Succeeded", "Failed", "Canceled"].contains(&state)
}

impl Holdings {
    pub(crate) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn group_mut(&mut self, name: &str) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn is_registered(&self, provider: &str) -> bool {
        !self.unregistered.iter().any(|missing| missing.eq_ignore_ascii_case(provider))
    }

    /// The operations that are not over.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Work> {
        self.works.iter().filter(|work| work.ended_ms.is_none())
    }

    /// Everything in a group, and the group, is on its way out.
    pub(crate) fn mark_deleting(&mut self, group: &str, now_ms: i64) {
        self.preempt(now_ms, |work| work.group.eq_ignore_ascii_case(group));
        for all in [&mut self.clusters, &mut self.networks, &mut self.workspaces] {
            for resource in all.iter_mut().filter(|it| it.group.eq_ignore_ascii_case(group)) {
                resource.set_state("Deleting");
            }
        }
        if let Some(group) = self.group_mut(group) {
            group.deleting = true;
        }
    }

    /// Ends the running operations that give way to another one.
    pub(crate) fn preempt(&mut self, now_ms: i64, meant: impl Fn(&Work) -> bool) {
        for work in self.works.iter_mut().filter(|work| work.ended_ms.is_none() && meant(work)) {
            let text = "Cannot proceed with the operation: it has been preempted by another one.";
            work.interrupt(now_ms, Final::Failed, "NotLatestOperation", text);
        }
    }

    /// Remembers an operation, and forgets the oldest ones that are over.
    pub(crate) fn push(&mut self, work: Work) {
        self.works.push(work);
        if self.works.len() > REMEMBERED
            && let Some(oldest) = self.works.iter().position(|work| work.ended_ms.is_some())
        {
            self.works.remove(oldest);
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
