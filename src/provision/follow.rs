//! Long operations of Azure: asked about, one look at a time. Asking is one thing, and what a step makes of the answer
//! another, so that a preview can ask too.

use std::time::Duration;

use aks::provision::plan::Phase;
use azure::{Arm, Operation, Written};

use super::task::{Next, Running, Task};
use super::trouble::{Trouble, with_hint};
use crate::service::credentials::AzureAccess;
use crate::service::explain;

/// How long Azure is left alone with a change that it says to have made: what it shows may be older.
const SETTLES: Duration = Duration::from_secs(1);

/// Asks about the long operation, if there is one; `None` when nothing runs any more.
pub(super) async fn follow(
    task: &mut Task,
    access: &AzureAccess,
    arm: &Arm,
) -> Result<Option<Next>, Trouble> {
    match ask(task, access, arm).await? {
        Asked::Nothing => {
            task.follow(None);
            Ok(None)
        }
        Asked::InProgress { what, percent, pause, running } => {
            task.wait(&what, percent);
            task.follow(Some(&running));
            Ok(Some(Next::In(pause)))
        }
        Asked::Failed(said) => {
            task.follow(None);
            let tried = task.tried();
            tried.said = Some(said.clone());
            tried.failed.extend(tried.last.clone());
            Err(Trouble::new(said))
        }
        // The resource itself knows how it ended.
        Asked::Ended => {
            task.follow(None);
            task.recovered();
            Ok(None)
        }
    }
}

/// What became of the long operation.
pub(super) enum Asked {
    /// There is none that counts.
    Nothing,
    /// Azure is at it.
    InProgress {
        /// What is waited for, for people.
        what: String,
        percent: Option<f64>,
        /// How long Azure asks to wait.
        pause: Duration,
        /// The operation as it is to be followed from here.
        running: Running,
    },
    /// Azure gave it up; holds its words.
    Failed(String),
    /// It came to its end, or Azure knows nothing of it any more.
    Ended,
}

/// The long operation that counts.
pub(super) fn followed(task: &Task) -> Option<Running> {
    // A removal does not wait for what it removes.
    task.running().filter(|running| task.phase != Phase::Removing || running.removes)
}

/// Asks Azure about the long operation, and changes nothing.
pub(super) async fn ask(task: &Task, access: &AzureAccess, arm: &Arm) -> Result<Asked, Trouble> {
    let Some(running) = followed(task) else { return Ok(Asked::Nothing) };
    let Ok(operation) = Operation::from_text(access.credential().cloud, &running.operation) else {
        return Ok(Asked::Nothing);
    };
    let failed = |error: &azure::ServiceError, word: &str| {
        let code = error.code.clone().unwrap_or_else(|| word.to_owned());
        let message = error.message.clone().unwrap_or_else(|| "Azure does not say why".to_owned());
        let said = format!("{}{code}: {message}", running.doing);
        Asked::Failed(with_hint(said, explain::operation_hint(error).as_deref()))
    };
    let step = match operation.step(arm).await {
        Ok(step) => step,
        Err(error) if is_lasting(&error) => {
            let id = &task.row.id;
            let error = &error as &dyn std::error::Error;
            tracing::warn!(cluster = id, error, "a long operation cannot be asked about; its resource is");
            return Ok(Asked::Ended);
        }
        Err(error) => return Err(Trouble::azure(&format!("{}: ", running.what), error)),
    };
    Ok(match step {
        azure::Step::InProgress(progress) => {
            let what = match &progress.trouble {
                Some(trouble) => {
                    let said = trouble.message.clone().or(trouble.code.clone()).unwrap_or_default();
                    format!("{} (Azure tries again after: {said})", running.what)
                }
                None => running.what.clone(),
            };
            let (pause, operation) = (progress.operation.retry_after(), progress.operation.to_text());
            let running = Running { operation, ..running };
            Asked::InProgress { what, percent: progress.percent, pause, running }
        }
        azure::Step::Failed(error) => failed(&error, "Failed"),
        azure::Step::Cancelled(error) => failed(&error, "Canceled"),
        azure::Step::Succeeded { .. } | azure::Step::Gone => Asked::Ended,
    })
}

/// Whether asking the same once more gets the same: a login was tried anew by then.
fn is_lasting(error: &azure::Error) -> bool {
    let azure::Error::Arm(refusal) = error else { return false };
    refusal.foreign.is_none() && matches!(refusal.status, 400..=499) && !matches!(refusal.status, 408 | 429)
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
