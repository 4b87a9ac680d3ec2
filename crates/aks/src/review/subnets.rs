//! The networks and subnets that pools are in: whether they are there, can be used, and lie apart from the cluster's ranges.

use ipnet::IpNet;

use super::azure::{Block, list};
use super::case::{Case, Outbound, SubnetRef};
use super::cidr;
use super::networks::{RESERVED, Range, ranges};
use super::pool::Pool;
use super::rule::{Fault, Rule, Scope};
use crate::arm::{Subnet, SubnetProperties, VirtualNetwork};
use crate::regions;
use crate::spec::given;

const PLANNING: &str = "Azure: CNI networking, IP address planning, \
    https://learn.microsoft.com/azure/aks/concepts-network-ip-address-planning";
const OVERLAP: &str = "Azure: ServiceCidrOverlapExistingSubnetsCidr, https://learn.microsoft.com/troubleshoot/azure/\
    azure-kubernetes/error-code-servicecidroverlapexistingsubnetscidr";
const OUTBOUND: &str = "Azure: Customize cluster egress with outbound types, https://learn.microsoft.com/azure/aks/egress-outboundtype";
const ROUTES: &str = "Azure: Use kubenet networking in AKS, bring your own subnet and route table, \
    https://learn.microsoft.com/azure/aks/configure-kubenet#bring-your-own-subnet-and-route-table-with-kubenet";
const POOLS: &str = "Azure: Create node pools with unique subnets, limitations, \
    https://learn.microsoft.com/azure/aks/node-pool-unique-subnet";
const MIXED: &str = "Azure: AKS issue 2927, The Agentpool does not have subnet defined, https://github.com/Azure/AKS/issues/2927";

pub(super) const RULES: &[Rule] = &[
    Rule::error("subnets-mixed", MIXED, mixed),
    Rule::error("subnets-one-network", POOLS, one_network),
    Rule::error("network-exists", PLANNING, exists).needs(&[Block::Networks]),
    Rule::error("network-region", PLANNING, region).needs(&[Block::Networks]),
    Rule::error("network-reserved", RESERVED, network_reserved).needs(&[Block::Networks]),
    Rule::error("network-apart", OVERLAP, network_apart).needs(&[Block::Networks]),
    Rule::error("network-space-apart", PLANNING, space_apart)
        .needs(&[Block::Networks])
        .about(Scope::New)
        .warning(),
    Rule::error("subnet-delegated", RESERVED, delegated).needs(&[Block::Networks]),
    Rule::error("subnet-way-out", OUTBOUND, way_out).needs(&[Block::Networks]),
    Rule::error("subnet-route-table", ROUTES, route_table).needs(&[Block::Networks]).about(Scope::New),
];

/// A subnet that pools are in, with those pools.
pub(super) struct Place<'a> {
    pub(super) subnet: SubnetRef,
    /// In the order of the specification; never empty.
    pub(super) pools: Vec<Pool<'a>>,
    pub(super) network: Option<&'a VirtualNetwork>,
}

impl Place<'_> {
    /// The key that names the subnet.
    pub(super) fn field(&self) -> String {
        let own = self.pools.first().filter(|pool| given(pool.wanted.vnet_subnet_id.as_ref()).is_some());
        own.map_or_else(|| "aksConfig.subnet".to_owned(), |pool| pool.field("vnetSubnetID"))
    }

    pub(super) fn found(&self) -> Option<&Subnet> {
        let subnets = self.network?.properties.iter().flat_map(|it| &it.subnets);
        let name = Some(self.subnet.subnet.as_str());
        subnets.into_iter().find(|it| it.name.as_deref().map(str::to_lowercase).as_deref() == name)
    }

    fn properties(&self) -> Option<&SubnetProperties> {
        self.found()?.properties.as_ref()
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let network = &self.subnet.network;
        format!("{} of network {} in resource group {}", self.subnet.subnet, network.name, network.group)
    }
}

/// The subnets that pools are in.
pub(super) fn places<'a>(case: &'a Case<'_>) -> Vec<Place<'a>> {
    let mut places: Vec<Place<'a>> = Vec::new();
    for pool in case.pools() {
        let Some(subnet) = case.subnet_of(pool.wanted) else { continue };
        if let Some(known) = places.iter_mut().find(|place| place.subnet == subnet) {
            known.pools.push(pool);
            continue;
        }
        let read = list(&case.azure.networks).iter().find(|it| it.reference == subnet.network);
        let network = read.and_then(|it| it.network.as_ref());
        places.push(Place { subnet, pools: vec![pool], network });
    }
    places
}

fn exists(case: &Case<'_>) -> Vec<Fault> {
    let gone = places(case).into_iter().filter(|place| place.found().is_none());
    gone.map(|place| {
        let network = &place.subnet.network;
        let (field, message) = match place.network {
            None if place.field() == "aksConfig.subnet" => (
                "aksConfig.virtualNetwork".to_owned(),
                format!("virtualNetwork {} does not exist in resource group {}", network.name, network.group),
            ),
            None => {
                let message = format!(
                    "the network {} of vnetSubnetID does not exist in resource group {}",
                    network.name, network.group
                );
                (place.field(), message)
            }
            Some(_) => (place.field(), format!("the subnet {} does not exist", place.shown())),
        };
        Fault::new(field, message, "use one that aksVirtualNetworks lists, or make it first")
    })
    .collect()
}

fn region(case: &Case<'_>) -> Vec<Fault> {
    let wanted = regions::normalised(case.region());
    let elsewhere = places(case).into_iter().filter_map(|place| {
        let region = place.network?.location.as_deref().map(regions::normalised)?;
        (region != wanted && !wanted.is_empty()).then(|| {
            let message = format!(
                "virtualNetwork {} is in {region}, but the cluster is in {wanted}",
                place.subnet.network.name
            );
            Fault::new(place.field(), message, "use a network of the cluster's region")
        })
    });
    elsewhere.collect()
}

/// The ranges of a network, each as the address space that it is.
fn space(network: &VirtualNetwork) -> impl Iterator<Item = IpNet> {
    let prefixes = network
        .properties
        .iter()
        .filter_map(|it| it.address_space.as_ref())
        .flat_map(|it| &it.address_prefixes);
    prefixes.filter_map(|prefix| cidr::any(prefix))
}

/// The networks of the cluster, each once.
fn found_networks<'a>(case: &'a Case<'_>) -> Vec<(Place<'a>, &'a VirtualNetwork)> {
    let mut found: Vec<(Place<'a>, &'a VirtualNetwork)> = Vec::new();
    for place in places(case) {
        let Some(network) = place.network else { continue };
        if !found.iter().any(|(known, _)| known.subnet.network == place.subnet.network) {
            found.push((place, network));
        }
    }
    found
}

fn network_reserved(case: &Case<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (place, network) in found_networks(case) {
        for range in space(network) {
            if let Some(reserved) = cidr::RESERVED.into_iter().find(|it| cidr::overlap(&(*it).into(), &range))
            {
                let name = &place.subnet.network.name;
                let message = format!(
                    "virtualNetwork {name} has the range {range}, which overlaps with {reserved} that AKS keeps for itself"
                );
                faults.push(Fault::new(place.field(), message, "use another network"));
            }
        }
    }
    faults
}

/// The ranges of the subnets of a network. Azure refuses what overlaps with one of them, whoever uses it.
fn subnet_ranges(network: &VirtualNetwork) -> Vec<IpNet> {
    let subnets = network.properties.iter().flat_map(|it| &it.subnets);
    subnets.filter_map(|it| it.properties.as_ref()).flat_map(prefixes).filter_map(cidr::any).collect()
}

fn hit<'r>(range: &Range, taken: &'r [IpNet]) -> Option<&'r IpNet> {
    taken.iter().find(|it| cidr::overlap(it, &range.net.into()))
}

fn network_apart(case: &Case<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (place, network) in found_networks(case) {
        let taken = subnet_ranges(network);
        for range in ranges(case) {
            faults.extend(hit(&range, &taken).map(|hit| {
                let name = &place.subnet.network.name;
                Fault::new(
                    format!("aksConfig.{}", range.key),
                    format!("{} overlaps with the subnet {hit} of virtualNetwork {name}", range.shown()),
                    format!("set {} to a range that is used nowhere else", range.key),
                )
            }));
        }
    }
    faults
}

/// A range inside the address space of the network works as long as no subnet comes to lie there.
fn space_apart(case: &Case<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (place, network) in found_networks(case) {
        let (taken, space) = (subnet_ranges(network), space(network).collect::<Vec<_>>());
        for range in ranges(case).filter(|range| hit(range, &taken).is_none()) {
            faults.extend(hit(&range, &space).map(|hit| {
                let name = &place.subnet.network.name;
                Fault::new(
                    format!("aksConfig.{}", range.key),
                    format!(
                        "{} is within {hit} of virtualNetwork {name}, where a later subnet would overlap",
                        range.shown()
                    ),
                    format!(
                        "keep that range free of subnets, or set {} to one outside the network",
                        range.key
                    ),
                )
            }));
        }
    }
    faults
}

/// The ranges of a subnet, whichever key has them.
pub(super) fn prefixes(subnet: &SubnetProperties) -> Vec<&str> {
    let one = subnet.address_prefix.iter().filter(|_| subnet.address_prefixes.is_empty());
    one.chain(&subnet.address_prefixes).map(String::as_str).collect()
}

fn delegated(case: &Case<'_>) -> Vec<Fault> {
    let given_away = places(case).into_iter().filter_map(|place| {
        let delegations = &place.properties()?.delegations;
        let service = delegations.iter().find_map(|it| it.properties.as_ref()?.service_name.as_deref())?;
        let message = format!("the subnet {} is delegated to {service}", place.shown());
        Some(Fault::new(place.field(), message, "use a subnet without a delegation"))
    });
    given_away.collect()
}

fn way_out(case: &Case<'_>) -> Vec<Fault> {
    let outbound = case.outbound();
    let without = places(case).into_iter().filter_map(|place| {
        let subnet = place.properties()?;
        let (what, name) = match outbound {
            Outbound::UserDefinedRouting if subnet.route_table.is_none() => {
                ("route table", "userDefinedRouting")
            }
            Outbound::UserAssignedNatGateway if subnet.nat_gateway.is_none() => {
                ("NAT gateway", "userAssignedNATGateway")
            }
            _ => return None,
        };
        let message =
            format!("outboundType {name} needs a {what}, and the subnet {} has none", place.shown());
        Some(Fault::new("aksConfig.outboundType", message, format!("give the subnet a {what} first")))
    });
    without.collect()
}

/// With kubenet Azure writes routes into the table of the subnet, for which an identity that exists before the cluster needs
/// rights.
fn route_table(case: &Case<'_>) -> Vec<Fault> {
    let spec = &case.spec;
    let own_identity =
        spec.managed_identity == Some(true) && given(spec.user_assigned_identity.as_ref()).is_some();
    if case.plugin() != "kubenet" || own_identity {
        return Vec::new();
    }
    let routed = places(case).into_iter().filter_map(|place| {
        let table = place.properties()?.route_table.as_ref()?;
        let table = table.id.as_deref().and_then(|id| id.rsplit('/').next()).unwrap_or_default();
        let message = format!(
            "the subnet {} has the route table {table}, and with networkPlugin kubenet only a user-assigned identity can use it",
            place.shown()
        );
        Some(Fault::new(
            "aksConfig.userAssignedIdentity",
            message,
            "set managedIdentity and userAssignedIdentity, and give that identity the role Network Contributor on the route \
             table and the subnet",
        ))
    });
    routed.collect()
}

/// Either every pool names a subnet or none does. A new pool that names none gets the subnet of the others.
fn mixed(case: &Case<'_>) -> Vec<Fault> {
    let pools = case.pools();
    let has = |pool: &&Pool<'_>| {
        given(pool.wanted.vnet_subnet_id.as_ref()).is_some() || case.subnet_of(pool.wanted).is_some()
    };
    let (with, without): (Vec<_>, Vec<_>) = pools.iter().partition(has);
    let in_azure = case.current.iter().flat_map(|it| it.node_pools.iter().flatten());
    let mut bare_in_azure = in_azure.filter(|pool| case.subnet_of(pool).is_none());
    let bare =
        without.first().map(|pool| pool.name()).or(bare_in_azure.find_map(|pool| pool.name.as_deref()));
    let Some(bare) = bare.filter(|_| !with.is_empty()) else { return Vec::new() };
    let named = with.iter().filter(|pool| pool.is_new());
    named
        .map(|pool| {
            let message = format!(
                "node pool {} has a subnet and node pool {bare} has none: all or none may have one",
                pool.name()
            );
            Fault::new(
                pool.field("vnetSubnetID"),
                message,
                "leave vnetSubnetID out, or give every node pool a subnet of one network",
            )
        })
        .collect()
}

/// The subnets of all pools are in one network.
fn one_network(case: &Case<'_>) -> Vec<Fault> {
    let places = places(case);
    let mut in_azure = case.current.iter().flat_map(|it| it.node_pools.iter().flatten());
    let known = in_azure.find_map(|pool| case.subnet_of(pool)).map(|subnet| subnet.network);
    let Some(network) = known.or_else(|| places.first().map(|place| place.subnet.network.clone())) else {
        return Vec::new();
    };
    let elsewhere = places.into_iter().filter(|place| place.subnet.network != network);
    elsewhere
        .map(|place| {
            let message = format!(
                "the subnet {} is in another network than {}, where the other node pools are",
                place.shown(),
                network.name
            );
            Fault::new(place.field(), message, format!("use a subnet of the network {}", network.name))
        })
        .collect()
}
