//! The prerequisites of a cluster: resource providers, the resource group, the workspace.

use aks::provision::{upstream, workspace};
use azure::resources::{providers, resource_groups, workspaces};

use super::context::{Change, POLL_INTERVAL, StepContext};
use super::error::StepError;
use super::task::{Next, Task};
use crate::service::observation::{WORKSPACE_PROVIDER, is_unregistered};

impl StepContext<'_> {
    pub(super) async fn register_provider(&self, task: &mut Task, provider: &str) -> Result<Next, StepError> {
        let error_prefix = format!("error registering the resource provider {provider}: ");
        let to_step_error = |error| StepError::from_azure(&error_prefix, error);
        if !providers::get(self.arm, provider).await.map_err(to_step_error)?.is_registering() {
            providers::register(self.arm, provider).await.map_err(to_step_error)?;
            task.add_event("step", format!("requested the registration of the resource provider {provider}"));
        }
        task.set_waiting(&format!("Azure: the resource provider {provider} is being registered"), None);
        Ok(Next::In(POLL_INTERVAL))
    }

    pub(super) async fn create_group(&self, task: &mut Task) -> Result<Next, StepError> {
        let (group, _) = task.group_and_name();
        let region = task.aks().resource_location.as_deref().unwrap_or_default();
        let outcome = resource_groups::put(self.arm, &group, region).await;
        let change = Change {
            error_prefix: &format!("error creating resource group [{group}] with message "),
            done: format!("created resource group {group}"),
            in_progress: format!("creating resource group {group}"),
            deletes_cluster: false,
        };
        change.record(task, outcome.map(Some))
    }

    pub(super) async fn ensure_workspace(&self, task: &mut Task) -> Result<Next, StepError> {
        let location =
            workspace::location(&upstream::with_actual_region(task.aks(), self.observed.upstream.as_ref()));
        let name = &location.name;
        let error_prefix = "error failed to create cluster: error creating log analytics workspace: ";
        let existing = match workspaces::get(self.arm, &location.group, name).await {
            Err(error) if is_unregistered(&error) => {
                return self.register_provider(task, WORKSPACE_PROVIDER).await;
            }
            result => result.map_err(|error| StepError::from_azure(error_prefix, error))?,
        };
        let in_progress = format!("creating Log Analytics workspace {name}");
        if let Some(workspace) = existing {
            let state = workspace.view.properties.and_then(|properties| properties.provisioning_state);
            let has_failed = state.is_some_and(|state| {
                ["Failed", "Canceled"].iter().any(|failed| failed.eq_ignore_ascii_case(&state))
            });
            if !has_failed {
                task.set_waiting(&format!("Azure: {in_progress}"), None);
                return Ok(Next::In(POLL_INTERVAL));
            }
        }
        let outcome = workspaces::put(self.arm, &location.group, name, &location.region).await;
        let done = format!("created Log Analytics workspace {name}");
        Change { error_prefix, done, in_progress, deletes_cluster: false }.record(task, outcome.map(Some))
    }
}
