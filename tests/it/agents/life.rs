//! A private cluster from its creation or import to its deletion or removal.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    AGENT_PODS, CONFIG_MAPS, ClusterAdmin, IMAGE, Lines, PrivateCluster, TEST_TIMEOUT, WAITING, condition,
    make_import,
};

#[tokio::test]
async fn private_cluster_becomes_active_by_run_command() {
    let cluster = PrivateCluster::create().await;
    let message =
        cluster.wait_for_message("Azure's run command is applying its manifest in the cluster").await;
    assert!(message.starts_with(WAITING), "{message}");
    let object = cluster.object().await;
    assert_eq!((&object["state"], &object["transitioning"]), (&json!("provisioning"), &json!("yes")));
    assert_eq!(condition(&object, "Waiting")["message"], WAITING);
    assert_eq!(condition(&object, "AgentDeployed")["status"], "Unknown");
    let object = cluster.wait_until_active().await;
    assert_eq!(object["aksStatus"]["privateRequiresTunnel"], true);
    assert_eq!(object["transitioning"], "no");
    for condition_type in ["AgentDeployed", "Connected", "Ready", "Waiting", "Provisioned", "Updated"] {
        assert_eq!(condition(&object, condition_type)["status"], "True", "{condition_type}: {object:#}");
    }
    let kinds: Vec<_> = cluster.events().await.into_iter().map(|event| event.0).collect();
    let expected = ["active", "agentConnected", "agentManifestApplied"];
    let mut actual: Vec<_> =
        kinds.iter().map(String::as_str).filter(|kind| expected.contains(kind)).collect();
    // The agent may connect before Azure reports the result of the command.
    actual.sort_unstable();
    assert_eq!(actual, expected, "{kinds:?}");
    assert_eq!(kinds.last().map(String::as_str), Some("active"), "{kinds:?}");
    let applied = cluster.event_messages("agentManifestApplied").await;
    assert!(applied[0].starts_with("deployed the cluster agent by Azure's run command"), "{applied:?}");
    let writes = cluster.app.control.writes();
    let commands = writes.iter().filter(|write| write.path.ends_with("/runCommand")).count();
    assert_eq!(commands, 1);
}

#[tokio::test]
async fn kubectl_works_through_the_agent() {
    let cluster = PrivateCluster::create_active().await;
    assert_eq!(cluster.json("/api/v1/nodes").await["items"].as_array().unwrap().len(), 1);
    let watch = format!("{CONFIG_MAPS}?watch=true");
    let mut watch = Lines::new(cluster.send(Method::GET, &watch, "", &Value::Null).await);
    let object = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"key": value}});
    for value in ["first", "second"] {
        let applied = cluster.apply(&format!("{CONFIG_MAPS}/applied"), &object(value)).await;
        assert_eq!(applied["data"]["key"], value);
        let event: Value = serde_json::from_str(&watch.read_until("\"applied\"").await).unwrap();
        assert_eq!(event["object"]["data"]["key"], value);
    }

    // The agent's own log, while it runs.
    let pods = cluster.json(AGENT_PODS).await;
    let pod = &pods["items"][0];
    assert_eq!(pod["status"]["containerStatuses"][0]["ready"], true, "{pod:#}");
    let name = pod["metadata"]["name"].as_str().unwrap();
    let log = format!("{AGENT_PODS}/{name}/log?follow=true");
    let mut log = Lines::new(cluster.send(Method::GET, &log, "", &Value::Null).await);
    log.read_until("connected to https://127.0.0.1:").await;
    cluster.app.control.enable_agents(false);
    log.read_until("stopping").await;
}

#[tokio::test]
async fn public_cluster_gets_an_agent_on_request() {
    let cluster = PrivateCluster::create_with(|body| {
        body["aksConfig"]["privateCluster"] = json!(false);
        body["annotations"] = json!({"norman-aks.io/agent": "always"});
    })
    .await;
    cluster.wait_until_active().await;
    cluster.wait_for_agent(true).await;
    let deployed = |object: &Value| condition(object, "AgentDeployed")["status"] == "True";
    let object = cluster.wait_until("an agent", deployed).await;
    assert_ne!(object["aksStatus"]["privateRequiresTunnel"], true);
    let applied = cluster.event_messages("agentManifestApplied").await;
    assert!(applied[0].contains("by the Kubernetes API"), "{applied:?}");
    // The cluster remains reachable without its agent.
    cluster.app.control.enable_agents(false);
    cluster.app.control.cut_pod_connections();
    cluster.wait_for_agent(false).await;
    cluster.app.advance(Duration::from_mins(1)).await;
    let object = cluster.object().await;
    assert_eq!(condition(&object, "Connected")["status"], "True", "{object:#}");
    assert_eq!(cluster.get("/api/v1/nodes").await.0, StatusCode::OK);
}

#[tokio::test]
async fn deleting_a_private_cluster_disconnects_its_agent() {
    let cluster = PrivateCluster::create_active().await;
    cluster.app.delete(&cluster.path()).send().await.expect(200);
    cluster.wait_until_deleted().await;
    cluster.wait_for_agent(false).await;
    assert!(cluster.app.control.kubernetes().iter().all(|object| !object.fqdn.starts_with("one")));
}

/// The objects that remain in an imported cluster after its removal from the server. AKS itself creates `aks-command`, and
/// other programs may use `cattle-system`.
const REMAINING: [&str; 6] = [
    "aks-command/configmaps/kube-root-ca.crt",
    "aks-command/serviceaccounts/default",
    "cattle-system/configmaps/kube-root-ca.crt",
    "cattle-system/serviceaccounts/default",
    "namespaces/aks-command",
    "namespaces/cattle-system",
];

/// The binding of the members in a namespace that is open to them.
const MEMBER_BINDING: &str = "open/rolebindings/norman-aks-namespace-edit";

/// Imports a private cluster and removes its object, with or without a working agent.
async fn import_and_remove(has_agent: bool) {
    let cluster = PrivateCluster::start("ready", "", make_import).await;
    cluster.wait_for_message("there is no image for the agent").await;
    let admin = ClusterAdmin::new(&cluster).await;
    let before = admin.objects().await;
    cluster.app.put_setting("agent-image", IMAGE).await;
    cluster.wait_until_active().await;
    assert_eq!(cluster.object().await["aksStatus"]["privateRequiresTunnel"], true);
    assert!(admin.objects().await.contains_key("cattle-system/deployments/cattle-cluster-agent"));
    // From now on, the server maintains roles in the cluster.
    cluster.app.server.keep_roles();
    let namespace = json!({"metadata": {"name": "open", "labels": {"norman-aks.io/members": "edit"}}});
    admin.create("/api/v1/namespaces", &namespace).await;
    admin.wait_until_exists(MEMBER_BINDING).await;
    let before: BTreeMap<_, _> = before.into_iter().chain(admin.objects_in("open").await).collect();
    if !has_agent {
        cluster.app.control.enable_agents(false);
        cluster.app.control.cut_pod_connections();
        cluster.wait_for_agent(false).await;
    }
    cluster.app.control.clear_requests();
    cluster.app.delete(&cluster.path()).send().await.expect(200);
    cluster.wait_until_deleted().await;
    let writes = cluster.app.control.writes();
    let used_run_command = writes.iter().any(|write| write.path.ends_with("/runCommand"));
    assert_eq!(used_run_command, !has_agent, "{writes:#?}");
    let started = Instant::now();
    let before: Vec<_> = before.into_keys().filter(|path| path != MEMBER_BINDING).collect();
    // Waits until the agent's pod has terminated.
    let (remaining, objects) = loop {
        let objects = admin.objects().await;
        let remaining: Vec<_> = objects.keys().filter(|path| !before.contains(path)).cloned().collect();
        if !remaining.iter().any(|path| path.contains("/pods/")) {
            break (remaining, objects);
        }
        assert!(started.elapsed() < TEST_TIMEOUT, "{remaining:#?}");
        sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(remaining, REMAINING);
    for path in before {
        assert!(objects.contains_key(&path), "{path} is gone");
    }
}

#[tokio::test]
async fn removed_import_loses_its_agent_through_the_tunnel() {
    import_and_remove(true).await;
}

#[tokio::test]
async fn removed_import_loses_its_agent_by_run_command() {
    import_and_remove(false).await;
}
