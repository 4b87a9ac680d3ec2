//! The background tasks of the clusters: the passage of time, the state file, and the programs in pods.

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
        let step = async {
            kube.signals().controllers_due.notified().await;
            sleep(STEP_DELAY).await;
        };
        if kube.stop().run_until_cancelled(step).await.is_none() {
            return;
        }
        let now = kube.now();
        for cluster in kube.started() {
            let image_behavior = |reference: &str| kube.runtime().image_behavior(reference);
            cluster.change(&now, |state| controllers::advance(state, &image_behavior, &now));
        }
    }
}

/// Saves changes; those that happen during a write are saved together.
async fn save_changes(kube: &KubeClusters) {
    if !kube.has_state_file() {
        return;
    }
    let (signals, stop) = (kube.signals(), kube.stop());
    let mut changes = signals.change_count.subscribe();
    loop {
        let stopped = stop.is_cancelled();
        if *changes.borrow_and_update() > *signals.saved_count.borrow() {
            let writer = kube.clone();
            if tokio::task::spawn_blocking(move || writer.save()).await.is_err() {
                error!("cannot store the clusters: the writer failed");
            }
        }
        if stopped {
            return;
        }
        tokio::select! {
            result = changes.changed() => if result.is_err() { return },
            () = stop.cancelled() => {}
        }
    }
}
