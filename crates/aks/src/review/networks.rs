//! Address ranges of services and pods, by themselves. The network that a cluster is in is in `subnets`.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::case::Case;
use super::cidr;
use super::rule::{Fault, Rule};
use crate::spec::given;

const RANGES: &str = "Azure: CNI networking, IP address planning, \
    https://learn.microsoft.com/azure/aks/concepts-network-ip-address-planning";
pub(super) const RESERVED: &str = "Azure: CNI networking overview, AKS CNI networking prerequisites, \
    https://learn.microsoft.com/azure/aks/concepts-network-cni-overview";
const MANAGED: &str = "Azure: ServiceCidrOverlapExistingSubnetsCidr, https://learn.microsoft.com/troubleshoot/azure/\
    azure-kubernetes/error-code-servicecidroverlapexistingsubnetscidr";

pub(super) const RULES: &[Rule] = &[
    Rule::error("range-form", RANGES, form),
    Rule::error("service-range-size", RANGES, service_size),
    Rule::error("ranges-reserved", RESERVED, reserved),
    Rule::error("ranges-apart", RANGES, apart),
    Rule::error("dns-address", RANGES, dns_address),
    Rule::error("managed-network-apart", MANAGED, managed_network).warning(),
];

/// What Azure takes when the specification says nothing.
const SERVICES: &str = "10.0.0.0/16";
const DNS: &str = "10.0.0.10";
const PODS: &str = "10.244.0.0/16";

/// Behind what is not said.
const CHOICE: &str = " (Azure's own choice)";

/// A range that counts: which key, whether it is only Azure's own choice, and what it is.
pub(super) struct Range {
    pub(super) key: &'static str,
    chosen: bool,
    pub(super) net: Ipv4Net,
}

impl Range {
    fn of(key: &'static str, text: Option<&String>, default: &str) -> Option<Self> {
        let said = given(text);
        Some(Self { key, chosen: said.is_some(), net: cidr::v4(said.unwrap_or(default))? })
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let by = if self.chosen { "" } else { CHOICE };
        format!("{} {}{by}", self.key, self.net)
    }
}

fn services(case: &Case<'_>) -> Option<Range> {
    Range::of("serviceCidr", case.spec.service_cidr.as_ref(), SERVICES)
}

/// Pods have addresses of their own with kubenet and in an overlay.
fn pod_range(case: &Case<'_>) -> Option<Range> {
    let range = Range::of("podCidr", case.spec.pod_cidr.as_ref(), PODS);
    range.filter(|range| range.chosen || case.plugin() == "kubenet" || case.overlay())
}

pub(super) fn ranges(case: &Case<'_>) -> impl Iterator<Item = Range> {
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
