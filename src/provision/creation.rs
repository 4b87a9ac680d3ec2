//! The request that creates a cluster, and the checks before it. Previews use it too.

use aks::provision::manifest;
use azure::resources::virtual_networks;
use serde_json::Value;

use super::context::StepContext;
use super::error::StepError;
use super::task::Task;

impl StepContext<'_> {
    /// Checks that the network exists. Azure reports a missing network later and less clearly.
    async fn check_network(&self, task: &Task) -> Result<(), StepError> {
        let aks = task.aks();
        let (Some(name), Some(subnet_name)) = (aks.virtual_network.as_deref(), aks.subnet.as_deref()) else {
            return Ok(());
        };
        let group = aks.network_group().unwrap_or_default();
        let network = virtual_networks::get(self.arm, group, name)
            .await
            .map_err(|error| StepError::from_azure("error reading the virtual network: ", error))?
            .ok_or_else(|| StepError::network_missing(name, group))?;
        let subnets = network.properties.map(|properties| properties.subnets).unwrap_or_default();
        let mut names = subnets.iter().filter_map(|subnet| subnet.name.as_deref());
        if names.any(|name| name.eq_ignore_ascii_case(subnet_name)) {
            Ok(())
        } else {
            Err(StepError::subnet_missing(name, subnet_name))
        }
    }

    /// Checks the network, and returns the body of the request.
    pub(super) async fn creation_body(&self, task: &Task) -> Result<Value, StepError> {
        self.check_network(task).await?;
        manifest::create(task.aks(), self.manifest_context(task))
            .map_err(|error| StepError::new(format!("error failed to create cluster: {error}")))
    }
}
