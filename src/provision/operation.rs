//! Long-running operations of Azure. Polling and recording the result are separate, so that previews can poll too.

use std::time::Duration;

use aks::provision::plan::Phase;
use azure::{Arm, LongRunningOperation, OperationStatus, WriteResponse};

use super::error::StepError;
use super::task::{Next, StoredOperation, Task};
use crate::service::credentials::AzureAccess;

/// The delay after a completed change, because Azure may still return an older state.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// Polls the operation and records the result; `None` if no operation is running.
pub(super) async fn poll_and_record(
    task: &mut Task,
    access: &AzureAccess,
    arm: &Arm,
) -> Result<Option<Next>, StepError> {
    match poll(task, access, arm).await? {
        PollResult::NoOperation => {
            task.set_running_operation(None);
            Ok(None)
        }
        PollResult::InProgress { what, percent, retry_after, running } => {
            task.set_waiting(&what, percent);
            task.set_running_operation(Some(&running));
            Ok(Some(Next::In(retry_after)))
        }
        PollResult::Failed(message) => {
            task.set_running_operation(None);
            let attempts = task.attempts();
            attempts.error_message = Some(message.clone());
            attempts.failed.extend(attempts.last.clone());
            Err(StepError::new(message))
        }
        // The resource, which is read next, shows the result.
        PollResult::Ended => {
            task.set_running_operation(None);
            task.record_success();
            Ok(None)
        }
    }
}

/// The result of polling.
pub(super) enum PollResult {
    /// There is no operation to wait for.
    NoOperation,
    /// The operation is running.
    InProgress {
        /// The operation in progress, for users.
        what: String,
        percent: Option<f64>,
        /// The delay that Azure requests.
        retry_after: Duration,
        /// The operation to poll next.
        running: StoredOperation,
    },
    /// The operation failed, with Azure's message.
    Failed(String),
    /// The operation ended, or no longer exists in Azure.
    Ended,
}

/// The operation that the step must wait for. A deletion waits only for operations that delete the cluster.
pub(super) fn relevant_operation(task: &Task) -> Option<StoredOperation> {
    task.running_operation().filter(|running| task.phase != Phase::Removing || running.deletes_cluster)
}

/// Polls the operation without recording the result.
pub(super) async fn poll(task: &Task, access: &AzureAccess, arm: &Arm) -> Result<PollResult, StepError> {
    let Some(running) = relevant_operation(task) else { return Ok(PollResult::NoOperation) };
    let cloud = access.credential().cloud;
    let Ok(operation) = LongRunningOperation::from_text(cloud, &running.operation) else {
        return Ok(PollResult::NoOperation);
    };
    let status = match operation.poll(arm).await {
        Ok(status) => status,
        Err(error) if is_permanent(&error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(cluster = task.row.id, error, "cannot poll an operation; reading its resource");
            return Ok(PollResult::Ended);
        }
        Err(error) => return Err(StepError::from_azure(&format!("{}: ", running.what), error)),
    };
    let to_failed = |error: &azure::ServiceError, status: &str| {
        PollResult::Failed(StepError::operation_message(&running.error_prefix, status, error))
    };
    Ok(match status {
        OperationStatus::InProgress(progress) => {
            let what = match &progress.error {
                Some(error) => {
                    let message = error.message.clone().or(error.code.clone()).unwrap_or_default();
                    format!("{} (Azure is retrying after: {message})", running.what)
                }
                None => running.what.clone(),
            };
            let operation = &progress.operation;
            let (retry_after, operation) = (operation.retry_after(), operation.to_text());
            let running = StoredOperation { operation, ..running };
            PollResult::InProgress { what, percent: progress.percent, retry_after, running }
        }
        OperationStatus::Failed(error) => to_failed(&error, "Failed"),
        OperationStatus::Cancelled(error) => to_failed(&error, "Canceled"),
        OperationStatus::Succeeded { .. } | OperationStatus::Gone => PollResult::Ended,
    })
}

/// Whether polling again would give the same error. Status 401 is permanent, because the client has already tried a new token.
fn is_permanent(error: &azure::Error) -> bool {
    let azure::Error::Arm(response) = error else { return false };
    let status = response.status;
    response.foreign_reason.is_none() && matches!(status, 400..=499) && !matches!(status, 408 | 429)
}

/// Records a change that Azure accepted. Later steps poll its operation; if it has none, the next step reads the resource.
pub(super) fn record_start(
    task: &mut Task,
    response: &WriteResponse,
    in_progress: &str,
    error_prefix: &str,
    deletes_cluster: bool,
) -> Next {
    metrics::counter!("norman_aks_provision_steps_total", "outcome" => "done").increment(1);
    let Some(operation) = &response.operation else {
        task.record_success();
        return Next::In(SETTLE_TIME);
    };
    let running = StoredOperation {
        operation: operation.to_text(),
        what: format!("Azure: {in_progress}"),
        error_prefix: error_prefix.to_owned(),
        deletes_cluster,
    };
    task.set_waiting(&running.what, None);
    task.set_running_operation(Some(&running));
    Next::In(operation.retry_after())
}
