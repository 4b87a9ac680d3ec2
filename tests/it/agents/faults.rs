//! Faults that prevent an agent from being deployed or from connecting: the message, and that the cluster becomes active
//! after the fault.

use std::time::{Duration, Instant};

use azure_sandbox::{Effect, Fault, Operation, OperationKind, Refusal, ScriptedOutcome};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{CONFIG_MAPS, Inside, Lines, Scene, WAITING, condition, is_connected};

/// The start of every message if this server has no connection to the cluster.
const OWNER: &str =
    "an owner can also deploy it from the network of the cluster: curl --insecure -sfL https://127.0.0.1:";

fn forbidden(operation: Operation) -> Fault {
    let refusal = Refusal {
        status: Some(403),
        code: Some("AuthorizationFailed".to_owned()),
        message: Some("The client does not have authorization.".to_owned()),
        ..Refusal::default()
    };
    Fault { operation: Some(operation), effect: Some(Effect::Status(refusal)), ..Fault::default() }
}

fn assert_waits(message: &str, parts: &[&str]) {
    assert!(message.starts_with(WAITING), "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing: {message}");
    }
}

#[tokio::test]
async fn image_that_cannot_be_pulled_is_waited_for() {
    let scene = Scene::new().await;
    scene.app.control.set_unpullable_images(vec!["*".to_owned()]);
    let message = scene.until_message("the agent has not connected yet").await;
    assert_waits(
        &message,
        &["applied by Azure's run command", "kubectl --namespace cattle-system describe pods"],
    );
    let inside = Inside::of(&scene).await;
    let is_waiting = |pods: &[Value]| {
        pods.iter().any(|pod| {
            let reason = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"];
            *reason == "ImagePullBackOff" || *reason == "ErrImagePull"
        })
    };
    let started = Instant::now();
    while !is_waiting(&inside.agents().await) {
        assert!(started.elapsed() < super::LONG, "{:#?}", inside.agents().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    scene.app.control.set_unpullable_images(Vec::new());
    scene.becomes_active().await;
}

#[tokio::test]
async fn forbidden_run_command_is_explained_and_retried() {
    let scene = Scene::new().await;
    scene.app.control.add_fault(forbidden(Operation::RunCommand));
    let message = scene.until_message("it is tried again at").await;
    let right = "it lacks Microsoft.ContainerService/managedClusters/runCommand/action";
    assert_waits(&message, &["The client does not have authorization", right, OWNER, "SHA-256 checksum"]);
    let cluster = scene.cluster().await;
    let deployed = condition(&cluster, "AgentDeployed");
    assert_eq!(deployed["status"], "False");
    let words = "Error while applying agent YAML, it will be retried automatically";
    assert!(deployed["message"].as_str().unwrap().starts_with(words), "{deployed}");
    assert!(scene.events_of("agentManifestFailed").await[0].contains(right));
    scene.app.control.clear_faults();
    let cluster = scene.becomes_active().await;
    assert_eq!(condition(&cluster, "AgentDeployed")["status"], "True");
}

#[tokio::test]
async fn agent_connects_though_the_result_is_forbidden() {
    let scene = Scene::start("no-command-results", super::IMAGE, |_| ()).await;
    let failed = async || scene.events_of("agentManifestFailed").await.first().cloned();
    let cluster = scene.becomes_active().await;
    let failed = failed().await.unwrap();
    let right = "it lacks Microsoft.ContainerService/managedClusters/commandResults/read";
    assert!(failed.contains(right), "{failed}");
    // The manifest is applied again through the agent, because it is unknown whether Azure applied it.
    let applied = scene.events_of("agentManifestApplied").await;
    assert!(applied[0].contains("by the Kubernetes API"), "{applied:?}");
    assert_eq!(condition(&cluster, "AgentDeployed")["message"].as_str().unwrap_or_default(), "");
}

#[tokio::test]
async fn failed_run_command_is_repeated() {
    let scene = Scene::new().await;
    scene.app.control.add_outcome(ScriptedOutcome {
        kind: Some(OperationKind::RunCommand),
        times: Some(1),
        code: "KubernetesOperationError".to_owned(),
        message: "no node for the pod".to_owned(),
        ..ScriptedOutcome::default()
    });
    let message = scene.until_message("it is tried again at").await;
    assert_waits(
        &message,
        &["Azure's run command failed: KubernetesOperationError", "no node for the pod", OWNER],
    );
    scene.becomes_active().await;
}

#[tokio::test]
async fn owner_deploys_the_agent_where_run_command_is_disabled() {
    let scene = Scene::import().await;
    scene.app.control.edit_cluster("private-one", |body| {
        body["properties"]["apiServerAccessProfile"]["disableRunCommand"] = true.into();
    });
    let message = scene.until_message("disableRunCommand").await;
    assert_waits(&message, &["keeps Azure from executing commands in it", OWNER]);
    let path = format!("/v3/clusterregistrationtokens/{}:default-token", scene.id);
    let token = scene.app.get(&path).send().await.json();
    let token = token["token"].as_str().unwrap();
    assert!(!message.contains(token), "members can read the message");
    let manifest = scene.app.get(&format!("/v3/import/{token}_{}.yaml", scene.id)).anonymous().send().await;
    assert_eq!(manifest.status, StatusCode::OK, "{}", manifest.text());
    let inside = Inside::of(&scene).await;
    for document in manifest.text().split("---\n").filter(|document| !document.trim().is_empty()) {
        let object: Value = serde_saphyr::from_str(document).unwrap();
        let (group, kind) = match object["kind"].as_str().unwrap() {
            "Namespace" => ("/api/v1", "namespaces"),
            "ServiceAccount" => ("/api/v1/namespaces/cattle-system", "serviceaccounts"),
            "Secret" => ("/api/v1/namespaces/cattle-system", "secrets"),
            "NetworkPolicy" => ("/apis/networking.k8s.io/v1/namespaces/cattle-system", "networkpolicies"),
            "Deployment" => ("/apis/apps/v1/namespaces/cattle-system", "deployments"),
            kind => panic!("{kind} in {document}"),
        };
        inside.create(&format!("{group}/{kind}"), &object).await;
    }
    scene.becomes_active().await;
    let writes = scene.app.control.writes();
    assert!(writes.iter().all(|write| !write.path.contains("runCommand")), "{writes:#?}");
}

#[tokio::test]
async fn wrong_checksum_is_in_the_log_of_the_agent() {
    let wrong = json!([{"name": "CATTLE_CA_CHECKSUM", "value": "0".repeat(64)}]);
    let scene = Scene::with(|body| body["agentEnvVars"] = wrong).await;
    let message = scene.until_message("the agent has not connected yet").await;
    assert_waits(&message, &["logs deployment/cattle-cluster-agent"]);
    let inside = Inside::of(&scene).await;
    inside.until_logged("but CATTLE_CA_CHECKSUM is 0000").await;
    assert_eq!(scene.app.app.cluster_access.sessions().usable(&scene.id).len(), 0);
    scene.put(json!({"agentEnvVars": []})).await;
    scene.becomes_active().await;
}

#[tokio::test]
async fn setting_never_deploys_no_agent() {
    let scene = Scene::new().await;
    scene.set("agent", "never").await;
    let message = scene.until_message("is never; change it").await;
    assert_waits(&message, &["the setting agent or the annotation norman-aks.io/agent"]);
    let writes = scene.app.control.writes();
    assert!(writes.iter().all(|write| !write.path.contains("runCommand")), "{writes:#?}");
    scene.set("agent", "auto").await;
    scene.becomes_active().await;
}

#[tokio::test]
async fn agent_without_image_is_not_deployed() {
    let scene = Scene::start("ready", "", |_| ()).await;
    let message = scene.until_message("there is no image for the agent").await;
    assert_waits(&message, &["set the setting agent-image"]);
    scene.set("agent-image", super::IMAGE).await;
    scene.becomes_active().await;
}

#[tokio::test]
async fn lost_agent_is_shown_within_seconds_and_comes_back() {
    let scene = Scene::active().await;
    let started = Instant::now();
    scene.app.control.enable_agents(false);
    let cluster = scene.until("not connected", |cluster| is_connected(cluster, "False")).await;
    println!("agent stopped; Connected is False after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(cluster["state"], "active");
    assert_eq!(condition(&cluster, "Ready")["message"], "Cluster agent is not connected");
    assert_eq!(condition(&cluster, "AgentDeployed")["status"], "True");
    let asked = Instant::now();
    let (status, text) = scene.get("/api/v1/nodes").await;
    println!("answered after {:?}: {status} {text}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("Cluster agent is not connected"), "{text}");
    scene.app.control.enable_agents(true);
    println!("agent started; requests succeed after {:?}", scene.until_answered().await);
    scene.until("connected again", |cluster| is_connected(cluster, "True")).await;
    assert!(!scene.events_of("agentDisconnected").await.is_empty());
}

/// A scene with an object of 1 MB, which pods read in five seconds.
async fn slow() -> (Scene, String) {
    let scene = Scene::active().await;
    let object = json!({"metadata": {"name": "large"}, "data": {"key": "x".repeat(1_000_000)}});
    Inside::of(&scene).await.create(CONFIG_MAPS, &object).await;
    scene.app.control.limit_pod_reads(Some(200_000));
    (scene, format!("{CONFIG_MAPS}/large"))
}

#[tokio::test]
async fn cut_transfer_ends_with_an_error_and_the_next_succeeds() {
    let (scene, path) = slow().await;
    let response = scene.send(Method::GET, &path, "", &Value::Null).await;
    assert_eq!(response.status(), StatusCode::OK);
    // The transfer has begun.
    let mut lines = Lines::new(response);
    lines.frame().await.unwrap();
    scene.app.control.cut_pod_connections();
    let ended = loop {
        if let Err(error) = lines.frame().await {
            break error;
        }
    };
    println!("the transfer ended: {ended}");
    assert_ne!(ended, "the end");
    scene.app.control.limit_pod_reads(None);
    println!("connections cut; requests succeed after {:?}", scene.until_answered().await);
    let (status, text) = scene.get(&path).await;
    assert!(status == StatusCode::OK && text.len() > 1_000_000, "{status}");
}

#[tokio::test]
async fn slow_transfer_does_not_hold_up_other_requests() {
    let (scene, path) = slow().await;
    let transfer = async {
        let (started, (status, text)) = (Instant::now(), scene.get(&path).await);
        assert!(status == StatusCode::OK && text.len() > 1_000_000, "{status}");
        started.elapsed()
    };
    let others = async {
        let mut longest = Duration::ZERO;
        for _ in 0..10 {
            let started = Instant::now();
            scene.json("/api/v1/namespaces").await;
            longest = longest.max(started.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        longest
    };
    let (transfer, others) = tokio::join!(transfer, others);
    println!("transfer {transfer:?}, the slowest other request {others:?}");
    assert!(others < transfer / 2, "{others:?} of {transfer:?}");
}
