//! The worker, which reconciles clusters with their desired specs (`docs/contract/provisioning.md#provisioning`).
//!
//! The worker is level-triggered: it claims a cluster that is due, reads Azure, decides one step (`aks::provision::plan`),
//! executes the step, saves the result, and releases the lease. It never waits until a long-running operation of Azure has
//! finished: the operation is stored in the row, and later steps poll it. So any server instance can execute the next step,
//! and nothing is lost if an instance is killed.
//!
//! | file | content |
//! |---|---|
//! | `task` | one claimed cluster, and its saved state |
//! | `context` | access to Azure, the observed state, and the choice of the next step |
//! | `step` | one step towards the desired spec |
//! | `prerequisites` | resources that a cluster requires |
//! | `claim` | the claim of a cluster object on its AKS cluster (not the lease of the worker) |
//! | `creation` | the request that creates a cluster |
//! | `operation` | long-running operations of Azure |
//! | `agent` | the deployment of the cluster agent |
//! | `activate` | the last steps to active |
//! | `connection` | the connection to the cluster's API |
//! | `refresh` | changes made in Azure by others |
//! | `preview` | previews of the next step |
//! | `roles` | rights inside clusters: roles, bindings, opened namespaces, bindings of users who lost their role |
//! | `upgrade` | the remedy for versions that need several upgrades |
//! | `error` | failures of steps |

#![warn(missing_docs)]

mod activate;
mod agent;
mod claim;
mod connection;
mod context;
mod creation;
mod error;
mod operation;
mod prerequisites;
mod preview;
mod refresh;
mod roles;
mod step;
mod task;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use aks::provision::plan::Phase;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use self::error::StepError;
pub use self::roles::RoleKeeper;
use self::task::{Next, Task};
use crate::service::core::Core;
use crate::store::{self, ClusterRow};

/// The time limit of a step, with all its requests.
const STEP_TIMEOUT: Duration = Duration::from_secs(110);
/// The time after [`STEP_TIMEOUT`] at which a step is aborted, if its requests did not end it.
const STEP_GRACE: Duration = Duration::from_secs(5);
/// The duration of a lease: longer than any step, so that no step is executed twice.
const LEASE_DURATION_MS: i64 = 150_000;
/// The maximum number of concurrent steps of one server.
const MAX_CONCURRENT_STEPS: u32 = 16;
/// The interval of queries for due clusters without a wake-up, because other server instances create work too.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The worker of one server. Clones share everything.
#[derive(Clone)]
pub struct Worker {
    core: Arc<Core>,
    holder: Arc<str>,
    wake_up: Arc<Notify>,
}

impl Worker {
    /// Creates the worker without starting it.
    pub fn new(core: Core) -> Self {
        let (holder, wake_up) = (core.secrets.replica().into(), core.clusters.worker_wake_up());
        for outcome in ["done", "failed"] {
            metrics::counter!("norman_aks_provision_steps_total", "outcome" => outcome).increment(0);
        }
        Self { core: Arc::new(core), holder, wake_up }
    }

    /// Executes due steps until `stop`, then waits for those that are running.
    pub async fn run(self, stop: CancellationToken) {
        // A SQLite file has one server, so leases of the previous process are released. If that process still runs, the fencing
        // tokens keep it from writing.
        if self.core.store.kind() == store::DatabaseKind::Sqlite
            && let Err(error) = store::clusters::release_all(&self.core.store).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot release leases of the previous process"
            );
        }
        let mut steps = JoinSet::new();
        while !stop.is_cancelled() {
            if let Err(error) = self.start_due(&mut steps).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot query due clusters");
            }
            // Does not wait for all running steps, so that a slow one does not delay others.
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake_up.notified() => {}
                Some(result) = steps.join_next() => log_panic(result),
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
        finish_all(steps).await;
    }

    /// Executes one step for each due cluster, within the limit of concurrent steps; returns the number of clusters.
    pub async fn run_due(&self, stop: &CancellationToken) -> Result<usize, store::Error> {
        if stop.is_cancelled() {
            return Ok(0);
        }
        let mut steps = JoinSet::new();
        let count = self.start_due(&mut steps).await?;
        finish_all(steps).await;
        Ok(count)
    }

    /// Starts a step for every cluster that is due, within the limit of concurrent steps.
    async fn start_due(&self, steps: &mut JoinSet<()>) -> Result<usize, store::Error> {
        let free_slots =
            MAX_CONCURRENT_STEPS.saturating_sub(u32::try_from(steps.len()).unwrap_or(MAX_CONCURRENT_STEPS));
        if free_slots == 0 {
            return Ok(0);
        }
        let now = self.core.clock.now_ms();
        let claimed =
            store::clusters::claim(&self.core.store, &self.holder, now, now + LEASE_DURATION_MS, free_slots)
                .await?;
        let count = claimed.len();
        for row in claimed {
            let core = Arc::clone(&self.core);
            steps.spawn(async move { Box::pin(run_step(&core, row)).await });
        }
        Ok(count)
    }
}

async fn finish_all(mut steps: JoinSet<()>) {
    while let Some(result) = steps.join_next().await {
        log_panic(result);
    }
}

fn log_panic(result: Result<(), JoinError>) {
    if let Err(error) = result {
        // The lease expires, and the next holder reads Azure first.
        tracing::error!(error = &error as &dyn std::error::Error, "reconcile step panicked");
    }
}

/// Executes a step for a claimed cluster and saves the result.
async fn run_step(core: &Core, row: ClusterRow) {
    let id = row.id.clone();
    let mut task = match Task::new(core, row) {
        Ok(task) => task,
        Err(error) => {
            // The row is claimed again when the lease has expired.
            let error = &error as &dyn std::error::Error;
            tracing::error!(cluster = id, error, "cannot read cluster");
            return;
        }
    };
    let deadline = Instant::now() + STEP_TIMEOUT;
    let outcome = timeout(STEP_TIMEOUT + STEP_GRACE, execute(core, &mut task, deadline)).await;
    let next = match outcome.unwrap_or_else(|_| Err(StepError::timed_out())) {
        Ok(next) => next,
        Err(error) if task.phase == Phase::Removing => {
            task.record_failure(&error.with_forced_removal_hint(&id))
        }
        Err(error) => task.record_failure(&error),
    };
    let is_deleted = next == Next::Delete;
    match task.release(core, next).await {
        Ok(true) => {
            if is_deleted {
                core.agents.close_sessions(&id);
            }
            core.notifier.notify(&id);
        }
        Ok(false) => tracing::warn!(cluster = id, "lease lost; state not saved"),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(cluster = id, error, "cannot save reconcile state");
        }
    }
}

async fn execute(core: &Core, task: &mut Task, deadline: Instant) -> Result<Next, StepError> {
    if task.is_idle() {
        return refresh::refresh(core, task, deadline).await;
    }
    step::advance(core, task, deadline).await
}
