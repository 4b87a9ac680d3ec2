//! The long operation of a cluster: asked about once in a step, and never waited for.

use std::time::Duration;

use super::task::{Next, Running, Task};
use super::trouble::Trouble;
use crate::azure::{self, Arm, Operation, Written};
use crate::domain::provision::plan::Phase;
use crate::service::credentials::AzureAccess;

/// How long Azure is left alone with a change that it says to have made: what it shows may be older.
const SETTLES: Duration = Duration::from_secs(1);

/// Asks about the long operation, if there is one; `None` when nothing runs any more.
pub(super) async fn follow(
    task: &mut Task,
    access: &AzureAccess,
    arm: &Arm,
) -> Result<Option<Next>, Trouble> {
    let Some(running) = task.running() else { return Ok(None) };
    if task.phase == Phase::Removing && !running.removes {
        // A removal does not wait for what it removes.
        task.follow(None);
        return Ok(None);
    }
    let Ok(operation) = Operation::from_text(access.credential().cloud, &running.operation) else {
        task.follow(None);
        return Ok(None);
    };
    let failed = |task: &mut Task, error: &azure::ServiceError, word: &str| {
        task.follow(None);
        let code = error.code.clone().unwrap_or_else(|| word.to_owned());
        let message = error.message.clone().unwrap_or_else(|| "Azure does not say why".to_owned());
        let said = format!("{}{code}: {message}", running.doing);
        let tried = task.tried();
        tried.said = Some(said.clone());
        tried.failed.extend(tried.last.clone());
        Err(Trouble::new(said))
    };
    let step = match operation.step(arm).await {
        Ok(step) => step,
        Err(error) if is_lasting(&error) => {
            // The address may be refused for ever, and the resource itself knows how it ended.
            let id = &task.row.id;
            let error = &error as &dyn std::error::Error;
            tracing::warn!(cluster = id, error, "a long operation cannot be asked about; the resource is");
            task.follow(None);
            return Ok(None);
        }
        Err(error) => return Err(Trouble::azure(&format!("{}: ", running.what), error)),
    };
    match step {
        azure::Step::InProgress(progress) => {
            let percent = progress.percent;
            let what = match &progress.trouble {
                Some(trouble) => {
                    let said = trouble.message.clone().or(trouble.code.clone()).unwrap_or_default();
                    format!("{} (Azure tries again after: {said})", running.what)
                }
                None => running.what.clone(),
            };
            task.wait(&what, percent);
            let pause = progress.operation.retry_after();
            task.follow(Some(&Running { operation: progress.operation.to_text(), ..running }));
            Ok(Some(Next::In(pause)))
        }
        azure::Step::Failed(error) => failed(task, &error, "Failed"),
        azure::Step::Cancelled(error) => failed(task, &error, "Canceled"),
        // The resource itself knows how it ended.
        azure::Step::Succeeded { .. } | azure::Step::Gone => {
            task.follow(None);
            task.recovered();
            Ok(None)
        }
    }
}

/// Whether asking the same once more gets the same: a login was tried anew by then.
fn is_lasting(error: &azure::Error) -> bool {
    let azure::Error::Arm(refusal) = error else { return false };
    matches!(refusal.status, 400..=499) && !matches!(refusal.status, 408 | 429)
}

/// Azure took a change: it is followed, or looked at right away.
pub(super) fn taken(task: &mut Task, written: &Written, what: &str, doing: &str, removes: bool) -> Next {
    metrics::counter!("norman_aks_provision_steps_total", "outcome" => "done").increment(1);
    let Some(operation) = &written.operation else {
        task.recovered();
        return Next::In(SETTLES);
    };
    let running = Running {
        operation: operation.to_text(),
        what: format!("Azure: {what}"),
        doing: doing.to_owned(),
        removes,
    };
    task.wait(&running.what, None);
    task.follow(Some(&running));
    Next::In(operation.retry_after())
}
