//! The cluster under review: its effective specification, its state before a change, and functions that many rules share.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::azure::{AzureData, NetworkRef};
use super::pool::Pool;
use super::unknown_field::UnknownField;
use crate::cluster_details::ClusterDetails;
use crate::provision::imported::UserEntries;
use crate::spec::{AksConfig, NodePool};
use crate::versions;

/// The input of a review.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The specification, with the change merged into it.
    pub spec: &'a AksConfig,
    /// The purpose of the review.
    pub purpose: Purpose<'a>,
    /// The ID of the cluster object, if it has one.
    pub id: Option<&'a str>,
    /// The subscription of the credential.
    pub subscription_id: Option<&'a str>,
    /// Whether project network isolation is requested.
    pub isolation: bool,
    /// Whether errors that depend on Azure's responses become warnings.
    pub advise: bool,
    /// Unknown keys in the request.
    pub unknown_fields: &'a [UnknownField],
    /// Times and other facts.
    pub facts: Facts,
}

/// The purpose of a specification.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// A cluster to be created.
    Create,
    /// An existing cluster to be registered.
    Import,
    /// A change of a cluster object.
    Update(Before<'a>),
}

/// The state of a cluster before a change.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// The stored specification.
    pub stored: &'a AksConfig,
    /// The last fully applied specification.
    pub applied: Option<&'a AksConfig>,
    /// The observed state.
    pub upstream: Option<&'a AksConfig>,
    /// The other observed properties.
    pub details: &'a ClusterDetails,
    /// The entries of lists and maps of an imported cluster that belong to its user.
    pub user_entries: Option<&'a UserEntries>,
    /// Whether project network isolation was requested.
    pub isolation: bool,
}

/// Times in milliseconds since 1970, and other facts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// The current time.
    pub now_ms: i64,
    /// The time of the last change of the stored credential.
    pub credential_changed_ms: Option<i64>,
    /// The creation time of the cluster object.
    pub cluster_created_ms: Option<i64>,
    /// Whether the request contains the credential, so that the specification need not reference one.
    pub credential_sent_along: bool,
}

/// The input of the rules.
pub(super) struct RuleInput<'a> {
    /// The effective specification: unset keys have Azure's values.
    pub(super) spec: AksConfig,
    /// The requested specification.
    pub(super) requested: &'a AksConfig,
    /// The cluster in Azure, if it exists.
    pub(super) current: Option<&'a AksConfig>,
    /// Other properties of the cluster in Azure, read for this request or, if they could not be read, in the last observation.
    details: Option<&'a ClusterDetails>,
    pub(super) purpose: Purpose<'a>,
    pub(super) id: Option<&'a str>,
    subscription_id: Option<&'a str>,
    pub(super) isolation: bool,
    pub(super) unknown_fields: &'a [UnknownField],
    pub(super) facts: Facts,
    pub(super) azure: &'a AzureData,
}

impl<'a> RuleInput<'a> {
    pub(super) fn new(subject: &Subject<'a>, azure: &'a AzureData) -> Self {
        let current = match subject.purpose {
            Purpose::Create | Purpose::Import => None,
            Purpose::Update(before) => before.upstream.or(before.applied).or_else(|| {
                let existing = azure.existing()?;
                (!existing.failed).then_some(&existing.spec)
            }),
        };
        let read_details = azure.existing().map(|existing| &existing.details);
        let details = match subject.purpose {
            Purpose::Create | Purpose::Import => None,
            Purpose::Update(before) => Some(read_details.unwrap_or(before.details)),
        };
        let mut spec = current
            .map_or_else(|| subject.spec.clone(), |current| with_current_values(subject.spec, current));
        // The region of an existing cluster cannot change.
        if let Some(region) = current.and_then(|current| current.resource_location.clone()) {
            spec.resource_location = Some(region);
        }
        Self {
            details: details.filter(|_| current.is_some()),
            spec,
            requested: subject.spec,
            current,
            purpose: subject.purpose,
            id: subject.id,
            subscription_id: subject.subscription_id,
            isolation: subject.isolation,
            unknown_fields: subject.unknown_fields,
            facts: subject.facts,
            azure,
        }
    }

    /// The running version of the cluster.
    pub(super) fn running_version(&self) -> Option<&'a str> {
        let running = self.details.and_then(|details| details.running_version.as_deref());
        running.or_else(|| self.current?.kubernetes_version.as_deref())
    }

    /// Whether the cluster has long-term support.
    pub(super) fn long_term(&self) -> bool {
        self.details.is_some_and(|details| details.long_term)
    }

    /// Whether pods of the cluster have addresses from their own range instead of the subnet's.
    pub(super) fn is_overlay(&self) -> bool {
        self.details.is_some_and(|details| details.overlay)
    }

    /// Whether pods of a pool get addresses from the subnet of its nodes: with Azure CNI, unless it is an overlay or pods have
    /// their own subnet. A new pool is treated like the other pools.
    pub(super) fn pods_in_node_subnet(&self, pool: &NodePool) -> bool {
        let exists = |name: &&String| self.current.is_some_and(|current| current.pool(name).is_some());
        let has_pod_subnet = self.details.is_some_and(|details| match pool.name.as_ref().filter(exists) {
            Some(name) => details.pod_subnet_pools.contains(name),
            None => !details.pod_subnet_pools.is_empty(),
        });
        self.network_plugin() == "azure" && !self.is_overlay() && !has_pod_subnet
    }

    /// The stored specification.
    pub(super) fn stored(&self) -> Option<&'a AksConfig> {
        match self.purpose {
            Purpose::Update(before) => Some(before.stored),
            Purpose::Create | Purpose::Import => None,
        }
    }

    /// Whether this is an import whose state in Azure is not known yet, so that only the keys that identify it are required.
    pub(super) fn is_import(&self) -> bool {
        self.current.is_none() && (matches!(self.purpose, Purpose::Import) || self.requested.is_import())
    }

    /// The name of the cluster in Rancher's messages.
    pub(super) fn display_name(&self) -> String {
        let name = self.spec.cluster_name.as_deref().unwrap_or_default();
        self.id.map_or_else(|| name.to_owned(), |id| format!("{name} (id: {id})"))
    }

    /// The region; Azure's value if the cluster exists.
    pub(super) fn region(&self) -> &str {
        self.azure_region().or(self.spec.resource_location.as_deref()).unwrap_or_default()
    }

    /// The region of the cluster in Azure.
    pub(super) fn azure_region(&self) -> Option<&str> {
        let details = self.azure.existing().map(|existing| &existing.details);
        let details = details.filter(|_| !matches!(self.purpose, Purpose::Create));
        details.or(self.details).and_then(|details| details.region.as_deref())
    }

    /// The resource group of the nodes in Azure.
    pub(super) fn node_resource_group(&self) -> Option<&str> {
        self.details.and_then(|details| details.node_resource_group.as_deref())
    }

    /// The pools of the effective specification, with their requested, current and stored states.
    pub(super) fn pools(&self) -> Vec<Pool<'_>> {
        let find = |config: Option<&'a AksConfig>, pool: &NodePool| config?.pool(pool.name.as_deref()?);
        let pools = self.spec.pools().iter().enumerate();
        pools
            .map(|(index, pool)| Pool {
                index,
                spec: pool,
                requested: self.requested.pools().get(index),
                current: find(self.current, pool),
                stored: find(self.stored(), pool),
                reported_version: self
                    .details
                    .and_then(|details| details.pool_versions.get(pool.name.as_ref()?)),
            })
            .collect()
    }

    /// The pools of the cluster in Azure.
    pub(super) fn current_pools(&self) -> &'a [NodePool] {
        self.current.map_or(&[], AksConfig::pools)
    }

    /// The network plugin in lower case.
    pub(super) fn network_plugin(&self) -> String {
        self.spec.network_plugin.as_deref().unwrap_or("kubenet").to_ascii_lowercase()
    }

    /// The route of outgoing traffic in the effective specification.
    pub(super) fn outbound(&self) -> Outbound {
        match self.spec.outbound_type.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("loadbalancer") => Outbound::LoadBalancer,
            Some("userdefinedrouting") => Outbound::UserDefinedRouting,
            Some("managednatgateway") => Outbound::ManagedNatGateway,
            Some("userassignednatgateway") => Outbound::UserAssignedNatGateway,
            Some(other) => Outbound::Other(other.to_owned()),
        }
    }

    /// Whether the cluster is in the user's own network.
    pub(super) fn has_own_network(&self) -> bool {
        let mut pools = self.spec.pools().iter().chain(self.current_pools());
        pools.any(|pool| pool.vnet_subnet_id.is_some())
            || subnet_of_cluster(self.current.unwrap_or(&self.spec)).is_some()
    }

    /// The subnet of a pool in the user's own network. A new pool without a subnet in an existing cluster gets the subnet of the
    /// other pools, as in [`manifest::pool`](crate::provision::manifest::pool).
    pub(super) fn subnet_of(&self, pool: &NodePool) -> Option<SubnetRef> {
        if let Some(id) = &pool.vnet_subnet_id {
            return self.subnet_by_id(id);
        }
        let Some(current) = self.current else { return subnet_of_cluster(&self.spec) };
        let pools_with_subnet =
            || current.pools().iter().filter_map(|other| Some((other, other.vnet_subnet_id.as_deref()?)));
        let Some((_, first_subnet)) = pools_with_subnet().next() else { return subnet_of_cluster(current) };
        if pool.name.as_ref().is_some_and(|name| current.pool(name).is_some()) {
            return None;
        }
        let specified_subnet = subnet_of_cluster(&self.spec).filter(|subnet| {
            pools_with_subnet()
                .filter_map(|(_, id)| self.subnet_by_id(id))
                .any(|other| other.network == subnet.network)
        });
        let system_subnet =
            pools_with_subnet().find(|(other, _)| other.is_system()).map_or(first_subnet, |(_, id)| id);
        specified_subnet.or_else(|| self.subnet_by_id(system_subnet))
    }

    /// Parses a subnet ID. The subscription is omitted if it is that of the cluster.
    fn subnet_by_id(&self, id: &str) -> Option<SubnetRef> {
        let mut subnet = SubnetRef::parse(id)?;
        let subscription_id = self.subscription_id.map(str::to_lowercase);
        subnet.network.subscription =
            subnet.network.subscription.filter(|id| Some(id) != subscription_id.as_ref());
        Some(subnet)
    }

    /// The networks of all pools.
    pub(super) fn networks(&self) -> BTreeSet<NetworkRef> {
        let subnets = self.spec.pools().iter().filter_map(|pool| self.subnet_of(pool));
        subnets.map(|subnet| subnet.network).collect()
    }

    /// Whether a requested version differs from the running one.
    pub(super) fn has_version_change(&self) -> bool {
        let differs = |desired: Option<&str>, running: Option<&str>| {
            desired.is_some_and(|desired| running.is_none_or(|running| !versions::is_same(desired, running)))
        };
        differs(self.spec.kubernetes_version.as_deref(), self.running_version())
            || self.pools().iter().any(|pool| differs(pool.version(), pool.running_version()))
    }
}

/// The route of outgoing traffic.
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
    /// Parses a resource ID.
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
        let is_complete = [*subscription, *group, *network, *subnet].iter().all(|part| !part.is_empty());
        is_complete.then(|| Self {
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
    let (group, network) = (config.network_group()?, config.virtual_network.as_ref()?);
    Some(SubnetRef {
        network: NetworkRef { subscription: None, group: group.to_lowercase(), name: network.to_lowercase() },
        subnet: config.subnet.as_ref()?.to_lowercase(),
    })
}

/// Adds the values of `current` for unset keys and empty lists to `requested`; pools are matched by name.
fn with_current_values(requested: &AksConfig, current: &AksConfig) -> AksConfig {
    let (mut spec, current) = (json!(requested), json!(current));
    let current_pools = current.get("nodePools").and_then(Value::as_array).cloned().unwrap_or_default();
    for pool in spec.get_mut("nodePools").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(current_pool) = current_pools.iter().find(|other| other.get("name") == pool.get("name")) {
            add_missing_values(pool, current_pool);
        }
    }
    add_missing_values(&mut spec, &current);
    // Both values were serialized from `AksConfig`.
    serde_json::from_value(spec).unwrap_or_default()
}

fn add_missing_values(spec: &mut Value, current: &Value) {
    let (Some(spec), Some(current)) = (spec.as_object_mut(), current.as_object()) else { return };
    for (key, value) in current {
        if spec.get(key).is_none_or(|value| value.as_array().is_some_and(Vec::is_empty)) {
            spec.insert(key.clone(), value.clone());
        }
    }
}
