//! A network of `Microsoft.Network/virtualNetworks` with its subnets.

use serde::Deserialize;

use super::lenient::{element_count, lenient_structs, or_default, or_none, read_from_object};

lenient_structs! {
    /// A virtual network.
    VirtualNetwork {
        /// The resource ID, which contains the resource group.
        id: Option<String>,
        /// The network's name.
        name: Option<String>,
        /// The region, for example `eastus`.
        location: Option<String>,
        /// The other properties.
        properties: Option<VirtualNetworkProperties>,
    }

    /// The properties of a virtual network.
    VirtualNetworkProperties {
        /// The ranges for subnets.
        address_space: Option<AddressSpace>,
        /// In Azure's order.
        subnets: Vec<Subnet>,
    }

    /// The ranges of a network.
    AddressSpace {
        /// In CIDR notation, IPv4 and IPv6 together.
        address_prefixes: Vec<String>,
    }

    /// A subnet.
    Subnet {
        /// The resource ID.
        id: Option<String>,
        /// The subnet's name.
        name: Option<String>,
        /// The other properties.
        properties: Option<SubnetProperties>,
    }
}

/// The properties of a subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubnetProperties {
    /// The range in CIDR notation; newer subnets have only [`SubnetProperties::address_prefixes`].
    #[serde(deserialize_with = "or_none")]
    pub address_prefix: Option<String>,
    /// The ranges in CIDR notation.
    #[serde(deserialize_with = "or_default")]
    pub address_prefixes: Vec<String>,
    /// The number of used addresses; Azure reserves five more and does not list them.
    #[serde(rename = "ipConfigurations", deserialize_with = "element_count")]
    pub used_addresses: usize,
    /// The services to which the subnet is delegated.
    #[serde(deserialize_with = "or_default")]
    pub delegations: Vec<Delegation>,
    /// The NAT gateway for outgoing traffic.
    #[serde(deserialize_with = "or_none")]
    pub nat_gateway: Option<Reference>,
    /// The route table.
    #[serde(deserialize_with = "or_none")]
    pub route_table: Option<Reference>,
}

lenient_structs! {
    /// A service to which a subnet is delegated.
    Delegation {
        /// The properties.
        properties: Option<DelegationProperties>,
    }

    /// The properties of a delegation.
    DelegationProperties {
        /// For example `Microsoft.ContainerInstance/containerGroups`.
        service_name: Option<String>,
    }

    /// A reference to another resource.
    Reference {
        /// The resource ID.
        id: Option<String>,
    }
}

read_from_object!(SubnetProperties);
