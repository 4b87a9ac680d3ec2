//! Runs a program for every container with a built-in image: restarts the program with a backoff when it returns, and stops it
//! with its pod.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::network::PodNetwork;
use super::{ContainerKey, container};
use crate::kube::cluster::Cluster;
use crate::kube::clusters::KubeClusters;
use crate::kube::containers;
use crate::kube::pods::is_terminating;
use crate::kube::resources::PODS;
use crate::kube::value::{FieldAccess as _, Now, list, text};
use crate::program::{Container, Program};

/// The delay before the first restart; it doubles with each one.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// The time without a restart after which the backoff is reset.
const BACKOFF_RESET_AFTER: Duration = Duration::from_mins(1);
/// The time between the request to stop and the abort of a program.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// The time that the stopping sandbox waits for programs.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// A supervised container.
struct Supervised {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Supervises the containers of all clusters until the sandbox stops.
pub(crate) async fn run(kube: KubeClusters) {
    let (mut running, mut stopping) = (HashMap::<ContainerKey, Supervised>::new(), HashMap::new());
    let (tasks, stop) = (TaskTracker::new(), kube.stop().clone());
    let mut changes = kube.signals().change_count.subscribe();
    loop {
        changes.borrow_and_update();
        let Containers { to_run, existing } = find_containers(&kube);
        kube.runtime().retain_logs(|key| existing.contains(key));
        stopping.retain(|_, task: &mut JoinHandle<()>| !task.is_finished());
        for (key, Supervised { stop, task }) in running.extract_if(|key, _| !to_run.contains_key(key)) {
            stop.cancel();
            stopping.insert(key, task);
        }
        for (key, (cluster, program)) in to_run {
            if running.contains_key(&key) {
                continue;
            }
            let (previous, stop) = (stopping.remove(&key), stop.child_token());
            let supervisor =
                Supervisor { kube: kube.clone(), cluster, key: key.clone(), program, stop: stop.clone() };
            let task = tasks.spawn(async move {
                if let Some(previous) = previous {
                    // The previous program ends within its grace period.
                    let _ = previous.await;
                }
                supervisor.run().await;
            });
            running.insert(key, Supervised { stop, task });
        }
        tokio::select! {
            result = changes.changed() => if result.is_err() { break },
            () = kube.runtime().wake.notified() => {}
            () = stop.cancelled() => break,
        }
    }
    tasks.close();
    // Programs that take longer are aborted after their own grace period.
    let _ = timeout(SHUTDOWN_GRACE, tasks.wait()).await;
}

struct Containers {
    /// The containers whose programs should run.
    to_run: HashMap<ContainerKey, (Arc<Cluster>, Program)>,
    /// All containers with a built-in image.
    existing: HashSet<ContainerKey>,
}

fn find_containers(kube: &KubeClusters) -> Containers {
    let mut containers = Containers { to_run: HashMap::new(), existing: HashSet::new() };
    let is_enabled = kube.runtime().is_enabled();
    for cluster in kube.started() {
        let state = cluster.state();
        for pod in state.list(&PODS, None, None) {
            // Pods without an IP have not started yet.
            let should_run =
                state.declared.running && !is_terminating(pod) && !text(pod, "/status/podIP").is_empty();
            for container in list(pod, "/spec/containers") {
                let Some(program) = kube.runtime().program(text(container, "/image")) else { continue };
                let key = ContainerKey::new(&cluster.host, pod, text(container, "/name"));
                containers.existing.insert(key.clone());
                if should_run && is_enabled {
                    containers.to_run.insert(key, (Arc::clone(&cluster), Arc::clone(program)));
                }
            }
        }
    }
    containers
}

/// The supervisor of one container.
#[derive(Clone)]
struct Supervisor {
    kube: KubeClusters,
    cluster: Arc<Cluster>,
    key: ContainerKey,
    program: Program,
    stop: CancellationToken,
}

impl Supervisor {
    async fn run(self) {
        let mut backoff = MIN_BACKOFF;
        while !self.stop.is_cancelled() {
            let mut revisions = self.cluster.subscribe();
            let seen_revision = *revisions.borrow_and_update();
            let Some(prepared) = self.prepare() else { return };
            let (environment, files) = match prepared {
                Ok(prepared) => prepared,
                Err(message) => {
                    self.update(|status, _| {
                        containers::set_waiting(status, "CreateContainerConfigError", &message);
                    });
                    // Any change may create the missing objects.
                    let changed = revisions.wait_for(|revision| *revision > seen_revision);
                    drop(self.stop.run_until_cancelled(changed).await);
                    continue;
                }
            };
            let started = Instant::now();
            self.run_once(environment, files).await;
            if self.stop.is_cancelled() {
                return;
            }
            if started.elapsed() > BACKOFF_RESET_AFTER {
                backoff = MIN_BACKOFF;
            }
            let message = format!(
                "back-off {}s restarting failed container={} pod={}_{}({})",
                backoff.as_secs(),
                self.key.container,
                self.key.pod,
                self.key.namespace,
                self.key.uid
            );
            self.update(|status, now| containers::set_crashed(status, &message, now));
            self.stop.run_until_cancelled(sleep(backoff)).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// The environment and files of the container; `None` if its pod is gone.
    fn prepare(&self) -> Option<Result<(container::Environment, container::Files), String>> {
        let state = self.cluster.state();
        let pod = state.get(&PODS, &self.key.namespace, &self.key.pod)?;
        let mut containers = list(pod, "/spec/containers").iter();
        let container = containers.find(|container| text(container, "/name") == self.key.container)?;
        let environment = container::environment(&state, pod, container);
        Some(environment.and_then(|environment| Ok((environment, container::files(&state, pod, container)?))))
    }

    /// Runs the program until it returns or has to stop.
    async fn run_once(&self, environment: container::Environment, files: container::Files) {
        let log = self.kube.runtime().start_log(&self.key);
        let (program_log, kube) = (Arc::clone(&log), self.kube.clone());
        let (ended, stop) = (CancellationToken::new(), self.stop.child_token());
        let network =
            PodNetwork { kube: self.kube.clone(), host: self.key.host.clone(), ended: ended.clone() };
        let (supervisor, container_stop) = (self.clone(), stop.clone());
        let container = Container {
            namespace: self.key.namespace.clone(),
            pod: self.key.pod.clone(),
            fqdn: self.key.host.clone(),
            environment,
            files,
            connect: network.connector(),
            log: Arc::new(move |line| program_log.push(line, kube.now().ms)),
            ready: Arc::new(move |ready| {
                if !container_stop.is_cancelled() {
                    supervisor.set_ready(ready);
                }
            }),
            stop: stop.clone(),
        };
        self.update(containers::set_running);
        let program = Arc::clone(&self.program);
        let mut task = tokio::spawn(async move { program(container).await });
        tokio::select! {
            result = &mut task => if let Err(error) = result {
                log.push(&format!("the program panicked: {error}"), self.kube.now().ms);
            },
            () = self.stop.cancelled() => {
                self.set_ready(false);
                if timeout(STOP_GRACE, &mut task).await.is_err() {
                    task.abort();
                }
            }
        }
        // Tasks that the program left behind can no longer change its pod or use its network.
        stop.cancel();
        if self.stop.is_cancelled() {
            // The program may have returned just before it was stopped.
            self.set_ready(false);
        }
        ended.cancel();
        log.close();
    }

    fn set_ready(&self, ready: bool) {
        self.update(|status, _| {
            if containers::is_running(status) {
                *status.field_mut("ready") = ready.into();
            }
        });
    }

    /// Changes the status of the container.
    fn update(&self, change: impl FnOnce(&mut Value, &Now)) {
        let now = self.kube.now();
        let ContainerKey { namespace, pod, uid, container, .. } = &self.key;
        self.cluster.change(&now, |state| {
            let Some(current) = state.get(&PODS, namespace, pod) else { return };
            if text(current, "/metadata/uid") == uid {
                let mut updated = (**current).clone();
                containers::update(&mut updated, container, |status| change(status, &now), &now);
                state.put(&PODS, updated);
            }
        });
    }
}
