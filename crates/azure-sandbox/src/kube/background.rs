//! The background tasks of the clusters: advancing controllers as time passes, saving the state file, and running the programs
//! in pods.

use std::time::Duration;

use tokio::time::sleep;
use tracing::error;

use super::clusters::KubeClusters;
use super::controllers;
use super::runtime::supervisor;

/// The time that a pod needs to start, a namespace to be deleted, or a rollout to take its next step.
const STEP_DELAY: Duration = Duration::from_millis(150);

/// Runs until the sandbox stops.
pub(crate) async fn run(kube: KubeClusters) {
    tokio::join!(advance_clusters(&kube), save_changes(&kube), supervisor::run(kube.clone()));
}

async fn advance_clusters(kube: &KubeClusters) {
    loop {
        let next_step = async {
            kube.signals().controllers_due.notified().await;
            sleep(STEP_DELAY).await;
        };
        if kube.stop().run_until_cancelled(next_step).await.is_none() {
            return;
        }
        let now = kube.now();
        for cluster in kube.started() {
            let image_behavior = |reference: &str| kube.runtime().image_behavior(reference);
            cluster.change(&now, |state| controllers::advance(state, &image_behavior, &now));
        }
    }
}

/// Saves changes; the next write saves all changes that happen during a write.
async fn save_changes(kube: &KubeClusters) {
    if !kube.has_state_file() {
        return;
    }
    let (signals, stop) = (kube.signals(), kube.stop());
    let mut changes = signals.change_count.subscribe();
    loop {
        let is_stopping = stop.is_cancelled();
        if *changes.borrow_and_update() > *signals.saved_count.borrow() {
            let writer = kube.clone();
            if tokio::task::spawn_blocking(move || writer.save()).await.is_err() {
                error!("cannot store the clusters: the writer failed");
            }
        }
        if is_stopping {
            return;
        }
        tokio::select! {
            result = changes.changed() => if result.is_err() { return },
            () = stop.cancelled() => {}
        }
    }
}
