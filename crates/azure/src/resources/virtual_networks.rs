//! `Microsoft.Network/virtualNetworks` and their subnets. Read only: nobody here makes networks.

use aks::arm::{Subnet, VirtualNetwork};

use crate::page::read_all;
use crate::{Arm, Error, one};

const API_VERSION: (&str, &str) = ("api-version", "2023-11-01");

/// The networks of the whole subscription, in Azure's order.
pub async fn list(arm: &Arm) -> Result<Vec<VirtualNetwork>, Error> {
    let path = ["providers", "Microsoft.Network", "virtualNetworks"];
    let url = arm.address(&path, &[API_VERSION])?;
    read_all(arm, "virtualNetworks", url).await
}

/// A network with its subnets; `None` when there is none of that name in the group, or no such group.
pub async fn get(arm: &Arm, group: &str, name: &str) -> Result<Option<VirtualNetwork>, Error> {
    let url = arm.address(&path_of(group, name), &[API_VERSION])?;
    Ok(one::find(arm, "virtualNetwork", &url).await?.map(|network| network.view))
}

/// A subnet; `None` when there is none of that name in the network, or no such network or group.
pub async fn subnet(arm: &Arm, group: &str, network: &str, name: &str) -> Result<Option<Subnet>, Error> {
    let mut path = path_of(group, network).to_vec();
    path.extend(["subnets", name]);
    let url = arm.address(&path, &[API_VERSION])?;
    Ok(one::find(arm, "subnet", &url).await?.map(|subnet| subnet.view))
}

fn path_of<'a>(group: &'a str, name: &'a str) -> [&'a str; 6] {
    ["resourceGroups", group, "providers", "Microsoft.Network", "virtualNetworks", name]
}
