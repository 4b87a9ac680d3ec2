//! What clients send and get around clusters: members, registration tokens, projects, settings, users, tokens, drivers.

use serde_json::{Value, json};

use super::{CLUSTER, SERVER, page};

const USER: &str = "user-gxwms";

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
        ("list", _) => {
            let kind = object.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            page(&kind, path, object)
        }
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
    let manifest = format!("{SERVER}/v3/import/c2x7k9zq_{CLUSTER}.yaml");
    let project = format!("{CLUSTER}:p-5dqck");
    Some(match kind {
        "ClusterRegistrationToken" => (
            "/v3/clusterregistrationtokens",
            json!({"clusterId": CLUSTER, "name": "default-token"}),
            shown(
                "clusterRegistrationToken",
                &registration,
                json!({
                    "clusterId": CLUSTER,
                    "command": format!("kubectl apply -f {manifest}"),
                    "manifestUrl": manifest,
                    "name": "default-token",
                    "state": "active",
                    "token": "c2x7k9zq",
                }),
            ),
        ),
        "ClusterRoleTemplateBinding" => (
            "/v3/clusterroletemplatebindings",
            json!({"clusterId": CLUSTER, "userId": USER, "roleTemplateId": "cluster-member"}),
            shown(
                "clusterRoleTemplateBinding",
                &member,
                json!({
                    "clusterId": CLUSTER,
                    "roleTemplateId": "cluster-member",
                    "userId": USER,
                    "userPrincipalId": format!("local://{USER}"),
                }),
            ),
        ),
        "KontainerDriver" => (
            "/v3/kontainerdrivers",
            Value::Null,
            shown("kontainerDriver", "azurekubernetesservice", json!({"active": true, "state": "active"})),
        ),
        "Node" => ("/v3/nodes", Value::Null, shown("node", "", json!({"clusterId": CLUSTER}))),
        "NodeDriver" => (
            "/v3/nodedrivers",
            Value::Null,
            shown("nodeDriver", "azure", json!({"active": true, "name": "azure", "state": "active"})),
        ),
        "Project" => (
            "/v3/projects",
            Value::Null,
            shown(
                "project",
                &project,
                json!({
                    "clusterId": CLUSTER,
                    "labels": {"authz.management.cattle.io/default-project": "true"},
                    "name": "Default",
                }),
            ),
        ),
        "RoleTemplate" => (
            "/v3/roletemplates",
            Value::Null,
            shown("roleTemplate", "cluster-owner", json!({"context": "cluster", "name": "Cluster Owner"})),
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
            shown(
                "token",
                "token-q7m2k",
                json!({
                    "description": "for the pipeline",
                    "enabled": true,
                    "expired": false,
                    "name": "token-q7m2k",
                    "ttl": 2_592_000_000_i64,
                    "userId": USER,
                }),
            ),
        ),
        "User" => (
            "/v3/users",
            Value::Null,
            shown("user", USER, json!({"enabled": true, "me": true, "name": "admin", "username": "admin"})),
        ),
        _ => return None,
    })
}

fn shown(kind: &str, id: &str, fields: Value) -> Value {
    with(json!({"actions": {}, "baseType": kind, "id": id, "type": kind}), fields)
}

fn with(mut object: Value, fields: Value) -> Value {
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
    object
}
