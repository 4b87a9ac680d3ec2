//! What stands in the columns, type by type.

use serde_json::Value;

use crate::kube::pods::is_ending;
use crate::kube::value::{Now, at, list, ms_of, number, text};

const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

fn name(object: &Value) -> Value {
    at(object, &["metadata", "name"]).clone()
}

fn age(object: &Value, now: &Now) -> Value {
    since(text(object, "/metadata/creationTimestamp"), now).into()
}

fn since(moment: &str, now: &Now) -> String {
    ms_of(moment).map_or_else(|| UNKNOWN.to_owned(), |then| duration((now.ms - then) / 1_000))
}

/// Seconds as people say them, with two figures at most.
fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let pair = |large: i64, unit: char, small: i64, below: char| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{below}") }
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        _ => pair(days / 365, 'y', days % 365, 'd'),
    }
}

fn or_none(value: &str) -> Value {
    if value.is_empty() { NONE.into() } else { value.into() }
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

fn count(object: &Value, pointer: &str) -> i64 {
    number(object, pointer).unwrap_or_default()
}

fn entries(value: &Value) -> usize {
    value.as_object().map(serde_json::Map::len).unwrap_or_default()
}

fn pairs(labels: &Value) -> Value {
    let pairs = labels.as_object().into_iter().flatten();
    let pairs: Vec<_> =
        pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    or_none(&pairs.join(","))
}

/// Names and images of a template's containers, and the selector.
fn template(object: &Value) -> [Value; 3] {
    let of = |key: &str| {
        joined(list(object, "/spec/template/spec/containers").iter().map(|container| text(container, key)))
    };
    [of("/name").into(), of("/image").into(), pairs(at(object, &["spec", "selector", "matchLabels"]))]
}

pub(crate) fn plain(object: &Value, now: &Now) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

pub(crate) fn pod(pod: &Value, now: &Now) -> Vec<Value> {
    let statuses = list(pod, "/status/containerStatuses");
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    let waiting =
        statuses.iter().map(|status| text(status, "/state/waiting/reason")).find(|why| !why.is_empty());
    let phase = text(pod, "/status/phase");
    let status = if is_ending(pod) { "Terminating" } else { waiting.unwrap_or(phase) };
    let restarts: i64 = statuses.iter().map(|status| count(status, "/restartCount")).sum();
    vec![
        name(pod),
        format!("{ready}/{}", list(pod, "/spec/containers").len()).into(),
        status.into(),
        restarts.to_string().into(),
        age(pod, now),
        or_none(text(pod, "/status/podIP")),
        or_none(text(pod, "/spec/nodeName")),
        or_none(text(pod, "/status/nominatedNodeName")),
        NONE.into(),
    ]
}

pub(crate) fn node(node: &Value, now: &Now) -> Vec<Value> {
    let ready = list(node, "/status/conditions").iter().find(|one| text(one, "/type") == "Ready");
    let mut status = match ready.map(|one| text(one, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if at(node, &["spec", "unschedulable"]) == true {
        status.push_str(",SchedulingDisabled");
    }
    let labels = at(node, &["metadata", "labels"]).as_object().into_iter().flatten();
    let roles = joined(labels.filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/")));
    let addresses = list(node, "/status/addresses");
    let address =
        |kind: &str| addresses.iter().find(|one| text(one, "/type") == kind).map(|one| text(one, "/address"));
    let info = |key: &str| text(node, &format!("/status/nodeInfo/{key}"));
    vec![
        name(node),
        status.into(),
        or_none(&roles),
        age(node, now),
        info("kubeletVersion").into(),
        or_none(address("InternalIP").unwrap_or_default()),
        or_none(address("ExternalIP").unwrap_or_default()),
        info("osImage").into(),
        info("kernelVersion").into(),
        info("containerRuntimeVersion").into(),
    ]
}

pub(crate) fn namespace(namespace: &Value, now: &Now) -> Vec<Value> {
    vec![name(namespace), text(namespace, "/status/phase").into(), age(namespace, now)]
}

pub(crate) fn deployment(deployment: &Value, now: &Now) -> Vec<Value> {
    let of = |pointer| count(deployment, pointer);
    let [containers, images, selector] = template(deployment);
    vec![
        name(deployment),
        format!("{}/{}", of("/status/readyReplicas"), of("/spec/replicas")).into(),
        of("/status/updatedReplicas").into(),
        of("/status/availableReplicas").into(),
        age(deployment, now),
        containers,
        images,
        selector,
    ]
}

pub(crate) fn secret(secret: &Value, now: &Now) -> Vec<Value> {
    vec![name(secret), text(secret, "/type").into(), entries(&secret["data"]).into(), age(secret, now)]
}

pub(crate) fn config_map(map: &Value, now: &Now) -> Vec<Value> {
    vec![name(map), (entries(&map["data"]) + entries(&map["binaryData"])).into(), age(map, now)]
}

pub(crate) fn service_account(account: &Value, now: &Now) -> Vec<Value> {
    vec![name(account), list(account, "/secrets").len().into(), age(account, now)]
}

pub(crate) fn role(role: &Value, _: &Now) -> Vec<Value> {
    vec![name(role), at(role, &["metadata", "creationTimestamp"]).clone()]
}

pub(crate) fn binding(binding: &Value, now: &Now) -> Vec<Value> {
    let subjects = |kind: &str| {
        let of = list(binding, "/subjects").iter().filter(|subject| text(subject, "/kind") == kind);
        let names = of.map(|subject| match text(subject, "/namespace") {
            "" => text(subject, "/name").to_owned(),
            namespace => format!("{namespace}/{}", text(subject, "/name")),
        });
        Value::from(names.collect::<Vec<_>>().join(", "))
    };
    let role = format!("{}/{}", text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
    vec![
        name(binding),
        role.into(),
        age(binding, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

pub(crate) fn event(event: &Value, now: &Now) -> Vec<Value> {
    let first = text(event, "/firstTimestamp");
    let last = match text(event, "/lastTimestamp") {
        "" => text(event, "/eventTime"),
        last => last,
    };
    let about = &event["involvedObject"];
    let object = format!("{}/{}", text(about, "/kind").to_ascii_lowercase(), text(about, "/name"));
    vec![
        since(last, now).into(),
        text(event, "/type").into(),
        text(event, "/reason").into(),
        object.into(),
        text(event, "/source/component").into(),
        text(event, "/message").trim().into(),
        since(if first.is_empty() { last } else { first }, now).into(),
        number(event, "/count").unwrap_or(1).to_string().into(),
        name(event),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_said_as_kubectl_says_them() {
        for (seconds, expected) in [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (185, "3m5s"),
            (3_600, "60m"),
            (10_860, "3h1m"),
            (86_400, "24h"),
            (180_000, "2d2h"),
            (8_640_000, "100d"),
            (63_072_000, "2y"),
        ] {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn pods_tell_what_they_wait_for_and_that_they_end() {
        let now = Now { ms: 0, text: String::new() };
        let mut pod = json!({"metadata": {"name": "x"}, "spec": {"containers": [{}, {}]}, "status": {"phase": "Pending",
            "containerStatuses": [{"ready": true}, {"ready": false, "state": {"waiting": {"reason": "ContainerCreating"}}}]}});
        assert_eq!(super::pod(&pod, &now)[1..3], [json!("1/2"), json!("ContainerCreating")]);
        pod["metadata"]["deletionTimestamp"] = "x".into();
        assert_eq!(super::pod(&pod, &now)[2], "Terminating");
    }
}
