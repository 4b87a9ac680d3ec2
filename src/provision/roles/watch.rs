//! The loop of one watched cluster.

use std::sync::Arc;
use std::time::Duration;

use aks::spec::ClusterSpec;
use aks::status::ClusterStatus;
use aks::system_namespaces::SystemNamespaces;
use cluster_access::{Access, RoleWatch};
use tokio::sync::{Notify, Semaphore, watch as channel};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::correct::correct;
use super::error::Error;
use super::revoke::revoke;
use crate::service::core::Core;
use crate::service::server_access::Target;
use crate::store;

/// The approximate duration of a watch. After it, everything is compared again.
const WATCH_DURATION: Duration = Duration::from_secs(200);
/// A watch that is still open this long after the end of its duration is considered dead.
const WATCH_GRACE: Duration = Duration::from_secs(15);
/// Changes within this time are corrected together.
const DEBOUNCE: Duration = Duration::from_millis(300);
/// The delay before a watch is reopened.
const REOPEN_DELAY: Duration = Duration::from_millis(500);
/// The delay after the first failure, and the maximum delay.
const MIN_BACKOFF: Duration = Duration::from_secs(2);
const MAX_BACKOFF: Duration = Duration::from_mins(5);

/// The state that all watches of a server share.
pub(super) struct SharedState {
    pub(super) core: Core,
    /// Limits the clusters that are read and corrected concurrently.
    pub(super) connect_permits: Semaphore,
}

/// Signals to a watch.
pub(super) struct Signals {
    /// Users lost rights in the cluster.
    pub(super) pending_revocations: Arc<Notify>,
    /// The system namespaces, which stay closed.
    pub(super) namespaces: channel::Receiver<SystemNamespaces>,
}

/// Watches a cluster until `cancel`.
pub(super) async fn run(shared: &SharedState, id: &str, mut signals: Signals, cancel: CancellationToken) {
    let (mut failures, mut last_failure) = (0, String::new());
    loop {
        let Some(outcome) = cancel.run_until_cancelled(run_session(shared, id, &mut signals)).await else {
            return;
        };
        let delay = match outcome {
            Ok(()) => {
                (failures, last_failure) = (0, String::new());
                REOPEN_DELAY
            }
            Err(error) => {
                let message = error.to_string();
                // A repeated failure is logged only once.
                if last_failure != message {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(cluster = id, error, "cannot maintain the roles in the cluster");
                }
                last_failure = message;
                failures += 1;
                backoff(failures)
            }
        };
        if cancel.run_until_cancelled(sleep(with_jitter(delay))).await.is_none() {
            return;
        }
    }
}

/// The delay after a number of consecutive failures.
fn backoff(failures: u32) -> Duration {
    MIN_BACKOFF.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(MAX_BACKOFF)
}

/// Adds jitter of ±20 %, so that clusters that failed together do not retry together.
fn with_jitter(delay: Duration) -> Duration {
    let percent = 80 + u32::try_from(Uuid::new_v4().as_u128() % 41).unwrap_or_default();
    delay.saturating_mul(percent) / 100
}

/// Maintains the rights in a cluster for the duration of one watch.
async fn run_session(shared: &SharedState, id: &str, signals: &mut Signals) -> Result<(), Error> {
    let core = &shared.core;
    let row = store::clusters::get(&core.store, id).await?.ok_or(Error::Gone)?;
    let (spec, status) = (ClusterSpec::from_text(&row.spec)?, ClusterStatus::from_json(&row.work.status)?);
    drop(row);
    let target = Target { id, spec: spec.aks(), status: &status };
    let access = Box::pin(core.server_access.access(target)).await?;
    match watch_and_correct(shared, id, &access, signals).await {
        // The next session uses the new access.
        Err(Error::Cluster(error)) if error.is_access_outdated() => {
            Box::pin(core.server_access.renew(target, &access)).await?;
            Ok(())
        }
        outcome => outcome,
    }
}

/// Connects, compares and watches; ends when the watch must be opened again.
async fn watch_and_correct(
    shared: &SharedState,
    id: &str,
    access: &Access,
    signals: &mut Signals,
) -> Result<(), Error> {
    let core = &shared.core;
    let duration = with_jitter(WATCH_DURATION);
    let deadline = Instant::now() + duration + WATCH_GRACE;
    let mut watch = {
        // After startup, many clusters connect at the same time.
        let _permit = shared.connect_permits.acquire().await;
        let namespaces = signals.namespaces.borrow_and_update().clone();
        // Boxed, so that an idle watch needs little memory.
        let state = Box::pin(correct(core, id, access, &namespaces)).await?;
        Box::pin(core.cluster_access.watch_roles(access, &state, duration)).await?
    };
    Box::pin(revoke(core, id, access)).await?;
    loop {
        tokio::select! {
            changed = watch.changed() => {
                if !changed? {
                    return Ok(());
                }
            }
            changed = signals.namespaces.changed() => {
                // The keeper was dropped; this watch is about to be cancelled.
                changed.map_err(|_| Error::Ending)?;
            }
            () = signals.pending_revocations.notified() => {
                Box::pin(revoke(core, id, access)).await?;
                continue;
            }
            () = sleep_until(deadline) => return Ok(()),
        }
        if !correct_after_change(core, id, access, signals, &mut watch).await? {
            return Ok(());
        }
    }
}

/// Corrects the rights after changes; false if the watch has ended.
async fn correct_after_change(
    core: &Core,
    id: &str,
    access: &Access,
    signals: &mut Signals,
    watch: &mut RoleWatch,
) -> Result<bool, Error> {
    sleep(DEBOUNCE).await;
    let is_open = watch.drain()?;
    let namespaces = signals.namespaces.borrow_and_update().clone();
    Box::pin(correct(core, id, access, &namespaces)).await?;
    Ok(is_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_limit_and_jitter_is_20_percent() {
        assert_eq!(backoff(1), MIN_BACKOFF);
        assert_eq!(backoff(3), MIN_BACKOFF * 4);
        assert_eq!(backoff(40), MAX_BACKOFF);
        for _ in 0..100 {
            let delay = with_jitter(Duration::from_secs(100));
            assert!((80..=120).contains(&delay.as_secs()), "{delay:?}");
        }
    }
}
