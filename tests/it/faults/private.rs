//! Clusters that are not directly reachable: private ones, and those without local accounts.

use std::time::Duration;

use azure_sandbox::{Effect, Fault, Operation, Refusal};
use serde_json::{Value, json};

use super::{Base, Stage};
use crate::support::agent::{Internal, Listener, TestAgent, wait_for};
use crate::support::app::{TestApp, TestAppBuilder};

on_both!(
    private_cluster_is_active_only_once_reached,
    private_cluster_becomes_active_through_its_agent,
    agent_of_another_server_is_used,
    private_cluster_needs_a_tunnel_only_if_silent,
    reached_private_cluster_needs_no_tunnel,
    cluster_without_local_accounts_uses_the_application,
    missing_role_inside_is_named,
);

/// The host name of a cluster's API.
fn host(scene: &Stage, part: &str) -> String {
    let all = scene.app.control.kubernetes();
    all.iter()
        .find(|known| known.fqdn.starts_with(part))
        .unwrap_or_else(|| panic!("{part}: {all:?}"))
        .fqdn
        .clone()
}

async fn private(base: Base, builder: TestAppBuilder) -> Stage {
    Stage::set_with(base, builder, |body| body["aksConfig"]["privateCluster"] = json!(true)).await
}

fn condition<'a>(cluster: &'a Value, kind: &str) -> &'a Value {
    let conditions = cluster["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

async fn private_cluster_is_active_only_once_reached(base: Base) {
    let scene = private(base, TestApp::with()).await;
    let tunnel = |cluster: &Value| cluster["aksStatus"]["privateRequiresTunnel"] == true;
    scene.until("the decision", tunnel).await;
    scene.pass(1_800).await;
    let cluster = scene.seen().await;
    let (state, transitioning, message) = super::told(&cluster);
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "yes"), "{message}");
    assert!(message.contains("waiting for cluster agent to be deployed"), "Rancher's message: {message}");
    assert!(message.contains("setting server-url"), "the first remedy: {message}");
    assert_eq!(condition(&cluster, "Waiting")["status"], "Unknown");
    assert_eq!(condition(&cluster, "Connected")["status"], "False");
    assert_eq!(condition(&cluster, "Ready")["status"], "False");
    assert_ne!(condition(&cluster, "Updated")["status"], "True");
    // The desired spec is applied in Azure nevertheless.
    scene.put(json!({"tags": {"a": "b"}})).await;
    scene
        .until("the tags", |cluster| cluster["aksStatus"]["upstreamSpec"]["tags"] == json!({"a": "b"}))
        .await;
    scene.pass(300).await;
    assert_eq!(scene.told().await.0, "provisioning");
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster", "PATCH cluster"]);

    // Its network is opened, so the decision is made again.
    assert!(scene.app.control.make_reachable(&host(&scene, "one"), true));
    let cluster = scene.becomes_active().await;
    assert_eq!(cluster["aksStatus"]["privateRequiresTunnel"], false);
    for kind in ["Waiting", "Connected", "Ready", "Updated", "Provisioned"] {
        assert_eq!(condition(&cluster, kind)["status"], "True", "{kind}");
    }
}

/// The token with which agents of the cluster connect.
async fn registration_token(scene: &Stage) -> String {
    let id = scene.path.rsplit('/').next().unwrap();
    let answer = scene.app.get(&format!("/v3/clusterregistrationtokens/{id}:default-token")).send().await;
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// Waits until the cluster has a usable agent, or none.
async fn is_usable(scene: &Stage, wanted: bool) {
    let id = scene.path.rsplit('/').next().unwrap();
    let sessions = scene.app.app.cluster_access.sessions();
    wait_for("the agent", || sessions.has_usable(id) == wanted).await;
}

async fn private_cluster_becomes_active_through_its_agent(base: Base) {
    let scene = private(base, TestApp::with()).await;
    let waits = |cluster: &Value| condition(cluster, "Waiting")["status"] == "Unknown";
    let cluster = scene.until("the wait for an agent", waits).await;
    assert_ne!(condition(&cluster, "AgentDeployed")["status"], "True");
    let listener = Listener::start(&scene.app).await;
    let token = registration_token(&scene).await;
    let api = scene.app.sandbox.kubernetes_address();
    let agent = TestAgent::connect(listener.address, &token, api).await;
    is_usable(&scene, true).await;
    let cluster = scene.becomes_active().await;
    assert_eq!(cluster["aksStatus"]["privateRequiresTunnel"], true);
    for kind in ["AgentDeployed", "Connected", "Ready", "Waiting", "Provisioned", "Updated"] {
        assert_eq!(condition(&cluster, kind)["status"], "True", "{kind}: {cluster:#}");
    }
    let inside = scene.path.replace("/v3/clusters", "/k8s/clusters");
    let nodes = || scene.app.get(&format!("{inside}/api/v1/nodes"));
    let answer = nodes().send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster"]);

    // A change of the agent's sessions causes no requests to Azure.
    scene.app.control.clear_requests();
    drop(agent);
    is_usable(&scene, false).await;
    let gone = |cluster: &Value| condition(cluster, "Connected")["status"] == "False";
    let cluster = scene.until("the loss of the agent", gone).await;
    assert_eq!(cluster["state"], "active");
    assert_eq!(condition(&cluster, "Ready")["message"], "Cluster agent is not connected");
    assert_eq!(condition(&cluster, "AgentDeployed")["status"], "True");
    let answer = nodes().send().await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("Cluster agent is not connected"), "{}", answer.text());
    let _agent = TestAgent::connect(listener.address, &token, api).await;
    is_usable(&scene, true).await;
    let back = |cluster: &Value| condition(cluster, "Connected")["status"] == "True";
    scene.until("the return of the agent", back).await;
    assert_eq!(nodes().send().await.status, 200);
    assert_eq!(scene.asked(Operation::ManagedCluster, "GET"), 0);
}

async fn agent_of_another_server_is_used(base: Base) {
    let scene = private(base, TestApp::with()).await;
    let other = TestApp::with().advise().on(&scene.db).beside(&scene.app).start().await;
    let (_own, internal) = (Internal::start(&scene.app).await, Internal::start(&other).await);
    let waits = |cluster: &Value| condition(cluster, "Waiting")["status"] == "Unknown";
    scene.until("the wait for an agent", waits).await;
    let (listener, token) = (Listener::start(&other).await, registration_token(&scene).await);
    let api = scene.app.sandbox.kubernetes_address();
    let agent = TestAgent::connect(listener.address, &token, api).await;
    let id = scene.path.rsplit('/').next().unwrap().to_owned();
    let sessions = other.app.cluster_access.sessions().clone();
    wait_for("the agent", || sessions.has_local(&id)).await;
    let exchange = async || {
        for app in [&other, &scene.app] {
            app.app.secrets.heartbeat().await.unwrap();
            app.app.agents.exchange().await.unwrap();
        }
    };
    exchange().await;
    let cluster = scene.becomes_active().await;
    assert_eq!(cluster["aksStatus"]["privateRequiresTunnel"], true);
    let inside = scene.path.replace("/v3/clusters", "/k8s/clusters");
    let status = async || scene.app.get(&format!("{inside}/api/v1/nodes")).send().await.status.as_u16();
    assert_eq!(status().await, 200);

    // Its server is stopped; the agent connects to the other one.
    drop((internal, agent, listener));
    other.app.agents.stop().await;
    assert_eq!(status().await, 503);
    let listener = Listener::start(&scene.app).await;
    let _agent = TestAgent::connect(listener.address, &token, api).await;
    let sessions = scene.app.app.cluster_access.sessions().clone();
    wait_for("the agent", || sessions.has_local(&id)).await;
    assert_eq!(status().await, 200);
    exchange().await;
    assert_eq!(status().await, 200);
}

async fn private_cluster_needs_a_tunnel_only_if_silent(base: Base) {
    let limits = cluster_access::Options {
        facts_limit: Duration::from_secs(1),
        account_limit: Duration::from_secs(1),
        ..cluster_access::Options::default()
    };
    for (effect, latency_ms, decision) in [
        (None, 3_600_000, Some(true)),
        (Some(Effect::Status(Refusal { status: Some(500), ..Refusal::default() })), 0, None),
        (Some(Effect::CutBeforeAnswer), 0, None),
    ] {
        let scene = private(base, TestApp::with().clusters(limits.clone())).await;
        // Its name is known from the start.
        scene.fault(Operation::AdminCredential, "POST", super::refusal(500, "InternalServerError", "Wait."));
        scene
            .until("its API", |_| scene.app.control.kubernetes().iter().any(|it| it.fqdn.starts_with("one")))
            .await;
        scene.app.control.make_reachable(&host(&scene, "one"), true);
        scene.app.control.add_kubernetes_fault(Fault {
            effect: effect.clone(),
            latency_ms,
            ..Fault::default()
        });
        scene.app.control.clear_faults();
        let failed = |cluster: &Value| condition(cluster, "Connected")["status"] == "False";
        scene.until("an attempt with a known host name", failed).await;
        scene.pass(40).await;
        let cluster = scene.seen().await;
        let decided = cluster["aksStatus"].get("privateRequiresTunnel").and_then(Value::as_bool);
        let (state, transitioning, message) = super::told(&cluster);
        assert_eq!((state.as_str(), decided), ("provisioning", decision), "{effect:?}: {message}");
        assert_eq!(transitioning, if decision.is_some() { "yes" } else { "error" }, "{effect:?}: {message}");
        scene.app.control.clear_kubernetes_faults();
        let cluster = scene.becomes_active().await;
        assert_eq!(cluster["aksStatus"]["privateRequiresTunnel"], false);
    }
}

async fn reached_private_cluster_needs_no_tunnel(base: Base) {
    let scene = private(base, TestApp::with()).await;
    scene.fault(Operation::AdminCredential, "POST", super::refusal(500, "InternalServerError", "Wait."));
    scene
        .until("its API", |_| scene.app.control.kubernetes().iter().any(|it| it.fqdn.starts_with("one")))
        .await;
    scene.app.control.clear_faults();
    scene.app.control.make_reachable(&host(&scene, "one"), true);
    let cluster = scene.becomes_active().await;
    assert_eq!(cluster["aksStatus"]["privateRequiresTunnel"], false);
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster"]);
}

/// An import of a cluster without local accounts.
async fn entra_only(base: Base) -> Stage {
    Stage::set_with(base, TestApp::with(), |body| {
        let credential = body["aksConfig"]["azureCredentialSecret"].clone();
        body["aksConfig"] = json!({"clusterName": "entra-only", "resourceGroup": "rancher", "resourceLocation": "eastus",
            "imported": true, "azureCredentialSecret": credential});
    })
    .await
}

async fn cluster_without_local_accounts_uses_the_application(base: Base) {
    let scene = entra_only(base).await;
    let cluster = scene.becomes_active().await;
    assert_eq!(condition(&cluster, "Ready")["status"], "True");
    assert_eq!(scene.asked(Operation::AdminCredential, "POST"), 0, "Azure gives out none");
    assert_eq!(scene.asked(Operation::UserCredential, "POST"), 1);
    assert_eq!(scene.sent(), Vec::<String>::new());
    // Entra rejects the token request: the message contains the remedy.
    let scene = entra_only(base).await;
    let refusal = Effect::Status(Refusal {
        status: Some(400),
        code: Some("invalid_resource".to_owned()),
        message: Some("AADSTS500011: The resource principal was not found in the tenant.".to_owned()),
        ..Refusal::default()
    });
    scene.app.control.add_fault(Fault { skip: 0, ..super::fault(Operation::Token, "POST", refusal) });
    let cluster = scene.until("the error", |cluster| cluster["transitioning"] == "error").await;
    let (_, _, message) = super::told(&cluster);
    assert!(message.contains("error getting kube config: ") && message.contains("AADSTS500011"), "{message}");
    scene.app.control.clear_faults();
    scene.becomes_active().await;
}

async fn missing_role_inside_is_named(base: Base) {
    let scene = entra_only(base).await;
    let forbidden = Effect::Status(Refusal {
        status: Some(403),
        message: Some("User does not have access to the resource in Azure.".to_owned()),
        ..Refusal::default()
    });
    scene.app.control.add_kubernetes_fault(Fault { effect: Some(forbidden), ..Fault::default() });
    let cluster = scene.until("the error", |cluster| cluster["transitioning"] == "error").await;
    let (state, _, message) = super::told(&cluster);
    assert_eq!(state, "provisioning");
    assert!(message.contains("User does not have access to the resource in Azure."), "{message}");
    assert!(message.contains("the role Azure Kubernetes Service RBAC Cluster Admin"), "{message}");
    scene.app.control.clear_kubernetes_faults();
    scene.becomes_active().await;
}
