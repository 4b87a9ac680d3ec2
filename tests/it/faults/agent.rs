//! The deployment of the cluster agent: through the Kubernetes API, with Azure's run command, or by an owner.

use azure_sandbox::{Effect, Fault, Operation, RecordedRequest};
use serde_json::{Value, json};

use super::{Base, Stage, refusal, told};
use crate::support::app::TestApp;

/// The requests that delete the agent from a cluster.
const REMOVAL: [&str; 4] = [
    "DELETE secrets/cattle-credentials",
    "DELETE networkpolicies/norman-aks-agent",
    "DELETE serviceaccounts/norman-aks-agent",
    "DELETE deployments/cattle-cluster-agent",
];

on_both!(
    settings_that_are_missing_are_named,
    private_cluster_gets_its_agent_by_run_command,
    running_command_is_polled_in_later_steps,
    denied_run_command_names_both_rights,
    failed_command_is_tried_again,
    disabled_run_command_leaves_it_to_an_owner,
    agent_is_never_deployed_against_the_setting,
    reached_cluster_gets_an_agent_only_on_request,
    changed_manifest_replaces_the_agent,
    deleted_token_replaces_the_agent_at_once,
    agent_of_another_server_is_left_alone,
    owners_manifest_changes_no_agent_of_another_server,
    run_command_leaves_the_agent_of_another_server_alone,
    import_is_left_without_the_agent,
    unreachable_import_is_left_without_the_agent,
    import_is_left_without_the_objects_of_a_failed_attempt,
    roles_that_cannot_be_removed_do_not_keep_the_object,
    import_that_is_gone_in_azure_is_removed_at_once,
    agent_that_cannot_be_removed_does_not_keep_the_object,
);

const SERVER: &str = "https://aks.example.org";

async fn set(scene: &Stage, name: &str, value: &str) {
    let path = format!("/v3/settings/{name}");
    let changed = scene.app.put(&path).json(&json!({"value": value})).send().await;
    assert_eq!(changed.status, 200, "{}", changed.text());
}

async fn configure(scene: &Stage) {
    set(scene, "server-url", SERVER).await;
    set(scene, "agent-image", "registry.example.org/norman-aks:1").await;
}

/// A server with its URL and the agent image configured, and one cluster.
async fn stage(base: Base, change: impl FnOnce(&mut Value)) -> Stage {
    let scene = Stage::set_with(base, TestApp::with(), change).await;
    configure(&scene).await;
    scene
}

async fn private(base: Base) -> Stage {
    stage(base, |body| body["aksConfig"]["privateCluster"] = json!(true)).await
}

/// An import with an agent, although its API is reachable.
async fn import(base: Base) -> Stage {
    import_with(base, json!({"norman-aks.io/agent": "always"})).await
}

async fn import_with(base: Base, annotations: Value) -> Stage {
    let scene = stage(base, |body| {
        let credential = body["aksConfig"]["azureCredentialSecret"].clone();
        body["annotations"] = annotations;
        body["aksConfig"] = json!({"clusterName": "made-elsewhere", "resourceGroup": "rancher",
            "resourceLocation": "eastus", "imported": true, "azureCredentialSecret": credential});
    })
    .await;
    scene.becomes_active().await;
    scene
}

/// The host name of the cluster's API.
fn host(scene: &Stage) -> String {
    let all = scene.app.control.kubernetes();
    all.iter().find(|known| known.fqdn.starts_with("one-")).expect("the cluster").fqdn.clone()
}

/// Makes all clusters unreachable. Their certificates change too, so that open connections cannot be used.
fn disconnect(scene: &Stage) {
    for cluster in scene.app.control.kubernetes() {
        assert!(scene.app.control.make_reachable(&cluster.fqdn, false));
        assert!(scene.app.control.rotate_certificates(&cluster.fqdn));
    }
}

/// The changes to the agent's objects in the cluster, such as `PATCH deployments/cattle-cluster-agent`.
fn changes(scene: &Stage) -> Vec<String> {
    let requests = scene.app.control.kubernetes_requests().into_iter();
    // The sandbox's kubectl encodes hyphens.
    let decoded = |seen: RecordedRequest| RecordedRequest { path: seen.path.replace("%2D", "-"), ..seen };
    let is_change = |seen: &RecordedRequest| seen.method != "GET" && seen.path.contains("cattle-system");
    requests
        .map(decoded)
        .filter(is_change)
        .map(|seen| {
            let mut parts = seen.path.rsplit('/');
            let (name, kind) = (parts.next().unwrap(), parts.next().unwrap());
            let known = ["cattle-credentials", "norman-aks-agent"];
            let name = known.into_iter().find(|known| name.starts_with(known)).unwrap_or(name);
            format!("{} {kind}/{name}", seen.method)
        })
        .collect()
}

const APPLIED: [&str; 5] = [
    "PATCH namespaces/cattle-system",
    "PATCH serviceaccounts/norman-aks-agent",
    "PATCH networkpolicies/norman-aks-agent",
    "PATCH secrets/cattle-credentials",
    "PATCH deployments/cattle-cluster-agent",
];

async fn events(scene: &Stage, kind: &str) -> Vec<String> {
    let id = scene.path.rsplit('/').next().unwrap();
    let rows = norman_aks::store::cluster_events::list(&scene.db.store, id, "", 1_000).await.unwrap();
    rows.into_iter().filter(|row| row.kind == kind).map(|row| row.message).collect()
}

fn condition<'a>(cluster: &'a Value, kind: &str) -> &'a Value {
    let conditions = cluster["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

async fn message(scene: &Stage, part: &str) -> String {
    let cluster = scene.until(part, |cluster| told(cluster).2.contains(part)).await;
    let (state, _, message) = told(&cluster);
    assert_eq!(state, "provisioning");
    assert!(message.starts_with("waiting for cluster agent to be deployed"), "{message}");
    message
}

async fn secret(scene: &Stage) -> String {
    let id = scene.path.rsplit('/').next().unwrap();
    let path = format!("/v3/clusterregistrationtokens/{id}:default-token");
    scene.app.get(&path).send().await.json()["token"].as_str().unwrap().to_owned()
}

async fn settings_that_are_missing_are_named(base: Base) {
    let scene =
        Stage::set_with(base, TestApp::with(), |body| body["aksConfig"]["privateCluster"] = json!(true))
            .await;
    message(&scene, "set the setting server-url to the https URL").await;
    set(&scene, "server-url", "https://localhost:8443").await;
    message(&scene, "https://localhost:8443, which is a loopback address").await;
    set(&scene, "server-url", SERVER).await;
    message(&scene, "set the setting agent-image").await;
    assert_eq!(changes(&scene), [""; 0]);
}

async fn private_cluster_gets_its_agent_by_run_command(base: Base) {
    let scene = private(base).await;
    message(&scene, "its manifest was applied by Azure's run command").await;
    let (guard, rest) = ([APPLIED[0], APPLIED[4]], APPLIED);
    assert_eq!(changes(&scene), [&guard[..], &rest[..]].concat());
    assert_eq!(scene.asked(Operation::RunCommand, "POST"), 1);
    assert_eq!(events(&scene, "agentManifestApplied").await.len(), 1);
    // It is not applied again while nothing changes.
    scene.pass(1_200).await;
    assert_eq!(scene.asked(Operation::RunCommand, "POST"), 1);
    // It is applied again if the cluster remains unreachable.
    scene.pass(900).await;
    assert_eq!(scene.asked(Operation::RunCommand, "POST"), 2);
    scene.app.control.make_reachable(&host(&scene), true);
    scene.becomes_active().await;
}

async fn running_command_is_polled_in_later_steps(base: Base) {
    let scene = private(base).await;
    message(&scene, "Azure's run command is applying its manifest").await;
    // A failed poll has no effect on the command.
    scene.fault(Operation::CommandResult, "GET", refusal(500, "InternalServerError", "Wait."));
    scene.pass(60).await;
    message(&scene, "Azure's run command is applying its manifest").await;
    scene.app.control.clear_faults();
    message(&scene, "its manifest was applied by Azure's run command").await;
    assert_eq!(scene.asked(Operation::RunCommand, "POST"), 1);
}

async fn denied_run_command_names_both_rights(base: Base) {
    for (operation, method) in [(Operation::RunCommand, "POST"), (Operation::CommandResult, "GET")] {
        let scene = private(base).await;
        let denied = refusal(403, "AuthorizationFailed", "The client does not have authorization.");
        scene.fault(operation, method, denied);
        let words = message(&scene, "AuthorizationFailed").await;
        for part in [
            "Microsoft.ContainerService/managedClusters/runCommand/action",
            "Microsoft.ContainerService/managedClusters/commandResults/read",
            "it is tried again at ",
            "kubectl apply -f https://aks.example.org/v3/import/<token>_c-",
        ] {
            assert!(words.contains(part), "{method}: {part}: {words}");
        }
        assert!(!words.contains(&secret(&scene).await), "{words}");
        let failures = events(&scene, "agentManifestFailed").await;
        assert_eq!(failures.len(), 1, "{failures:?}");
        scene.app.control.clear_faults();
        message(&scene, "its manifest was applied by Azure's run command").await;
    }
}

async fn failed_command_is_tried_again(base: Base) {
    let scene = private(base).await;
    // The command itself succeeds in Azure, but kubectl fails.
    let denied = refusal(403, "Forbidden", "no");
    scene
        .until("its API", |_| scene.app.control.kubernetes().iter().any(|it| it.fqdn.starts_with("one-")))
        .await;
    let Effect::Status(refused) = denied else { unreachable!() };
    scene.app.control.add_kubernetes_fault(Fault {
        method: Some("PATCH".to_owned()),
        effect: Some(Effect::Status(refused)),
        ..Fault::default()
    });
    let words = message(&scene, "kubectl ended with exit code 1").await;
    assert!(!words.contains(&secret(&scene).await), "{words}");
    scene.pass(600).await;
    let attempts = scene.asked(Operation::RunCommand, "POST");
    assert!((4..=6).contains(&attempts), "at increasing intervals: {attempts}");
    scene.app.control.clear_kubernetes_faults();
    message(&scene, "its manifest was applied by Azure's run command").await;
}

async fn disabled_run_command_leaves_it_to_an_owner(base: Base) {
    let scene = private(base).await;
    scene.until("the cluster", |cluster| told(cluster).2.contains("cluster agent")).await;
    scene.app.control.edit_cluster("one", |cluster| {
        cluster["properties"]["apiServerAccessProfile"]["disableRunCommand"] = json!(true);
    });
    set(&scene, "agent-image", "registry.example.org/norman-aks:2").await;
    let words = message(&scene, "disableRunCommand").await;
    assert!(words.contains("kubectl apply -f https://aks.example.org/v3/import/<token>_c-"), "{words}");
    assert!(!words.contains(&secret(&scene).await), "{words}");
}

async fn agent_is_never_deployed_against_the_setting(base: Base) {
    let scene = private(base).await;
    set(&scene, "agent", "never").await;
    let words = message(&scene, "the annotation norman-aks.io/agent is never").await;
    assert!(words.contains("connect the server to the network of the cluster"), "{words}");
    scene.pass(600).await;
    assert_eq!((scene.asked(Operation::RunCommand, "POST"), changes(&scene)), (0, Vec::new()));
}

async fn reached_cluster_gets_an_agent_only_on_request(base: Base) {
    let scene = stage(base, |_| ()).await;
    scene.becomes_active().await;
    scene.pass(600).await;
    assert_eq!(changes(&scene), [""; 0]);
    let changed = json!({"name": "one", "annotations": {"norman-aks.io/agent": "always"}});
    assert_eq!(scene.app.put(&scene.path).json(&changed).send().await.status, 200);
    scene.pass(600).await;
    assert_eq!(changes(&scene), APPLIED);
    assert_eq!(scene.asked(Operation::RunCommand, "POST"), 0);
    assert_eq!(scene.told().await.0, "active");
    scene.pass(600).await;
    assert_eq!(changes(&scene).len(), APPLIED.len(), "once");
}

async fn changed_manifest_replaces_the_agent(base: Base) {
    let scene = import(base).await;
    scene.pass(600).await;
    assert_eq!(changes(&scene), APPLIED);
    scene.app.control.clear_kubernetes_requests();
    // Another URL requires another secret; the old one is deleted when no pod uses it.
    set(&scene, "server-url", "https://other.example.org").await;
    scene.pass(600).await;
    assert_eq!(changes(&scene), APPLIED);
    scene.app.control.clear_kubernetes_requests();
    scene.pass(3_700).await;
    assert_eq!(changes(&scene), ["DELETE secrets/cattle-credentials"]);
    assert_eq!(events(&scene, "agentManifestApplied").await.len(), 2);
}

async fn deleted_token_replaces_the_agent_at_once(base: Base) {
    let scene = import(base).await;
    scene.pass(600).await;
    scene.app.control.clear_kubernetes_requests();
    let id = scene.path.rsplit('/').next().unwrap();
    let path = format!("/v3/clusterregistrationtokens/{id}:default-token");
    let deleted = scene.app.delete(&path).send().await;
    assert!(deleted.status.is_success(), "{}", deleted.text());
    // Much shorter than the refresh interval.
    scene.pass(30).await;
    assert_eq!(changes(&scene), APPLIED);
}

/// Deploys the agent of another server through the proxy.
async fn deploy_foreign_agent(scene: &Stage, labels: Value) {
    let inside = |path: &str| format!("/k8s/clusters/{}{path}", scene.path.rsplit('/').next().unwrap());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cattle-system"}});
    let made = scene.app.post(&inside("/api/v1/namespaces")).json(&namespace).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "cattle-cluster-agent", "namespace": "cattle-system", "labels": labels},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "a", "image": "rancher/rancher-agent:v2.12.1"}]}}}});
    let path = inside("/apis/apps/v1/namespaces/cattle-system/deployments");
    let made = scene.app.post(&path).json(&deployment).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "cattle", "namespace": "cattle-system"}});
    let path = inside("/api/v1/namespaces/cattle-system/serviceaccounts");
    let made = scene.app.post(&path).json(&account).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
}

/// kubectl continues with the next object after one is rejected.
async fn owners_manifest_changes_no_agent_of_another_server(base: Base) {
    let scene = stage(base, |_| ()).await;
    scene.becomes_active().await;
    deploy_foreign_agent(&scene, json!({})).await;
    let id = scene.path.rsplit('/').next().unwrap();
    let inside = |path: &str| format!("/k8s/clusters/{id}{path}");
    let foreign = [
        "/api/v1/namespaces/cattle-system/serviceaccounts/cattle",
        "/apis/apps/v1/namespaces/cattle-system/deployments/cattle-cluster-agent",
    ];
    let read = async |path: &str| scene.app.get(&inside(path)).send().await.json();
    let before = [read(foreign[0]).await, read(foreign[1]).await];
    let manifest = format!("/v3/import/{}_{id}.yaml", secret(&scene).await);
    let manifest = scene.app.get(&manifest).send().await;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&manifest.text()).unwrap();
    let mut rejected = Vec::new();
    for object in &objects {
        let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        let collection = match kind {
            "Namespace" => "/api/v1/namespaces",
            "NetworkPolicy" => "/apis/networking.k8s.io/v1/namespaces/cattle-system/networkpolicies",
            "Deployment" => "/apis/apps/v1/namespaces/cattle-system/deployments",
            "ServiceAccount" => "/api/v1/namespaces/cattle-system/serviceaccounts",
            _ => "/api/v1/namespaces/cattle-system/secrets",
        };
        let path = inside(&format!("{collection}/{name}?fieldManager=kubectl&force=true"));
        let call =
            scene.app.call(http::Method::PATCH, &path).header("content-type", "application/apply-patch+yaml");
        if !call.body(object.to_string()).send().await.status.is_success() {
            rejected.push(kind);
        }
    }
    assert_eq!((objects.len(), rejected), (5, vec!["Deployment"]));
    for (path, before) in foreign.into_iter().zip(before) {
        let now = read(path).await;
        for key in ["metadata/labels", "metadata/generation", "automountServiceAccountToken", "spec"] {
            let at = |object: &Value| object.pointer(&format!("/{key}")).cloned();
            assert_eq!(at(&now), at(&before), "{path}: {key}");
        }
    }
}

async fn agent_of_another_server_is_left_alone(base: Base) {
    for labels in [json!({}), json!({"norman-aks.io/installation": "another"})] {
        let scene = stage(base, |_| ()).await;
        scene.becomes_active().await;
        deploy_foreign_agent(&scene, labels).await;
        scene.app.control.clear_kubernetes_requests();
        set(&scene, "agent", "always").await;
        let failed = |cluster: &Value| {
            let message =
                condition(cluster, "AgentDeployed")["message"].as_str().unwrap_or_default().to_owned();
            message.contains("was deployed by another server")
        };
        scene.until("the error", failed).await;
        assert_eq!((scene.told().await.0.as_str(), changes(&scene)), ("active", Vec::new()));
    }
}

async fn run_command_leaves_the_agent_of_another_server_alone(base: Base) {
    let scene = private(base).await;
    set(&scene, "agent", "never").await;
    message(&scene, "the annotation norman-aks.io/agent is never").await;
    scene.app.control.make_reachable(&host(&scene), true);
    scene.becomes_active().await;
    deploy_foreign_agent(&scene, json!({})).await;
    disconnect(&scene);
    scene.app.control.clear_kubernetes_requests();
    set(&scene, "agent", "always").await;
    let is_foreign = |cluster: &Value| {
        let message = condition(cluster, "AgentDeployed")["message"].as_str().unwrap_or_default().to_owned();
        message.contains("was deployed by another server")
    };
    let cluster = scene.until("the error", is_foreign).await;
    let words = condition(&cluster, "AgentDeployed")["message"].as_str().unwrap().to_owned();
    assert!(words.contains("annotation norman-aks.io/agent of the cluster to never"), "{words}");
    scene.pass(7_200).await;
    assert_eq!(scene.asked(Operation::RunCommand, "POST"), 1, "it is not tried again");
    let rejected = ["PATCH namespaces/cattle-system", "PATCH deployments/cattle-cluster-agent"];
    assert_eq!(changes(&scene), rejected, "nothing else is sent");
    assert_eq!(events(&scene, "agentManifestFailed").await.len(), 1);
}

async fn import_is_left_without_the_agent(base: Base) {
    let scene = import(base).await;
    scene.pass(600).await;
    scene.app.control.clear_kubernetes_requests();
    scene.delete().await;
    scene.is_gone().await;
    assert_eq!(changes(&scene), REMOVAL);
    assert_eq!(events(&scene, "agentRemoved").await.len(), 1);
}

async fn unreachable_import_is_left_without_the_agent(base: Base) {
    let scene = import(base).await;
    scene.pass(600).await;
    disconnect(&scene);
    scene.app.control.clear_kubernetes_requests();
    scene.delete().await;
    scene.is_gone().await;
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    assert_eq!(sorted(changes(&scene)), sorted(REMOVAL.map(str::to_owned).to_vec()));
    assert_eq!(scene.asked(Operation::RunCommand, "POST"), 1);
}

async fn roles_that_cannot_be_removed_do_not_keep_the_object(base: Base) {
    let scene = import_with(base, json!({})).await;
    disconnect(&scene);
    scene.fault(Operation::RunCommand, "POST", refusal(403, "AuthorizationFailed", "no"));
    scene.delete().await;
    scene.pass(30).await;
    assert_eq!(scene.told().await.0, "removing");
    scene.pass(60).await;
    scene.is_gone().await;
    assert_eq!(events(&scene, "agentLeft").await.len(), 0, "there was none");
}

async fn import_that_is_gone_in_azure_is_removed_at_once(base: Base) {
    let scene = import(base).await;
    disconnect(&scene);
    scene.fault(
        Operation::ManagedCluster,
        "GET",
        refusal(404, "ResourceNotFound", "The resource was not found."),
    );
    scene.delete().await;
    scene.pass(5).await;
    scene.is_gone().await;
    assert_eq!(scene.asked(Operation::RunCommand, "POST"), 0);
}

async fn import_is_left_without_the_objects_of_a_failed_attempt(base: Base) {
    let scene = import_with(base, json!({})).await;
    let Effect::Status(refused) = refusal(500, "InternalError", "no") else { unreachable!() };
    scene.app.control.add_kubernetes_fault(Fault {
        method: Some("PATCH".to_owned()),
        path: Some("deployments".to_owned()),
        effect: Some(Effect::Status(refused)),
        ..Fault::default()
    });
    set(&scene, "agent", "always").await;
    let failed = |cluster: &Value| {
        let message = condition(cluster, "AgentDeployed")["message"].as_str().unwrap_or_default().to_owned();
        message.contains("the Kubernetes API failed")
    };
    scene.until("the failure", failed).await;
    scene.app.control.clear_kubernetes_faults();
    scene.app.control.clear_kubernetes_requests();
    scene.delete().await;
    scene.is_gone().await;
    assert!(
        changes(&scene).contains(&"DELETE secrets/cattle-credentials".to_owned()),
        "{:?}",
        changes(&scene)
    );
}

async fn agent_that_cannot_be_removed_does_not_keep_the_object(base: Base) {
    let scene = import(base).await;
    scene.pass(600).await;
    let Effect::Status(refused) = refusal(500, "InternalError", "no") else { unreachable!() };
    scene
        .app
        .control
        .add_kubernetes_fault(Fault { effect: Some(Effect::Status(refused)), ..Fault::default() });
    scene.fault(Operation::RunCommand, "POST", refusal(403, "AuthorizationFailed", "no"));
    scene.delete().await;
    scene.pass(300).await;
    assert_eq!(scene.told().await.0, "removing");
    scene.pass(400).await;
    scene.is_gone().await;
    assert_eq!(events(&scene, "agentLeft").await.len(), 1);
}
