//! What is found out before Azure is asked to make a cluster, and the body of that request. A preview finds it out too.

use aks::provision::manifest;
use azure::resources::virtual_networks;
use serde_json::Value;

use super::act::Work;
use super::task::Task;
use super::trouble::Trouble;

impl Work<'_> {
    /// The network that the user named must be there: Azure tells it late and in other words.
    async fn check_network(&self, task: &Task) -> Result<(), Trouble> {
        let aks = task.aks();
        let (Some(network), Some(subnet)) = (aks.virtual_network.as_deref(), aks.subnet.as_deref()) else {
            return Ok(());
        };
        let group = aks.network_group().unwrap_or_default();
        let found = virtual_networks::get(self.arm, group, network).await;
        let found = found.map_err(|error| Trouble::azure("error reading the virtual network: ", error))?;
        let Some(found) = found else {
            return Err(Trouble::new(format!(
                "the virtual network {network} does not exist in resource group {group}: make it, or change \
                 aksConfig.virtualNetwork and aksConfig.virtualNetworkResourceGroup"
            )));
        };
        let subnets = found.properties.map(|properties| properties.subnets).unwrap_or_default();
        let has = |name: &str| {
            subnets.iter().any(|it| it.name.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name)))
        };
        if has(subnet) {
            return Ok(());
        }
        Err(Trouble::new(format!(
            "the virtual network {network} has no subnet {subnet}: make it, or change aksConfig.subnet"
        )))
    }

    /// The body that makes the cluster, after all that can be known before Azure is asked.
    pub(super) async fn creation(&self, task: &Task) -> Result<Value, Trouble> {
        self.check_network(task).await?;
        manifest::create(task.aks(), self.context(task))
            .map_err(|error| Trouble::new(format!("error failed to create cluster: {error}")))
    }
}
