//! The next step, told instead of done: the same looks at Azure and the same decision as for a step, and then nothing. The
//! task that it works with is never written down.

use std::sync::Arc;
use std::time::Duration;

use aks::provision::plan::{Phase, Step};
use aks::provision::preview::{Azure, Kind, Preview, Unseen, managed};
use aks::status::Waiting;
use tokio::time::{Instant, timeout};

use super::act::{self, Work};
use super::follow::{self, Asked};
use super::task::Task;
use super::trouble::Trouble;
use super::{Parts, Worker, claim, refresh};
use crate::service::credentials::AzureAccess;
use crate::service::observation;
use crate::service::plans::{Foresight, Looking};
use crate::service::{Error, Result};
use crate::store::ClusterRow;

/// How long Azure may take in all: somebody waits for the answer.
const LIMIT: Duration = Duration::from_secs(25);

impl Foresight for Worker {
    fn alone(&self, row: &ClusterRow) -> Result<Option<Preview>> {
        let task = task(&self.core, row.clone())?;
        let preview = if act::leaves_nothing(&task) {
            let why = "what was never asked of Azure, or only looked at, leaves nothing behind there";
            let azure = Azure::NotNeeded(why.to_owned());
            let reason = format!("its removal was asked for, and {}", act::NOTHING_MADE);
            Preview { azure, ..Preview::new(Kind::Forget, "remove the object", reason) }
        } else if task.row.credential_id.is_none() {
            let azure = Azure::Failed("aksConfig names no cloud credential".to_owned());
            blocked(Trouble::new(act::NO_CREDENTIAL), &task, azure)
        } else {
            return Ok(None);
        };
        Ok(Some(finished(&task, preview)))
    }

    fn looking(&self, row: ClusterRow, access: Arc<AzureAccess>) -> Looking<'_> {
        Box::pin(async move {
            let mut task = task(&self.core, row)?;
            let looking = look(&self.core, &mut task, &access, Instant::now() + LIMIT);
            let preview = match timeout(LIMIT + Duration::from_secs(1), looking).await {
                Ok(Ok(preview)) => preview,
                Ok(Err(trouble)) => {
                    let azure = Azure::Failed(trouble.message.clone());
                    blocked(trouble, &task, azure)
                }
                Err(_) => {
                    let azure = Azure::Failed(format!("Azure did not answer within {} s", LIMIT.as_secs()));
                    blocked(Trouble::late(), &task, azure)
                }
            };
            Ok(finished(&task, preview))
        })
    }

    fn blind(&self, row: &ClusterRow, why: Azure) -> Result<Preview> {
        let task = task(&self.core, row.clone())?;
        let preview = match &why {
            Azure::Failed(reason) => blocked(Trouble::new(reason), &task, why.clone()),
            _ => unasked(&task, why),
        };
        Ok(finished(&task, preview))
    }
}

fn task(parts: &Parts, row: ClusterRow) -> Result<Task> {
    let id = row.id.clone();
    Task::new(parts, row).map_err(|source| Error::Corrupt { id, source: source.into() })
}

/// As [`act::step`] and [`refresh::refresh`], up to the moment at which something would be done.
async fn look(
    parts: &Parts,
    task: &mut Task,
    access: &AzureAccess,
    deadline: Instant,
) -> Result<Preview, Trouble> {
    let arm = act::arm(parts, access, deadline, act::NO_CLIENT)?;
    if task.is_idle() {
        let (observed, unusable) = refresh::observed(task, access, &arm).await?;
        let aks = task.aks();
        return Ok(match (unusable, &observed.compared()) {
            (Some(unusable), _) => {
                Preview::new(Kind::Refuse, "nothing, until somebody changes something", unusable.message())
            }
            (None, Some(upstream)) => Preview::idle(aks, upstream),
            (None, None) => Preview::idle(aks, aks),
        });
    }
    act::same_subscription(task, access)?;
    match follow::ask(task, access, &arm).await? {
        Asked::InProgress { what, percent, .. } => {
            let mut preview = Preview::new(Kind::Wait, format!("wait for {what}"), "Azure is at work");
            preview.waiting = Some(waiting(task, &what, percent));
            let reason = "it is looked at when what Azure works on has ended".to_owned();
            preview.unseen = vec![Unseen { what: "cluster", reason }];
            return Ok(preview);
        }
        Asked::Failed(said) => {
            let summary = "write down that Azure gave up, and look at the cluster again";
            return Ok(Preview::new(Kind::GaveUp, summary, said));
        }
        Asked::Nothing | Asked::Ended => {}
    }
    let observed = observation::observe(&arm, access, task.aks(), task.phase)
        .await
        .map_err(|error| Trouble::azure("", error))?;
    if let Err(trouble) = claim::check(parts, task, access).await {
        let summary = "write the failure down, and try again";
        return Ok(Preview::new(Kind::Blocked, summary, trouble.message));
    }
    let mut decided = act::decide(task, &observed);
    let work = Work { parts, access, arm: &arm, observed: &observed };
    match decided {
        // What Azure would say late and in other words is found out before it is asked.
        Step::CreateCluster => {
            if let Err(trouble) = work.creation(task).await {
                decided = Step::Refuse(trouble.message);
            }
        }
        Step::GaveUp(what) => decided = Step::GaveUp(task.tried().said.clone().unwrap_or(what)),
        _ => {}
    }
    let tried = task.tried().clone();
    let mut preview = Preview::of(&decided, &act::situation(task, &tried, &observed));
    if let Step::Wait(what) = &decided {
        preview.waiting = Some(waiting(task, what, None));
    }
    Ok(preview)
}

/// What is waited for, since it was first.
fn waiting(task: &Task, what: &str, percent: Option<f64>) -> Waiting {
    let known = task.status.waiting.as_ref().filter(|waiting| waiting.what == what);
    Waiting { what: what.to_owned(), since_ms: known.map_or(task.now_ms, |it| it.since_ms), percent }
}

/// The worker would fail in the same way.
fn blocked(trouble: Trouble, task: &Task, azure: Azure) -> Preview {
    let removing = task.phase == Phase::Removing;
    let trouble = if removing { trouble.with_way_out(&task.row.id) } else { trouble };
    let unseen = match &azure {
        Azure::Failed(why) => vec![Unseen { what: "azure", reason: why.clone() }],
        _ => Vec::new(),
    };
    let summary = "write the failure down, and try again";
    Preview { azure, unseen, ..Preview::new(Kind::Blocked, summary, trouble.message) }
}

/// What can be said from the row alone.
fn unasked(task: &Task, why: Azure) -> Preview {
    let mut preview = if task.is_idle() {
        let reason = "nothing new is wanted; whether Azure has other values by now was not looked at";
        Preview::new(Kind::Nothing, "nothing", reason)
    } else if let (Some(running), Some(waiting)) = (follow::followed(task), &task.status.waiting) {
        let preview = Preview::new(
            Kind::Wait,
            format!("wait for {}", running.what),
            "Azure was at work when it was last looked at",
        );
        Preview { waiting: Some(waiting.clone()), ..preview }
    } else {
        let reason = "the step depends on what Azure has";
        Preview::new(Kind::Unknown, "look at Azure, and decide by what it has", reason)
    };
    if let Azure::NotAllowed(reason) = &why {
        preview.unseen = vec![Unseen { what: "azure", reason: reason.clone() }];
    }
    Preview { azure: why, ..preview }
}

/// With what is known of the specification in any case.
fn finished(task: &Task, mut preview: Preview) -> Preview {
    preview.managed = managed(&task.wanted);
    if task.is_import() && task.phase != Phase::Removing {
        let words = if preview.managed.is_empty() {
            "the cluster was imported and nothing of it is managed: it is only looked at".to_owned()
        } else {
            format!(
                "the cluster was imported, and only this of it is managed: {}",
                preview.managed.join(", ")
            )
        };
        preview.reason.push_str("; ");
        preview.reason.push_str(&words);
    }
    preview
}
