//! Combinations of network plugin, network policy, outbound type, load balancer and network that Azure or Rancher rejects.

use super::input::{Outbound, RuleInput};
use super::rule::{FieldFindings, Rule};
use super::sources::{CNI_DOC, FIELDS_DOC, OPERATOR_DOC, OUTBOUND_DOC, learn};

const BALANCER_DOC: &str =
    learn!("Use a public standard load balancer in AKS", "azure/aks/load-balancer-standard");

pub(super) const RULES: &[Rule] = &[
    Rule::error("network-plugin", OPERATOR_DOC, plugin),
    Rule::error("network-policy", OPERATOR_DOC, policy),
    Rule::error("azure-policy-plugin", OPERATOR_DOC, azure_policy),
    Rule::error("outbound-type", OPERATOR_DOC, outbound_type),
    Rule::error("routing-plugin", OPERATOR_DOC, routing_plugin),
    Rule::error("routing-subnet", OPERATOR_DOC, routing_subnet),
    Rule::error("own-network-complete", "docs/contract/provisioning.md#pool-body", own_network),
    Rule::error("nat-gateway-network", OUTBOUND_DOC, nat_gateway),
    Rule::error("load-balancer-sku", FIELDS_DOC, load_balancer_sku),
    Rule::error("load-balancer-standard", BALANCER_DOC, needs_standard),
    Rule::warning("load-balancer-basic-retired", BALANCER_DOC, basic_retired),
    Rule::warning("pod-range-plugin", CNI_DOC, pod_range),
];

fn plugin(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if let Some(plugin) = input.spec.network_plugin.as_deref()
        && !matches!(plugin, "azure" | "kubenet")
    {
        let cluster = input.display_name();
        let message = format!("invalid network plugin value [{plugin}] for [{cluster}] cluster config");
        findings.add("networkPlugin", message, "set networkPlugin to azure or kubenet");
    }
}

fn policy(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    match input.spec.network_policy.as_deref() {
        None | Some("azure" | "calico") => {}
        // Azure reports `none` for a cluster without a policy.
        Some("none") if input.current.is_some() => {}
        Some(policy) => {
            let cluster = input.display_name();
            let message = format!("invalid network policy value [{policy}] for [{cluster}] cluster config");
            findings.add("networkPolicy", message, "set networkPolicy to azure or calico, or leave it out");
        }
    }
}

fn azure_policy(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.spec.network_policy.as_deref() == Some("azure") && input.network_plugin() != "azure" {
        let message = format!(
            "azure network policy can be used only with Azure CNI network plugin for [{}] cluster",
            input.display_name()
        );
        findings.add("networkPolicy", message, "set networkPlugin to azure, or networkPolicy to calico");
    }
}

fn outbound_type(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if let Outbound::Other(value) = input.outbound() {
        let cluster = input.display_name();
        let message = format!("invalid outbound type value [{value}] for [{cluster}] cluster config");
        let remedy = "use loadBalancer, userDefinedRouting, managedNATGateway or userAssignedNATGateway";
        findings.add("outboundType", message, remedy);
    }
}

fn routing_plugin(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.outbound() == Outbound::UserDefinedRouting && input.network_plugin() != "azure" {
        let message = format!(
            "user defined routing can be used only with Azure CNI network plugin for [{}] cluster",
            input.display_name()
        );
        findings.add("outboundType", message, "set networkPlugin to azure, or outboundType to loadBalancer");
    }
}

fn routing_subnet(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.outbound() == Outbound::UserDefinedRouting && !input.has_own_network() {
        let message = format!(
            "subnet must be provided for cluster [{}] config when user defined routing is used",
            input.display_name()
        );
        findings.add("subnet", message, "set virtualNetwork and subnet");
    }
}

fn own_network(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let spec = &input.spec;
    let has_group = spec.virtual_network_resource_group.is_some();
    let (missing, present) = match (spec.virtual_network.is_some(), spec.subnet.is_some()) {
        (true, false) => ("subnet", "virtualNetwork"),
        (false, true) => ("virtualNetwork", "subnet"),
        (false, false) if has_group => ("virtualNetwork", "virtualNetworkResourceGroup"),
        _ => return,
    };
    let message =
        format!("{missing} is not set although {present} is, so the cluster would not be in that network");
    findings.add(missing, message, format!("set {missing} too, or leave {present} out"));
}

fn nat_gateway(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let (message, remedy) = match (input.outbound(), input.has_own_network()) {
        (Outbound::ManagedNatGateway, true) => (
            "outboundType managedNATGateway cannot be used in a virtual network of your own",
            "set outboundType to userAssignedNATGateway, or leave virtualNetwork and subnet out",
        ),
        (Outbound::UserAssignedNatGateway, false) => (
            "outboundType userAssignedNATGateway needs a virtual network of your own",
            "set virtualNetwork and subnet to a subnet with a NAT gateway, or outboundType to managedNATGateway",
        ),
        _ => return,
    };
    findings.add("outboundType", message, remedy);
}

fn load_balancer_sku(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if let Some(sku) = &input.spec.load_balancer_sku
        && !["Basic", "Standard"].iter().any(|supported| supported.eq_ignore_ascii_case(sku))
    {
        findings.add("loadBalancerSku", format!("loadBalancerSku {sku:?} is not supported"), USE_STANDARD);
    }
}

const USE_STANDARD: &str = "set loadBalancerSku to Standard";

fn is_basic(input: &RuleInput<'_>) -> bool {
    input.spec.load_balancer_sku.as_ref().is_some_and(|sku| sku.eq_ignore_ascii_case("Basic"))
}

fn needs_standard(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    let spec = &input.spec;
    let pools = spec.pools();
    for (applies, feature) in [
        (input.outbound() != Outbound::LoadBalancer, "with an outboundType other than loadBalancer"),
        (spec.private_cluster == Some(true), "with privateCluster"),
        (spec.authorized_ip_ranges.iter().any(|ranges| !ranges.is_empty()), "with authorizedIpRanges"),
        (pools.len() > 1, "with more than one node pool"),
        (pools.iter().any(|pool| pool.zones().is_some()), "with node pools in availabilityZones"),
    ] {
        if applies && is_basic(input) {
            findings.add(
                "loadBalancerSku",
                format!("loadBalancerSku Basic cannot be used {feature}"),
                USE_STANDARD,
            );
        }
    }
}

fn basic_retired(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if is_basic(input) {
        let message = "loadBalancerSku Basic was retired by Azure on 30 September 2025";
        findings.add("loadBalancerSku", message, USE_STANDARD);
    }
}

fn pod_range(input: &RuleInput<'_>, findings: &mut FieldFindings) {
    if input.network_plugin() == "azure" && input.requested.pod_cidr.is_some() {
        let message = "podCidr has no effect with networkPlugin azure: pods get addresses of the subnet, and Azure may reject it";
        findings.add("podCidr", message, "leave podCidr out, or set networkPlugin to kubenet");
    }
}
