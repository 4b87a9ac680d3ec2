//! The columns of `kubectl get` for each type.

use serde_json::Value;

use crate::kube::pods::is_terminating;
use crate::kube::resources::{self, Resource};
use crate::kube::value::{Now, at, list, number, parse_timestamp_ms, text};

const NONE: &str = "<none>";

pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// The type in OpenAPI.
    pub(crate) cell_type: &'static str,
    /// Whether only `-o wide` shows the column.
    pub(crate) wide: bool,
    pub(crate) cell: Cell,
}

type Cell = fn(&Value, &Now) -> Value;

const fn string(name: &'static str, cell: Cell) -> Column {
    Column { name, cell_type: "string", wide: false, cell }
}

const fn integer(name: &'static str, cell: Cell) -> Column {
    Column { name, cell_type: "integer", wide: false, cell }
}

const fn wide(name: &'static str, cell: Cell) -> Column {
    Column { name, cell_type: "string", wide: true, cell }
}

const NAME: Column = string("Name", |object, _| at(object, &["metadata", "name"]).clone());
const AGE: Column = string("Age", |object, now| time_since(text(object, "/metadata/creationTimestamp"), now));

static DEFAULT_COLUMNS: [Column; 2] = [NAME, AGE];

static PODS: [Column; 9] = [
    NAME,
    string("Ready", |pod, _| {
        let statuses = list(pod, "/status/containerStatuses");
        let ready = statuses.iter().filter(|status| status["ready"] == true).count();
        format!("{ready}/{}", list(pod, "/spec/containers").len()).into()
    }),
    string("Status", |pod, _| pod_status(pod).into()),
    string("Restarts", |pod, _| {
        let statuses = list(pod, "/status/containerStatuses").iter();
        statuses.map(|status| integer_or_zero(status, "/restartCount")).sum::<i64>().to_string().into()
    }),
    AGE,
    wide("IP", |pod, _| or_none(text(pod, "/status/podIP"))),
    wide("Node", |pod, _| or_none(text(pod, "/spec/nodeName"))),
    wide("Nominated Node", |pod, _| or_none(text(pod, "/status/nominatedNodeName"))),
    wide("Readiness Gates", |_, _| NONE.into()),
];

static NODES: [Column; 10] = [
    NAME,
    string("Status", |node, _| node_status(node).into()),
    string("Roles", |node, _| {
        let labels = at(node, &["metadata", "labels"]).as_object().into_iter().flatten();
        let roles = labels.filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"));
        or_none(&roles.collect::<Vec<_>>().join(","))
    }),
    AGE,
    string("Version", |node, _| text(node, "/status/nodeInfo/kubeletVersion").into()),
    wide("Internal-IP", |node, _| node_address(node, "InternalIP")),
    wide("External-IP", |node, _| node_address(node, "ExternalIP")),
    wide("OS-Image", |node, _| text(node, "/status/nodeInfo/osImage").into()),
    wide("Kernel-Version", |node, _| text(node, "/status/nodeInfo/kernelVersion").into()),
    wide("Container-Runtime", |node, _| text(node, "/status/nodeInfo/containerRuntimeVersion").into()),
];

static NAMESPACES: [Column; 3] =
    [NAME, string("Status", |namespace, _| text(namespace, "/status/phase").into()), AGE];

static DEPLOYMENTS: [Column; 8] = [
    NAME,
    string("Ready", |deployment, _| {
        format!(
            "{}/{}",
            integer_or_zero(deployment, "/status/readyReplicas"),
            integer_or_zero(deployment, "/spec/replicas")
        )
        .into()
    }),
    integer("Up-to-date", |deployment, _| integer_or_zero(deployment, "/status/updatedReplicas").into()),
    integer("Available", |deployment, _| integer_or_zero(deployment, "/status/availableReplicas").into()),
    AGE,
    wide("Containers", |deployment, _| join_containers(deployment, "/name")),
    wide("Images", |deployment, _| join_containers(deployment, "/image")),
    wide("Selector", |deployment, _| {
        let labels = at(deployment, &["spec", "selector", "matchLabels"]).as_object().into_iter().flatten();
        let pairs = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
        or_none(&pairs.collect::<Vec<_>>().join(","))
    }),
];

static EVENTS: [Column; 9] = [
    string("Last Seen", |event, now| time_since(last_seen(event), now)),
    string("Type", |event, _| text(event, "/type").into()),
    string("Reason", |event, _| text(event, "/reason").into()),
    string("Object", |event, _| {
        let kind = text(event, "/involvedObject/kind").to_ascii_lowercase();
        format!("{kind}/{}", text(event, "/involvedObject/name")).into()
    }),
    wide("Source", |event, _| text(event, "/source/component").into()),
    string("Message", |event, _| text(event, "/message").trim().into()),
    wide("First Seen", |event, now| {
        let first = text(event, "/firstTimestamp");
        time_since(if first.is_empty() { last_seen(event) } else { first }, now)
    }),
    wide("Count", |event, _| number(event, "/count").unwrap_or(1).to_string().into()),
    wide("Name", |event, _| at(event, &["metadata", "name"]).clone()),
];

static SECRETS: [Column; 4] = [
    NAME,
    string("Type", |secret, _| text(secret, "/type").into()),
    integer("Data", |secret, _| entry_count(&secret["data"]).into()),
    AGE,
];

static CONFIG_MAPS: [Column; 3] = [
    NAME,
    integer("Data", |map, _| (entry_count(&map["data"]) + entry_count(&map["binaryData"])).into()),
    AGE,
];

static SERVICE_ACCOUNTS: [Column; 3] =
    [NAME, integer("Secrets", |account, _| list(account, "/secrets").len().into()), AGE];

static BINDINGS: [Column; 6] = [
    NAME,
    string("Role", |binding, _| {
        format!("{}/{}", text(binding, "/roleRef/kind"), text(binding, "/roleRef/name")).into()
    }),
    AGE,
    wide("Users", |binding, _| subject_names(binding, "User")),
    wide("Groups", |binding, _| subject_names(binding, "Group")),
    wide("ServiceAccounts", |binding, _| subject_names(binding, "ServiceAccount")),
];

static ROLES: [Column; 2] = [
    NAME,
    Column {
        name: "Created At",
        cell_type: "date",
        wide: false,
        cell: |role, _| at(role, &["metadata", "creationTimestamp"]).clone(),
    },
];

pub(crate) fn columns(resource: &Resource) -> &'static [Column] {
    let columns_by_type: [(&Resource, &'static [Column]); 12] = [
        (&resources::PODS, &PODS),
        (&resources::NODES, &NODES),
        (&resources::NAMESPACES, &NAMESPACES),
        (&resources::DEPLOYMENTS, &DEPLOYMENTS),
        (&resources::EVENTS, &EVENTS),
        (&resources::SECRETS, &SECRETS),
        (&resources::CONFIG_MAPS, &CONFIG_MAPS),
        (&resources::SERVICE_ACCOUNTS, &SERVICE_ACCOUNTS),
        (&resources::ROLE_BINDINGS, &BINDINGS),
        (&resources::CLUSTER_ROLE_BINDINGS, &BINDINGS),
        (&resources::ROLES, &ROLES),
        (&resources::CLUSTER_ROLES, &ROLES),
    ];
    columns_by_type
        .into_iter()
        .find(|(column_type, _)| resource.is(column_type))
        .map_or(&DEFAULT_COLUMNS, |(_, columns)| columns)
}

fn time_since(timestamp: &str, now: &Now) -> Value {
    parse_timestamp_ms(timestamp)
        .map_or_else(|| "<unknown>".to_owned(), |then| human_duration((now.ms - then) / 1_000))
        .into()
}

/// A duration as kubectl prints it (`duration.HumanDuration`).
fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let pair = |large: i64, unit: char, small: i64, small_unit: char| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{small_unit}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

fn or_none(value: &str) -> Value {
    if value.is_empty() { NONE.into() } else { value.into() }
}

fn integer_or_zero(object: &Value, pointer: &str) -> i64 {
    number(object, pointer).unwrap_or_default()
}

fn entry_count(value: &Value) -> usize {
    value.as_object().map(serde_json::Map::len).unwrap_or_default()
}

fn pod_status(pod: &Value) -> &str {
    if is_terminating(pod) {
        return "Terminating";
    }
    let statuses = list(pod, "/status/containerStatuses").iter();
    let mut reasons = statuses.map(|status| text(status, "/state/waiting/reason"));
    reasons.find(|reason| !reason.is_empty()).unwrap_or_else(|| text(pod, "/status/phase"))
}

fn node_status(node: &Value) -> String {
    let mut conditions = list(node, "/status/conditions").iter();
    // As in kubectl, the last condition of a type applies.
    let ready = conditions.rfind(|condition| text(condition, "/type") == "Ready");
    let status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let is_cordoned = at(node, &["spec", "unschedulable"]) == true;
    format!("{status}{}", if is_cordoned { ",SchedulingDisabled" } else { "" })
}

fn node_address(node: &Value, kind: &str) -> Value {
    let mut addresses = list(node, "/status/addresses").iter();
    let address = addresses.find(|address| text(address, "/type") == kind);
    or_none(address.map(|address| text(address, "/address")).unwrap_or_default())
}

fn join_containers(deployment: &Value, pointer: &str) -> Value {
    let containers = list(deployment, "/spec/template/spec/containers").iter();
    containers.map(|container| text(container, pointer)).collect::<Vec<_>>().join(",").into()
}

fn last_seen(event: &Value) -> &str {
    match text(event, "/lastTimestamp") {
        "" => text(event, "/eventTime"),
        last => last,
    }
}

fn subject_names(binding: &Value, kind: &str) -> Value {
    let subjects = list(binding, "/subjects").iter().filter(|subject| text(subject, "/kind") == kind);
    let names = subjects.map(|subject| match text(subject, "/namespace") {
        "" => text(subject, "/name").to_owned(),
        namespace => format!("{namespace}/{}", text(subject, "/name")),
    });
    names.collect::<Vec<_>>().join(", ").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_formatted_as_in_kubectl() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (185, "3m5s"),
            (3_600, "60m"),
            (10_860, "3h1m"),
            (86_400, "24h"),
            (180_000, "2d2h"),
            (8_640_000, "100d"),
            (63_072_000, "2y"),
            (252_201_600, "7y364d"),
            (253_152_000, "8y"),
        ] {
            assert_eq!(human_duration(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn pod_status_shows_waiting_reason_and_termination() {
        let now = Now { ms: 0, text: String::new() };
        let mut pod = json!({"metadata": {"name": "x"}, "spec": {"containers": [{}, {}]}, "status": {"phase": "Pending",
            "containerStatuses": [{"ready": true}, {"ready": false, "state": {"waiting": {"reason": "ContainerCreating"}}}]}});
        let cells =
            |pod: &Value| PODS[1..3].iter().map(|column| (column.cell)(pod, &now)).collect::<Vec<_>>();
        assert_eq!(cells(&pod), ["1/2", "ContainerCreating"]);
        pod["metadata"]["deletionTimestamp"] = "x".into();
        assert_eq!(cells(&pod)[1], "Terminating");
    }
}
