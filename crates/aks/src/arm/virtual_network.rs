//! A network of `Microsoft.Network/virtualNetworks` with its subnets.

use serde::Deserialize;

use super::lenient::{length, maybe, objects, or_default, read_from_object};

objects! {
    /// A virtual network.
    VirtualNetwork {
        /// The resource id, which holds the resource group.
        id: Option<String>,
        /// The network's name.
        name: Option<String>,
        /// The region, for example `eastus`.
        location: Option<String>,
        /// Everything else.
        properties: Option<VirtualNetworkProperties>,
    }

    /// The properties of a virtual network.
    VirtualNetworkProperties {
        /// What the subnets are cut from.
        address_space: Option<AddressSpace>,
        /// In Azure's order.
        subnets: Vec<Subnet>,
    }

    /// The ranges of a network.
    AddressSpace {
        /// In CIDR form, IPv4 and IPv6 together.
        address_prefixes: Vec<String>,
    }

    /// A subnet.
    Subnet {
        /// The resource id.
        id: Option<String>,
        /// The subnet's name.
        name: Option<String>,
        /// Everything else.
        properties: Option<SubnetProperties>,
    }
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

objects! {
    /// A service that a subnet is given to.
    Delegation {
        /// Everything of interest.
        properties: Option<DelegationProperties>,
    }

    /// Which service it is.
    DelegationProperties {
        /// For example `Microsoft.ContainerInstance/containerGroups`.
        service_name: Option<String>,
    }

    /// The id of another resource.
    Reference {
        /// The resource id.
        id: Option<String>,
    }
}

read_from_object!(SubnetProperties);
