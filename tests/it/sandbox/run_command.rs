//! Azure's run command.

use std::io::{Cursor, Write as _};

use azure_sandbox::{Operation, OperationKind, ScriptedOutcome};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clock::Clock;
use http::Method;
use serde_json::{Value, json};

use super::inside::KubeClient;
use super::{ArmResponse, Azure, changed, cluster, small, with};
use crate::support::fault;

const MANIFEST: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: cattle-system}
---
apiVersion: v1
kind: Secret
metadata: {name: cattle-credentials, namespace: cattle-system}
stringData: {url: 'https://server', token: abc}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: agent, namespace: cattle-system}
spec: {podSelector: {}, policyTypes: [Ingress]}
";
const APPLY: &str = "kubectl apply -f agent.yaml";

/// The body of a request that runs a command with the file `agent.yaml`.
fn body(command: &str, manifest: &str) -> Value {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("agent.yaml", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(manifest.as_bytes()).unwrap();
    let context = BASE64_STANDARD.encode(archive.finish().unwrap().into_inner());
    json!({"command": command, "context": context, "clusterToken": ""})
}

async fn start(azure: &Azure, name: &str, body: &Value) -> ArmResponse {
    azure.send(Method::POST, &format!("{}/runCommand", cluster(name)), Some(body)).await
}

/// Runs a command and waits until it ends; returns the properties of its result.
async fn run(azure: &Azure, name: &str, body: &Value) -> Value {
    let started = start(azure, name, body).await.expect(202);
    azure.advance_secs(5);
    azure.get(started.header("location")).await.expect(200).at("/properties")
}

#[tokio::test]
async fn command_applies_a_manifest_in_a_private_cluster() {
    let azure = Azure::start().await;
    let kube = KubeClient::new(&azure, "private-one").await;
    assert_eq!(azure.sandbox.kubernetes_resolver()(&kube.fqdn), None, "it is unreachable from outside");
    let started = start(&azure, "private-one", &body(APPLY, MANIFEST)).await.expect(202);
    let location = started.header("location");
    assert!(location.contains("/managedClusters/private-one/commandResults/"), "{location}");
    let running = azure.get(location).await.expect(202);
    assert_eq!((running.header("location"), &*running.text), (location, ""));
    let pods = kube.get("/api/v1/namespaces/aks-command/pods").await.items_of_list();
    let pod_name = pods[0]["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(location.contains(pod_name.strip_prefix("command-").unwrap()), "{location} {pod_name}");

    azure.advance_secs(2);
    let done = azure.get(location).await.expect(200).json();
    let properties = &done["properties"];
    assert_eq!((&properties["provisioningState"], &properties["exitCode"]), (&json!("Succeeded"), &json!(0)));
    let logs = "namespace/cattle-system created\nsecret/cattle-credentials created\n\
                networkpolicy.networking.k8s.io/agent created\n";
    assert_eq!(properties["logs"], logs);
    assert!(properties["startedAt"].as_str().unwrap() < properties["finishedAt"].as_str().unwrap());
    assert!(properties.get("reason").is_none());
    assert_eq!(done["id"].as_str().unwrap(), pod_name.strip_prefix("command-").unwrap());
    let secret = kube.get("/api/v1/namespaces/cattle-system/secrets/cattle-credentials").await.expect(200);
    assert_eq!(secret.at("/data/token"), BASE64_STANDARD.encode("abc"));
    assert!(kube.get("/api/v1/namespaces/aks-command/pods").await.items_of_list().is_empty());
    let writes = azure.control().kubernetes_requests();
    let writes: Vec<_> = writes.iter().filter(|request| request.method == "POST").collect();
    assert_eq!((writes.len(), &*writes[0].host), (3, &*kube.fqdn), "writes are logged");
}

#[tokio::test]
async fn failing_command_succeeds_with_its_exit_code() {
    let azure = Azure::start().await;
    for (command, code, words) in [
        ("kubectl delete ns/none", 1, "Error from server (NotFound)"),
        ("helm version", 127, "The sandbox supports: "),
    ] {
        let properties = run(&azure, "made-elsewhere", &body(command, "")).await;
        assert_eq!(properties["provisioningState"], "Succeeded");
        assert_eq!(properties["exitCode"], code);
        assert!(properties["logs"].as_str().unwrap().contains(words), "{properties}");
    }
    let path = format!("{}/runCommand", cluster("made-elsewhere"));
    for bad in [json!({"command": ""}), json!({"command": "x", "context": "no zip"}), json!({"command": 1})] {
        azure.send(Method::POST, &path, Some(&bad)).await.assert_error(400, "InvalidParameter", "");
    }
    azure
        .get(&format!("{}/commandResults/none", cluster("made-elsewhere")))
        .await
        .assert_error(404, "NotFound", "none");
}

#[tokio::test]
async fn result_requires_its_own_permission() {
    let mut azure = Azure::start_as("no-command-results").await;
    let started = start(&azure, "made-elsewhere", &body(APPLY, MANIFEST)).await.expect(202);
    azure.advance_secs(5);
    let location = started.header("location").to_owned();
    let words = "Microsoft.ContainerService/managedClusters/commandResults/read";
    azure.get(&location).await.assert_error(403, "AuthorizationFailed", words);
    azure.switch_account("reader").await;
    azure.get(&location).await.expect(200);
    let words = "Microsoft.ContainerService/managedClusters/runCommand/action";
    start(&azure, "made-elsewhere", &body(APPLY, "")).await.assert_error(403, "AuthorizationFailed", words);
}

#[tokio::test]
async fn cluster_can_disable_commands() {
    let azure = Azure::start().await;
    let created = azure.create_cluster("c", &small()).await;
    run(&azure, "c", &body(APPLY, MANIFEST)).await;
    let disabled =
        changed(&created, "/properties/apiServerAccessProfile", json!({"disableRunCommand": true}));
    let response = azure.put(&cluster("c"), &disabled).await.expect(200);
    azure.finish(&response).await;
    start(&azure, "c", &body(APPLY, MANIFEST)).await.assert_error(
        400,
        "OperationNotAllowed",
        "disableRunCommand",
    );
}

#[tokio::test]
async fn entra_cluster_needs_a_token_with_rights() {
    let azure = Azure::start().await;
    let properties = run(&azure, "entra-only", &body(APPLY, MANIFEST)).await;
    assert_eq!((&properties["provisioningState"], &properties["exitCode"]), (&json!("Succeeded"), &json!(1)));
    assert!(properties["logs"].as_str().unwrap().contains("Error from server (Forbidden)"), "{properties}");
    for (account, code, words) in
        [("operator", 1, "Error from server (Forbidden)"), ("ready", 0, "namespace/cattle-system created")]
    {
        let account = azure.account(account);
        let scope = "6dae42f8-4368-4678-94ff-3960e28e3630/.default";
        let (host, secret) = ("login.microsoftonline.com", &account.secrets[0]);
        let login =
            azure.login(host, &account.tenant_id, &account.client_id, secret, scope).await.expect(200);
        let request = with(body(APPLY, MANIFEST), "/clusterToken", login.json()["access_token"].clone());
        let properties = run(&azure, "entra-only", &request).await;
        assert_eq!(properties["exitCode"], code);
        assert!(properties["logs"].as_str().unwrap().contains(words), "{properties}");
    }
    let properties =
        run(&azure, "entra-only", &with(body(APPLY, MANIFEST), "/clusterToken", json!("bad"))).await;
    assert!(properties["logs"].as_str().unwrap().contains("Unauthorized"), "{properties}");
}

#[tokio::test]
async fn command_needs_a_node_of_a_running_cluster() {
    let azure = Azure::start().await;
    let reason_prefix =
        "KubernetesOperationError: Failed to run command due to cluster perf issue, container command-";
    let kube = KubeClient::new(&azure, "made-elsewhere").await;
    let nodes = kube.get("/api/v1/nodes").await.items_of_list();
    let set_unschedulable = async |unschedulable: bool| {
        for node in &nodes {
            let path = format!("/api/v1/nodes/{}", node["metadata"]["name"].as_str().unwrap());
            let body = json!({"spec": {"unschedulable": unschedulable}});
            kube.send(Method::PATCH, &path, Some(&body)).await.expect(200);
        }
    };
    set_unschedulable(true).await;
    let properties = run(&azure, "made-elsewhere", &body(APPLY, MANIFEST)).await;
    assert_eq!(properties["provisioningState"], "Failed");
    assert!(properties["reason"].as_str().unwrap().starts_with(reason_prefix), "{properties}");
    assert!(properties.get("exitCode").is_none());
    kube.get("/api/v1/namespaces/cattle-system").await.expect(404);
    set_unschedulable(false).await;
    let stopped = azure.post(&format!("{}/stop", cluster("made-elsewhere"))).await.expect(202);
    azure.finish(&stopped).await;
    let properties = run(&azure, "made-elsewhere", &body(APPLY, MANIFEST)).await;
    assert!(properties["reason"].as_str().unwrap().starts_with(reason_prefix), "{properties}");
}

#[tokio::test]
async fn scripted_outcomes_and_faults_fail_commands() {
    let azure = Azure::start().await;
    let control = azure.control();
    control.add_outcome(ScriptedOutcome {
        kind: Some(OperationKind::RunCommand),
        times: Some(1),
        code: "KubernetesOperationError".to_owned(),
        message: "try again".to_owned(),
        ..ScriptedOutcome::default()
    });
    let properties = run(&azure, "made-elsewhere", &body(APPLY, MANIFEST)).await;
    assert_eq!(properties["provisioningState"], "Failed");
    assert_eq!(properties["reason"], "KubernetesOperationError: try again");
    let kube = KubeClient::new(&azure, "made-elsewhere").await;
    kube.get("/api/v1/namespaces/cattle-system").await.expect(404);

    let forbid = |operation| fault::once(fault::for_operation(operation, fault::status(403)));
    control.add_fault(forbid(Operation::RunCommand));
    start(&azure, "made-elsewhere", &body(APPLY, MANIFEST)).await.expect(403);
    control.add_fault(forbid(Operation::CommandResult));
    let started = start(&azure, "made-elsewhere", &body(APPLY, MANIFEST)).await.expect(202);
    azure.get(started.header("location")).await.expect(403);
    azure.get(started.header("location")).await.expect(202);
}

#[tokio::test]
async fn command_survives_a_restart_and_runs_once() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual(1_790_000_000_000);
    let start_sandbox = async || Azure::start_with("ready", clock.clone(), Some(directory.path())).await;
    let azure = start_sandbox().await;
    let started = start(&azure, "made-elsewhere", &body(APPLY, MANIFEST)).await.expect(202);
    azure.sandbox.stop().await;
    clock.advance(std::time::Duration::from_secs(5));
    let azure = start_sandbox().await;
    let done = azure.get(started.header("location")).await.expect(200);
    assert!(done.at("/properties/logs").as_str().unwrap().starts_with("namespace/cattle-system created"));
    let kube = KubeClient::new(&azure, "made-elsewhere").await;
    kube.delete("/api/v1/namespaces/cattle-system/secrets/cattle-credentials").await;
    azure.sandbox.stop().await;
    let azure = start_sandbox().await;
    azure.get(started.header("location")).await.expect(200);
    let kube = KubeClient::new(&azure, "made-elsewhere").await;
    kube.get("/api/v1/namespaces/cattle-system/secrets/cattle-credentials").await.expect(404);
}
