//! Plugin, policy, way out, load balancer and a network of one's own, where they do not go together.

use super::case::{Case, Outbound};
use super::rule::{Fault, Rule};
use crate::spec::given;

const OPERATOR: &str = "docs/contract/provisioning.md#validation-by-the-operator";
const OUTBOUND: &str = "Azure: Customize cluster egress with outbound types, https://learn.microsoft.com/azure/aks/egress-outboundtype";
const BALANCER: &str = "Azure: Use a public standard load balancer in AKS, https://learn.microsoft.com/azure/aks/load-balancer-standard";
const NETWORK: &str =
    "Azure: CNI networking overview, https://learn.microsoft.com/azure/aks/concepts-network-cni-overview";

pub(super) const RULES: &[Rule] = &[
    Rule::error("network-plugin", OPERATOR, plugin),
    Rule::error("network-policy", OPERATOR, policy),
    Rule::error("azure-policy-plugin", OPERATOR, azure_policy),
    Rule::error("outbound-type", OPERATOR, outbound_type),
    Rule::error("routing-plugin", OPERATOR, routing_plugin),
    Rule::error("routing-subnet", OPERATOR, routing_subnet),
    Rule::error("own-network-complete", "docs/contract/provisioning.md#pool-body", own_network),
    Rule::error("nat-gateway-network", OUTBOUND, nat_gateway),
    Rule::error("load-balancer-sku", "docs/contract/aks-config.md#cluster-fields", balancer),
    Rule::error("load-balancer-standard", BALANCER, needs_standard),
    Rule::error("load-balancer-basic-retired", BALANCER, basic_retired).warning(),
    Rule::error("pod-range-plugin", NETWORK, pod_range).warning(),
];

fn plugin(case: &Case<'_>) -> Vec<Fault> {
    match given(case.spec.network_plugin.as_ref()) {
        Some(plugin) if !matches!(plugin, "azure" | "kubenet") => vec![Fault::new(
            "aksConfig.networkPlugin",
            format!("invalid network plugin value [{plugin}] for [{}] cluster config", case.named()),
            "set networkPlugin to azure or kubenet",
        )],
        _ => Vec::new(),
    }
}

fn policy(case: &Case<'_>) -> Vec<Fault> {
    match given(case.spec.network_policy.as_ref()) {
        // What Azure says of a cluster without one.
        Some("none") if case.current.is_some() => Vec::new(),
        Some(policy) if !matches!(policy, "azure" | "calico") => vec![Fault::new(
            "aksConfig.networkPolicy",
            format!("invalid network policy value [{policy}] for [{}] cluster config", case.named()),
            "set networkPolicy to azure or calico, or leave it out",
        )],
        _ => Vec::new(),
    }
}

fn azure_policy(case: &Case<'_>) -> Vec<Fault> {
    let policy = given(case.spec.network_policy.as_ref());
    if policy != Some("azure") || case.plugin() == "azure" {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.networkPolicy",
        format!(
            "azure network policy can be used only with Azure CNI network plugin for [{}] cluster",
            case.named()
        ),
        "set networkPlugin to azure, or networkPolicy to calico",
    )]
}

fn outbound_type(case: &Case<'_>) -> Vec<Fault> {
    let Outbound::Other(value) = case.outbound() else { return Vec::new() };
    vec![Fault::new(
        "aksConfig.outboundType",
        format!("invalid outbound type value [{value}] for [{}] cluster config", case.named()),
        "use loadBalancer, userDefinedRouting, managedNATGateway or userAssignedNATGateway",
    )]
}

fn routing_plugin(case: &Case<'_>) -> Vec<Fault> {
    if case.outbound() != Outbound::UserDefinedRouting || case.plugin() == "azure" {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.outboundType",
        format!(
            "user defined routing can be used only with Azure CNI network plugin for [{}] cluster",
            case.named()
        ),
        "set networkPlugin to azure, or outboundType to loadBalancer",
    )]
}

fn routing_subnet(case: &Case<'_>) -> Vec<Fault> {
    if case.outbound() != Outbound::UserDefinedRouting || case.own_network() {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.subnet",
        format!(
            "subnet must be provided for cluster [{}] config when user defined routing is used",
            case.named()
        ),
        "name the network and its subnet in virtualNetwork and subnet",
    )]
}

fn own_network(case: &Case<'_>) -> Vec<Fault> {
    let spec = &case.spec;
    let (network, subnet) = (given(spec.virtual_network.as_ref()), given(spec.subnet.as_ref()));
    let half = |missing: &str, there: &str| {
        vec![Fault::new(
            format!("aksConfig.{missing}"),
            format!("{missing} is not set although {there} is, so the cluster would not lie in that network"),
            format!("set {missing} too, or leave {there} out"),
        )]
    };
    match (network, subnet) {
        (Some(_), None) => half("subnet", "virtualNetwork"),
        (None, Some(_)) => half("virtualNetwork", "subnet"),
        (None, None) if given(spec.virtual_network_resource_group.as_ref()).is_some() => {
            half("virtualNetwork", "virtualNetworkResourceGroup")
        }
        _ => Vec::new(),
    }
}

fn nat_gateway(case: &Case<'_>) -> Vec<Fault> {
    let (message, remedy) = match (case.outbound(), case.own_network()) {
        (Outbound::ManagedNatGateway, true) => (
            "outboundType managedNATGateway cannot be used in a network of one's own",
            "set outboundType to userAssignedNATGateway, or leave virtualNetwork and subnet out",
        ),
        (Outbound::UserAssignedNatGateway, false) => (
            "outboundType userAssignedNATGateway needs a network of one's own",
            "name a subnet that has a NAT gateway in virtualNetwork and subnet, or set outboundType to managedNATGateway",
        ),
        _ => return Vec::new(),
    };
    vec![Fault::new("aksConfig.outboundType", message, remedy)]
}

fn balancer(case: &Case<'_>) -> Vec<Fault> {
    match given(case.spec.load_balancer_sku.as_ref()) {
        Some(sku) if !is_basic(sku) && !sku.eq_ignore_ascii_case("Standard") => vec![Fault::new(
            "aksConfig.loadBalancerSku",
            format!("loadBalancerSku {sku:?} is none that Azure has"),
            "set loadBalancerSku to Standard",
        )],
        _ => Vec::new(),
    }
}

fn is_basic(sku: &str) -> bool {
    sku.eq_ignore_ascii_case("Basic")
}

fn basic(case: &Case<'_>) -> bool {
    given(case.spec.load_balancer_sku.as_ref()).is_some_and(is_basic)
}

fn needs_standard(case: &Case<'_>) -> Vec<Fault> {
    if !basic(case) {
        return Vec::new();
    }
    let spec = &case.spec;
    let pools = case.pools();
    let reasons = [
        (case.outbound() != Outbound::LoadBalancer, "with another outboundType than loadBalancer"),
        (spec.private_cluster == Some(true), "with privateCluster"),
        (spec.authorized_ip_ranges.as_ref().is_some_and(|it| !it.is_empty()), "with authorizedIpRanges"),
        (pools.len() > 1, "with more than one node pool"),
        (
            pools.iter().any(|it| it.wanted.availability_zones.as_ref().is_some_and(|it| !it.is_empty())),
            "with node pools in availabilityZones",
        ),
    ];
    reasons
        .into_iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, with)| {
            let message = format!("loadBalancerSku Basic cannot be used {with}");
            Fault::new("aksConfig.loadBalancerSku", message, "set loadBalancerSku to Standard")
        })
        .collect()
}

fn basic_retired(case: &Case<'_>) -> Vec<Fault> {
    if !basic(case) {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.loadBalancerSku",
        "loadBalancerSku Basic was retired by Azure on 30 September 2025",
        "set loadBalancerSku to Standard",
    )]
}

fn pod_range(case: &Case<'_>) -> Vec<Fault> {
    if case.plugin() != "azure" || given(case.said.pod_cidr.as_ref()).is_none() {
        return Vec::new();
    }
    vec![Fault::new(
        "aksConfig.podCidr",
        "podCidr does not count with networkPlugin azure: pods get addresses of the subnet, and Azure may refuse it",
        "leave podCidr out, or set networkPlugin to kubenet",
    )]
}
