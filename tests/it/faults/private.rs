//! Private clusters, and clusters without local accounts, for which Azure returns no admin kubeconfig.

use std::time::Duration;

use azure_sandbox::{Effect, ErrorResponse, Fault, Operation};
use serde_json::{Value, json};

use super::{Database, Progress, TestCluster, condition};
use crate::support::agent::{TestAgent, wait_for};
use crate::support::app::{TestApp, TestAppBuilder};
use crate::support::fault;
use crate::support::listener::Listener;

on_both_databases!(
    private_cluster_is_active_only_once_reached,
    private_cluster_becomes_active_through_its_agent,
    agent_of_another_server_is_used,
    private_cluster_needs_a_tunnel_only_if_silent,
    reached_private_cluster_needs_no_tunnel,
    cluster_without_local_accounts_uses_an_entra_token,
    missing_aks_rbac_role_is_named,
);

async fn create_private(database: Database, builder: TestAppBuilder) -> TestCluster {
    TestCluster::create_with(database, builder, |body| body["aksConfig"]["privateCluster"] = json!(true))
        .await
}

async fn private_cluster_is_active_only_once_reached(database: Database) {
    let cluster = create_private(database, TestApp::builder()).await;
    let requires_tunnel = |object: &Value| object["aksStatus"]["privateRequiresTunnel"] == true;
    cluster.wait_until("the decision to use a tunnel", requires_tunnel).await;
    cluster.advance_secs(1_800).await;
    let object = cluster.object().await;
    let Progress { state, transitioning, message } = super::progress_of(&object);
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "yes"), "{message}");
    assert!(message.contains("waiting for cluster agent to be deployed"), "Rancher's message: {message}");
    assert!(message.contains("setting server-url"), "the first remedy: {message}");
    assert_eq!(condition(&object, "Waiting")["status"], "Unknown");
    assert_eq!(condition(&object, "Connected")["status"], "False");
    assert_eq!(condition(&object, "Ready")["status"], "False");
    assert_ne!(condition(&object, "Updated")["status"], "True");
    // The desired spec is applied in Azure nevertheless.
    cluster.update(json!({"tags": {"a": "b"}})).await;
    cluster
        .wait_until("the tags", |object| object["aksStatus"]["upstreamSpec"]["tags"] == json!({"a": "b"}))
        .await;
    cluster.advance_secs(300).await;
    assert_eq!(cluster.progress().await.state, "provisioning");
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster", "PATCH cluster"]);

    // The cluster becomes reachable, so it no longer requires a tunnel.
    assert!(cluster.app.control.set_reachable(&cluster.api_host("one"), true));
    let object = cluster.wait_until_active().await;
    assert_eq!(object["aksStatus"]["privateRequiresTunnel"], false);
    for kind in ["Waiting", "Connected", "Ready", "Updated", "Provisioned"] {
        assert_eq!(condition(&object, kind)["status"], "True", "{kind}");
    }
}

/// Waits until the cluster has a usable agent, or none if `expected` is false.
async fn wait_until_usable(cluster: &TestCluster, expected: bool) {
    let id = cluster.id();
    let sessions = cluster.app.server.cluster_access.sessions();
    wait_for("the agent", || sessions.has_usable(id) == expected).await;
}

async fn private_cluster_becomes_active_through_its_agent(database: Database) {
    let cluster = create_private(database, TestApp::builder()).await;
    let waits_for_agent = |object: &Value| condition(object, "Waiting")["status"] == "Unknown";
    let object = cluster.wait_until("the wait for an agent", waits_for_agent).await;
    assert_ne!(condition(&object, "AgentDeployed")["status"], "True");
    let listener = Listener::start(&cluster.app).await;
    let token = cluster.registration_token().await;
    let api = cluster.app.sandbox.kubernetes_address();
    let agent = TestAgent::connect(listener.address, &token, api).await;
    wait_until_usable(&cluster, true).await;
    let object = cluster.wait_until_active().await;
    assert_eq!(object["aksStatus"]["privateRequiresTunnel"], true);
    for kind in ["AgentDeployed", "Connected", "Ready", "Waiting", "Provisioned", "Updated"] {
        assert_eq!(condition(&object, kind)["status"], "True", "{kind}: {object:#}");
    }
    let proxy_path = cluster.path.replace("/v3/clusters", "/k8s/clusters");
    let nodes = || cluster.app.get(&format!("{proxy_path}/api/v1/nodes"));
    nodes().send().await.expect(200);
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);

    // The agent's disconnection and return cause no reads of the cluster in Azure.
    cluster.app.control.clear_requests();
    drop(agent);
    wait_until_usable(&cluster, false).await;
    let is_disconnected = |object: &Value| condition(object, "Connected")["status"] == "False";
    let object = cluster.wait_in_ticks_until("the loss of the agent", is_disconnected).await;
    assert_eq!(object["state"], "active");
    assert_eq!(condition(&object, "Ready")["message"], "Cluster agent is not connected");
    assert_eq!(condition(&object, "AgentDeployed")["status"], "True");
    let response = nodes().send().await.expect(503);
    assert!(response.text().contains("Cluster agent is not connected"), "{}", response.text());
    let _agent = TestAgent::connect(listener.address, &token, api).await;
    wait_until_usable(&cluster, true).await;
    let is_connected = |object: &Value| condition(object, "Connected")["status"] == "True";
    cluster.wait_in_ticks_until("the return of the agent", is_connected).await;
    assert_eq!(nodes().send().await.status, 200);
    assert_eq!(cluster.request_count(Operation::ManagedCluster, "GET"), 0);
}

async fn agent_of_another_server_is_used(database: Database) {
    let cluster = create_private(database, TestApp::builder()).await;
    let other_app =
        TestApp::builder().advisory_review().database(&cluster.db).with_azure_of(&cluster.app).start().await;
    let (_own_internal, other_internal) =
        (Listener::start_internal(&cluster.app).await, Listener::start_internal(&other_app).await);
    let waits_for_agent = |object: &Value| condition(object, "Waiting")["status"] == "Unknown";
    cluster.wait_until("the wait for an agent", waits_for_agent).await;
    let (other_listener, token) = (Listener::start(&other_app).await, cluster.registration_token().await);
    let api = cluster.app.sandbox.kubernetes_address();
    let agent = TestAgent::connect(other_listener.address, &token, api).await;
    let id = cluster.id().to_owned();
    let sessions = other_app.server.cluster_access.sessions().clone();
    wait_for("the agent", || sessions.has_local(&id)).await;
    let exchange_sessions = async || {
        for app in [&other_app, &cluster.app] {
            app.server.secrets.heartbeat().await.unwrap();
            app.server.agents.exchange().await.unwrap();
        }
    };
    exchange_sessions().await;
    let object = cluster.wait_until_active().await;
    assert_eq!(object["aksStatus"]["privateRequiresTunnel"], true);
    let proxy_path = cluster.path.replace("/v3/clusters", "/k8s/clusters");
    let status = async || cluster.app.get(&format!("{proxy_path}/api/v1/nodes")).send().await.status.as_u16();
    assert_eq!(status().await, 200);

    // The server `other_app` stops, and the agent connects to the server of `cluster`.
    drop((other_internal, agent, other_listener));
    other_app.server.agents.stop().await;
    assert_eq!(status().await, 503);
    let listener = Listener::start(&cluster.app).await;
    let _agent = TestAgent::connect(listener.address, &token, api).await;
    let sessions = cluster.app.server.cluster_access.sessions().clone();
    wait_for("the agent", || sessions.has_local(&id)).await;
    assert_eq!(status().await, 200);
    exchange_sessions().await;
    assert_eq!(status().await, 200);
}

async fn private_cluster_needs_a_tunnel_only_if_silent(database: Database) {
    let short_timeouts = cluster_access::Options {
        info_timeout: Duration::from_secs(1),
        setup_timeout: Duration::from_secs(1),
        ..cluster_access::Options::default()
    };
    for (effect, latency_ms, expected) in [
        (None, 3_600_000, Some(true)),
        (Some(fault::status(500)), 0, None),
        (Some(Effect::CutBeforeAnswer), 0, None),
    ] {
        let cluster =
            create_private(database, TestApp::builder().cluster_access(short_timeouts.clone())).await;
        // Until the faults of the cluster's API are set, the server has no kubeconfig and so cannot try to connect.
        cluster.add_fault(
            Operation::AdminCredential,
            "POST",
            fault::error(500, "InternalServerError", "Wait."),
        );
        cluster
            .wait_until("its API", |_| {
                cluster.app.control.kubernetes().iter().any(|kubernetes| kubernetes.fqdn.starts_with("one"))
            })
            .await;
        cluster.app.control.set_reachable(&cluster.api_host("one"), true);
        cluster.app.control.add_kubernetes_fault(Fault {
            effect: effect.clone(),
            latency_ms,
            ..Fault::default()
        });
        cluster.app.control.clear_faults();
        let has_failed = |object: &Value| condition(object, "Connected")["status"] == "False";
        cluster.wait_until("an attempt with a known host name", has_failed).await;
        cluster.advance_secs(40).await;
        let object = cluster.object().await;
        let requires_tunnel = object["aksStatus"].get("privateRequiresTunnel").and_then(Value::as_bool);
        let Progress { state, transitioning, message } = super::progress_of(&object);
        assert_eq!((state.as_str(), requires_tunnel), ("provisioning", expected), "{effect:?}: {message}");
        assert_eq!(transitioning, if expected.is_some() { "yes" } else { "error" }, "{effect:?}: {message}");
        cluster.app.control.clear_kubernetes_faults();
        let object = cluster.wait_until_active().await;
        assert_eq!(object["aksStatus"]["privateRequiresTunnel"], false);
    }
}

async fn reached_private_cluster_needs_no_tunnel(database: Database) {
    let cluster = create_private(database, TestApp::builder()).await;
    cluster.add_fault(Operation::AdminCredential, "POST", fault::error(500, "InternalServerError", "Wait."));
    cluster
        .wait_until("its API", |_| {
            cluster.app.control.kubernetes().iter().any(|kubernetes| kubernetes.fqdn.starts_with("one"))
        })
        .await;
    cluster.app.control.clear_faults();
    cluster.app.control.set_reachable(&cluster.api_host("one"), true);
    let object = cluster.wait_until_active().await;
    assert_eq!(object["aksStatus"]["privateRequiresTunnel"], false);
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);
}

/// An import of a cluster without local accounts.
async fn import_without_local_accounts(database: Database) -> TestCluster {
    TestCluster::create_with(database, TestApp::builder(), |body| {
        let credential = body["aksConfig"]["azureCredentialSecret"].clone();
        body["aksConfig"] = json!({"clusterName": "entra-only", "resourceGroup": "rancher", "resourceLocation": "eastus",
            "imported": true, "azureCredentialSecret": credential});
    })
    .await
}

async fn cluster_without_local_accounts_uses_an_entra_token(database: Database) {
    let cluster = import_without_local_accounts(database).await;
    let object = cluster.wait_until_active().await;
    assert_eq!(condition(&object, "Ready")["status"], "True");
    assert_eq!(
        cluster.request_count(Operation::AdminCredential, "POST"),
        0,
        "Azure returns no admin kubeconfig"
    );
    assert_eq!(cluster.request_count(Operation::UserCredential, "POST"), 1);
    assert_eq!(cluster.sent_writes(), Vec::<String>::new());
    // Entra rejects the token request: the message contains Entra's error.
    let cluster = import_without_local_accounts(database).await;
    let rejection = fault::error(
        400,
        "invalid_resource",
        "AADSTS500011: The resource principal was not found in the tenant.",
    );
    cluster.app.control.add_fault(fault::for_request(Operation::Token, "POST", rejection));
    let object = cluster.wait_until("the error", |object| object["transitioning"] == "error").await;
    let message = super::progress_of(&object).message;
    assert!(message.contains("error getting kube config: ") && message.contains("AADSTS500011"), "{message}");
    cluster.app.control.clear_faults();
    cluster.wait_until_active().await;
}

async fn missing_aks_rbac_role_is_named(database: Database) {
    let cluster = import_without_local_accounts(database).await;
    let forbidden = Effect::Status(ErrorResponse {
        status: Some(403),
        message: Some("User does not have access to the resource in Azure.".to_owned()),
        ..ErrorResponse::default()
    });
    cluster.app.control.add_kubernetes_fault(fault::for_all(forbidden));
    let object = cluster.wait_until("the error", |object| object["transitioning"] == "error").await;
    let Progress { state, message, .. } = super::progress_of(&object);
    assert_eq!(state, "provisioning");
    assert!(message.contains("User does not have access to the resource in Azure."), "{message}");
    assert!(message.contains("the role Azure Kubernetes Service RBAC Cluster Admin"), "{message}");
    cluster.app.control.clear_kubernetes_faults();
    cluster.wait_until_active().await;
}
