//! Address ranges of services and pods, and the network that a cluster is to lie in.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::azure::{Block, list};
use super::case::{Case, Outbound, Pool, SubnetRef};
use super::cidr;
use super::rule::{Fault, Rule};
use crate::domain::arm::{Subnet, SubnetProperties, VirtualNetwork};
use crate::domain::regions;
use crate::domain::spec::given;

const RANGES: &str = "Azure: CNI networking, IP address planning, \
    https://learn.microsoft.com/azure/aks/concepts-network-ip-address-planning";
const ISSUE: &str = "Azure: ServiceCidrOverlapExistingSubnetsCidr, https://learn.microsoft.com/troubleshoot/azure/\
    azure-kubernetes/error-code-servicecidroverlapexistingsubnetscidr";
const OUTBOUND: &str = "Azure: Customize cluster egress with outbound types, https://learn.microsoft.com/azure/aks/egress-outboundtype";

pub(super) const RULES: &[Rule] = &[
    Rule::error("range-form", RANGES, form),
    Rule::error("service-range-size", RANGES, service_size),
    Rule::error("ranges-reserved", RANGES, reserved),
    Rule::error("ranges-apart", RANGES, apart),
    Rule::error("dns-address", RANGES, dns_address),
    Rule::error("managed-network-apart", ISSUE, managed_network).warning(),
    Rule::error("network-exists", RANGES, exists).needs(&[Block::Networks]),
    Rule::error("network-region", RANGES, region).needs(&[Block::Networks]),
    Rule::error("network-reserved", RANGES, network_reserved).needs(&[Block::Networks]),
    Rule::error("network-apart", ISSUE, network_apart).needs(&[Block::Networks]),
    Rule::error("subnet-delegated", RANGES, delegated).needs(&[Block::Networks]),
    Rule::error("subnet-way-out", OUTBOUND, way_out).needs(&[Block::Networks]),
];

/// What Azure takes when the specification says nothing.
const SERVICES: &str = "10.0.0.0/16";
const DNS: &str = "10.0.0.10";
const PODS: &str = "10.244.0.0/16";

/// Behind what is not said.
const CHOICE: &str = " (Azure's own choice)";

/// A range that counts: which key, whether it is only Azure's own choice, and what it is.
struct Range {
    key: &'static str,
    chosen: bool,
    net: Ipv4Net,
}

impl Range {
    fn of(key: &'static str, text: Option<&String>, default: &str) -> Option<Self> {
        let said = given(text);
        Some(Self { key, chosen: said.is_some(), net: cidr::v4(said.unwrap_or(default))? })
    }

    /// For people.
    fn shown(&self) -> String {
        let by = if self.chosen { "" } else { CHOICE };
        format!("{} {}{by}", self.key, self.net)
    }
}

fn services(case: &Case<'_>) -> Option<Range> {
    Range::of("serviceCidr", case.spec.service_cidr.as_ref(), SERVICES)
}

/// Only kubenet has addresses for pods apart from the subnet.
fn pod_range(case: &Case<'_>) -> Option<Range> {
    let range = Range::of("podCidr", case.spec.pod_cidr.as_ref(), PODS);
    range.filter(|range| range.chosen || case.plugin() == "kubenet")
}

fn ranges(case: &Case<'_>) -> impl Iterator<Item = Range> {
    [services(case), pod_range(case)].into_iter().flatten()
}

fn form(case: &Case<'_>) -> Vec<Fault> {
    let spec = &case.spec;
    let range = |key: &str, text: Option<&String>| {
        let text = given(text).filter(|text| cidr::v4(text).is_none())?;
        let message = if cidr::any(text).is_some() {
            format!("{key} {text} is a range of IPv6, which is not managed here")
        } else {
            format!("{key} {text:?} is no address range")
        };
        Some(Fault::new(
            format!("aksConfig.{key}"),
            message,
            "use an IPv4 range in CIDR notation, for example 10.0.0.0/16",
        ))
    };
    let address = given(spec.dns_service_ip.as_ref()).filter(|text| text.parse::<Ipv4Addr>().is_err());
    let address = address.map(|text| {
        Fault::new(
            "aksConfig.dnsServiceIp",
            format!("dnsServiceIp {text:?} is no IPv4 address"),
            "use an address within serviceCidr, for example 10.0.0.10",
        )
    });
    let ranges = [range("serviceCidr", spec.service_cidr.as_ref()), range("podCidr", spec.pod_cidr.as_ref())];
    ranges.into_iter().flatten().chain(address).collect()
}

fn service_size(case: &Case<'_>) -> Vec<Fault> {
    let range = services(case).filter(|range| range.net.prefix_len() <= 12);
    let fault = range.map(|range| {
        Fault::new(
            "aksConfig.serviceCidr",
            format!("serviceCidr {} is too large: it must be smaller than /12", range.net),
            "use a longer prefix, for example /16",
        )
    });
    fault.into_iter().collect()
}

fn reserved(case: &Case<'_>) -> Vec<Fault> {
    let hit = |range: &Range| {
        let reserved = cidr::RESERVED.into_iter().find(|it| cidr::overlap(&(*it).into(), &range.net.into()));
        reserved.map(|reserved| {
            Fault::new(
                format!("aksConfig.{}", range.key),
                format!("{} overlaps with {reserved}, which AKS keeps for itself", range.shown()),
                "use another range",
            )
        })
    };
    ranges(case).filter_map(|range| hit(&range)).collect()
}

fn apart(case: &Case<'_>) -> Vec<Fault> {
    let (Some(services), Some(pods)) = (services(case), pod_range(case)) else { return Vec::new() };
    if !cidr::overlap(&services.net.into(), &pods.net.into()) {
        return Vec::new();
    }
    let key = if services.chosen { services.key } else { pods.key };
    vec![Fault::new(
        format!("aksConfig.{key}"),
        format!("{} overlaps with {}", services.shown(), pods.shown()),
        "use ranges that have no address in common",
    )]
}

fn dns_address(case: &Case<'_>) -> Vec<Fault> {
    let said = given(case.spec.dns_service_ip.as_ref());
    let (Some(range), Ok(address)) = (services(case), said.unwrap_or(DNS).parse::<Ipv4Addr>()) else {
        return Vec::new();
    };
    let which = if said.is_some() { "" } else { CHOICE };
    let (first, dns) = (u32::from(range.net.network()), u32::from(address));
    let problem = if !range.net.contains(&address) {
        "is not within"
    } else if dns == first {
        "is the network address of"
    } else if dns == first.saturating_add(1) {
        "is the first address, which the API server has, of"
    } else {
        return Vec::new();
    };
    let example = Ipv4Addr::from(first.saturating_add(10));
    let remedy = if range.net.contains(&example) {
        format!("use another address of that range, for example {example}")
    } else {
        "use another address of that range".to_owned()
    };
    let message = format!("dnsServiceIp {address}{which} {problem} {}", range.shown());
    vec![Fault::new("aksConfig.dnsServiceIp", message, remedy)]
}

fn managed_network(case: &Case<'_>) -> Vec<Fault> {
    if case.own_network() {
        return Vec::new();
    }
    let managed: IpNet = cidr::MANAGED_NETWORK.into();
    let inside = ranges(case).filter(|range| cidr::overlap(&managed, &range.net.into()));
    inside
        .map(|range| {
            Fault::new(
                format!("aksConfig.{}", range.key),
                format!(
                    "{} overlaps with {managed}, in which Azure makes the network of the cluster",
                    range.shown()
                ),
                "use another range, or name a network of your own",
            )
        })
        .collect()
}

/// A subnet that pools are to lie in, with those pools.
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

/// The subnets that pools are to lie in.
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
                "virtualNetwork {} lies in {region}, and the cluster is to lie in {wanted}",
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

fn network_apart(case: &Case<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (place, network) in found_networks(case) {
        let subnets = network.properties.iter().flat_map(|it| &it.subnets);
        let subnets = subnets.filter_map(|it| it.properties.as_ref()).flat_map(prefixes);
        let taken: Vec<IpNet> = space(network).chain(subnets.filter_map(cidr::any)).collect();
        for range in ranges(case) {
            let hit = taken.iter().find(|it| cidr::overlap(it, &range.net.into()));
            faults.extend(hit.map(|hit| {
                let name = &place.subnet.network.name;
                Fault::new(
                    format!("aksConfig.{}", range.key),
                    format!("{} overlaps with {hit} of virtualNetwork {name}", range.shown()),
                    format!("set {} to a range that is used nowhere else", range.key),
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
