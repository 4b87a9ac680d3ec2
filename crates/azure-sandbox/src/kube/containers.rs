//! Container statuses, and the conditions and phase of a pod, which depend on them.

use serde_json::{Value, json};

use super::pods::set_condition;
use super::value::{FieldAccess as _, Now, at, elements_mut, list, number, set, text};

/// The waiting reason of a container whose program has returned.
const CRASH_LOOP: &str = "CrashLoopBackOff";

/// Changes the status of a container, then conditions and phase of its pod.
pub(crate) fn update(pod: &mut Value, container: &str, change: impl FnOnce(&mut Value), now: &Now) {
    let mut statuses = elements_mut(pod, "/status/containerStatuses");
    let Some(status) = statuses.find(|status| text(status, "/name") == container) else { return };
    change(status);
    set_conditions(pod, now);
}

/// Sets the conditions of a pod that depend on its containers. A pending pod is running as soon as one container is.
pub(crate) fn set_conditions(pod: &mut Value, now: &Now) {
    let statuses = list(pod, "/status/containerStatuses");
    let unready: Vec<&str> = statuses
        .iter()
        .filter(|status| status["ready"] != true)
        .map(|status| text(status, "/name"))
        .collect();
    let any_running = statuses.iter().any(is_running);
    let message = format!("containers with unready status: [{}]", unready.join(" "));
    let reason = if unready.is_empty() { ("", "") } else { ("ContainersNotReady", message.as_str()) };
    let ready = unready.is_empty();
    if any_running && text(pod, "/status/phase") == "Pending" {
        set(pod, &["status", "phase"], "Running");
    }
    for condition_type in ["Ready", "ContainersReady"] {
        set_condition(pod, condition_type, ready, reason, now);
    }
}

/// Marks the container as running, but not ready.
pub(crate) fn set_running(status: &mut Value, now: &Now) {
    let was_running = is_running(status);
    if was_running || text(status, "/state/waiting/reason") == CRASH_LOOP {
        let restarts = number(status, "/restartCount").unwrap_or_default() + 1;
        *status.field_mut("restartCount") = restarts.into();
    }
    if was_running {
        // The program ran in an earlier process of the sandbox, or was stopped: the exit code is that of SIGKILL.
        set_last_state(status, 137, now);
    }
    *status.field_mut("state") = json!({"running": {"startedAt": now.text}});
    *status.field_mut("ready") = false.into();
    *status.field_mut("started") = true.into();
}

/// Marks the container as waiting for a restart.
pub(crate) fn set_crashed(status: &mut Value, message: &str, now: &Now) {
    set_last_state(status, 1, now);
    set_waiting(status, CRASH_LOOP, message);
}

/// Marks the container as waiting.
pub(crate) fn set_waiting(status: &mut Value, reason: &str, message: &str) {
    *status.field_mut("state") = json!({"waiting": {"reason": reason, "message": message}});
    *status.field_mut("ready") = false.into();
    *status.field_mut("started") = false.into();
}

fn set_last_state(status: &mut Value, exit_code: i32, now: &Now) {
    let started = at(status, &["state", "running", "startedAt"]).clone();
    *status.field_mut("lastState") = json!({"terminated": {"exitCode": exit_code, "reason": "Error",
        "startedAt": started, "finishedAt": now.text}});
}

pub(crate) fn is_running(status: &Value) -> bool {
    !at(status, &["state", "running"]).is_null()
}

/// Marks the container as waiting for an image that cannot be pulled.
pub(crate) fn set_unpullable(status: &mut Value, image: &str) {
    match text(status, "/state/waiting/reason") {
        "ErrImagePull" | "ImagePullBackOff" => {
            set_waiting(status, "ImagePullBackOff", &format!("Back-off pulling image {image:?}"));
        }
        _ => {
            let text = format!(
                "failed to pull and unpack image {image:?}: failed to resolve reference {image:?}: not found"
            );
            set_waiting(status, "ErrImagePull", &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::pods::is_ready;

    #[test]
    fn pod_phase_and_readiness_follow_the_container() {
        let at = |ms: i64| Now { ms, text: crate::kube::value::timestamp(ms) };
        let status = json!({"name": "a", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating"}}});
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
            "status": {"phase": "Pending", "containerStatuses": [status]}});
        update(&mut pod, "a", |status| set_running(status, &at(0)), &at(0));
        assert_eq!((&pod["status"]["phase"], is_ready(&pod)), (&json!("Running"), false));
        assert_eq!(pod["status"]["conditions"][0]["message"], "containers with unready status: [a]");
        update(&mut pod, "a", |status| status["ready"] = true.into(), &at(0));
        assert!(is_ready(&pod));
        update(&mut pod, "a", |status| set_crashed(status, "back-off", &at(1_000)), &at(1_000));
        let status = &pod["status"]["containerStatuses"][0];
        assert_eq!(status["lastState"]["terminated"]["finishedAt"], "1970-01-01T00:00:01Z");
        assert_eq!((&status["state"]["waiting"]["reason"], is_ready(&pod)), (&json!(CRASH_LOOP), false));
        update(&mut pod, "a", |status| set_running(status, &at(2_000)), &at(2_000));
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 1);
        assert_eq!(pod["status"]["phase"], "Running");
    }

    #[test]
    fn failed_pulls_back_off() {
        let mut status = json!({"name": "a", "state": {"waiting": {"reason": "ContainerCreating"}}});
        for expected in ["ErrImagePull", "ImagePullBackOff", "ImagePullBackOff"] {
            set_unpullable(&mut status, "x:1");
            assert_eq!(status["state"]["waiting"]["reason"], expected);
        }
    }
}
