//! What lies around a cluster and has to be there before it: resource providers, the resource group, the workspace.

use aks::provision::{upstream, workspace};
use azure::resources::{providers, resource_groups, workspaces};

use super::act::{LOOK, Work, group};
use super::follow::taken;
use super::task::{Next, Task};
use super::trouble::Trouble;
use crate::service::observation::{WORKSPACES, is_unregistered};

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
        let location = task.aks().resource_location.as_deref().unwrap_or_default();
        let doing = format!("error creating resource group [{group}] with message ");
        let written = resource_groups::put(self.arm, &group, location)
            .await
            .map_err(|error| Trouble::azure(&doing, error))?;
        task.tell("step", format!("made the resource group {group}"));
        Ok(taken(task, &written, &format!("the resource group {group} is being made"), &doing, false))
    }

    pub(super) async fn ensure_workspace(&self, task: &mut Task) -> Result<Next, Trouble> {
        let place = workspace::place(&upstream::located(task.aks(), self.observed.upstream.as_ref()));
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
}
