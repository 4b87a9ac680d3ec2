//! What clients send and get around clusters: members, registration tokens, projects, settings, users, tokens, drivers.

use aks::registration::{NODE_COMMAND, commands};
use serde_json::{Value, json};

use super::{CLUSTER, SERVER, page};

const USER: &str = "user-gxwms";
const NODE: &str = "aks-system-12345678-vmss000000";

/// What is sent to and answered by the operation of that id, when it is one of these.
pub(super) fn of(operation: &str) -> Option<(Value, Value)> {
    let (action, kind) =
        ["list", "create", "get", "update", "post", "delete"].into_iter().find_map(|action| {
            let rest = operation.strip_prefix(action)?;
            let rest = rest.strip_suffix("OfCluster").unwrap_or(rest);
            Some((action, rest.strip_suffix('s').filter(|_| action == "list").unwrap_or(rest)))
        })?;
    let (path, sent, object) = of_kind(kind)?;
    let takes_a_body = match kind {
        "Token" | "ClusterRegistrationToken" => action == "create",
        _ => matches!(action, "create" | "update" | "post"),
    };
    let sent = if takes_a_body { sent } else { Value::Null };
    let answer = match (action, kind) {
        ("list", _) => page(&camel_case(kind), path, object),
        ("create", "Token") => with(object, json!({"token": "token-q7m2k:…"})),
        _ => object,
    };
    Some((sent, answer))
}

#[expect(clippy::too_many_lines, reason = "one entry per kind, and nothing else")]
/// The collection of a kind, what makes or changes one, and one as it is shown.
fn of_kind(kind: &str) -> Option<(&'static str, Value, Value)> {
    let member = format!("{CLUSTER}:crtb-5kq2d");
    let registration = format!("{CLUSTER}:default-token");
    let commands = commands(SERVER, "c2x7k9zq", CLUSTER);
    let project = format!("{CLUSTER}:p-5dqck");
    let node = format!("{CLUSTER}:{NODE}");
    Some(match kind {
        "ClusterRegistrationToken" => (
            "/v3/clusterregistrationtokens",
            json!({"clusterId": CLUSTER, "name": "default-token"}),
            made(
                "clusterRegistrationToken",
                &registration,
                json!({
                    "annotations": {},
                    "clusterId": CLUSTER,
                    "command": commands.command,
                    "insecureCommand": commands.insecure_command,
                    "insecureNodeCommand": NODE_COMMAND,
                    "insecureWindowsNodeCommand": NODE_COMMAND,
                    "manifestUrl": commands.manifest_url,
                    "name": "default-token",
                    "namespaceId": CLUSTER,
                    "nodeCommand": NODE_COMMAND,
                    "state": "active",
                    "token": "c2x7k9zq",
                    "transitioning": "no",
                    "uuid": "36ea546a-3f15-4a09-9e5a-adf910a051cd",
                    "windowsNodeCommand": NODE_COMMAND,
                }),
            ),
        ),
        "ClusterRoleTemplateBinding" => (
            "/v3/clusterroletemplatebindings",
            json!({"clusterId": CLUSTER, "userId": USER, "roleTemplateId": "cluster-member"}),
            made(
                "clusterRoleTemplateBinding",
                &member,
                json!({
                    "annotations": {},
                    "clusterId": CLUSTER,
                    "name": "crtb-5kq2d",
                    "roleTemplateId": "cluster-member",
                    "state": "active",
                    "transitioning": "no",
                    "userId": USER,
                    "userPrincipalId": format!("local://{USER}"),
                }),
            ),
        ),
        "KontainerDriver" => (
            "/v3/kontainerdrivers",
            Value::Null,
            shown(
                "kontainerDriver",
                "azurekubernetesservice",
                json!({
                    "active": true,
                    "builtIn": true,
                    "name": "azureKubernetesService",
                    "state": "active",
                    "transitioning": "no",
                }),
            ),
        ),
        "Node" => (
            "/v3/nodes",
            Value::Null,
            made(
                "node",
                &node,
                json!({
                    "allocatable": {"cpu": "1900m", "memory": "6710886Ki", "pods": "110"},
                    "annotations": {},
                    "capacity": {"cpu": "2", "memory": "8388608Ki", "pods": "110"},
                    "clusterId": CLUSTER,
                    "controlPlane": false,
                    "etcd": false,
                    "hostname": NODE,
                    "imported": true,
                    "info": {
                        "cpu": {"count": 2},
                        "kubernetes": {"kubeProxyVersion": "v1.32.7", "kubeletVersion": "v1.32.7"},
                        "memory": {"memTotalKiB": 8_388_608},
                        "os": {
                            "dockerVersion": "containerd://1.7.27-1",
                            "kernelVersion": "5.15.0-1092-azure",
                            "operatingSystem": "Ubuntu 22.04.5 LTS",
                        },
                    },
                    "ipAddress": "10.224.0.4",
                    "labels": {"kubernetes.azure.com/agentpool": "system", "kubernetes.io/os": "linux"},
                    "name": NODE,
                    "nodeName": NODE,
                    "providerId": "azure:///subscriptions/…/virtualMachines/0",
                    "requestedHostname": NODE,
                    "state": "active",
                    "transitioning": "no",
                    "transitioningMessage": "",
                    "unschedulable": false,
                    "uuid": "6c2a9d0e-61bb-4a8e-8a53-1f2f4f7a4a21",
                    "worker": true,
                }),
            ),
        ),
        "Feature" => ("/v3/features", Value::Null, shown("feature", "fleet", json!({"name": "fleet"}))),
        "RkeK8sSystemImage" => (
            "/v3/rkek8ssystemimages",
            Value::Null,
            shown("rkeK8sSystemImage", "v1.32.7", json!({"name": "v1.32.7"})),
        ),
        "NodeDriver" => (
            "/v3/nodedrivers",
            Value::Null,
            shown(
                "nodeDriver",
                "azure",
                json!({
                    "active": true,
                    "builtin": true,
                    "name": "azure",
                    "state": "active",
                    "transitioning": "no",
                }),
            ),
        ),
        "Project" => (
            "/v3/projects",
            Value::Null,
            made(
                "project",
                &project,
                json!({
                    "clusterId": CLUSTER,
                    "description": "Default project created for the cluster",
                    "labels": {
                        "authz.management.cattle.io/default-project": "true",
                        "cattle.io/creator": "norman",
                    },
                    "name": "Default",
                    "state": "active",
                    "transitioning": "no",
                }),
            ),
        ),
        "RoleTemplate" => (
            "/v3/roletemplates",
            Value::Null,
            shown(
                "roleTemplate",
                "cluster-owner",
                json!({
                    "builtin": true,
                    "clusterCreatorDefault": true,
                    "context": "cluster",
                    "description": "May do everything, and says who else may",
                    "locked": false,
                    "name": "Cluster Owner",
                    "state": "active",
                }),
            ),
        ),
        "Setting" => (
            "/v3/settings",
            json!({"value": SERVER}),
            shown(
                "setting",
                "server-url",
                json!({
                    "customized": true,
                    "default": "",
                    "name": "server-url",
                    "readOnly": false,
                    "source": "db",
                    "value": SERVER,
                }),
            ),
        ),
        "Token" => (
            "/v3/tokens",
            json!({"description": "for the pipeline", "ttl": 2_592_000_000_i64}),
            made(
                "token",
                "token-q7m2k",
                json!({
                    "annotations": {},
                    "authProvider": "local",
                    "current": false,
                    "description": "for the pipeline",
                    "enabled": true,
                    "expired": false,
                    "expiresAt": "2026-12-23T20:00:54Z",
                    "isDerived": true,
                    "name": "token-q7m2k",
                    "ttl": 2_592_000_000_i64,
                    "userId": USER,
                }),
            ),
        ),
        "User" => (
            "/v3/users",
            json!({"enabled": true}),
            shown(
                "user",
                USER,
                json!({
                    "created": "2026-11-23T20:00:54Z",
                    "createdTS": 1_795_464_054_000_i64,
                    "enabled": true,
                    "me": true,
                    "name": "admin",
                    "principalIds": [format!("local://{USER}")],
                    "state": "active",
                    "transitioning": "no",
                    "username": "admin",
                }),
            ),
        ),
        _ => return None,
    })
}

/// The name of a type as the wire spells it.
fn camel_case(kind: &str) -> String {
    let mut letters = kind.chars();
    letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
}

/// One that somebody made at some time.
fn made(kind: &str, id: &str, fields: Value) -> Value {
    let times = json!({
        "created": "2026-11-23T20:00:54Z",
        "createdTS": 1_795_464_054_000_i64,
        "labels": {"cattle.io/creator": "norman"},
    });
    with(shown(kind, id, times), fields)
}

fn shown(kind: &str, id: &str, fields: Value) -> Value {
    let own = format!("{SERVER}/v3/{kind}s/{id}");
    with(json!({"actions": {}, "baseType": kind, "id": id, "links": {"self": own}, "type": kind}), fields)
}

fn with(mut object: Value, fields: Value) -> Value {
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
    object
}
