//! `Microsoft.Network/virtualNetworks` and their subnets, read-only.

use aks::arm::{Subnet, VirtualNetwork};

use crate::arm::Arm;
use crate::error::Error;
use crate::page::read_all;
use crate::request_name::RequestName;
use crate::resource;

const API_VERSION: (&str, &str) = ("api-version", "2023-11-01");

/// Lists the networks of the subscription, in Azure's order (REST: Virtual Networks - List All).
pub async fn list(arm: &Arm) -> Result<Vec<VirtualNetwork>, Error> {
    let path = ["providers", "Microsoft.Network", "virtualNetworks"];
    let url = arm.url(&path, &[API_VERSION])?;
    read_all(arm, RequestName::ListVirtualNetworks, url).await
}

/// Gets a network with its subnets; `None` if the network or its group does not exist (REST: Virtual Networks - Get).
pub async fn get(arm: &Arm, group: &str, name: &str) -> Result<Option<VirtualNetwork>, Error> {
    let url = arm.url(&path(group, name), &[API_VERSION])?;
    Ok(resource::find(arm, RequestName::GetVirtualNetwork, &url).await?.map(|network| network.view))
}

/// Gets a subnet; `None` if the subnet, its network or its group does not exist (REST: Subnets - Get).
pub async fn subnet(arm: &Arm, group: &str, network: &str, name: &str) -> Result<Option<Subnet>, Error> {
    let path = [path(group, network).as_slice(), &["subnets", name]].concat();
    let url = arm.url(&path, &[API_VERSION])?;
    Ok(resource::find(arm, RequestName::GetSubnet, &url).await?.map(|subnet| subnet.view))
}

fn path<'a>(group: &'a str, name: &'a str) -> [&'a str; 6] {
    ["resourceGroups", group, "providers", "Microsoft.Network", "virtualNetworks", name]
}
