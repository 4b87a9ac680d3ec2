//! What lies around a cluster and has to be there before it: resource providers, the resource group, the workspace, the
//! network of the user's.

use super::act::{LOOK, Work, group};
use super::follow::taken;
use super::task::{Next, Task};
use super::trouble::Trouble;
use crate::azure::resources::{providers, resource_groups, virtual_networks, workspaces};
use crate::domain::spec::{given, network_group};
use crate::service::observation::{WORKSPACES, is_unregistered, workspace_place};

impl Work<'_> {
    pub(super) async fn register(&self, task: &mut Task, provider: &str) -> Result<Next, Trouble> {
        let doing = format!("error registering the resource provider {provider}: ");
        let failed = |error| Trouble::azure(&doing, error);
        if !providers::get(self.arm, provider).await.map_err(failed)?.is_registering() {
            providers::register(self.arm, provider).await.map_err(failed)?;
            task.tell("step", format!("asked Azure to register the resource provider {provider}"));
        }
        task.wait(&format!("Azure: the resource provider {provider} is being registered"), None);
        Ok(Next::In(LOOK))
    }

    pub(super) async fn create_group(&self, task: &mut Task) -> Result<Next, Trouble> {
        let group = group(task).to_owned();
        let location = given(task.aks().resource_location.as_ref()).unwrap_or_default();
        let doing = format!("error creating resource group [{group}] with message ");
        let written = resource_groups::put(self.arm, &group, location)
            .await
            .map_err(|error| Trouble::azure(&doing, error))?;
        task.tell("step", format!("made the resource group {group}"));
        Ok(taken(task, &written, &format!("the resource group {group} is being made"), &doing, false))
    }

    pub(super) async fn ensure_workspace(&self, task: &mut Task) -> Result<Next, Trouble> {
        let place = workspace_place(task.aks());
        let doing = "error failed to create cluster: error creating log analytics workspace: ";
        let failed = |error| Trouble::azure(doing, error);
        let found = match workspaces::get(self.arm, &place.group, &place.name).await {
            Err(error) if is_unregistered(&error) => return self.register(task, WORKSPACES).await,
            found => found.map_err(failed)?,
        };
        let state = found.as_ref().and_then(|it| it.view.properties.as_ref()?.provisioning_state.as_deref());
        let failed_once =
            state.is_some_and(|state| ["Failed", "Canceled"].iter().any(|it| it.eq_ignore_ascii_case(state)));
        if found.is_some() && !failed_once {
            task.wait(&format!("Azure: the Log Analytics workspace {} is being made", place.name), None);
            return Ok(Next::In(LOOK));
        }
        let written =
            workspaces::put(self.arm, &place.group, &place.name, &place.region).await.map_err(failed)?;
        task.tell("step", format!("made the Log Analytics workspace {}", place.name));
        let what = format!("the Log Analytics workspace {} is being made", place.name);
        Ok(taken(task, &written, &what, doing, false))
    }

    /// The network that the user named must be there: Azure tells it late and in other words.
    pub(super) async fn check_network(&self, task: &Task) -> Result<(), Trouble> {
        let aks = task.aks();
        let (Some(network), Some(subnet)) = (given(aks.virtual_network.as_ref()), given(aks.subnet.as_ref()))
        else {
            return Ok(());
        };
        let group = network_group(aks).unwrap_or_default();
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
}
