//! The deployment controller: runs the number of pods that each deployment requests, and replaces the pods of older templates
//! within the bounds of its strategy.
//!
//! Unlike in Kubernetes, pods belong to their deployment directly, without replica sets between them.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::Value;

use super::delete::start_deletion;
use super::pods::{self, is_ready, is_terminating, set_condition};
use super::resources::{DEPLOYMENTS, PODS};
use super::storage::State;
use super::value::{Now, at, hash, letters, number, remove, set, text};

const HASH_LABEL: &str = "pod-template-hash";

/// Rounding of a percentage of the replicas.
#[derive(Clone, Copy)]
enum Rounding {
    Up,
    Down,
}

/// A deployment and its pods at the time of reading.
struct Rollout {
    deployment: Arc<Value>,
    template_hash: String,
    desired: usize,
    /// Pods of the current template.
    current: Vec<Arc<Value>>,
    /// Pods of older templates.
    old: Vec<Arc<Value>>,
}

/// Takes one step of every rollout and updates the status of every deployment.
pub(crate) fn reconcile(state: &mut State, now: &Now) {
    for deployment in state.all(&DEPLOYMENTS).into_iter().filter(|deployment| !is_terminating(deployment)) {
        let template_hash = letters(hash(&at(&deployment, &["spec", "template"]).to_string()), 10);
        let rollout = Rollout::read(state, Arc::clone(&deployment), template_hash.clone());
        if at(&deployment, &["spec", "paused"]) != true {
            rollout.scale_current(state, now);
            rollout.scale_down_old(state, now);
        }
        let status = Rollout::read(state, deployment, template_hash).with_status(now);
        state.put(&DEPLOYMENTS, status);
    }
}

impl Rollout {
    fn read(state: &State, deployment: Arc<Value>, template_hash: String) -> Self {
        let (current, old) = pods::owned_by(state, &deployment)
            .into_iter()
            .partition(|pod| at(pod, &["metadata", "labels", HASH_LABEL]) == template_hash.as_str());
        let desired = usize::try_from(number(&deployment, "/spec/replicas").unwrap_or(1)).unwrap_or_default();
        Self { deployment, template_hash, desired, current, old }
    }

    fn rolling_update_limit(&self, name: &str, rounding: Rounding) -> usize {
        let value = at(&self.deployment, &["spec", "strategy", "rollingUpdate", name]);
        resolve_int_or_percent(value, self.desired, rounding)
    }

    fn recreates(&self) -> bool {
        text(&self.deployment, "/spec/strategy/type") == "Recreate"
    }

    fn scale_current(&self, state: &mut State, now: &Now) {
        let target = if self.recreates() {
            if self.old.is_empty() { self.desired } else { 0 }
        } else {
            let max_current = (self.desired + self.rolling_update_limit("maxSurge", Rounding::Up))
                .saturating_sub(self.old.len());
            self.desired.min(max_current.max(self.current.len()))
        };
        for _ in self.current.len()..target {
            let pod =
                pods::from_template(&self.deployment, &DEPLOYMENTS, (HASH_LABEL, &self.template_hash), now);
            state.put(&PODS, pod);
        }
        delete_pods(state, &self.current, self.current.len().saturating_sub(target), now);
    }

    /// Deletes the old pods that are not ready, and as many ready ones as the strategy permits.
    fn scale_down_old(&self, state: &mut State, now: &Now) {
        let count_ready = |pods: &[Arc<Value>]| pods.iter().filter(|pod| is_ready(pod)).count();
        let ready_old = count_ready(&self.old);
        let surplus = if self.recreates() {
            self.old.len()
        } else {
            let surge = self.rolling_update_limit("maxSurge", Rounding::Up);
            let unavailable = self.rolling_update_limit("maxUnavailable", Rounding::Down);
            let max_unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
            let required = self.desired.saturating_sub(max_unavailable);
            let removable = (count_ready(&self.current) + ready_old).saturating_sub(required);
            self.old.len() - ready_old + removable.min(ready_old)
        };
        delete_pods(state, &self.old, surplus, now);
    }

    /// The deployment with its status.
    fn with_status(&self, now: &Now) -> Value {
        let mut deployment = (*self.deployment).clone();
        let total = self.current.len() + self.old.len();
        let ready = self.current.iter().chain(&self.old).filter(|pod| is_ready(pod)).count();
        let generation = at(&deployment, &["metadata", "generation"]).clone();
        set(&mut deployment, &["status", "observedGeneration"], generation);
        for (key, count) in [
            ("replicas", total),
            ("updatedReplicas", self.current.len()),
            ("readyReplicas", ready),
            ("availableReplicas", ready),
            ("unavailableReplicas", self.desired.max(total).saturating_sub(ready)),
        ] {
            set_counter(&mut deployment, key, count);
        }
        let is_available =
            ready + self.rolling_update_limit("maxUnavailable", Rounding::Down) >= self.desired;
        let reason = if is_available {
            ("MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        set_condition(&mut deployment, "Available", is_available, reason, now);
        if at(&deployment, &["spec", "paused"]) != true {
            let is_complete = [self.current.len(), total, ready] == [self.desired; 3];
            let (reason, verb) = if is_complete {
                ("NewReplicaSetAvailable", "has successfully progressed")
            } else {
                ("ReplicaSetUpdated", "is progressing")
            };
            // Kubernetes' messages, which clients match.
            let name = format!("{}-{}", text(&deployment, "/metadata/name"), self.template_hash);
            let message = format!("ReplicaSet {name:?} {verb}.");
            set_condition(&mut deployment, "Progressing", true, (reason, &message), now);
        }
        deployment
    }
}

/// Deletes `count` of the pods: first those that are not ready, then the youngest.
fn delete_pods(state: &mut State, pods: &[Arc<Value>], count: usize, now: &Now) {
    let mut pods: Vec<_> = pods.iter().collect();
    pods.sort_by_key(|pod| (is_ready(pod), Reverse(text(pod, "/metadata/creationTimestamp"))));
    for pod in pods.into_iter().take(count) {
        let name = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        start_deletion(state, &PODS, name, None, now);
    }
}

/// Sets a counter of the status; zero is omitted, as in Kubernetes.
fn set_counter(object: &mut Value, key: &str, count: usize) {
    if count > 0 {
        set(object, &["status", key], count);
    } else {
        remove(object, "/status", key);
    }
}

/// The count that a value such as `2` or `25%` means for `total` replicas.
fn resolve_int_or_percent(value: &Value, total: usize, rounding: Rounding) -> usize {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<usize>().ok());
    match (percent, rounding) {
        (Some(percent), Rounding::Up) => (total * percent).div_ceil(100),
        (Some(percent), Rounding::Down) => total * percent / 100,
        (None, _) => value.as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::declared::Declared;
    use crate::kube::resources::NODES;
    use crate::kube::runtime::ImageBehavior;

    fn now(ms: i64) -> Now {
        Now { ms, text: super::super::value::timestamp(ms) }
    }

    fn deployment(image: &str, strategy: &Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"namespace": "n", "name": "web", "uid": "1", "generation": 1},
            "spec": {"replicas": 4, "strategy": strategy, "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image}]}}}})
    }

    /// Advances the time; returns the images of the pods that are not being deleted, and the number of ready pods.
    fn step(state: &mut State, ms: i64) -> (Vec<String>, usize) {
        let now = now(ms);
        pods::advance(state, &|_| ImageBehavior::Ordinary, &now);
        reconcile(state, &now);
        pods::schedule(state, &now);
        let deployment = Arc::clone(state.get(&DEPLOYMENTS, "n", "web").unwrap());
        let pods = pods::owned_by(state, &deployment);
        let mut images: Vec<_> =
            pods.iter().map(|pod| text(pod, "/spec/containers/0/image").to_owned()).collect();
        images.sort();
        (images, pods.iter().filter(|pod| is_ready(pod)).count())
    }

    fn start_rollout(strategy: &Value) -> State {
        let mut state = State::new(Declared::default());
        state.put(&NODES, NODES.new_object("", "node", &now(0)));
        state.put(&DEPLOYMENTS, deployment("a", strategy));
        step(&mut state, 0);
        assert_eq!(step(&mut state, 1_000), (vec!["a".to_owned(); 4], 4));
        let live = Arc::clone(state.get(&DEPLOYMENTS, "n", "web").unwrap());
        assert_eq!(live["status"]["availableReplicas"], 4);
        assert_eq!(live["status"]["conditions"][1]["reason"], "NewReplicaSetAvailable");
        let mut changed = (*live).clone();
        changed["spec"]["template"] = deployment("b", strategy)["spec"]["template"].clone();
        state.put(&DEPLOYMENTS, changed);
        state
    }

    #[test]
    fn rolling_update_keeps_the_minimum_available() {
        let limits = json!({"maxSurge": "25%", "maxUnavailable": "25%"});
        let mut state = start_rollout(&json!({"type": "RollingUpdate", "rollingUpdate": limits}));
        for ms in 2..12 {
            let (images, ready) = step(&mut state, ms * 1_000);
            assert!(images.len() <= 5 && ready >= 3, "{images:?} {ready}");
        }
        assert_eq!(step(&mut state, 12_000), (vec!["b".to_owned(); 4], 4));
    }

    #[test]
    fn recreate_deletes_the_old_pods_first() {
        let mut state = start_rollout(&json!({"type": "Recreate"}));
        for ms in 2..6 {
            let (images, _) = step(&mut state, ms * 1_000);
            assert!(images.windows(2).all(|pair| pair[0] == pair[1]), "{images:?}");
        }
        assert_eq!(step(&mut state, 6_000), (vec!["b".to_owned(); 4], 4));
    }

    #[test]
    fn deployment_scales_down_and_ignores_changes_while_paused() {
        let mut state = start_rollout(&json!({"type": "Recreate"}));
        let change = |state: &mut State, key: &str, value: Value| {
            let mut deployment = (**state.get(&DEPLOYMENTS, "n", "web").unwrap()).clone();
            deployment["spec"][key] = value;
            state.put(&DEPLOYMENTS, deployment);
        };
        change(&mut state, "paused", true.into());
        assert_eq!(step(&mut state, 2_000), (vec!["a".to_owned(); 4], 4));
        change(&mut state, "paused", false.into());
        change(&mut state, "replicas", 1.into());
        for ms in 3..6 {
            step(&mut state, ms * 1_000);
        }
        assert_eq!(step(&mut state, 6_000), (vec!["b".to_owned()], 1));
    }

    #[test]
    fn limits_are_counts_or_percentages() {
        for (value, rounding, expected) in [
            (json!(2), Rounding::Up, 2),
            (json!("25%"), Rounding::Up, 1),
            (json!("25%"), Rounding::Down, 0),
            (json!("50%"), Rounding::Down, 1),
            (json!(null), Rounding::Up, 0),
        ] {
            assert_eq!(resolve_int_or_percent(&value, 3, rounding), expected, "{value}");
        }
    }
}
