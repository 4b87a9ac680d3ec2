//! Long operations of Azure: asked about, one look at a time. Asking is one thing, and what a step makes of the answer
//! another, so that a preview can ask too.

use super::task::{Next, Running, Task};
use super::trouble::Trouble;
use crate::azure::{self, Arm, Operation};
use crate::domain::provision::plan::Phase;
use crate::service::credentials::AzureAccess;

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
        Asked::InProgress { what, percent, operation, running } => {
            task.wait(&what, percent);
            let pause = operation.retry_after();
            task.follow(Some(&Running { operation: operation.to_text(), ..running }));
            Ok(Some(Next::In(pause)))
        }
        Asked::Failed(said) => {
            task.follow(None);
            task.tried().said = Some(said.clone());
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
        operation: Operation,
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
        Asked::Failed(format!("{}{code}: {message}", running.doing))
    };
    let asked = operation.step(arm).await;
    Ok(match asked.map_err(|error| Trouble::azure(&format!("{}: ", running.what), error))? {
        azure::Step::InProgress(progress) => {
            let what = match &progress.trouble {
                Some(trouble) => {
                    let said = trouble.message.clone().or(trouble.code.clone()).unwrap_or_default();
                    format!("{} (Azure tries again after: {said})", running.what)
                }
                None => running.what.clone(),
            };
            Asked::InProgress { what, percent: progress.percent, operation: progress.operation, running }
        }
        azure::Step::Failed(error) => failed(&error, "Failed"),
        azure::Step::Cancelled(error) => failed(&error, "Canceled"),
        azure::Step::Succeeded { .. } | azure::Step::Gone => Asked::Ended,
    })
}
