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

use super::Error;
use super::correct::correct;
use super::revoke::revoke;
use crate::provision::Parts;
use crate::service::server_access::Target;
use crate::store;

/// How long the requests of a watch last, give or take: after that, everything is compared again.
const WATCH_DURATION: Duration = Duration::from_secs(200);
/// How much longer is waited for the end of a watch before its connection counts as dead.
const WATCH_GRACE: Duration = Duration::from_secs(15);
/// Changes that come shortly after one another are corrected together.
const DEBOUNCE: Duration = Duration::from_millis(300);
/// The pause before a watch that ended is opened anew.
const MIN_PAUSE: Duration = Duration::from_millis(500);
/// The pause after the first failure in a row, and the longest.
const MIN_BACKOFF: Duration = Duration::from_secs(2);
const MAX_BACKOFF: Duration = Duration::from_mins(5);

/// What all watches of a server share.
pub(super) struct Shared {
    pub(super) parts: Parts,
    pub(super) connecting: Semaphore,
}

/// What a watch is told from outside.
pub(super) struct Signals {
    /// Users lost rights in the cluster.
    pub(super) pending: Arc<Notify>,
    /// The namespaces that stay closed.
    pub(super) system: channel::Receiver<SystemNamespaces>,
}

/// Watches a cluster until `cancel`.
pub(super) async fn run(shared: &Shared, id: &str, mut signals: Signals, cancel: CancellationToken) {
    let (mut failures, mut last_failure) = (0, String::new());
    loop {
        let Some(outcome) = cancel.run_until_cancelled(session(shared, id, &mut signals)).await else {
            return;
        };
        let pause = match outcome {
            Ok(()) => {
                (failures, last_failure) = (0, String::new());
                MIN_PAUSE
            }
            Err(error) => {
                let message = error.to_string();
                // The same failure over and over is one line.
                if last_failure != message {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(cluster = id, error, "cannot keep the roles inside the cluster");
                }
                last_failure = message;
                failures += 1;
                backoff(failures)
            }
        };
        if cancel.run_until_cancelled(sleep(spread(pause))).await.is_none() {
            return;
        }
    }
}

/// The pause after so many failures in a row.
fn backoff(failures: u32) -> Duration {
    MIN_BACKOFF.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(MAX_BACKOFF)
}

/// A little less or more, so that clusters that failed together do not come back together.
fn spread(pause: Duration) -> Duration {
    let percent = 80 + u32::try_from(Uuid::new_v4().as_u128() % 41).unwrap_or_default();
    pause.saturating_mul(percent) / 100
}

/// Keeps the rights of a cluster for the duration of one watch.
async fn session(shared: &Shared, id: &str, signals: &mut Signals) -> Result<(), Error> {
    let parts = &shared.parts;
    let row = store::clusters::get(&parts.store, id).await?.ok_or(Error::Gone)?;
    let (spec, status) = (ClusterSpec::from_text(&row.spec)?, ClusterStatus::from_text(&row.work.status)?);
    drop(row);
    let target = Target { id, spec: spec.aks(), status: &status };
    let access = Box::pin(parts.access.access(target)).await?;
    match follow(shared, id, &access, signals).await {
        // The next session begins with what this gives.
        Err(Error::Cluster(error)) if error.is_access_rejected() => {
            Box::pin(parts.access.renew(target, &access)).await?;
            Ok(())
        }
        outcome => outcome,
    }
}

/// Connects, compares, and follows the changes; ends when the watch has to be opened anew.
async fn follow(shared: &Shared, id: &str, access: &Access, signals: &mut Signals) -> Result<(), Error> {
    let parts = &shared.parts;
    let duration = spread(WATCH_DURATION);
    let deadline = Instant::now() + duration + WATCH_GRACE;
    let mut watch = {
        // Many clusters come at once after a start.
        let _permit = shared.connecting.acquire().await;
        let system = signals.system.borrow_and_update().clone();
        // Boxed, so that a watch takes little memory while nothing happens.
        let state = Box::pin(correct(parts, id, access, &system)).await?;
        Box::pin(parts.downstream.watch_roles(access, &state, duration)).await?
    };
    Box::pin(revoke(parts, id, access)).await?;
    loop {
        tokio::select! {
            changed = watch.changed() => {
                if !changed? {
                    return Ok(());
                }
            }
            changed = signals.system.changed() => {
                // The keeper is gone, and this watch will be cancelled.
                changed.map_err(|_| Error::Ending)?;
            }
            () = signals.pending.notified() => {
                Box::pin(revoke(parts, id, access)).await?;
                continue;
            }
            () = sleep_until(deadline) => return Ok(()),
        }
        if !catch_up(parts, id, access, signals, &mut watch).await? {
            return Ok(());
        }
    }
}

/// Corrects what changed; false when the watch has ended.
async fn catch_up(
    parts: &Parts,
    id: &str,
    access: &Access,
    signals: &mut Signals,
    watch: &mut RoleWatch,
) -> Result<bool, Error> {
    sleep(DEBOUNCE).await;
    let goes_on = watch.drain()?;
    let system = signals.system.borrow_and_update().clone();
    Box::pin(correct(parts, id, access, &system)).await?;
    Ok(goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        assert_eq!(backoff(1), MIN_BACKOFF);
        assert_eq!(backoff(3), MIN_BACKOFF * 4);
        assert_eq!(backoff(40), MAX_BACKOFF);
        for _ in 0..100 {
            let pause = spread(Duration::from_secs(100));
            assert!((80..=120).contains(&pause.as_secs()), "{pause:?}");
        }
    }
}
