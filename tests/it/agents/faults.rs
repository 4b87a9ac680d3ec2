//! Faults that prevent an agent from being deployed or from connecting: the message, and that the cluster becomes active
//! after the fault.

use std::time::{Duration, Instant};

use azure_sandbox::{Fault, Operation, OperationKind};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{CONFIG_MAPS, ClusterAdmin, Lines, PrivateCluster, WAITING, condition, has_connected_status};
use crate::support::fault;

/// The start of the remedy that asks an owner to deploy the agent.
const OWNER_REMEDY: &str =
    "an owner can also deploy it from the network of the cluster: curl --insecure -sfL https://127.0.0.1:";

fn forbidden(operation: Operation) -> Fault {
    let error = fault::error(403, "AuthorizationFailed", "The client does not have authorization.");
    fault::for_operation(operation, error)
}

fn assert_waits(message: &str, parts: &[&str]) {
    assert!(message.starts_with(WAITING), "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing: {message}");
    }
}

#[tokio::test]
async fn image_that_cannot_be_pulled_is_waited_for() {
    let cluster = PrivateCluster::create().await;
    cluster.app.control.set_unpullable_images(vec!["*".to_owned()]);
    let message = cluster.wait_for_message("the agent has not connected yet").await;
    assert_waits(
        &message,
        &["applied by Azure's run command", "kubectl --namespace cattle-system describe pods"],
    );
    let admin = ClusterAdmin::new(&cluster).await;
    let is_waiting = |pods: &[Value]| {
        pods.iter().any(|pod| {
            let reason = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"];
            *reason == "ImagePullBackOff" || *reason == "ErrImagePull"
        })
    };
    let started = Instant::now();
    while !is_waiting(&admin.agent_pods().await) {
        assert!(started.elapsed() < super::TEST_TIMEOUT, "{:#?}", admin.agent_pods().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.app.control.set_unpullable_images(Vec::new());
    cluster.wait_until_active().await;
}

#[tokio::test]
async fn forbidden_run_command_is_explained_and_retried() {
    let cluster = PrivateCluster::create().await;
    cluster.app.control.add_fault(forbidden(Operation::RunCommand));
    let message = cluster.wait_for_message("next attempt at").await;
    let right = "it lacks Microsoft.ContainerService/managedClusters/runCommand/action";
    assert_waits(
        &message,
        &["The client does not have authorization", right, OWNER_REMEDY, "SHA-256 checksum"],
    );
    let object = cluster.object().await;
    let deployed = condition(&object, "AgentDeployed");
    assert_eq!(deployed["status"], "False");
    let prefix = "Error while applying agent YAML, it will be retried automatically";
    assert!(deployed["message"].as_str().unwrap().starts_with(prefix), "{deployed}");
    assert!(cluster.event_messages("agentManifestFailed").await[0].contains(right));
    cluster.app.control.clear_faults();
    let object = cluster.wait_until_active().await;
    assert_eq!(condition(&object, "AgentDeployed")["status"], "True");
}

#[tokio::test]
async fn agent_connects_though_the_result_is_forbidden() {
    let cluster = PrivateCluster::start("no-command-results", super::IMAGE, |_| ()).await;
    let first_failure = async || cluster.event_messages("agentManifestFailed").await.first().cloned();
    let object = cluster.wait_until_active().await;
    let failure = first_failure().await.unwrap();
    let right = "it lacks Microsoft.ContainerService/managedClusters/commandResults/read";
    assert!(failure.contains(right), "{failure}");
    // The manifest is applied again through the agent, because it is unknown whether Azure applied it.
    let applied = cluster.event_messages("agentManifestApplied").await;
    assert!(applied[0].contains("by the Kubernetes API"), "{applied:?}");
    assert_eq!(condition(&object, "AgentDeployed")["message"].as_str().unwrap_or_default(), "");
}

#[tokio::test]
async fn failed_run_command_is_repeated() {
    let cluster = PrivateCluster::create().await;
    cluster.app.control.add_outcome(fault::outcome(
        OperationKind::RunCommand,
        "KubernetesOperationError",
        "no node for the pod",
    ));
    let message = cluster.wait_for_message("next attempt at").await;
    assert_waits(
        &message,
        &["Azure's run command failed: KubernetesOperationError", "no node for the pod", OWNER_REMEDY],
    );
    cluster.wait_until_active().await;
}

#[tokio::test]
async fn owner_deploys_the_agent_where_run_command_is_disabled() {
    let cluster = PrivateCluster::create_import().await;
    cluster.app.control.edit_cluster("private-one", |body| {
        body["properties"]["apiServerAccessProfile"]["disableRunCommand"] = true.into();
    });
    let message = cluster.wait_for_message("disableRunCommand").await;
    assert_waits(&message, &["prevents Azure from executing commands in it", OWNER_REMEDY]);
    let path = format!("/v3/clusterregistrationtokens/{}:default-token", cluster.id);
    let token = cluster.app.get(&path).send().await.json();
    let token = token["token"].as_str().unwrap();
    assert!(!message.contains(token), "members can read the message");
    let manifest =
        cluster.app.get(&format!("/v3/import/{token}_{}.yaml", cluster.id)).anonymous().send().await;
    assert_eq!(manifest.status, StatusCode::OK, "{}", manifest.text());
    let admin = ClusterAdmin::new(&cluster).await;
    for document in manifest.text().split("---\n").filter(|document| !document.trim().is_empty()) {
        let object: Value = serde_saphyr::from_str(document).unwrap();
        let (api_path, resource) = match object["kind"].as_str().unwrap() {
            "Namespace" => ("/api/v1", "namespaces"),
            "ServiceAccount" => ("/api/v1/namespaces/cattle-system", "serviceaccounts"),
            "Secret" => ("/api/v1/namespaces/cattle-system", "secrets"),
            "NetworkPolicy" => ("/apis/networking.k8s.io/v1/namespaces/cattle-system", "networkpolicies"),
            "Deployment" => ("/apis/apps/v1/namespaces/cattle-system", "deployments"),
            kind => panic!("{kind} in {document}"),
        };
        admin.create(&format!("{api_path}/{resource}"), &object).await;
    }
    cluster.wait_until_active().await;
    let writes = cluster.app.control.writes();
    assert!(writes.iter().all(|write| !write.path.contains("runCommand")), "{writes:#?}");
}

#[tokio::test]
async fn wrong_checksum_is_in_the_log_of_the_agent() {
    let wrong = json!([{"name": "CATTLE_CA_CHECKSUM", "value": "0".repeat(64)}]);
    let cluster = PrivateCluster::create_with(|body| body["agentEnvVars"] = wrong).await;
    let message = cluster.wait_for_message("the agent has not connected yet").await;
    assert_waits(&message, &["logs deployment/cattle-cluster-agent"]);
    let admin = ClusterAdmin::new(&cluster).await;
    admin.wait_until_logged("but CATTLE_CA_CHECKSUM is 0000").await;
    assert_eq!(cluster.app.server.cluster_access.sessions().usable(&cluster.id).len(), 0);
    cluster.update(json!({"agentEnvVars": []})).await;
    cluster.wait_until_active().await;
}

#[tokio::test]
async fn agent_is_not_deployed_with_setting_never() {
    let cluster = PrivateCluster::create().await;
    cluster.app.put_setting("agent", "never").await;
    let message = cluster.wait_for_message("is never; change it").await;
    assert_waits(&message, &["the setting agent or the annotation norman-aks.io/agent"]);
    let writes = cluster.app.control.writes();
    assert!(writes.iter().all(|write| !write.path.contains("runCommand")), "{writes:#?}");
    cluster.app.put_setting("agent", "auto").await;
    cluster.wait_until_active().await;
}

#[tokio::test]
async fn agent_without_image_is_not_deployed() {
    let cluster = PrivateCluster::start("ready", "", |_| ()).await;
    let message = cluster.wait_for_message("there is no image for the agent").await;
    assert_waits(&message, &["set the setting agent-image"]);
    cluster.app.put_setting("agent-image", super::IMAGE).await;
    cluster.wait_until_active().await;
}

#[tokio::test]
async fn lost_agent_is_reported_until_it_connects_again() {
    let cluster = PrivateCluster::create_active().await;
    let started = Instant::now();
    cluster.app.control.enable_agents(false);
    let object = cluster.wait_until("not connected", |object| has_connected_status(object, "False")).await;
    println!("agent stopped; Connected is False after {:?}", started.elapsed());
    assert_eq!(object["state"], "active");
    assert_eq!(condition(&object, "Ready")["message"], "Cluster agent is not connected");
    assert_eq!(condition(&object, "AgentDeployed")["status"], "True");
    let sent = Instant::now();
    let (status, text) = cluster.get("/api/v1/nodes").await;
    println!("response after {:?}: {status} {text}", sent.elapsed());
    assert!(sent.elapsed() < Duration::from_secs(5), "{:?}", sent.elapsed());
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("Cluster agent is not connected"), "{text}");
    cluster.app.control.enable_agents(true);
    println!("agent started; requests succeed after {:?}", cluster.wait_until_reachable().await);
    cluster.wait_until("connected again", |object| has_connected_status(object, "True")).await;
    assert!(!cluster.event_messages("agentDisconnected").await.is_empty());
}

/// A cluster whose responses are slow, and the path of an object of 1 MB, which takes 2.5 s to read.
async fn slow_cluster() -> (PrivateCluster, String) {
    let cluster = PrivateCluster::create_active().await;
    let object = json!({"metadata": {"name": "large"}, "data": {"key": "x".repeat(1_000_000)}});
    ClusterAdmin::new(&cluster).await.create(CONFIG_MAPS, &object).await;
    cluster.app.control.limit_pod_reads(Some(400_000));
    (cluster, format!("{CONFIG_MAPS}/large"))
}

#[tokio::test]
async fn cut_transfer_ends_with_an_error_and_the_next_succeeds() {
    let (cluster, path) = slow_cluster().await;
    let response = cluster.send(Method::GET, &path, "", &Value::Null).await;
    assert_eq!(response.status(), StatusCode::OK);
    // Waits until the transfer has begun.
    let mut lines = Lines::new(response);
    lines.read_chunk().await.unwrap();
    cluster.app.control.cut_pod_connections();
    let ended = loop {
        if let Err(error) = lines.read_chunk().await {
            break error;
        }
    };
    println!("the transfer ended: {ended}");
    assert_ne!(ended, "the end");
    cluster.app.control.limit_pod_reads(None);
    println!("connections cut; requests succeed after {:?}", cluster.wait_until_reachable().await);
    let (status, text) = cluster.get(&path).await;
    assert!(status == StatusCode::OK && text.len() > 1_000_000, "{status}");
}

#[tokio::test]
async fn slow_transfer_does_not_hold_up_other_requests() {
    let (cluster, path) = slow_cluster().await;
    let transfer = async {
        let (started, (status, text)) = (Instant::now(), cluster.get(&path).await);
        assert!(status == StatusCode::OK && text.len() > 1_000_000, "{status}");
        started.elapsed()
    };
    let other_requests = async {
        let mut longest = Duration::ZERO;
        for _ in 0..10 {
            let started = Instant::now();
            cluster.json("/api/v1/namespaces").await;
            longest = longest.max(started.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        longest
    };
    let (transfer_time, slowest_other) = tokio::join!(transfer, other_requests);
    println!("transfer {transfer_time:?}, the slowest other request {slowest_other:?}");
    assert!(slowest_other < transfer_time / 2, "{slowest_other:?} of {transfer_time:?}");
}
