//! Virtual networks as `aksVirtualNetworks` lists them (`docs/contract/meta-actions.md#aksvirtualnetworks`).

use super::{arm, resource_group};

/// A virtual network with the subnets that have a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network<'a> {
    /// The network's name.
    pub name: &'a str,
    /// Taken from the resource ID.
    pub resource_group: &'a str,
    /// `None` if no subnet has a name: the dashboard hides such networks.
    pub subnets: Option<Vec<Subnet<'a>>>,
    /// As Azure spells it.
    pub location: &'a str,
}

/// A subnet and its first address range, in CIDR notation; empty if Azure lists none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet<'a> {
    /// The subnet's name.
    pub name: &'a str,
    /// `addressPrefix`, else the first of `addressPrefixes`.
    pub address_range: &'a str,
}

/// Reads one network of Azure's list; the error is Rancher's message.
pub fn from_arm(network: &arm::VirtualNetwork) -> Result<Network<'_>, &'static str> {
    let id = network.id.as_deref().ok_or("no ID on virtual network")?;
    let resource_group = resource_group::from_id(id).ok_or("could not parse virtual network ID")?;
    let name = network.name.as_deref().ok_or("no name on virtual network")?;
    let location = network.location.as_deref().unwrap_or_default();
    let subnets = network.properties.iter().flat_map(|properties| &properties.subnets);
    let subnets: Vec<Subnet<'_>> = subnets.filter_map(named_subnet).collect();
    Ok(Network { name, resource_group, subnets: Some(subnets).filter(|list| !list.is_empty()), location })
}

/// A subnet with its range; `None` if it has no name.
fn named_subnet(subnet: &arm::Subnet) -> Option<Subnet<'_>> {
    let range = subnet
        .properties
        .as_ref()
        .and_then(|properties| properties.address_prefix.as_ref().or(properties.address_prefixes.first()));
    Some(Subnet {
        name: subnet.name.as_deref()?,
        address_range: range.map(String::as_str).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(json: &str) -> arm::VirtualNetwork {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn subnets_without_a_name_are_dropped_and_ranges_come_from_either_key() {
        let network = network(
            r#"{"id":"/subscriptions/s/resourceGroups/g/providers/x/y/n","name":"n","location":"East US","properties":{"subnets":[
                {"name":"a","properties":{"addressPrefix":"10.0.0.0/24","addressPrefixes":["10.9.0.0/24"]}},
                {"name":"b","properties":{"addressPrefixes":["10.0.1.0/24","fd00::/64"]}},
                {"name":"c"}, {"properties":{"addressPrefix":"10.0.2.0/24"}}]}}"#,
        );
        let listed = from_arm(&network).unwrap();
        let subnets: Vec<_> = listed.subnets.unwrap().iter().map(|s| (s.name, s.address_range)).collect();
        assert_eq!(subnets, [("a", "10.0.0.0/24"), ("b", "10.0.1.0/24"), ("c", "")]);
        assert_eq!((listed.resource_group, listed.location), ("g", "East US"));
    }

    #[test]
    fn errors_have_ranchers_messages() {
        let id = r#""id":"/subscriptions/s/resourceGroups/g/x""#;
        for (json, expected) in [
            ("{}".to_owned(), Err("no ID on virtual network")),
            (r#"{"id":"/x","name":"n"}"#.to_owned(), Err("could not parse virtual network ID")),
            (format!("{{{id}}}"), Err("no name on virtual network")),
            (format!(r#"{{{id},"name":"n"}}"#), Ok(None)),
            (format!(r#"{{{id},"name":"n","properties":{{"subnets":[]}}}}"#), Ok(None)),
        ] {
            assert_eq!(from_arm(&network(&json)).map(|network| network.subnets), expected, "{json}");
        }
    }
}
