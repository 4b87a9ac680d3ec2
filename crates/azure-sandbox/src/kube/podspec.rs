//! Validation and defaulting of pods and pod templates.

use serde_json::{Value, json};

use super::resources::EPHEMERAL_CONTAINERS;
use super::status::Cause;
use super::value::{Now, at, at_mut, elements_mut, list, set, set_default, text};

/// Applies defaults to a pod spec and validates it; `field` is its path in errors.
pub(crate) fn admit(spec: &mut Value, field: &str) -> Vec<Cause> {
    for (key, value) in [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("securityContext", json!({})),
    ] {
        set_default(spec, &[key], value);
    }
    // `serviceAccount` is the deprecated name of `serviceAccountName`.
    for (from, to) in [("serviceAccountName", "serviceAccount"), ("serviceAccount", "serviceAccountName")] {
        if let Some(account) = spec[from].as_str().map(str::to_owned) {
            set(spec, &[to], account);
        }
    }
    let mut causes = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for list_name in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in elements_mut(spec, &format!("/{list_name}")).enumerate() {
            let field = format!("{field}.{list_name}[{index}]");
            let name = text(container, "/name").to_owned();
            if name.is_empty() {
                causes.push(Cause::required(&format!("{field}.name"), ""));
            } else if names.contains(&name) {
                causes.push(Cause {
                    reason: "FieldValueDuplicate",
                    message: format!("Duplicate value: {name:?}"),
                    field: format!("{field}.name"),
                });
            }
            if text(container, "/image").is_empty() {
                causes.push(Cause::required(&format!("{field}.image"), ""));
            }
            names.push(name);
            apply_container_defaults(container);
        }
    }
    causes
}

fn apply_container_defaults(container: &mut Value) {
    let image = text(container, "/image");
    let is_latest =
        image.ends_with(":latest") || !image.rsplit('/').next().unwrap_or_default().contains([':', '@']);
    let pull_policy = if is_latest { "Always" } else { "IfNotPresent" };
    for (key, value) in [
        ("imagePullPolicy", json!(pull_policy)),
        ("resources", json!({})),
        ("terminationMessagePath", json!("/dev/termination-log")),
        ("terminationMessagePolicy", json!("File")),
    ] {
        set_default(container, &[key], value);
    }
    for port in elements_mut(container, "/ports") {
        set_default(port, &["protocol"], "TCP");
    }
}

/// Applies defaults to a pod and validates it. Most of an existing pod is immutable.
pub(crate) fn admit_pod(old: Option<&Value>, pod: &mut Value, now: &Now) -> Vec<Cause> {
    set_default(pod, &["spec", "serviceAccountName"], "default");
    set_default(pod, &["spec", "enableServiceLinks"], true);
    set_default(pod, &["spec", "preemptionPolicy"], "PreemptLowerPriority");
    set_default(pod, &["spec", "priority"], 0);
    set_default(
        pod,
        &["spec", "tolerations"],
        json!([
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
        ]),
    );
    let mut causes = admit(at_mut(pod, &["spec"]), "spec");
    if list(pod, "/spec/containers").is_empty() {
        causes.push(Cause::required("spec.containers", ""));
    }
    if at(pod, &["status", "phase"]).is_null() {
        set(pod, &["status", "phase"], "Pending");
        set_default(pod, &["metadata", "creationTimestamp"], now.text.clone());
    }
    let changes_immutable_spec = old.is_some_and(|old| immutable_spec(old) != immutable_spec(pod));
    if changes_immutable_spec {
        let why = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, \
                   `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to \
                   existing tolerations), `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                   previously negative)";
        causes.push(Cause {
            reason: "FieldValueForbidden",
            message: why.to_owned(),
            field: "spec".to_owned(),
        });
    }
    causes
}

/// Rejects changes of existing ephemeral containers, and new ones outside their subresource.
pub(crate) fn check_ephemeral_containers(old: &Value, pod: &Value, subresource: &str) -> Option<Cause> {
    let (before, after) = (list(old, "/spec/ephemeralContainers"), list(pod, "/spec/ephemeralContainers"));
    if subresource == EPHEMERAL_CONTAINERS {
        let keeps_existing = after.get(..before.len()).is_some_and(|start| start == before);
        return (!keeps_existing).then(|| Cause {
            reason: "FieldValueForbidden",
            message: "Forbidden: existing ephemeral containers may not be changed or removed".to_owned(),
            field: "spec.ephemeralContainers".to_owned(),
        });
    }
    (before != after).then(|| Cause {
        reason: "FieldValueForbidden",
        message: "Forbidden: pod updates may not change ephemeral containers".to_owned(),
        field: "spec.ephemeralContainers".to_owned(),
    })
}

/// The immutable part of a pod's spec.
fn immutable_spec(pod: &Value) -> Value {
    let mut spec = pod["spec"].clone();
    for pointer in ["/initContainers", "/containers"] {
        for container in elements_mut(&mut spec, pointer) {
            container.as_object_mut().and_then(|container| container.remove("image"));
            container.as_object_mut().and_then(|container| container.remove("imagePullPolicy"));
        }
    }
    if let Some(spec) = spec.as_object_mut() {
        for key in [
            "activeDeadlineSeconds",
            "tolerations",
            "terminationGracePeriodSeconds",
            "nodeName",
            // Changed through their subresource.
            "ephemeralContainers",
        ] {
            spec.remove(key);
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_require_unique_names_and_images() {
        let mut spec = json!({"containers": [{"name": "a", "image": "x:1"}, {"name": "a"}, {"image": "y"}]});
        let causes = admit(&mut spec, "spec");
        let fields: Vec<_> = causes.iter().map(|cause| cause.field.as_str()).collect();
        assert_eq!(
            fields,
            ["spec.containers[1].name", "spec.containers[1].image", "spec.containers[2].name"]
        );
        assert_eq!(spec["containers"][0]["imagePullPolicy"], "IfNotPresent");
        assert_eq!(spec["containers"][2]["imagePullPolicy"], "Always");
    }

    #[test]
    fn pod_image_is_mutable_and_container_name_is_not() {
        let now = Now { ms: 0, text: String::new() };
        let mut pod = json!({"spec": {"containers": [{"name": "a", "image": "x:1"}]}});
        assert!(admit_pod(None, &mut pod, &now).is_empty());
        let mut new_image = pod.clone();
        new_image["spec"]["containers"][0]["image"] = "x:2".into();
        assert!(admit_pod(Some(&pod), &mut new_image, &now).is_empty());
        let mut new_name = pod.clone();
        new_name["spec"]["containers"][0]["name"] = "b".into();
        assert_eq!(admit_pod(Some(&pod), &mut new_name, &now)[0].field, "spec");
    }

    #[test]
    fn ephemeral_containers_require_their_subresource() {
        let pod = |containers: Value| json!({"spec": {"ephemeralContainers": containers}});
        let (without, with_a) = (pod(json!([])), pod(json!([{"name": "a"}])));
        for (old, new, subresource, expected) in [
            (&without, &with_a, EPHEMERAL_CONTAINERS, true),
            (&without, &with_a, "", false),
            (&with_a, &with_a, "", true),
            (&with_a, &without, EPHEMERAL_CONTAINERS, false),
            (&with_a, &pod(json!([{"name": "b"}])), EPHEMERAL_CONTAINERS, false),
        ] {
            assert_eq!(
                check_ephemeral_containers(old, new, subresource).is_none(),
                expected,
                "{new} {subresource}"
            );
        }
    }
}
