//! Virtual networks as the listing shows them (contract, section 8.3).

use super::{arm, resource_group};

/// A virtual network with the subnets that have a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network<'a> {
    /// The network's name.
    pub name: &'a str,
    /// Taken from the resource id.
    pub resource_group: &'a str,
    /// `None` when there is none with a name: the dashboard hides such networks.
    pub subnets: Option<Vec<Subnet<'a>>>,
    /// As Azure spells it.
    pub location: &'a str,
}

/// A subnet and its first address range, in CIDR notation; empty when Azure names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet<'a> {
    /// The subnet's name.
    pub name: &'a str,
    /// `addressPrefix`, else the first of `addressPrefixes`.
    pub address_range: &'a str,
}

/// Reads one network of Azure's list; the error is Rancher's text.
pub fn read(network: &arm::VirtualNetwork) -> Result<Network<'_>, &'static str> {
    let id = network.id.as_deref().ok_or("no ID on virtual network")?;
    let resource_group = resource_group::of(id).ok_or("could not parse virtual network ID")?;
    let name = network.name.as_deref().ok_or("no name on virtual network")?;
    let location = network.location.as_deref().unwrap_or_default();
    let subnets = network.properties.iter().flat_map(|it| &it.subnets);
    let subnets: Vec<Subnet<'_>> = subnets.filter_map(subnet).collect();
    Ok(Network { name, resource_group, subnets: Some(subnets).filter(|list| !list.is_empty()), location })
}

fn subnet(subnet: &arm::Subnet) -> Option<Subnet<'_>> {
    let ranges = subnet.properties.as_ref().and_then(|it| it.address_prefix.as_ref().or(it.address_prefixes.first()));
    Some(Subnet { name: subnet.name.as_deref()?, address_range: ranges.map(String::as_str).unwrap_or_default() })
}
