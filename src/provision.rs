//! The worker that brings clusters to their desired specs (`docs/contract/provisioning.md#provisioning`).
//!
//! It is driven by the state of things, not by events: a cluster that is due is claimed, Azure is looked at, one step is
//! decided (`aks::provision::plan`), done and written down, and the claim is given back. Nothing here waits for Azure:
//! a long operation is an address on the row. So any server may take the next step, and one that dies loses nothing.
//!
//! | here | what |
//! |---|---|
//! | `task` | one claimed cluster, and what is written down about it |
//! | `act` | one step towards Azure |
//! | `around` | what has to be there before a cluster |
//! | `claim` | the claim of an object on its AKS cluster |
//! | `creation` | what is found out before a cluster is made |
//! | `follow` | the long operations of Azure |
//! | `finish` | from "Azure has it" to "active": status, the way into the cluster |
//! | `refresh` | what Azure changed since |
//! | `preview` | the next step, told instead of done |
//! | `roles` | rights inside clusters: roles, bindings, opened namespaces, what revoked users leave behind |
//! | `trouble` | failures, and how long to leave things alone after one |

#![warn(missing_docs)]

mod act;
mod around;
mod claim;
mod creation;
mod finish;
mod follow;
mod preview;
mod refresh;
mod roles;
mod task;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use aks::provision::plan::Phase;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

pub use self::roles::RoleKeeper;
use self::task::{Next, Task};
use self::trouble::Trouble;
use crate::service::Core;
use crate::store::{self, ClusterRow};

/// How long one step may take, with every request in it.
const STEP_LIMIT: Duration = Duration::from_secs(110);
/// How long a claim lasts: longer than any step, so that no step is ever done by two.
const LEASE_MS: i64 = 150_000;
/// Clusters worked on at once by one server.
const AT_ONCE: u32 = 16;
/// How often the table is looked at although nobody rang: other servers of the database make work too.
const LOOK: Duration = Duration::from_secs(1);

/// What the worker works with.
type Parts = Core;

/// The worker of one server. Clones share everything.
#[derive(Clone)]
pub struct Worker {
    core: Arc<Core>,
    holder: Arc<str>,
    rung: Arc<Notify>,
}

impl Worker {
    /// A worker that does nothing yet.
    pub fn new(core: Core) -> Self {
        let (holder, rung) = (core.secrets.replica().into(), core.clusters.work());
        for outcome in ["done", "failed"] {
            metrics::counter!("norman_aks_provision_steps_total", "outcome" => outcome).increment(0);
        }
        Self { core: Arc::new(core), holder, rung }
    }

    /// Works until it is told to stop; the steps that are being done are done to their end.
    pub async fn run(self, stop: CancellationToken) {
        // A SQLite file has one server. What its predecessor held when it died need not be waited for; and if there is
        // another one against all advice, the fence of its claims keeps it from writing.
        if self.core.store.kind() == store::Kind::Sqlite
            && let Err(error) = store::clusters::free_all(&self.core.store).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "old claims stay until they end");
        }
        let mut steps = JoinSet::new();
        while !stop.is_cancelled() {
            if let Err(error) = self.begin_due(&mut steps).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the work on clusters cannot be looked up");
            }
            // A cluster that keeps its step waiting holds up nobody else.
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.rung.notified() => {}
                Some(ended) = steps.join_next() => note_end(ended),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        finish_all(steps).await;
    }

    /// One step for every cluster that is due now; returns how many those were.
    pub async fn run_due(&self, stop: &CancellationToken) -> Result<usize, store::Error> {
        if stop.is_cancelled() {
            return Ok(0);
        }
        let mut steps = JoinSet::new();
        let count = self.begin_due(&mut steps).await?;
        finish_all(steps).await;
        Ok(count)
    }

    /// Begins a step for every cluster that is due now, as far as there is room beside the steps that are being done.
    async fn begin_due(&self, steps: &mut JoinSet<()>) -> Result<usize, store::Error> {
        let room = AT_ONCE.saturating_sub(u32::try_from(steps.len()).unwrap_or(AT_ONCE));
        if room == 0 {
            return Ok(0);
        }
        let now = self.core.clock.now_ms();
        let due = store::clusters::claim(&self.core.store, &self.holder, now, now + LEASE_MS, room).await?;
        let count = due.len();
        for row in due {
            let core = Arc::clone(&self.core);
            steps.spawn(async move { Box::pin(work_on(&core, row)).await });
        }
        Ok(count)
    }
}

async fn finish_all(mut steps: JoinSet<()>) {
    while let Some(ended) = steps.join_next().await {
        note_end(ended);
    }
}

fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        // The claim ends by itself, and the next holder looks at Azure first.
        tracing::error!(error = &error as &dyn std::error::Error, "a step ended in a panic");
    }
}

/// One step for one claimed cluster, written down whatever its end.
async fn work_on(parts: &Parts, row: ClusterRow) {
    let id = row.id.clone();
    let mut task = match Task::new(parts, row) {
        Ok(task) => task,
        Err(error) => {
            // Nothing can be decided for a row that cannot be read; it comes up again when its claim has ended.
            tracing::error!(
                cluster = id,
                error = &error as &dyn std::error::Error,
                "a cluster cannot be read"
            );
            return;
        }
    };
    let deadline = Instant::now() + STEP_LIMIT;
    let outcome = timeout(STEP_LIMIT + Duration::from_secs(5), step(parts, &mut task, deadline)).await;
    let next = match outcome.unwrap_or_else(|_| Err(Trouble::late())) {
        Ok(next) => next,
        Err(trouble) if task.phase == Phase::Removing => task.fail(&trouble.with_way_out(&id)),
        Err(trouble) => task.fail(&trouble),
    };
    match task.write_down(parts, next).await {
        Ok(true) => parts.bell.ring(&id),
        Ok(false) => {
            tracing::warn!(cluster = id, "somebody else has the cluster by now; nothing was written");
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(cluster = id, error, "what was done for a cluster cannot be written down");
        }
    }
}

async fn step(parts: &Parts, task: &mut Task, deadline: Instant) -> Result<Next, Trouble> {
    if task.is_idle() {
        return refresh::refresh(parts, task, deadline).await;
    }
    act::step(parts, task, deadline).await
}
