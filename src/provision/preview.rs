//! Previews of the next step. A preview reads Azure and decides as a step does, but changes nothing; its task is never saved.

use std::sync::Arc;
use std::time::Duration;

use aks::provision::plan::{Phase, Step};
use aks::provision::preview::{Azure, Kind, Preview, Unseen, managed};
use aks::status::Waiting;
use tokio::time::{Instant, timeout};

use super::context::{self, NOTHING_CREATED, StepContext};
use super::error::StepError;
use super::operation::{self, PollResult};
use super::task::Task;
use super::{Worker, claim, refresh};
use crate::service::core::Core;
use crate::service::credentials::AzureAccess;
use crate::service::plans::{Planner, PreviewFuture};
use crate::service::{Error, Result};
use crate::store::ClusterRow;

/// The time limit for Azure, because a user is waiting.
const AZURE_TIMEOUT: Duration = Duration::from_secs(25);

impl Planner for Worker {
    fn preview_offline(&self, row: &ClusterRow) -> Result<Option<Preview>> {
        let task = load_task(&self.core, row.clone())?;
        let preview = if context::has_nothing_to_delete(&task) {
            let reason = "this server created nothing for it in Azure, so nothing is deleted there";
            let azure = Azure::NotNeeded(reason.to_owned());
            let reason = format!("its deletion was requested, and {NOTHING_CREATED}");
            Preview { azure, ..Preview::new(Kind::Forget, "remove the object", reason) }
        } else if task.row.credential_id.is_none() {
            let azure = Azure::Failed("aksConfig.azureCredentialSecret is not set".to_owned());
            blocked_preview(StepError::no_credential(), &task, azure)
        } else {
            return Ok(None);
        };
        Ok(Some(with_managed_keys(&task, preview)))
    }

    fn preview_with_azure(&self, row: ClusterRow, access: Arc<AzureAccess>) -> PreviewFuture<'_> {
        Box::pin(async move {
            let mut task = load_task(&self.core, row)?;
            let preview_future = preview(&self.core, &mut task, &access, Instant::now() + AZURE_TIMEOUT);
            // The requests end at the deadline; the additional second is for everything else.
            let preview = match timeout(AZURE_TIMEOUT + Duration::from_secs(1), preview_future).await {
                Ok(Ok(preview)) => preview,
                Ok(Err(error)) => {
                    let azure = Azure::Failed(error.message.clone());
                    blocked_preview(error, &task, azure)
                }
                Err(_) => {
                    let azure =
                        Azure::Failed(format!("Azure did not respond within {} s", AZURE_TIMEOUT.as_secs()));
                    blocked_preview(StepError::timed_out(), &task, azure)
                }
            };
            Ok(with_managed_keys(&task, preview))
        })
    }

    fn preview_without_azure(&self, row: &ClusterRow, reason: Azure) -> Result<Preview> {
        let task = load_task(&self.core, row.clone())?;
        let preview = match &reason {
            Azure::Failed(error) => blocked_preview(StepError::new(error), &task, reason.clone()),
            _ => preview_from_row(&task, reason),
        };
        Ok(with_managed_keys(&task, preview))
    }
}

fn load_task(core: &Core, row: ClusterRow) -> Result<Task> {
    let id = row.id.clone();
    Task::new(core, row).map_err(|source| Error::Corrupt { id, source: source.into() })
}

/// Does the same as [`advance`](super::step::advance) and [`refresh::refresh`], up to the first change.
async fn preview(
    core: &Core,
    task: &mut Task,
    access: &AzureAccess,
    deadline: Instant,
) -> Result<Preview, StepError> {
    let arm = context::arm(core, access, deadline, StepError::CLIENT_PREFIX)?;
    if task.is_idle() {
        let (observed, unusable) = refresh::observe(task, access, &arm).await?;
        let aks = task.aks();
        return Ok(match (unusable, &observed.comparable_upstream()) {
            (Some(unusable), _) => Preview::new(
                Kind::Refuse,
                "nothing until the specification or the cluster in Azure changes",
                unusable.message(),
            ),
            (None, Some(upstream)) => Preview::idle(aks, upstream),
            (None, None) => Preview::idle(aks, aks),
        });
    }
    context::check_subscription(task, access)?;
    let poll_result = operation::poll(task, access, &arm).await?;
    if let Some(preview) = preview_operation(task, poll_result) {
        return Ok(preview);
    }
    let observed = context::observe(task, access, &arm, task.phase).await?;
    if let Err(error) = claim::check_identity(core, task, access).await {
        let summary = "record the failure, and try again";
        return Ok(Preview::new(Kind::Blocked, summary, error.message));
    }
    let mut step = context::decide(task, &observed);
    let context = StepContext { core, access, arm: &arm, observed: &observed };
    match step {
        // As in a step, an invalid request is found before it is sent.
        Step::CreateCluster => {
            if let Err(error) = context.creation_body(task).await {
                step = Step::Refuse(error.message);
            }
        }
        Step::GaveUp(what) => step = Step::GaveUp(task.attempts().error_message.clone().unwrap_or(what)),
        _ => {}
    }
    let attempts = task.attempts().clone();
    let mut preview = Preview::from_step(&step, &context::plan_input(task, &attempts, &observed));
    if let Step::Wait(what) = &step {
        preview.waiting = Some(waiting(task, what, None));
    }
    Ok(preview)
}

/// The preview while an operation of Azure is in progress, or after it failed.
fn preview_operation(task: &Task, result: PollResult) -> Option<Preview> {
    match result {
        PollResult::InProgress { what, percent, .. } => {
            let mut preview =
                Preview::new(Kind::Wait, format!("wait for {what}"), "an operation is in progress in Azure");
            preview.waiting = Some(waiting(task, &what, percent));
            let reason = "it is read after the operation in Azure has finished".to_owned();
            preview.unseen = vec![Unseen { what: "cluster", reason }];
            Some(preview)
        }
        PollResult::Failed(message) => {
            let summary = "record that the operation failed, and read the cluster again";
            Some(Preview::new(Kind::GaveUp, summary, message))
        }
        PollResult::NoOperation | PollResult::Ended => None,
    }
}

/// The operation that the worker waits for, with the start time.
fn waiting(task: &Task, what: &str, percent: Option<f64>) -> Waiting {
    let current = task.status.waiting.as_ref().filter(|waiting| waiting.what == what);
    Waiting {
        what: what.to_owned(),
        since_ms: current.map_or(task.now_ms, |waiting| waiting.since_ms),
        percent,
    }
}

/// The preview of a step that would fail with `error`.
fn blocked_preview(error: StepError, task: &Task, azure: Azure) -> Preview {
    let is_removal = task.phase == Phase::Removing;
    let error = if is_removal { error.with_forced_removal_hint(&task.row.id) } else { error };
    let unseen = match &azure {
        Azure::Failed(reason) => vec![Unseen { what: "azure", reason: reason.clone() }],
        _ => Vec::new(),
    };
    let summary = "record the failure, and try again";
    Preview { azure, unseen, ..Preview::new(Kind::Blocked, summary, error.message) }
}

/// The preview from the stored row, without Azure.
fn preview_from_row(task: &Task, azure: Azure) -> Preview {
    let mut preview = if task.is_idle() {
        let reason = "the desired spec is applied; whether it still matches Azure was not checked";
        Preview::new(Kind::Nothing, "nothing", reason)
    } else if let (Some(running), Some(waiting)) = (operation::relevant_operation(task), &task.status.waiting)
    {
        let preview = Preview::new(
            Kind::Wait,
            format!("wait for {}", running.what),
            "an operation was in progress when Azure was last read",
        );
        Preview { waiting: Some(waiting.clone()), ..preview }
    } else {
        let reason = "the step depends on the observed state";
        Preview::new(Kind::Unknown, "read the state from Azure, then decide", reason)
    };
    if let Azure::NotAllowed(reason) = &azure {
        preview.unseen = vec![Unseen { what: "azure", reason: reason.clone() }];
    }
    Preview { azure, ..preview }
}

/// Adds the managed keys.
fn with_managed_keys(task: &Task, mut preview: Preview) -> Preview {
    preview.managed = managed(&task.desired);
    if task.is_import() && task.phase != Phase::Removing {
        let note = if preview.managed.is_empty() {
            "the cluster is imported and no managed field of aksConfig is set, so it is only monitored"
                .to_owned()
        } else {
            format!(
                "the cluster was imported, and only these fields are managed: {}",
                preview.managed.join(", ")
            )
        };
        preview.reason.push_str("; ");
        preview.reason.push_str(&note);
    }
    preview
}
