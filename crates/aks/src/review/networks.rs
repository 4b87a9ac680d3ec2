//! Address ranges of services and pods. The rules about the cluster's network are in `subnets`.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::cidr;
use super::input::RuleInput;
use super::rule::{FieldFindings, Rule};
use super::sources::{CNI_PREREQUISITES_DOC, PLANNING_DOC, SERVICE_OVERLAP_DOC};

pub(super) const RULES: &[Rule] = &[
    Rule::error("range-form", PLANNING_DOC, range_format),
    Rule::error("service-range-size", PLANNING_DOC, service_range_size),
    Rule::error("ranges-reserved", CNI_PREREQUISITES_DOC, reserved_ranges),
    Rule::error("ranges-apart", PLANNING_DOC, ranges_overlap),
    Rule::error("dns-address", PLANNING_DOC, dns_address),
    Rule::warning("managed-network-apart", SERVICE_OVERLAP_DOC, managed_network_overlap),
];

/// Azure's defaults.
const DEFAULT_SERVICE_CIDR: &str = "10.0.0.0/16";
const DEFAULT_DNS_SERVICE_IP: &str = "10.0.0.10";
const DEFAULT_POD_CIDR: &str = "10.244.0.0/16";

/// Follows a default value in messages.
const DEFAULT_NOTE: &str = " (Azure's default)";

/// The effective range of services or pods: the value of its key, or Azure's default.
pub(super) struct Range {
    pub(super) key: &'static str,
    is_set: bool,
    pub(super) net: Ipv4Net,
}

impl Range {
    fn new(key: &'static str, text: Option<&str>, default: &str) -> Option<Self> {
        Some(Self { key, is_set: text.is_some(), net: cidr::parse_v4(text.unwrap_or(default))? })
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}{}", self.key, self.net, if self.is_set { "" } else { DEFAULT_NOTE })
    }
}

fn service_range(input: &RuleInput<'_>) -> Option<Range> {
    Range::new("serviceCidr", input.spec.service_cidr.as_deref(), DEFAULT_SERVICE_CIDR)
}

/// The range of pods, which exists if it is set, with kubenet, and in an overlay.
fn pod_range(input: &RuleInput<'_>) -> Option<Range> {
    let range = Range::new("podCidr", input.spec.pod_cidr.as_deref(), DEFAULT_POD_CIDR);
    range.filter(|range| range.is_set || input.network_plugin() == "kubenet" || input.is_overlay())
}

pub(super) fn ranges(input: &RuleInput<'_>) -> impl Iterator<Item = Range> {
    [service_range(input), pod_range(input)].into_iter().flatten()
}

fn range_format(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let spec = &input.spec;
    for (key, text) in [("serviceCidr", &spec.service_cidr), ("podCidr", &spec.pod_cidr)] {
        let Some(text) = text.as_deref().filter(|text| cidr::parse_v4(text).is_none()) else { continue };
        let message = if cidr::parse(text).is_some() {
            format!("{key} {text} is an IPv6 range, which is not supported by this server")
        } else {
            format!("{key} {text:?} is not an address range")
        };
        findings.add(key, message, "use an IPv4 range in CIDR notation, for example 10.0.0.0/16");
    }
    if let Some(text) = &spec.dns_service_ip
        && text.parse::<Ipv4Addr>().is_err()
    {
        let message = format!("dnsServiceIp {text:?} is not an IPv4 address");
        findings.add("dnsServiceIp", message, "use an address within serviceCidr, for example 10.0.0.10");
    }
}

fn service_range_size(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if let Some(range) = service_range(input).filter(|range| range.net.prefix_len() <= 12) {
        let message = format!("serviceCidr {} is too large: it must be smaller than /12", range.net);
        findings.add("serviceCidr", message, "use a longer prefix, for example /16");
    }
}

fn reserved_ranges(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    for range in ranges(input) {
        if let Some(reserved) = cidr::reserved_overlap(&range.net.into()) {
            let message = format!("{range} overlaps with {reserved}, which AKS reserves");
            findings.add(range.key, message, "use another range");
        }
    }
}

fn ranges_overlap(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if let (Some(services), Some(pods)) = (service_range(input), pod_range(input))
        && cidr::overlap(&services.net.into(), &pods.net.into())
    {
        let key = if services.is_set { services.key } else { pods.key };
        findings.add(
            key,
            format!("{services} overlaps with {pods}"),
            "use ranges that have no address in common",
        );
    }
}

fn dns_address(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let text = input.spec.dns_service_ip.as_deref();
    let (Some(range), Ok(address)) =
        (service_range(input), text.unwrap_or(DEFAULT_DNS_SERVICE_IP).parse::<Ipv4Addr>())
    else {
        return;
    };
    let default_note = if text.is_some() { "" } else { DEFAULT_NOTE };
    let (network_address, dns_ip) = (u32::from(range.net.network()), u32::from(address));
    let problem = if !range.net.contains(&address) {
        "is not within"
    } else if dns_ip == network_address {
        "is the network address of"
    } else if dns_ip == network_address.saturating_add(1) {
        "is the first address, which the API server has, of"
    } else {
        return;
    };
    let example = Some(Ipv4Addr::from(network_address.saturating_add(10)))
        .filter(|example| range.net.contains(example));
    let example = example.map(|example| format!(", for example {example}")).unwrap_or_default();
    let message = format!("dnsServiceIp {address}{default_note} {problem} {range}");
    findings.add("dnsServiceIp", message, format!("use another address of that range{example}"));
}

fn managed_network_overlap(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let managed: IpNet = cidr::MANAGED_NETWORK.into();
    for range in ranges(input) {
        if !input.has_own_network() && cidr::overlap(&managed, &range.net.into()) {
            let message =
                format!("{range} overlaps with {managed}, in which Azure creates the network of the cluster");
            findings.add(range.key, message, "use another range, or a virtual network of your own");
        }
    }
}
