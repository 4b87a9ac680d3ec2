//! The networks and subnets of node pools: whether they exist, can be used, and do not overlap with the cluster's ranges.

use ipnet::IpNet;

use super::azure::{DataPart, items_or_empty};
use super::cidr;
use super::input::{Outbound, RuleInput, SubnetRef};
use super::networks::{Range, ranges};
use super::pool::Pool;
use super::rule::{FieldFindings, Rule, Scope};
use super::sources::{CNI_PREREQUISITES_DOC, OUTBOUND_DOC, PLANNING_DOC, SERVICE_OVERLAP_DOC, learn};
use crate::arm::{Subnet, SubnetProperties, VirtualNetwork};
use crate::regions;

const ROUTE_TABLES_DOC: &str = learn!(
    "Use kubenet networking in AKS, bring your own subnet and route table",
    "azure/aks/configure-kubenet#bring-your-own-subnet-and-route-table-with-kubenet"
);
const UNIQUE_SUBNETS_DOC: &str =
    learn!("Create node pools with unique subnets, limitations", "azure/aks/node-pool-unique-subnet");
const POOL_WITHOUT_SUBNET_DOC: &str = "Azure: AKS issue 2927, The Agentpool does not have subnet defined, https://github.com/Azure/AKS/issues/2927";

pub(super) const RULES: &[Rule] = &[
    Rule::error("subnets-mixed", POOL_WITHOUT_SUBNET_DOC, mixed_subnets),
    Rule::error("subnets-one-network", UNIQUE_SUBNETS_DOC, one_network),
    Rule::error("network-exists", PLANNING_DOC, subnet_exists).needs(&[DataPart::Networks]),
    Rule::error("network-region", PLANNING_DOC, network_region).needs(&[DataPart::Networks]),
    Rule::error("network-reserved", CNI_PREREQUISITES_DOC, network_reserved).needs(&[DataPart::Networks]),
    Rule::error("network-apart", SERVICE_OVERLAP_DOC, overlap_with_subnet).needs(&[DataPart::Networks]),
    Rule::warning("network-space-apart", PLANNING_DOC, overlap_with_address_space)
        .needs(&[DataPart::Networks])
        .scope(Scope::New),
    Rule::error("subnet-delegated", CNI_PREREQUISITES_DOC, delegated_subnet).needs(&[DataPart::Networks]),
    Rule::error("subnet-way-out", OUTBOUND_DOC, outbound).needs(&[DataPart::Networks]),
    Rule::error("subnet-route-table", ROUTE_TABLES_DOC, route_table)
        .needs(&[DataPart::Networks])
        .scope(Scope::New),
];

/// A subnet with the pools in it.
pub(super) struct UsedSubnet<'a> {
    pub(super) subnet: SubnetRef,
    /// In the order of the specification; never empty.
    pub(super) pools: Vec<Pool<'a>>,
    network: Option<&'a VirtualNetwork>,
}

impl UsedSubnet<'_> {
    /// The key that names the subnet.
    pub(super) fn key(&self) -> String {
        let pool_with_id = self.pools.first().filter(|pool| pool.spec.vnet_subnet_id.is_some());
        pool_with_id.map_or_else(|| "subnet".to_owned(), |pool| pool.key("vnetSubnetID"))
    }

    fn find_subnet(&self) -> Option<&Subnet> {
        let lower_name = |subnet: &Subnet| subnet.name.as_deref().map(str::to_lowercase);
        subnets(self.network?).find(|subnet| lower_name(subnet).as_ref() == Some(&self.subnet.subnet))
    }

    /// The properties of the subnet, if it exists.
    pub(super) fn properties(&self) -> Option<&SubnetProperties> {
        self.find_subnet()?.properties.as_ref()
    }
}

impl std::fmt::Display for UsedSubnet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let network = &self.subnet.network;
        write!(f, "{} of network {} in resource group {}", self.subnet.subnet, network.name, network.group)
    }
}

/// The subnets of the pools.
pub(super) fn used_subnets<'a>(input: &'a RuleInput<'_>) -> Vec<UsedSubnet<'a>> {
    let mut used: Vec<UsedSubnet<'a>> = Vec::new();
    for pool in input.pools() {
        let Some(subnet) = input.subnet_of(pool.spec) else { continue };
        if let Some(same_subnet) = used.iter_mut().find(|used| used.subnet == subnet) {
            same_subnet.pools.push(pool);
            continue;
        }
        let read_network =
            items_or_empty(&input.azure.networks).iter().find(|read| read.reference == subnet.network);
        used.push(UsedSubnet {
            subnet,
            pools: vec![pool],
            network: read_network.and_then(|read| read.network.as_ref()),
        });
    }
    used
}

fn subnets(network: &VirtualNetwork) -> impl Iterator<Item = &Subnet> {
    network.properties.iter().flat_map(|properties| &properties.subnets)
}

fn subnet_exists(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for used in used_subnets(input).iter().filter(|used| used.find_subnet().is_none()) {
        let network = &used.subnet.network;
        let (name, group) = (&network.name, &network.group);
        let (key, message) = match used.network {
            None if used.key() == "subnet" => (
                "virtualNetwork".to_owned(),
                format!("virtualNetwork {name} does not exist in resource group {group}"),
            ),
            None => (
                used.key(),
                format!("the network {name} of vnetSubnetID does not exist in resource group {group}"),
            ),
            Some(_) => (used.key(), format!("the subnet {used} does not exist")),
        };
        findings.add(key, message, "use one that aksVirtualNetworks lists, or create it first");
    }
}

fn network_region(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let cluster_region = regions::normalize(input.region());
    for used in used_subnets(input) {
        let region = used.network.and_then(|network| network.location.as_deref()).map(regions::normalize);
        if let Some(region) = region.filter(|region| *region != cluster_region && !cluster_region.is_empty())
        {
            let name = &used.subnet.network.name;
            let message =
                format!("virtualNetwork {name} is in {region}, but the cluster is in {cluster_region}");
            findings.add(used.key(), message, "use a network of the cluster's region");
        }
    }
}

/// The address space of a network.
fn address_space(network: &VirtualNetwork) -> Vec<IpNet> {
    let spaces = network.properties.iter().filter_map(|properties| properties.address_space.as_ref());
    spaces.flat_map(|space| &space.address_prefixes).filter_map(|prefix| cidr::parse(prefix)).collect()
}

/// The networks of the cluster, each once, with the key that names one of its subnets.
fn networks<'a>(input: &'a RuleInput<'_>) -> Vec<(String, String, &'a VirtualNetwork)> {
    let mut seen = std::collections::BTreeSet::new();
    let used = used_subnets(input).into_iter().filter(|used| seen.insert(used.subnet.network.clone()));
    used.filter_map(|used| Some((used.key(), used.subnet.network.name.clone(), used.network?))).collect()
}

fn network_reserved(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for (key, name, network) in networks(input) {
        for range in address_space(network) {
            if let Some(reserved) = cidr::reserved_overlap(&range) {
                let message = format!(
                    "virtualNetwork {name} has the range {range}, which overlaps with {reserved} that AKS reserves"
                );
                findings.add(&key, message, "use another network");
            }
        }
    }
}

/// The ranges of all subnets of a network. Azure rejects a cluster whose ranges overlap with any subnet, even an unused one.
fn subnet_ranges(network: &VirtualNetwork) -> Vec<IpNet> {
    let properties = subnets(network).filter_map(|subnet| subnet.properties.as_ref());
    properties.flat_map(prefixes).filter_map(cidr::parse).collect()
}

fn find_overlap<'n>(range: &Range, nets: &'n [IpNet]) -> Option<&'n IpNet> {
    nets.iter().find(|net| cidr::overlap(net, &range.net.into()))
}

fn overlap_with_subnet(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for (_, name, network) in networks(input) {
        let subnet_ranges = subnet_ranges(network);
        for range in ranges(input) {
            if let Some(overlap) = find_overlap(&range, &subnet_ranges) {
                let message = format!("{range} overlaps with the subnet {overlap} of virtualNetwork {name}");
                findings.add(
                    range.key,
                    message,
                    format!("set {} to a range that is used nowhere else", range.key),
                );
            }
        }
    }
}

/// Only a warning: Azure accepts a range inside the network's address space as long as no subnet overlaps with it.
fn overlap_with_address_space(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for (_, name, network) in networks(input) {
        let (subnet_ranges, space) = (subnet_ranges(network), address_space(network));
        for range in ranges(input).filter(|range| find_overlap(range, &subnet_ranges).is_none()) {
            if let Some(overlap) = find_overlap(&range, &space) {
                let message = format!(
                    "{range} is within {overlap} of virtualNetwork {name}, where a later subnet would overlap"
                );
                let key = range.key;
                let remedy =
                    format!("keep that range free of subnets, or set {key} to one outside the network");
                findings.add(key, message, remedy);
            }
        }
    }
}

/// The ranges of a subnet: `addressPrefixes`, else `addressPrefix`.
pub(super) fn prefixes(subnet: &SubnetProperties) -> Vec<&str> {
    let single = subnet.address_prefix.iter().filter(|_| subnet.address_prefixes.is_empty());
    single.chain(&subnet.address_prefixes).map(String::as_str).collect()
}

fn delegated_subnet(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for used in used_subnets(input) {
        let delegations = used.properties().into_iter().flat_map(|properties| &properties.delegations);
        let mut properties = delegations.filter_map(|delegation| delegation.properties.as_ref());
        if let Some(service) = properties.find_map(|properties| properties.service_name.as_deref()) {
            let message = format!("the subnet {used} is delegated to {service}");
            findings.add(used.key(), message, "use a subnet without a delegation");
        }
    }
}

fn outbound(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for used in used_subnets(input) {
        let Some(subnet) = used.properties() else { continue };
        let (resource, name) = match input.outbound() {
            Outbound::UserDefinedRouting if subnet.route_table.is_none() => {
                ("route table", "userDefinedRouting")
            }
            Outbound::UserAssignedNatGateway if subnet.nat_gateway.is_none() => {
                ("NAT gateway", "userAssignedNATGateway")
            }
            _ => continue,
        };
        let message = format!("outboundType {name} needs a {resource}, but the subnet {used} has none");
        findings.add("outboundType", message, format!("give the subnet a {resource} first"));
    }
}

/// With kubenet, Azure writes routes into the subnet's table, so the identity needs permissions before the cluster exists.
fn route_table(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.network_plugin() != "kubenet" || input.spec.user_identity().is_some() {
        return;
    }
    for used in used_subnets(input) {
        let Some(table) = used.properties().and_then(|subnet| subnet.route_table.as_ref()) else { continue };
        let table = table.id.as_deref().and_then(|id| id.rsplit('/').next()).unwrap_or_default();
        let message = format!(
            "the subnet {used} has the route table {table}, which only a user-assigned identity can use with networkPlugin kubenet"
        );
        let remedy = "set managedIdentity and userAssignedIdentity, and give that identity the role Network Contributor on the \
             route table and the subnet";
        findings.add("userAssignedIdentity", message, remedy);
    }
}

/// Requires a subnet for all pools or for none. A new pool without one gets the subnet of the others.
fn mixed_subnets(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let has_subnet =
        |pool: &&Pool<'_>| pool.spec.vnet_subnet_id.is_some() || input.subnet_of(pool.spec).is_some();
    let pools = input.pools();
    let (with_subnet, without_subnet): (Vec<_>, Vec<_>) = pools.iter().partition(has_subnet);
    let existing_without_subnet = || {
        let mut pools = input.current_pools().iter().filter(|pool| input.subnet_of(pool).is_none());
        pools.find_map(|pool| pool.name.as_deref())
    };
    let Some(other) = without_subnet.first().map(|pool| pool.name()).or_else(existing_without_subnet) else {
        return;
    };
    for pool in with_subnet.iter().filter(|pool| pool.is_new()) {
        let name = pool.name();
        let message = format!(
            "node pool {name} has a subnet and node pool {other} has none, but Azure requires one for all or none"
        );
        let remedy = "leave vnetSubnetID out, or give every node pool a subnet of one network";
        findings.add(pool.key("vnetSubnetID"), message, remedy);
    }
}

/// Requires that the subnets of all pools are in one network.
fn one_network(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let used = used_subnets(input);
    let current =
        input.current_pools().iter().find_map(|pool| input.subnet_of(pool)).map(|subnet| subnet.network);
    let Some(network) = current.or_else(|| used.first().map(|used| used.subnet.network.clone())) else {
        return;
    };
    let name = &network.name;
    for other in used.iter().filter(|used| used.subnet.network != network) {
        let message =
            format!("the subnet {other} is in another network than {name}, where the other node pools are");
        findings.add(other.key(), message, format!("use a subnet of the network {name}"));
    }
}
