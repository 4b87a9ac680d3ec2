//! What Azure changed since: read now and then, shown, and taken over where the user manages it
//! (`docs/contract/provisioning.md#refresh`).

use std::collections::BTreeSet;
use std::time::Duration;

use aks::provision::plan::{Observed, Phase};
use aks::provision::refresh::{taken_over, write_changes};
use aks::provision::usable::{Unusable, unusable};
use aks::spec::{AKS_CONFIG, ClusterSpec};
use aks::status::{Tried, Truth};
use azure::Arm;
use serde_json::Value;
use tokio::time::Instant;

use super::task::{Next, Task};
use super::trouble::Trouble;
use super::{Parts, act, finish};
use crate::service::credentials::AzureAccess;
use crate::service::observation;
use crate::store;

/// When the setting is empty or no number.
const USUAL: u64 = 300;

/// The setting `aks-refresh`.
pub(super) async fn interval(parts: &Parts) -> Duration {
    let setting = parts.settings.value("aks-refresh").await;
    Duration::from_secs(setting.trim().parse().ok().filter(|seconds| *seconds > 0).unwrap_or(USUAL))
}

pub(super) async fn refresh(parts: &Parts, task: &mut Task, deadline: Instant) -> Result<Next, Trouble> {
    let pause = interval(parts).await;
    match look(parts, task, deadline).await {
        Ok(stopped) => {
            task.status.recover();
            if let Some(stopped) = stopped {
                task.status.fail(stopped.message(), task.row.generation);
            }
            task.work.attempts = 0;
            if task.status.condition("Updated").is_some_and(|it| it.message.contains("[Syncing error")) {
                task.condition("Updated", Truth::True, "");
            }
            Ok(Next::In(pause))
        }
        Err(trouble) => {
            // Nothing is wrong with what was made; only the look at it failed.
            trouble.log(&task.row.id);
            task.condition(
                "Updated",
                Truth::False,
                &format!("[Syncing error: syncing failed] {}", trouble.message),
            );
            task.work.attempts += 1;
            Ok(Next::In(trouble.pause(task.work.attempts).min(pause)))
        }
    }
}

/// Reads what Azure changed; returns why the cluster cannot be used although nothing is wrong with the look itself.
async fn look(parts: &Parts, task: &mut Task, deadline: Instant) -> Result<Option<Unusable>, Trouble> {
    let Some(id) = task.row.credential_id.clone() else {
        return Err(Trouble::new("error getting credentials secret: secret name not provided"));
    };
    let access = parts.credentials.for_cluster(&id).await?;
    let arm = act::arm(parts, &access, deadline, "error creating client secret credential: ")?;
    let (observed, unusable) = observed(task, &access, &arm).await?;
    note_unusable(task, unusable.as_ref());
    let stopped = match unusable {
        Some(gone @ Unusable::Gone(_)) => {
            task.status.fail(gone.message(), task.row.generation);
            return Err(Trouble::new(gone.message()));
        }
        Some(Unusable::Unreadable(message)) => return Err(Trouble::new(message)),
        stopped => stopped,
    };
    finish::note_status(task, &observed);
    take_over(parts, task).await?;
    task.settle_named();
    if stopped.is_none() {
        finish::connect(parts, task, &observed).await?;
    }
    Ok(stopped)
}

/// Tells by the conditions of a complete cluster that it cannot be used: a cluster that Azure does not have, or has stopped,
/// is not asked.
pub(super) fn note_unusable(task: &mut Task, unusable: Option<&Unusable>) {
    if let Some(Unusable::Gone(message) | Unusable::Stopped(message)) = unusable {
        task.condition("Connected", Truth::False, message);
        task.condition("Ready", Truth::False, message);
    }
}

/// What Azure has of a complete cluster, and why it cannot be used.
pub(super) async fn observed(
    task: &Task,
    access: &AzureAccess,
    arm: &Arm,
) -> Result<(Observed, Option<Unusable>), Trouble> {
    let observed = observation::observe(arm, access, task.aks(), Phase::Removing)
        .await
        .map_err(|error| Trouble::azure("", error))?;
    let unusable = unusable(&act::situation(task, &Tried::default(), &observed));
    Ok((observed, unusable))
}

/// Keys that the user manages follow Azure where they mean something else there. False when the user changed the
/// specification in the meantime, so that nothing was taken over.
pub(super) async fn take_over(parts: &Parts, task: &mut Task) -> Result<bool, Trouble> {
    let Some(upstream) = task.status.upstream_spec.clone() else { return Ok(true) };
    let upstream = task.status.details.with_running_versions(upstream);
    let mut body = task.spec.body().clone();
    let Some(config) = body.get_mut(AKS_CONFIG).and_then(Value::as_object_mut) else { return Ok(true) };
    let changes = taken_over(task.aks(), &upstream);
    if changes.is_empty() {
        return Ok(true);
    }
    let keys: BTreeSet<String> = changes.keys().cloned().collect();
    write_changes(config, changes);
    let Ok(spec) = ClusterSpec::new(body) else { return Ok(true) };
    let (id, fence) = (task.row.id.clone(), task.work.fence);
    let written =
        store::clusters::refresh_spec(&parts.store, &id, fence, task.row.version, &spec.to_text()).await?;
    if written {
        task.row.version += 1;
        task.work.applied_spec = serde_json::to_string(spec.aks()).ok();
        task.replace_spec(spec);
        let keys: Vec<String> = keys.into_iter().collect();
        task.tell("refreshed", format!("took over from Azure: {}", keys.join(", ")));
    }
    Ok(written)
}
