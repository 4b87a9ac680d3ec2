//! Deployments, replica sets and daemon sets: as many pods as they say, made from the template that they have now.

use super::value::Keyed as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::delete::end;
use super::pods::{self, condition, controller, is_ending, is_ready, of_owner, owned_by, wanted};
use super::resources::{DAEMON_SETS, DEPLOYMENTS, NODES, PODS, REPLICA_SETS};
use super::storage::State;
use super::value::{Now, at, hash, letters, number, remove, set, text};

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// The name that a template has among the others of its owner.
fn template_hash(owner: &Value) -> String {
    letters(hash(&at(owner, &["spec", "template"]).to_string()), 10)
}

fn name(object: &Value) -> (&str, &str) {
    (text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

fn revision(object: &Value) -> i64 {
    at(object, &["metadata", "annotations", REVISION])
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

fn count(value: &Value, pointer: &str) -> usize {
    number(value, pointer).and_then(|count| usize::try_from(count).ok()).unwrap_or_default()
}

/// Sets a number of the status; none is not written, as in Kubernetes.
fn tell(object: &mut Value, key: &str, count: usize) {
    if count > 0 {
        set(object, &["status", key], count);
    } else {
        remove(object, "/status", key);
    }
}

pub(super) fn deployments(state: &mut State, now: &Now) {
    for deployment in state.all(&DEPLOYMENTS).into_iter().filter(|one| !is_ending(one)) {
        let uid = text(&deployment, "/metadata/uid");
        let (namespace, _) = name(&deployment);
        let own = |state: &State| -> Vec<Arc<Value>> {
            state
                .list(&REPLICA_SETS, Some(namespace), None)
                .filter(|set| controller(set) == uid)
                .cloned()
                .collect()
        };
        let (mut new, mut old) = split(own(state), &deployment);
        let paused = at(&deployment, &["spec", "paused"]) == true;
        if !paused {
            let latest = old.iter().chain(&new).map(|set| revision(set)).max().unwrap_or_default();
            match &new {
                None => drop(state.put(&REPLICA_SETS, replica_set(&deployment, latest + 1, now))),
                Some(set) if revision(set) < latest => {
                    let mut set = (**set).clone();
                    annotate(&mut set, latest + 1);
                    state.put(&REPLICA_SETS, set);
                }
                Some(_) => {}
            }
            (new, old) = split(own(state), &deployment);
        }
        if let Some(new) = &new {
            roll(state, &deployment, new, &old);
        }
        tidy(state, &deployment, &old);
        let all = own(state);
        let (new, _) = split(all.clone(), &deployment);
        let told = deployment_status((*deployment).clone(), new.as_deref(), &all, now);
        state.put(&DEPLOYMENTS, told);
    }
}

/// The replica set of the deployment's present template, and the others.
fn split(all: Vec<Arc<Value>>, deployment: &Value) -> (Option<Arc<Value>>, Vec<Arc<Value>>) {
    let hash = template_hash(deployment);
    let (new, old): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|set| at(set, &["metadata", "labels", HASH]) == hash.as_str());
    (new.into_iter().next(), old)
}

fn annotate(object: &mut Value, revision: i64) {
    set(object, &["metadata", "annotations", REVISION], revision.to_string());
}

fn replica_set(deployment: &Value, revision: i64, now: &Now) -> Value {
    let ((namespace, name), hash) = (name(deployment), template_hash(deployment));
    let mut set = REPLICA_SETS.fresh(namespace, &format!("{name}-{hash}"), now);
    let mut template = at(deployment, &["spec", "template"]).clone();
    super::value::set(&mut template, &["metadata", "labels", HASH], hash.clone());
    let mut selector = at(deployment, &["spec", "selector"]).clone();
    super::value::set(&mut selector, &["matchLabels", HASH], hash);
    super::value::set(&mut set, &["metadata", "labels"], at(&template, &["metadata", "labels"]).clone());
    super::value::set(&mut set, &["metadata", "generation"], 1);
    super::value::set(
        &mut set,
        &["metadata", "ownerReferences"],
        json!([owned_by(deployment, &DEPLOYMENTS)]),
    );
    *set.slot("spec") = json!({"replicas": 0, "selector": selector, "template": template});
    *set.slot("status") = json!({"replicas": 0});
    annotate(&mut set, revision);
    set
}

/// `2` or `25%` of `all`.
fn share(value: &Value, all: usize, up: bool) -> usize {
    match value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse::<usize>().ok()) {
        Some(percent) if up => (all * percent).div_ceil(100),
        Some(percent) => all * percent / 100,
        None => value.as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default(),
    }
}

/// One step from the old replica sets to the new one, within the bounds of the strategy.
fn roll(state: &mut State, deployment: &Value, new: &Arc<Value>, old: &[Arc<Value>]) {
    let desired = wanted(deployment);
    let strategy = at(deployment, &["spec", "strategy"]);
    let rolling = &strategy["rollingUpdate"];
    let surge = share(&rolling["maxSurge"], desired, true);
    let mut missing = share(&rolling["maxUnavailable"], desired, false);
    if surge == 0 && missing == 0 {
        missing = 1;
    }
    let before: usize = old.iter().map(|set| wanted(set)).sum();
    let recreate = text(strategy, "/type") == "Recreate";
    let left: usize = old.iter().map(|set| count(set, "/status/replicas")).sum();
    let target = match (recreate, before) {
        (true, _) => {
            if before + left == 0 {
                desired
            } else {
                0
            }
        }
        (false, 0) => desired,
        (false, _) => desired.min((desired + surge).saturating_sub(before).max(wanted(new).min(desired))),
    };
    resize(state, new, target);
    let ready = |set: &Value| count(set, "/status/readyReplicas");
    let available: usize = ready(new) + old.iter().map(|set| ready(set)).sum::<usize>();
    let mut spare = available.saturating_sub(desired.saturating_sub(missing));
    for set in old {
        let size = wanted(set);
        let idle = size.saturating_sub(ready(set));
        let next = if recreate {
            0
        } else {
            let taken = spare.min(size - idle);
            spare -= taken;
            size - idle - taken
        };
        resize(state, set, next);
    }
}

fn resize(state: &mut State, set: &Value, replicas: usize) {
    if wanted(set) != replicas {
        let mut set = set.clone();
        super::value::set(&mut set, &["spec", "replicas"], replicas);
        let generation = number(&set, "/metadata/generation").unwrap_or_default() + 1;
        super::value::set(&mut set, &["metadata", "generation"], generation);
        state.put(&REPLICA_SETS, set);
    }
}

/// Old replica sets beyond the limit go.
fn tidy(state: &mut State, deployment: &Value, old: &[Arc<Value>]) {
    let limit = count(deployment, "/spec/revisionHistoryLimit");
    let mut idle: Vec<_> =
        old.iter().filter(|set| wanted(set) == 0 && count(set, "/status/replicas") == 0).collect();
    idle.sort_by_key(|set| revision(set));
    for set in idle.iter().take(idle.len().saturating_sub(limit)) {
        let (namespace, name) = name(set);
        state.remove(&REPLICA_SETS, namespace, name);
    }
}

fn deployment_status(mut deployment: Value, new: Option<&Value>, all: &[Arc<Value>], now: &Now) -> Value {
    let desired = wanted(&deployment);
    let sum = |pointer: &str| -> usize { all.iter().map(|set| count(set, pointer)).sum() };
    let (total, ready) = (sum("/status/replicas"), sum("/status/readyReplicas"));
    let updated = new.map_or(0, |new| count(new, "/status/replicas"));
    let generation = at(&deployment, &["metadata", "generation"]).clone();
    set(&mut deployment, &["status", "observedGeneration"], generation);
    for (key, count) in [
        ("replicas", total),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", ready),
        ("unavailableReplicas", desired.max(total).saturating_sub(ready)),
    ] {
        tell(&mut deployment, key, count);
    }
    let missing =
        share(at(&deployment, &["spec", "strategy", "rollingUpdate", "maxUnavailable"]), desired, false);
    let (reason, message) = if ready + missing >= desired {
        ("MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    condition(&mut deployment, "Available", reason == "MinimumReplicasAvailable", (reason, message), now);
    if let Some(new) = new {
        let set_name = text(new, "/metadata/name");
        let done = updated == desired && total == desired && ready == desired;
        let (reason, word) = if done {
            ("NewReplicaSetAvailable", "has successfully progressed")
        } else {
            ("ReplicaSetUpdated", "is progressing")
        };
        let message = format!("ReplicaSet {set_name:?} {word}.");
        condition(&mut deployment, "Progressing", true, (reason, &message), now);
        annotate(&mut deployment, revision(new));
    }
    deployment
}

pub(super) fn replica_sets(state: &mut State, now: &Now) {
    for set in state.all(&REPLICA_SETS).into_iter().filter(|one| !is_ending(one)) {
        let (mut pods, desired) = (of_owner(state, &set), wanted(&set));
        for _ in pods.len()..desired {
            state.put(&PODS, pods::from_template(&set, &REPLICA_SETS, &[], now));
        }
        // Those that are not ready go first, then the youngest.
        pods.sort_by_key(|pod| {
            let made = text(pod, "/metadata/creationTimestamp").to_owned();
            (is_ready(pod), std::cmp::Reverse(made))
        });
        for pod in pods.iter().take(pods.len().saturating_sub(desired)) {
            end(state, &PODS, name(pod), None, now);
        }
        let pods = of_owner(state, &set);
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let mut set = (*set).clone();
        let generation = at(&set, &["metadata", "generation"]).clone();
        *set.slot("status") = json!({"replicas": pods.len()});
        super::value::set(&mut set, &["status", "observedGeneration"], generation);
        for (key, count) in
            [("fullyLabeledReplicas", pods.len()), ("readyReplicas", ready), ("availableReplicas", ready)]
        {
            tell(&mut set, key, count);
        }
        state.put(&REPLICA_SETS, set);
    }
}

/// Pods of daemon sets run also where nothing else may.
fn daemon_spec(set: &Value) -> Value {
    let mut spec = at(set, &["spec", "template", "spec"]).clone();
    if let Some(all) = super::value::elements(&mut spec, &["tolerations"]) {
        for key in ["node.kubernetes.io/unschedulable", "node.kubernetes.io/not-ready"] {
            all.push(json!({"key": key, "operator": "Exists"}));
        }
    }
    spec
}

pub(super) fn daemon_sets(state: &mut State, now: &Now) {
    const GENERATION: &str = "controller-revision-hash";
    for set in state.all(&DAEMON_SETS).into_iter().filter(|one| !is_ending(one)) {
        let (spec, hash) = (daemon_spec(&set), template_hash(&set));
        let nodes: Vec<String> = state
            .list(&NODES, None, None)
            .filter(|node| pods::fits(node, &spec))
            .map(|node| text(node, "/metadata/name").to_owned())
            .collect();
        let pods = of_owner(state, &set);
        let on = |pod: &Value| text(pod, "/spec/nodeName").to_owned();
        let current = |pod: &Value| at(pod, &["metadata", "labels", GENERATION]) == hash.as_str();
        for pod in pods.iter().filter(|pod| !nodes.contains(&on(pod))) {
            end(state, &PODS, name(pod), None, now);
        }
        for node in nodes.iter().filter(|node| pods.iter().all(|pod| on(pod) != **node)) {
            let mut pod = pods::from_template(&set, &DAEMON_SETS, &[(GENERATION, &hash)], now);
            super::value::set(&mut pod, &["spec", "tolerations"], spec.part("tolerations").clone());
            super::value::set(&mut pod, &["spec", "nodeName"], node.as_str());
            state.put(&PODS, pod);
        }
        let outdated = pods.iter().find(|pod| nodes.contains(&on(pod)) && !current(pod));
        if let Some(pod) =
            outdated.filter(|_| pods.len() == nodes.len() && pods.iter().all(|pod| is_ready(pod)))
        {
            end(state, &PODS, name(pod), None, now);
        }
        let pods = of_owner(state, &set);
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let mut set = (*set).clone();
        *set.slot("status") = json!({
            "currentNumberScheduled": pods.len(),
            "desiredNumberScheduled": nodes.len(),
            "numberMisscheduled": 0,
            "numberReady": ready,
            "observedGeneration": at(&set, &["metadata", "generation"]),
        });
        for (key, count) in [
            ("updatedNumberScheduled", pods.iter().filter(|pod| current(pod)).count()),
            ("numberAvailable", ready),
            ("numberUnavailable", nodes.len().saturating_sub(ready)),
        ] {
            tell(&mut set, key, count);
        }
        state.put(&DAEMON_SETS, set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_counts_or_percentages() {
        for (value, up, expected) in [
            (json!(2), true, 2),
            (json!("25%"), true, 1),
            (json!("25%"), false, 0),
            (json!("50%"), false, 1),
            (json!(null), true, 0),
        ] {
            assert_eq!(share(&value, 3, up), expected, "{value}");
        }
    }
}
