//! Checks of the IP ranges of a cluster, and of the subnets of its pools and their free addresses.

use ipnet::IpNet;
use serde_json::Value;

use crate::arm::call::Call;
use crate::arm::error::ArmError;
use crate::arm::ranges::{overlaps, subnet_ranges};
use crate::json;
use crate::subscription::{Resource, SubscriptionState, find, is_named};

/// Number of addresses in every subnet that Azure reserves.
const RESERVED_ADDRESSES: u64 = 5;

/// Ranges that services and pods must not overlap.
const RESERVED_RANGES: [&str; 4] = ["169.254.0.0/16", "172.30.0.0/16", "172.31.0.0/16", "192.0.2.0/24"];

/// Whether pods have addresses of the subnet.
pub(crate) fn is_flat(cluster: &Value) -> bool {
    json::text(cluster, "/properties/networkProfile/networkPlugin") == Some("azure") && !is_overlay(cluster)
}

pub(crate) fn is_overlay(cluster: &Value) -> bool {
    json::text(cluster, "/properties/networkProfile/networkPluginMode")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("overlay"))
}

fn pools_in_subnet<'a>(cluster: &'a Value, subnet_id: &str) -> impl Iterator<Item = &'a Value> {
    json::list(cluster, "/properties/agentPoolProfiles").iter().filter(move |pool| {
        json::text(pool, "/vnetSubnetID").is_some_and(|id| id.eq_ignore_ascii_case(subnet_id))
    })
}

/// The IDs of the IP configurations of nodes and pods in a subnet.
pub(crate) fn used_address_ids(resources: &SubscriptionState, subnet_id: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for cluster in &resources.clusters {
        let node_group = json::text(&cluster.body, "/properties/nodeResourceGroup").unwrap_or_default();
        let id = json::text(&cluster.body, "/id").unwrap_or_default();
        let subscription = id.split('/').nth(2).unwrap_or_default();
        for pool in pools_in_subnet(&cluster.body, subnet_id) {
            let name = json::text(pool, "/name").unwrap_or_default();
            let addresses_per_node = node_address_count(&cluster.body, pool);
            for node in 0..json::number(pool, "/count").unwrap_or_default() {
                for address in 1..=addresses_per_node {
                    ids.push(format!(
                        "/subscriptions/{subscription}/resourceGroups/{node_group}/providers/Microsoft.Compute/virtualMachineScaleSets/aks-{name}-vmss/virtualMachines/{node}/networkInterfaces/aks-{name}-nic/ipConfigurations/ipconfig{address}"
                    ));
                }
            }
        }
    }
    ids
}

fn node_address_count(cluster: &Value, pool: &Value) -> u64 {
    if is_flat(cluster) && json::text(pool, "/podSubnetID").is_none() {
        u64::from(json::number(pool, "/maxPods").unwrap_or(30)) + 1
    } else {
        1
    }
}

/// The maximum number of addresses of a pool, including the surge nodes of an upgrade.
fn max_pool_address_count(cluster: &Value, pool: &Value) -> u64 {
    let is_autoscaled = json::is_true(pool, "/enableAutoScaling");
    let max_nodes =
        if is_autoscaled { json::number(pool, "/maxCount") } else { json::number(pool, "/count") };
    let nodes = u64::from(max_nodes.unwrap_or_default());
    let surge = json::text(pool, "/upgradeSettings/maxSurge").unwrap_or("1");
    let surge = match surge.strip_suffix('%') {
        Some(percentage) => (nodes * percentage.parse::<u64>().unwrap_or_default()).div_ceil(100),
        None => surge.parse().unwrap_or(1),
    };
    (nodes + surge.max(1)) * node_address_count(cluster, pool)
}

/// Checks the ranges of the cluster.
pub(crate) fn check_ranges(cluster: &Value) -> Result<(), ArmError> {
    let pointer = |key: &str| format!("/properties/networkProfile/{key}");
    let parse_range = |key: &str, target: &str| -> Result<Option<IpNet>, ArmError> {
        let Some(text) = json::text(cluster, &pointer(key)) else { return Ok(None) };
        let range = text.parse::<IpNet>().ok().filter(|range| range.trunc() == *range);
        range
            .map(Some)
            .ok_or_else(|| ArmError::bad_property("CidrStringParseError", "Cidr is invalid", target))
    };
    let services = parse_range("serviceCidr", "networkProfile.serviceCIDR")?;
    let pods = parse_range("podCidr", "networkProfile.podCIDR")?;
    for (range, target) in [(services, "networkProfile.serviceCIDR"), (pods, "networkProfile.podCIDR")] {
        let reserved = RESERVED_RANGES.iter().filter_map(|text| text.parse::<IpNet>().ok());
        if let Some((range, reserved)) = range.and_then(|range| {
            Some((range, reserved.into_iter().find(|reserved| overlaps(reserved, &range))?))
        }) {
            let why = format!("{range} overlaps with the reserved range {reserved}");
            return Err(ArmError::invalid(target, &why));
        }
    }
    let dns_service_ip = json::text(cluster, &pointer("dnsServiceIP")).unwrap_or_default();
    if let Some(services) = services {
        if matches!(services, IpNet::V4(range) if range.prefix_len() < 12) {
            let why = format!("the service range {services} must be smaller than /12");
            return Err(ArmError::invalid("networkProfile.serviceCIDR", &why));
        }
        let address = dns_service_ip.parse().ok().filter(|address| services.contains(address));
        let first = services.hosts().next();
        if address.is_none_or(|address| Some(address) == first || address == services.network()) {
            let why = format!("{dns_service_ip} is not an address in {services} after the first one");
            return Err(ArmError::invalid("networkProfile.dnsServiceIP", &why));
        }
        if let Some(pods) = pods.filter(|pods| overlaps(pods, &services)) {
            let text =
                format!("The specified service CIDR {services} is conflicted with the pod CIDR {pods}");
            return Err(ArmError::bad_property(
                "ServiceCidrOverlapPodCidr",
                text,
                "networkProfile.serviceCIDR",
            ));
        }
    }
    Ok(())
}

/// Checks the subnets of all pools: they exist in one network of the region, do not overlap the service range, and have
/// enough addresses.
pub(crate) fn check_subnets(
    call: &Call<'_>,
    cluster: &Value,
    region: &str,
    is_new: bool,
) -> Result<(), ArmError> {
    let pools = json::list(cluster, "/properties/agentPoolProfiles");
    let mut ids: Vec<&str> = Vec::new();
    for pool in pools {
        match json::text(pool, "/vnetSubnetID") {
            Some(id) if !ids.iter().any(|listed| listed.eq_ignore_ascii_case(id)) => ids.push(id),
            _ => {}
        }
    }
    if ids.is_empty() {
        let outbound_type =
            json::text(cluster, "/properties/networkProfile/outboundType").unwrap_or_default();
        if ["userDefinedRouting", "userAssignedNATGateway"].contains(&outbound_type) {
            let why = format!("the outbound type {outbound_type} needs a custom virtual network");
            return Err(ArmError::invalid("networkProfile.outboundType", &why));
        }
        return Ok(());
    }
    if let Some(pool_without_subnet) = pools.iter().find(|pool| json::text(pool, "/vnetSubnetID").is_none()) {
        let name = json::text(pool_without_subnet, "/name").unwrap_or_default();
        let why = format!("The Agentpool {name} does not have subnet defined: all or none may have one");
        return Err(ArmError::invalid("agentPoolProfile.vnetSubnetID", &why));
    }
    let mut networks: Vec<&str> = Vec::new();
    for id in ids {
        let (network, subnet) = find_subnet(call, id)?;
        if network.location() != region {
            let why = format!("the virtual network {} is in {}", network.name, network.location());
            return Err(ArmError::invalid("agentPoolProfile.vnetSubnetID", &why));
        }
        if !networks.contains(&network.name.as_str()) {
            networks.push(&network.name);
        }
        check_service_range(cluster, network)?;
        if is_new {
            check_subnet_settings(cluster, id, subnet)?;
        }
        check_free_addresses(call, cluster, id, subnet)?;
    }
    if networks.len() > 1 {
        let why = "all agent pools must be in the same virtual network";
        return Err(ArmError::invalid("agentPoolProfile.vnetSubnetID", why));
    }
    Ok(())
}

/// Checks the delegations, route table and NAT gateway of a subnet for a new cluster.
fn check_subnet_settings(cluster: &Value, id: &str, subnet: &Value) -> Result<(), ArmError> {
    let network_setting =
        |key: &str| json::text(cluster, &format!("/properties/networkProfile/{key}")).unwrap_or_default();
    let target = "agentPoolProfile.vnetSubnetID";
    if let Some(service) = json::list(subnet, "/properties/delegations")
        .iter()
        .find_map(|delegation| json::text(delegation, "/properties/serviceName"))
    {
        return Err(ArmError::invalid(target, &format!("the subnet {id} is delegated to {service}")));
    }
    let has_associated = |key: &str| json::text(subnet, &format!("/properties/{key}/id")).is_some();
    if network_setting("networkPlugin") == "kubenet"
        && has_associated("routeTable")
        && json::text(cluster, "/identity/type") == Some("SystemAssigned")
    {
        let text = "Clusters using managed identity type SystemAssigned do not support bringing your own route table. \
                    Please see https://aka.ms/aks/customrt for more information";
        return Err(ArmError::bad_property("CustomRouteTableWithUnsupportedMSIType", text, "identity"));
    }
    match network_setting("outboundType") {
        "userDefinedRouting" if !has_associated("routeTable") => {
            let text = format!(
                "An existing route table has not been associated with subnet {id}. Please update the route table association"
            );
            Err(ArmError::bad_property(
                "ExistingRouteTableNotAssociatedWithSubnet",
                text,
                "networkProfile.outboundType",
            ))
        }
        "userAssignedNATGateway" if !has_associated("natGateway") => {
            let why = format!("the subnet {id} has no NAT gateway");
            Err(ArmError::invalid("networkProfile.outboundType", &why))
        }
        _ => Ok(()),
    }
}

fn find_subnet<'a>(call: &'a Call<'_>, id: &str) -> Result<(&'a Resource, &'a Value), ArmError> {
    let segments: Vec<&str> = id.split('/').collect();
    let [_, _, subscription, _, group, _, _, _, network, _, subnet] = segments.as_slice() else {
        let reason = format!("'{id}' is not the id of a subnet");
        return Err(ArmError::invalid("agentPoolProfile.vnetSubnetID", &reason));
    };
    let is_in_subscription = subscription.eq_ignore_ascii_case(call.subscription);
    let parent = find(&call.resources.networks, group, network).filter(|_| is_in_subscription);
    let network_and_subnet = parent.and_then(|parent| {
        let subnets = json::list(&parent.body, "/properties/subnets");
        Some((parent, subnets.iter().find(|child| is_named(child, subnet))?))
    });
    network_and_subnet.ok_or_else(|| {
        let text = format!(
            "Could not find subnet {subnet} in vnet {network} from resource group {group} of subscription {subscription}."
        );
        ArmError::bad_property("SubnetNotFound", text, "agentPoolProfile.vnetSubnetID")
    })
}

fn check_service_range(cluster: &Value, network: &Resource) -> Result<(), ArmError> {
    let services = json::text(cluster, "/properties/networkProfile/serviceCidr");
    let Some(services) = services.and_then(|text| text.parse::<IpNet>().ok()) else { return Ok(()) };
    let ranges = json::list(&network.body, "/properties/subnets").iter().flat_map(subnet_ranges);
    for range in ranges {
        if overlaps(&range, &services) {
            let text = format!(
                "The specified service CIDR {services} is conflicted with an existing subnet CIDR {range}"
            );
            let target = "networkProfile.serviceCIDR";
            return Err(ArmError::bad_property("ServiceCidrOverlapExistingSubnetsCidr", text, target));
        }
    }
    Ok(())
}

fn check_free_addresses(call: &Call<'_>, cluster: &Value, id: &str, subnet: &Value) -> Result<(), ArmError> {
    let Some(range) = subnet_ranges(subnet).into_iter().find(|range| matches!(range, IpNet::V4(_))) else {
        let why = format!("the subnet {id} has no IPv4 range");
        return Err(ArmError::invalid("agentPoolProfile.vnetSubnetID", &why));
    };
    let address_count = 1_u64.checked_shl(u32::from(32 - range.prefix_len())).unwrap_or_default();
    let own_id = json::text(cluster, "/id").unwrap_or_default();
    let others = call.resources.clusters.iter().map(|cluster| &cluster.body);
    let others = others.filter(|other| json::text(other, "/id") != Some(own_id));
    let needed: u64 = others
        .chain([cluster])
        .flat_map(|cluster| {
            pools_in_subnet(cluster, id).map(move |pool| max_pool_address_count(cluster, pool))
        })
        .sum();
    let free = address_count.saturating_sub(RESERVED_ADDRESSES);
    if needed <= free {
        return Ok(());
    }
    let text = format!(
        "Pre-allocated IPs {needed} exceeds IPs available {free} in Subnet Cidr {range}, Subnet Name {}. If Autoscaler \
         is enabled, the max-count from each nodepool is counted towards this total. \
         http://aka.ms/aks/insufficientsubnetsize",
        json::text(subnet, "/name").unwrap_or_default()
    );
    Err(ArmError::bad_property("InsufficientSubnetSize", text, "agentPoolProfile.count"))
}
