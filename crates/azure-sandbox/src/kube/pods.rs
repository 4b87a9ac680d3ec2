//! The life cycle of pods: creation from a template, scheduling, start, deletion. Containers with a built-in image run a
//! program; [`super::runtime`] starts it.

use super::value::FieldAccess as _;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::containers;
use super::podspec;
use super::resources::{NODES, PODS, Resource};
use super::runtime::ImageBehavior;
use super::storage::State;
use super::value::{Now, at, list, random_suffix, set, text};

/// The network address of AKS's default pod CIDR, 10.244.0.0/16.
const POD_NETWORK: u32 = 0x0af4_0000;

/// A new pod from the template of `owner`.
pub(crate) fn from_template(
    owner: &Value,
    owner_type: &Resource,
    (hash_label, template_hash): (&str, &str),
    now: &Now,
) -> Value {
    let (namespace, name) = (text(owner, "/metadata/namespace"), text(owner, "/metadata/name"));
    let mut pod = PODS.new_object(namespace, &format!("{name}-{template_hash}-{}", random_suffix()), now);
    let template = at(owner, &["spec", "template"]);
    for key in ["labels", "annotations"] {
        if at(template, &["metadata", key]).is_object() {
            set(&mut pod, &["metadata", key], at(template, &["metadata", key]).clone());
        }
    }
    set(&mut pod, &["metadata", "labels", hash_label], template_hash);
    set(&mut pod, &["metadata", "generateName"], format!("{name}-{template_hash}-"));
    set(&mut pod, &["metadata", "ownerReferences"], json!([owner_reference(owner, owner_type)]));
    *pod.field_mut("spec") = template["spec"].clone();
    // Sets the defaults. Errors are ignored: the template was validated with its owner.
    podspec::admit_pod(None, &mut pod, now);
    pod
}

/// The `ownerReferences` entry of a controller.
fn owner_reference(owner: &Value, owner_type: &Resource) -> Value {
    json!({
        "apiVersion": owner_type.api_version(),
        "kind": owner_type.kind,
        "name": at(owner, &["metadata", "name"]),
        "uid": at(owner, &["metadata", "uid"]),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The uid of an object's controller.
fn controller_uid(object: &Value) -> &str {
    let owners = list(object, "/metadata/ownerReferences");
    owners.iter().find(|owner| owner["controller"] == true).map_or("", |owner| text(owner, "/uid"))
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    list(pod, "/status/conditions")
        .iter()
        .any(|condition| text(condition, "/type") == "Ready" && text(condition, "/status") == "True")
}

pub(crate) fn is_terminating(object: &Value) -> bool {
    !at(object, &["metadata", "deletionTimestamp"]).is_null()
}

/// Whether the node matches the pod's node selector and tolerations.
pub(crate) fn can_schedule(node: &Value, spec: &Value) -> bool {
    let node_selector = spec["nodeSelector"].as_object().into_iter().flatten();
    let labels = at(node, &["metadata", "labels"]);
    let is_selected = node_selector.into_iter().all(|(key, value)| labels[key.as_str()] == *value);
    let is_tolerated = |taint: &Value| {
        text(taint, "/effect") == "PreferNoSchedule"
            || list(spec, "/tolerations").iter().any(|toleration| tolerates(toleration, taint))
    };
    is_selected && list(node, "/spec/taints").iter().all(is_tolerated)
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let (key, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
    let exists = text(toleration, "/operator") == "Exists";
    (effect.is_empty() || effect == text(taint, "/effect"))
        && ((key.is_empty() && exists) || key == text(taint, "/key"))
        && (exists || text(toleration, "/value") == text(taint, "/value"))
}

/// Assigns pods to the node with the fewest pods, and deletes pods of deleted nodes.
pub(crate) fn schedule(state: &mut State, now: &Now) {
    let nodes = state.all(&NODES);
    for pod in state.all(&PODS) {
        let node = text(&pod, "/spec/nodeName");
        if !node.is_empty() {
            if nodes.iter().all(|existing| text(existing, "/metadata/name") != node) {
                state.remove(&PODS, text(&pod, "/metadata/namespace"), text(&pod, "/metadata/name"));
            } else if at(&pod, &["status", "conditions"]).is_null() {
                // The pod was created with a node name, so the scheduler never saw it.
                state.put(&PODS, mark_assigned((*pod).clone(), now));
            }
            continue;
        }
        if is_terminating(&pod) {
            continue;
        }
        let load = |node: &str| {
            state.list(&PODS, None, None).filter(|pod| text(pod, "/spec/nodeName") == node).count()
        };
        let node = nodes
            .iter()
            .filter(|node| {
                at(node, &["spec", "unschedulable"]) != true && can_schedule(node, pod.field("spec"))
            })
            .map(|node| text(node, "/metadata/name"))
            .min_by_key(|name| (load(name), *name));
        let mut pod = (*pod).clone();
        if let Some(node) = node {
            set(&mut pod, &["spec", "nodeName"], node);
            pod = mark_assigned(pod, now);
        } else {
            let why = format!(
                "0/{} nodes are available: none fits the pod's node selector and tolerations.",
                nodes.len()
            );
            set_condition(&mut pod, "PodScheduled", false, ("Unschedulable", &why), now);
        }
        state.put(&PODS, pod);
    }
}

/// The pod after its assignment to a node: its containers are being created.
fn mark_assigned(mut pod: Value, now: &Now) -> Value {
    set_condition(&mut pod, "PodScheduled", true, ("", ""), now);
    let waiting = |container: &Value| {
        json!({"name": container["name"], "image": container["image"], "imageID": "", "ready": false,
            "started": false, "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}})
    };
    let statuses: Vec<_> = list(&pod, "/spec/containers").iter().map(waiting).collect();
    set(&mut pod, &["status", "containerStatuses"], statuses);
    set(&mut pod, &["status", "startTime"], now.text.clone());
    pod
}

/// Starts scheduled pods, and removes pods that are being deleted.
pub(crate) fn advance(state: &mut State, image_behavior: &dyn Fn(&str) -> ImageBehavior, now: &Now) {
    for pod in state.all(&PODS) {
        let (namespace, name) = (text(&pod, "/metadata/namespace"), text(&pod, "/metadata/name"));
        if is_terminating(&pod) {
            if list(&pod, "/metadata/finalizers").is_empty() {
                state.remove(&PODS, namespace, name);
            }
        } else if text(&pod, "/status/phase") == "Pending"
            && !text(&pod, "/spec/nodeName").is_empty()
            // A pod with an IP was already started, and waits for its built-in programs.
            && text(&pod, "/status/podIP").is_empty()
        {
            let is_unpullable =
                |container: &&Value| image_behavior(text(container, "/image")) == ImageBehavior::Unpullable;
            let pointers = ["/spec/initContainers", "/spec/containers"];
            let updated = match pointers.iter().flat_map(|pointer| list(&pod, pointer)).find(is_unpullable) {
                Some(container) => with_unpullable_image((*pod).clone(), container, now),
                None => mark_started(state, (*pod).clone(), image_behavior, now),
            };
            state.put(&PODS, updated);
        }
    }
}

/// The pod, with the pull failure in the status of `container`.
fn with_unpullable_image(mut pod: Value, container: &Value, now: &Now) -> Value {
    let (name, image) = (text(container, "/name"), text(container, "/image"));
    // Init containers have no status before the pod starts: report the failure in the first container.
    let own_status =
        list(&pod, "/status/containerStatuses").iter().find(|status| text(status, "/name") == name);
    let first = list(&pod, "/status/containerStatuses").first();
    let status_name = own_status.or(first).map(|status| text(status, "/name").to_owned()).unwrap_or_default();
    containers::update(&mut pod, &status_name, |status| containers::set_unpullable(status, image), now);
    pod
}

fn mark_started(
    state: &State,
    mut pod: Value,
    image_behavior: &dyn Fn(&str) -> ImageBehavior,
    now: &Now,
) -> Value {
    let node = state.get(&NODES, "", text(&pod, "/spec/nodeName"));
    let host_ip = node.map(|node| text(node, "/status/addresses/0/address").to_owned()).unwrap_or_default();
    let pod_ip =
        if at(&pod, &["spec", "hostNetwork"]) == true { host_ip.clone() } else { free_address(state) };
    set(&mut pod, &["status", "hostIP"], host_ip.clone());
    set(&mut pod, &["status", "hostIPs"], json!([{"ip": host_ip}]));
    set(&mut pod, &["status", "podIP"], pod_ip.clone());
    set(&mut pod, &["status", "podIPs"], json!([{"ip": pod_ip}]));
    let uid = text(&pod, "/metadata/uid").to_owned();
    let status = |container: &Value, container_state: Value, ready: bool| {
        let image = text(container, "/image");
        let id = format!("{:016x}", super::value::hash(&format!("{uid}/{}", text(container, "/name"))));
        json!({"name": container["name"], "image": image, "ready": ready, "started": ready, "restartCount": 0,
            "imageID": format!("{image}@sha256:{:016x}", super::value::hash(image)),
            "containerID": format!("containerd://{id}"), "state": container_state, "lastState": {}})
    };
    let running = json!({"running": {"startedAt": now.text}});
    let creating = json!({"waiting": {"reason": "ContainerCreating"}});
    let statuses: Vec<_> = list(&pod, "/spec/containers")
        .iter()
        .map(|container| match image_behavior(text(container, "/image")) {
            ImageBehavior::BuiltIn => status(container, creating.clone(), false),
            _ => status(container, running.clone(), true),
        })
        .collect();
    let completed = json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now.text, "finishedAt": now.text}});
    let init_statuses: Vec<_> = list(&pod, "/spec/initContainers")
        .iter()
        .map(|container| status(container, completed.clone(), false))
        .collect();
    set(&mut pod, &["status", "containerStatuses"], statuses);
    if !init_statuses.is_empty() {
        set(&mut pod, &["status", "initContainerStatuses"], init_statuses);
    }
    for condition_type in ["PodReadyToStartContainers", "Initialized"] {
        set_condition(&mut pod, condition_type, true, ("", ""), now);
    }
    containers::set_conditions(&mut pod, now);
    pod
}

/// The lowest free pod IP. The first four addresses are not used, as in the network of the nodes.
fn free_address(state: &State) -> String {
    let taken: std::collections::HashSet<&str> =
        state.list(&PODS, None, None).map(|pod| text(pod, "/status/podIP")).collect();
    let mut candidates = (4..65_000).map(|offset| Ipv4Addr::from(POD_NETWORK + offset).to_string());
    candidates.find(|address| !taken.contains(address.as_str())).unwrap_or_default()
}

/// Sets a condition. Its transition time changes only with its status.
pub(crate) fn set_condition(
    object: &mut Value,
    condition_type: &str,
    holds: bool,
    (reason, message): (&str, &str),
    now: &Now,
) {
    let status = if holds { "True" } else { "False" };
    let mut new = json!({"type": condition_type, "status": status, "lastTransitionTime": now.text});
    if super::resources::for_object(object).is_some_and(|resource| resource.is(&PODS)) {
        *new.field_mut("lastProbeTime") = Value::Null;
    } else {
        *new.field_mut("lastUpdateTime") = now.text.clone().into();
    }
    for (key, value) in [("reason", reason), ("message", message)] {
        if !value.is_empty() {
            *new.field_mut(key) = value.into();
        }
    }
    let Some(conditions) = super::value::list_mut(object, &["status", "conditions"]) else { return };
    match conditions.iter_mut().find(|condition| text(condition, "/type") == condition_type) {
        None => conditions.push(new),
        Some(existing) => {
            if existing.field("status") == new.field("status") {
                if existing.field("reason") == new.field("reason")
                    && existing.field("message") == new.field("message")
                {
                    // Nothing changed, so `lastUpdateTime` stays too.
                    return;
                }
                *new.field_mut("lastTransitionTime") = existing["lastTransitionTime"].clone();
            }
            *existing = new;
        }
    }
}

/// The active pods of an owner: neither being deleted nor completed.
pub(crate) fn owned_by(state: &State, owner: &Value) -> Vec<std::sync::Arc<Value>> {
    let (namespace, uid) = (text(owner, "/metadata/namespace"), text(owner, "/metadata/uid"));
    state
        .list(&PODS, Some(namespace), None)
        .filter(|pod| controller_uid(pod) == uid && !is_terminating(pod))
        .filter(|pod| !["Failed", "Succeeded"].contains(&text(pod, "/status/phase")))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheduling_respects_selectors_and_taints() {
        let tainted = json!({"metadata": {"labels": {"os": "linux"}},
            "spec": {"taints": [{"key": "only", "value": "x", "effect": "NoSchedule"}]}});
        let untainted = json!({"metadata": {"labels": {"os": "linux"}}});
        for (node, spec, expected) in [
            (&untainted, json!({}), true),
            (&untainted, json!({"nodeSelector": {"os": "windows"}}), false),
            (&tainted, json!({}), false),
            (&tainted, json!({"tolerations": [{"key": "only", "operator": "Exists"}]}), true),
            (&tainted, json!({"tolerations": [{"key": "only", "value": "x", "effect": "NoSchedule"}]}), true),
            (&tainted, json!({"tolerations": [{"key": "only", "value": "y"}]}), false),
            (&tainted, json!({"tolerations": [{"operator": "Exists"}]}), true),
            (&tainted, json!({"tolerations": [{"operator": "Exists", "effect": "NoExecute"}]}), false),
        ] {
            assert_eq!(can_schedule(node, &spec), expected, "{spec}");
        }
    }

    #[test]
    fn unchanged_condition_keeps_its_transition_time() {
        let now = |text: &str| Now { ms: 0, text: text.to_owned() };
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod"});
        set_condition(&mut pod, "Ready", false, ("A", ""), &now("1"));
        set_condition(&mut pod, "Ready", false, ("B", ""), &now("2"));
        assert_eq!(pod["status"]["conditions"][0]["lastTransitionTime"], "1");
        set_condition(&mut pod, "Ready", true, ("", ""), &now("3"));
        assert_eq!(pod["status"]["conditions"][0]["lastTransitionTime"], "3");
        assert!(is_ready(&pod));
    }
}
