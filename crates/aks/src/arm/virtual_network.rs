//! A network of `Microsoft.Network/virtualNetworks` with its subnets.

use serde::Deserialize;

use super::lenient::{length, maybe, or_default, read_from_object};

/// A virtual network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VirtualNetwork {
    /// The resource id, which holds the resource group.
    #[serde(deserialize_with = "maybe")]
    pub id: Option<String>,
    /// The network's name.
    #[serde(deserialize_with = "maybe")]
    pub name: Option<String>,
    /// The region, for example `eastus`.
    #[serde(deserialize_with = "maybe")]
    pub location: Option<String>,
    /// Everything else.
    #[serde(deserialize_with = "maybe")]
    pub properties: Option<VirtualNetworkProperties>,
}

/// The properties of a virtual network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VirtualNetworkProperties {
    /// What the subnets are cut from.
    #[serde(deserialize_with = "maybe")]
    pub address_space: Option<AddressSpace>,
    /// In Azure's order.
    #[serde(deserialize_with = "or_default")]
    pub subnets: Vec<Subnet>,
}

/// The ranges of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AddressSpace {
    /// In CIDR form, IPv4 and IPv6 together.
    #[serde(deserialize_with = "or_default")]
    pub address_prefixes: Vec<String>,
}

/// A subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subnet {
    /// The resource id.
    #[serde(deserialize_with = "maybe")]
    pub id: Option<String>,
    /// The subnet's name.
    #[serde(deserialize_with = "maybe")]
    pub name: Option<String>,
    /// Everything else.
    #[serde(deserialize_with = "maybe")]
    pub properties: Option<SubnetProperties>,
}

/// The properties of a subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubnetProperties {
    /// The range in CIDR form; newer subnets have only [`SubnetProperties::address_prefixes`].
    #[serde(deserialize_with = "maybe")]
    pub address_prefix: Option<String>,
    /// The ranges in CIDR form.
    #[serde(deserialize_with = "or_default")]
    pub address_prefixes: Vec<String>,
    /// How many addresses are in use; Azure keeps five more for itself and does not list them.
    #[serde(rename = "ipConfigurations", deserialize_with = "length")]
    pub used_addresses: usize,
    /// The services that the subnet is given to.
    #[serde(deserialize_with = "or_default")]
    pub delegations: Vec<Delegation>,
    /// The NAT gateway through which the subnet reaches out.
    #[serde(deserialize_with = "maybe")]
    pub nat_gateway: Option<Reference>,
    /// The routes that the subnet follows.
    #[serde(deserialize_with = "maybe")]
    pub route_table: Option<Reference>,
}

/// A service that a subnet is given to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Delegation {
    /// Everything of interest.
    #[serde(deserialize_with = "maybe")]
    pub properties: Option<DelegationProperties>,
}

/// Which service it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DelegationProperties {
    /// For example `Microsoft.ContainerInstance/containerGroups`.
    #[serde(deserialize_with = "maybe")]
    pub service_name: Option<String>,
}

/// The id of another resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Reference {
    /// The resource id.
    #[serde(deserialize_with = "maybe")]
    pub id: Option<String>,
}

read_from_object!(
    VirtualNetwork,
    VirtualNetworkProperties,
    AddressSpace,
    Subnet,
    SubnetProperties,
    Delegation,
    DelegationProperties,
    Reference
);
