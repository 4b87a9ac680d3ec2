//! What is judged: the specification as it will count, what stood before, and helpers that many rules share.

use std::collections::BTreeSet;

use serde_json::Value;

use super::azure::{AzureData, NetworkRef};
use super::pool::{Pool, is_system};
use super::unknown::UnknownField;
use crate::cluster_details::ClusterDetails;
use crate::provision::imported::Named;
use crate::spec::{AksConfig, NodePool, given, network_group};
use crate::versions;

/// What is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What the user wants, after a change is merged in.
    pub spec: &'a AksConfig,
    /// What it is for.
    pub purpose: Purpose<'a>,
    /// The id of the cluster object, once it has one.
    pub id: Option<&'a str>,
    /// The subscription of the credential.
    pub subscription_id: Option<&'a str>,
    /// Whether project network isolation is asked for.
    pub isolation: bool,
    /// Whether errors that rest on what Azure said only warn.
    pub advise: bool,
    /// Keys of the request that no field has.
    pub unknown: &'a [UnknownField],
    /// What is known besides.
    pub facts: Facts,
}

/// What the specification is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// A cluster that is to be made.
    Create,
    /// A cluster that exists and is to be registered.
    Import,
    /// A change of a cluster object.
    Update(Before<'a>),
}

/// How a cluster was before a change.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// What its user wanted.
    pub stored: &'a AksConfig,
    /// What was wanted when everything was last brought about.
    pub applied: Option<&'a AksConfig>,
    /// What Azure said it is.
    pub upstream: Option<&'a AksConfig>,
    /// What else Azure said.
    pub details: &'a ClusterDetails,
    /// Entries of lists and maps of an import that its user named.
    pub named: Option<&'a Named>,
    /// Whether project network isolation was asked for.
    pub isolation: bool,
}

/// Times and circumstances. Milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Now.
    pub now_ms: i64,
    /// When the stored credential was last changed.
    pub credential_changed_ms: Option<i64>,
    /// When the cluster object was made.
    pub cluster_created_ms: Option<i64>,
    /// The credential was sent along, so the specification need not name one.
    pub credential_sent_along: bool,
}

/// The subject in the form in which rules look at it.
pub(super) struct Case<'a> {
    /// What will count: what is not said is as it is in Azure.
    pub(super) spec: AksConfig,
    /// What is said.
    pub(super) said: &'a AksConfig,
    /// The cluster as it is in Azure, once it is there.
    pub(super) current: Option<&'a AksConfig>,
    /// What else is known of the cluster in Azure, as it was just read or else as it was last seen.
    details: Option<&'a ClusterDetails>,
    pub(super) purpose: Purpose<'a>,
    pub(super) id: Option<&'a str>,
    subscription_id: Option<&'a str>,
    pub(super) isolation: bool,
    pub(super) unknown: &'a [UnknownField],
    pub(super) facts: Facts,
    pub(super) azure: &'a AzureData,
}

impl<'a> Case<'a> {
    pub(super) fn new(subject: &Subject<'a>, azure: &'a AzureData) -> Self {
        let current = match subject.purpose {
            Purpose::Create | Purpose::Import => None,
            Purpose::Update(before) => before.upstream.or(before.applied).or_else(|| {
                let found = azure.cluster.known()?.as_ref()?;
                (!found.failed).then_some(&found.spec)
            }),
        };
        let found = azure.cluster.known().and_then(Option::as_ref).map(|found| &found.details);
        let details = match subject.purpose {
            Purpose::Create | Purpose::Import => None,
            Purpose::Update(before) => Some(found.unwrap_or(before.details)),
        };
        let mut spec = current.map_or_else(|| subject.spec.clone(), |current| filled(subject.spec, current));
        // A cluster is where it is, whatever is said of it.
        if let Some(own) = current.and_then(|current| given(current.resource_location.as_ref())) {
            spec.resource_location = Some(own.to_owned());
        }
        Self {
            details: details.filter(|_| current.is_some()),
            spec,
            said: subject.spec,
            current,
            purpose: subject.purpose,
            id: subject.id,
            subscription_id: subject.subscription_id,
            isolation: subject.isolation,
            unknown: subject.unknown,
            facts: subject.facts,
            azure,
        }
    }

    /// The version that the cluster runs.
    pub(super) fn running(&self) -> Option<&'a str> {
        let running = self.details.and_then(|details| details.running_version.as_deref());
        running.or_else(|| given(self.current?.kubernetes_version.as_ref()))
    }

    /// Whether the cluster has long-term support.
    pub(super) fn long_term(&self) -> bool {
        self.details.is_some_and(|details| details.long_term)
    }

    /// Whether pods of the cluster have addresses of their own range instead of the subnet's.
    pub(super) fn overlay(&self) -> bool {
        self.details.is_some_and(|details| details.overlay)
    }

    /// Whether pods of a pool have addresses of the subnet that its nodes are in: with Azure CNI, unless it is an overlay or
    /// pods have a subnet of their own. A new pool gets what the other pools have.
    pub(super) fn pods_in_node_subnet(&self, pool: &NodePool) -> bool {
        let pod_subnets = self.details.map(|details| &details.pod_subnet_pools);
        let is_known =
            self.current.iter().flat_map(|it| it.node_pools.iter().flatten()).any(|it| it.name == pool.name);
        let elsewhere = pod_subnets.is_some_and(|pools| match &pool.name {
            Some(name) if is_known => pools.contains(name),
            _ => !pools.is_empty(),
        });
        self.plugin() == "azure" && !self.overlay() && !elsewhere
    }

    /// What the user wanted before.
    pub(super) fn stored(&self) -> Option<&'a AksConfig> {
        match self.purpose {
            Purpose::Update(before) => Some(before.stored),
            Purpose::Create | Purpose::Import => None,
        }
    }

    /// Whether a cluster that exists is registered of which nothing is known yet: then nothing is missing.
    pub(super) fn is_import(&self) -> bool {
        self.current.is_none()
            && (matches!(self.purpose, Purpose::Import) || self.said.imported == Some(true))
    }

    /// The name of the cluster as Rancher's messages have it.
    pub(super) fn named(&self) -> String {
        let name = self.spec.cluster_name.as_deref().unwrap_or_default();
        self.id.map_or_else(|| name.to_owned(), |id| format!("{name} (id: {id})"))
    }

    /// The region, normalised: Azure's, once the cluster is there.
    pub(super) fn region(&self) -> &str {
        self.azure_region().or(self.spec.resource_location.as_deref()).unwrap_or_default()
    }

    /// The region that Azure says the cluster is in.
    pub(super) fn azure_region(&self) -> Option<&str> {
        let found = self.azure.cluster.known().and_then(Option::as_ref).map(|found| &found.details);
        let found = found.filter(|_| !matches!(self.purpose, Purpose::Create));
        found.or(self.details).and_then(|details| details.region.as_deref())
    }

    /// The resource group of the nodes, as Azure says it.
    pub(super) fn node_resource_group(&self) -> Option<&str> {
        self.details.and_then(|details| details.node_resource_group.as_deref())
    }

    pub(super) fn pools(&self) -> Vec<Pool<'_>> {
        let of_name = |pools: Option<&'a AksConfig>, pool: &NodePool| {
            let pools = pools.and_then(|it| it.node_pools.as_deref()).unwrap_or_default();
            pools.iter().find(|it| it.name.is_some() && it.name == pool.name)
        };
        let pools = self.spec.node_pools.iter().flatten().enumerate();
        pools
            .map(|(index, pool)| Pool {
                index,
                wanted: pool,
                said: self.said.node_pools.as_ref().and_then(|pools| pools.get(index)),
                current: of_name(self.current, pool),
                stored: of_name(self.stored(), pool),
                reported_version: self.details.and_then(|it| it.pool_versions.get(pool.name.as_ref()?)),
            })
            .collect()
    }

    /// The plugin, in lower case: Azure's when none is said.
    pub(super) fn plugin(&self) -> String {
        lower(self.spec.network_plugin.as_ref()).unwrap_or_else(|| "kubenet".to_owned())
    }

    pub(super) fn outbound(&self) -> Outbound {
        match lower(self.spec.outbound_type.as_ref()).as_deref() {
            None | Some("loadbalancer") => Outbound::LoadBalancer,
            Some("userdefinedrouting") => Outbound::UserDefinedRouting,
            Some("managednatgateway") => Outbound::ManagedNatGateway,
            Some("userassignednatgateway") => Outbound::UserAssignedNatGateway,
            Some(other) => Outbound::Other(other.to_owned()),
        }
    }

    /// Whether the cluster is in a network of the user's.
    pub(super) fn own_network(&self) -> bool {
        let pools = [Some(&self.spec), self.current]
            .into_iter()
            .flatten()
            .flat_map(|it| it.node_pools.iter().flatten());
        pools.clone().any(|pool| given(pool.vnet_subnet_id.as_ref()).is_some())
            || subnet_of_cluster(self.current.unwrap_or(&self.spec)).is_some()
    }

    /// The subnet that a pool is in, when it is the user's. In a cluster that exists, a new pool without a subnet of its own
    /// gets that of the others, as `manifest` sends it.
    pub(super) fn subnet_of(&self, pool: &NodePool) -> Option<SubnetRef> {
        if let Some(id) = given(pool.vnet_subnet_id.as_ref()) {
            return self.subnet_by_id(id);
        }
        let Some(current) = self.current else { return subnet_of_cluster(&self.spec) };
        let others = current.node_pools.iter().flatten();
        let ids = || others.clone().filter_map(|other| Some((other, given(other.vnet_subnet_id.as_ref())?)));
        let Some((_, first)) = ids().next() else { return subnet_of_cluster(current) };
        if others.clone().any(|other| other.name.is_some() && other.name == pool.name) {
            return None;
        }
        let said = subnet_of_cluster(&self.spec);
        let in_said_network = said.filter(|said| {
            ids().filter_map(|(_, id)| self.subnet_by_id(id)).any(|other| other.network == said.network)
        });
        let system = ids().find(|(other, _)| is_system(other)).map_or(first, |(_, id)| id);
        in_said_network.or_else(|| self.subnet_by_id(system))
    }

    fn subnet_by_id(&self, id: &str) -> Option<SubnetRef> {
        let mut subnet = SubnetRef::parse(id)?;
        let own = self.subscription_id.map(str::to_lowercase);
        subnet.network.subscription = subnet.network.subscription.filter(|it| Some(it) != own.as_ref());
        Some(subnet)
    }

    /// The networks of all pools.
    pub(super) fn networks(&self) -> BTreeSet<NetworkRef> {
        let pools = self.spec.node_pools.iter().flatten();
        pools.filter_map(|pool| self.subnet_of(pool)).map(|subnet| subnet.network).collect()
    }

    /// Whether a version is asked for that does not run.
    pub(super) fn versions_change(&self) -> bool {
        let changes = |wanted: Option<&str>, running: Option<&str>| {
            wanted.is_some_and(|wanted| running.is_none_or(|running| !versions::is_same(wanted, running)))
        };
        changes(given(self.spec.kubernetes_version.as_ref()), self.running())
            || self.pools().iter().any(|pool| changes(pool.version(), pool.running()))
    }

    /// Whether the cluster's network, or what must not overlap with it, is not settled yet.
    pub(super) fn networks_change(&self) -> bool {
        self.current.is_none()
    }
}

/// How traffic leaves the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outbound {
    LoadBalancer,
    UserDefinedRouting,
    ManagedNatGateway,
    UserAssignedNatGateway,
    Other(String),
}

/// A subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SubnetRef {
    pub(super) network: NetworkRef,
    /// In lower case.
    pub(super) subnet: String,
}

impl SubnetRef {
    /// Reads a resource id.
    pub(super) fn parse(id: &str) -> Option<Self> {
        let lower = id.to_lowercase();
        let parts: Vec<&str> = lower.strip_prefix('/')?.split('/').collect();
        let [
            "subscriptions",
            subscription,
            "resourcegroups",
            group,
            "providers",
            "microsoft.network",
            "virtualnetworks",
            network,
            "subnets",
            subnet,
        ] = parts.as_slice()
        else {
            return None;
        };
        let named = [*subscription, *group, *network, *subnet].iter().all(|part| !part.is_empty());
        named.then(|| Self {
            network: NetworkRef {
                subscription: Some((*subscription).to_owned()),
                group: (*group).to_owned(),
                name: (*network).to_owned(),
            },
            subnet: (*subnet).to_owned(),
        })
    }
}

/// The subnet that `virtualNetwork` and `subnet` name.
fn subnet_of_cluster(config: &AksConfig) -> Option<SubnetRef> {
    let group = network_group(config)?;
    let (network, subnet) = (given(config.virtual_network.as_ref())?, given(config.subnet.as_ref())?);
    Some(SubnetRef {
        network: NetworkRef { subscription: None, group: group.to_lowercase(), name: network.to_lowercase() },
        subnet: subnet.to_lowercase(),
    })
}

/// The text in lower case, unless it is not set.
pub(super) fn lower(text: Option<&String>) -> Option<String> {
    given(text).map(str::to_ascii_lowercase)
}

/// `said`, and `current` where it says nothing; pools by name.
fn filled(said: &AksConfig, current: &AksConfig) -> AksConfig {
    let (mut said, current) = (serde_json::json!(said), serde_json::json!(current));
    let under = current.get("nodePools").and_then(Value::as_array).cloned().unwrap_or_default();
    for pool in said.get_mut("nodePools").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(same) = under.iter().find(|it| it.get("name") == pool.get("name")) {
            fill(pool, same);
        }
    }
    fill(&mut said, &current);
    // Both came from the type that they go back to.
    serde_json::from_value(said).unwrap_or_default()
}

fn fill(said: &mut Value, current: &Value) {
    let (Some(said), Some(current)) = (said.as_object_mut(), current.as_object()) else { return };
    for (key, value) in current {
        let unsaid = said.get(key).is_none_or(|it| it == "" || it.as_array().is_some_and(Vec::is_empty));
        if unsaid {
            said.insert(key.clone(), value.clone());
        }
    }
}
