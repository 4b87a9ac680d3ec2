//! The deployment of the cluster agent: through the Kubernetes API, with Azure's run command, or by an owner.

use azure_sandbox::{Fault, Operation, RecordedRequest};
use serde_json::{Value, json};

use super::{Database, Progress, TestCluster, condition, progress_of};
use crate::support::app::TestApp;
use crate::support::fault;

/// The requests that delete the agent from a cluster.
const REMOVAL_REQUESTS: [&str; 4] = [
    "DELETE secrets/cattle-credentials",
    "DELETE networkpolicies/norman-aks-agent",
    "DELETE serviceaccounts/norman-aks-agent",
    "DELETE deployments/cattle-cluster-agent",
];

on_both_databases!(
    missing_settings_are_named,
    private_cluster_gets_its_agent_by_run_command,
    running_command_is_polled_in_later_steps,
    denied_run_command_names_both_rights,
    failed_run_command_is_retried,
    disabled_run_command_asks_owner_to_apply_manifest,
    agent_is_not_deployed_if_setting_is_never,
    reachable_cluster_gets_agent_only_on_request,
    changed_manifest_replaces_the_agent,
    deleted_token_replaces_the_agent_at_once,
    agent_of_another_server_is_left_alone,
    owners_manifest_changes_no_agent_of_another_server,
    run_command_leaves_the_agent_of_another_server_alone,
    removing_import_removes_its_agent,
    removing_unreachable_import_removes_its_agent,
    removing_import_removes_objects_of_failed_attempt,
    import_is_removed_although_its_roles_remain,
    import_deleted_in_azure_is_removed_at_once,
    import_is_removed_although_its_agent_remains,
);

const SERVER_URL: &str = "https://aks.example.org";

/// A server with its URL and the agent image configured, and one cluster.
async fn create_configured(database: Database, change: impl FnOnce(&mut Value)) -> TestCluster {
    let cluster = TestCluster::create_with(database, TestApp::builder(), change).await;
    cluster.app.put_setting("server-url", SERVER_URL).await;
    cluster.app.put_setting("agent-image", "registry.example.org/norman-aks:1").await;
    cluster
}

/// A private cluster, which the server cannot reach.
async fn create_private(database: Database) -> TestCluster {
    create_configured(database, |body| body["aksConfig"]["privateCluster"] = json!(true)).await
}

/// An import with an agent, although its API is reachable.
async fn create_import(database: Database) -> TestCluster {
    create_import_with(database, json!({"norman-aks.io/agent": "always"})).await
}

async fn create_import_with(database: Database, annotations: Value) -> TestCluster {
    let cluster = create_configured(database, |body| {
        let credential = body["aksConfig"]["azureCredentialSecret"].clone();
        body["annotations"] = annotations;
        body["aksConfig"] = json!({"clusterName": "made-elsewhere", "resourceGroup": "rancher",
            "resourceLocation": "eastus", "imported": true, "azureCredentialSecret": credential});
    })
    .await;
    cluster.wait_until_active().await;
    cluster
}

/// Makes all clusters unreachable. Their certificates change too, so that open connections cannot be used.
fn disconnect(cluster: &TestCluster) {
    for kubernetes in cluster.app.control.kubernetes() {
        assert!(cluster.app.control.set_reachable(&kubernetes.fqdn, false));
        assert!(cluster.app.control.rotate_certificates(&kubernetes.fqdn));
    }
}

/// The changes to the agent's objects in the cluster, such as `PATCH deployments/cattle-cluster-agent`.
fn agent_changes(cluster: &TestCluster) -> Vec<String> {
    let requests = cluster.app.control.kubernetes_requests().into_iter();
    // The sandbox's kubectl encodes hyphens.
    let decode =
        |request: RecordedRequest| RecordedRequest { path: request.path.replace("%2D", "-"), ..request };
    let is_change =
        |request: &RecordedRequest| request.method != "GET" && request.path.contains("cattle-system");
    requests
        .map(decode)
        .filter(is_change)
        .map(|request| {
            let mut segments = request.path.rsplit('/');
            let (name, resource) = (segments.next().unwrap(), segments.next().unwrap());
            // Names with these prefixes end with a hash or an ID.
            let prefixes = ["cattle-credentials", "norman-aks-agent"];
            let name = prefixes.into_iter().find(|prefix| name.starts_with(prefix)).unwrap_or(name);
            format!("{} {resource}/{name}", request.method)
        })
        .collect()
}

/// The message of the condition `AgentDeployed`: why the agent is not deployed.
fn agent_error(object: &Value) -> &str {
    condition(object, "AgentDeployed")["message"].as_str().unwrap_or_default()
}

/// The requests that apply the agent's manifest to a cluster.
const APPLY_REQUESTS: [&str; 5] = [
    "PATCH namespaces/cattle-system",
    "PATCH serviceaccounts/norman-aks-agent",
    "PATCH networkpolicies/norman-aks-agent",
    "PATCH secrets/cattle-credentials",
    "PATCH deployments/cattle-cluster-agent",
];

async fn event_messages(cluster: &TestCluster, kind: &str) -> Vec<String> {
    let rows =
        norman_aks::store::cluster_events::list(&cluster.db.store, cluster.id(), "", 1_000).await.unwrap();
    rows.into_iter().filter(|row| row.kind == kind).map(|row| row.message).collect()
}

/// Waits until the cluster's message about its missing agent contains `part`; returns the message.
async fn wait_for_message(cluster: &TestCluster, part: &str) -> String {
    let object = cluster.wait_until(part, |object| progress_of(object).message.contains(part)).await;
    let Progress { state, message, .. } = progress_of(&object);
    assert_eq!(state, "provisioning");
    assert!(message.starts_with("waiting for cluster agent to be deployed"), "{message}");
    message
}

async fn missing_settings_are_named(database: Database) {
    let cluster = TestCluster::create_with(database, TestApp::builder(), |body| {
        body["aksConfig"]["privateCluster"] = json!(true);
    })
    .await;
    wait_for_message(&cluster, "set the setting server-url to the https URL").await;
    cluster.app.put_setting("server-url", "https://localhost:8443").await;
    wait_for_message(&cluster, "https://localhost:8443, which is a loopback address").await;
    cluster.app.put_setting("server-url", SERVER_URL).await;
    wait_for_message(&cluster, "set the setting agent-image").await;
    assert_eq!(agent_changes(&cluster), [""; 0]);
}

async fn private_cluster_gets_its_agent_by_run_command(database: Database) {
    let cluster = create_private(database).await;
    wait_for_message(&cluster, "its manifest was applied by Azure's run command").await;
    // The namespace and the deployment are first applied alone, which fails if the cluster has the agent of another server.
    assert_eq!(
        agent_changes(&cluster),
        [&[APPLY_REQUESTS[0], APPLY_REQUESTS[4]], &APPLY_REQUESTS[..]].concat()
    );
    assert_eq!(cluster.request_count(Operation::RunCommand, "POST"), 1);
    assert_eq!(event_messages(&cluster, "agentManifestApplied").await.len(), 1);
    // The manifest is not applied again for 30 minutes.
    cluster.advance_secs(1_200).await;
    assert_eq!(cluster.request_count(Operation::RunCommand, "POST"), 1);
    // After that, it is applied again, because the cluster is still unreachable.
    cluster.advance_secs(900).await;
    assert_eq!(cluster.request_count(Operation::RunCommand, "POST"), 2);
    cluster.app.control.set_reachable(&cluster.api_host("one-"), true);
    cluster.wait_until_active().await;
}

async fn running_command_is_polled_in_later_steps(database: Database) {
    let cluster = create_private(database).await;
    wait_for_message(&cluster, "Azure's run command is applying its manifest").await;
    // A failed poll has no effect on the command.
    cluster.add_fault(Operation::CommandResult, "GET", fault::error(500, "InternalServerError", "Wait."));
    cluster.advance_secs(60).await;
    wait_for_message(&cluster, "Azure's run command is applying its manifest").await;
    cluster.app.control.clear_faults();
    wait_for_message(&cluster, "its manifest was applied by Azure's run command").await;
    assert_eq!(cluster.request_count(Operation::RunCommand, "POST"), 1);
}

async fn denied_run_command_names_both_rights(database: Database) {
    for (operation, method) in [(Operation::RunCommand, "POST"), (Operation::CommandResult, "GET")] {
        let cluster = create_private(database).await;
        let denied = fault::error(403, "AuthorizationFailed", "The client does not have authorization.");
        cluster.add_fault(operation, method, denied);
        let message = wait_for_message(&cluster, "AuthorizationFailed").await;
        for part in [
            "Microsoft.ContainerService/managedClusters/runCommand/action",
            "Microsoft.ContainerService/managedClusters/commandResults/read",
            "next attempt at ",
            "kubectl apply -f https://aks.example.org/v3/import/<token>_c-",
        ] {
            assert!(message.contains(part), "{method}: {part}: {message}");
        }
        assert!(!message.contains(&cluster.registration_token().await), "{message}");
        let failures = event_messages(&cluster, "agentManifestFailed").await;
        assert_eq!(failures.len(), 1, "{failures:?}");
        cluster.app.control.clear_faults();
        wait_for_message(&cluster, "its manifest was applied by Azure's run command").await;
    }
}

async fn failed_run_command_is_retried(database: Database) {
    let cluster = create_private(database).await;
    // Azure runs the command successfully, but kubectl fails.
    cluster.app.control.add_kubernetes_fault(Fault {
        method: Some("PATCH".to_owned()),
        effect: Some(fault::error(403, "Forbidden", "no")),
        ..Fault::default()
    });
    let message = wait_for_message(&cluster, "kubectl exited with code 1").await;
    assert!(!message.contains(&cluster.registration_token().await), "{message}");
    cluster.advance_secs(600).await;
    let attempts = cluster.request_count(Operation::RunCommand, "POST");
    assert!((4..=6).contains(&attempts), "at increasing intervals: {attempts}");
    cluster.app.control.clear_kubernetes_faults();
    wait_for_message(&cluster, "its manifest was applied by Azure's run command").await;
}

async fn disabled_run_command_asks_owner_to_apply_manifest(database: Database) {
    let cluster = create_private(database).await;
    cluster.wait_until("the cluster", |object| progress_of(object).message.contains("cluster agent")).await;
    cluster.app.control.edit_cluster("one", |object| {
        object["properties"]["apiServerAccessProfile"]["disableRunCommand"] = json!(true);
    });
    cluster.app.put_setting("agent-image", "registry.example.org/norman-aks:2").await;
    let message = wait_for_message(&cluster, "disableRunCommand").await;
    assert!(message.contains("kubectl apply -f https://aks.example.org/v3/import/<token>_c-"), "{message}");
    assert!(!message.contains(&cluster.registration_token().await), "{message}");
}

async fn agent_is_not_deployed_if_setting_is_never(database: Database) {
    let cluster = create_private(database).await;
    cluster.app.put_setting("agent", "never").await;
    let message = wait_for_message(&cluster, "the annotation norman-aks.io/agent is never").await;
    assert!(message.contains("connect the server to the network of the cluster"), "{message}");
    cluster.advance_secs(600).await;
    assert_eq!(
        (cluster.request_count(Operation::RunCommand, "POST"), agent_changes(&cluster)),
        (0, Vec::new())
    );
}

async fn reachable_cluster_gets_agent_only_on_request(database: Database) {
    let cluster = create_configured(database, |_| ()).await;
    cluster.wait_until_active().await;
    cluster.advance_secs(600).await;
    assert_eq!(agent_changes(&cluster), [""; 0]);
    let changed = json!({"name": "one", "annotations": {"norman-aks.io/agent": "always"}});
    assert_eq!(cluster.app.put(&cluster.path).json(&changed).send().await.status, 200);
    cluster.advance_secs(600).await;
    assert_eq!(agent_changes(&cluster), APPLY_REQUESTS);
    assert_eq!(cluster.request_count(Operation::RunCommand, "POST"), 0);
    assert_eq!(cluster.progress().await.state, "active");
    cluster.advance_secs(600).await;
    assert_eq!(agent_changes(&cluster).len(), APPLY_REQUESTS.len(), "once");
}

async fn changed_manifest_replaces_the_agent(database: Database) {
    let cluster = create_import(database).await;
    cluster.advance_secs(600).await;
    assert_eq!(agent_changes(&cluster), APPLY_REQUESTS);
    cluster.app.control.clear_kubernetes_requests();
    // Another URL requires another secret; the old one is deleted when no pod uses it.
    cluster.app.put_setting("server-url", "https://other.example.org").await;
    cluster.advance_secs(600).await;
    assert_eq!(agent_changes(&cluster), APPLY_REQUESTS);
    cluster.app.control.clear_kubernetes_requests();
    cluster.advance_secs(3_700).await;
    assert_eq!(agent_changes(&cluster), ["DELETE secrets/cattle-credentials"]);
    assert_eq!(event_messages(&cluster, "agentManifestApplied").await.len(), 2);
}

async fn deleted_token_replaces_the_agent_at_once(database: Database) {
    let cluster = create_import(database).await;
    cluster.advance_secs(600).await;
    cluster.app.control.clear_kubernetes_requests();
    let path = format!("/v3/clusterregistrationtokens/{}:default-token", cluster.id());
    let deleted = cluster.app.delete(&path).send().await;
    assert!(deleted.status.is_success(), "{}", deleted.text());
    // Much shorter than the refresh interval.
    cluster.advance_secs(30).await;
    assert_eq!(agent_changes(&cluster), APPLY_REQUESTS);
}

/// Deploys an agent as another server does, through the proxy.
async fn deploy_foreign_agent(cluster: &TestCluster, labels: Value) {
    let proxy_path = |path: &str| format!("/k8s/clusters/{}{path}", cluster.id());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cattle-system"}});
    cluster.app.post(&proxy_path("/api/v1/namespaces")).json(&namespace).send().await.expect(201);
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "cattle-cluster-agent", "namespace": "cattle-system", "labels": labels},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "a", "image": "rancher/rancher-agent:v2.12.1"}]}}}});
    let path = proxy_path("/apis/apps/v1/namespaces/cattle-system/deployments");
    cluster.app.post(&path).json(&deployment).send().await.expect(201);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "cattle", "namespace": "cattle-system"}});
    let path = proxy_path("/api/v1/namespaces/cattle-system/serviceaccounts");
    cluster.app.post(&path).json(&account).send().await.expect(201);
}

/// Applies the manifest as kubectl does: after an object is rejected, the next one is applied.
async fn owners_manifest_changes_no_agent_of_another_server(database: Database) {
    let cluster = create_configured(database, |_| ()).await;
    cluster.wait_until_active().await;
    deploy_foreign_agent(&cluster, json!({})).await;
    let id = cluster.id();
    let proxy_path = |path: &str| format!("/k8s/clusters/{id}{path}");
    let foreign_paths = [
        "/api/v1/namespaces/cattle-system/serviceaccounts/cattle",
        "/apis/apps/v1/namespaces/cattle-system/deployments/cattle-cluster-agent",
    ];
    let get_json = async |path: &str| cluster.app.get(&proxy_path(path)).send().await.json();
    let before = [get_json(foreign_paths[0]).await, get_json(foreign_paths[1]).await];
    let manifest_path = format!("/v3/import/{}_{id}.yaml", cluster.registration_token().await);
    let manifest = cluster.app.get(&manifest_path).send().await;
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
        let path = proxy_path(&format!("{collection}/{name}?fieldManager=kubectl&force=true"));
        let call = cluster
            .app
            .call(http::Method::PATCH, &path)
            .header("content-type", "application/apply-patch+yaml");
        if !call.body(object.to_string()).send().await.status.is_success() {
            rejected.push(kind);
        }
    }
    assert_eq!((objects.len(), rejected), (5, vec!["Deployment"]));
    for (path, before) in foreign_paths.into_iter().zip(before) {
        let after = get_json(path).await;
        for key in ["metadata/labels", "metadata/generation", "automountServiceAccountToken", "spec"] {
            let value_at = |object: &Value| object.pointer(&format!("/{key}")).cloned();
            assert_eq!(value_at(&after), value_at(&before), "{path}: {key}");
        }
    }
}

async fn agent_of_another_server_is_left_alone(database: Database) {
    for labels in [json!({}), json!({"norman-aks.io/installation": "another"})] {
        let cluster = create_configured(database, |_| ()).await;
        cluster.wait_until_active().await;
        deploy_foreign_agent(&cluster, labels).await;
        cluster.app.control.clear_kubernetes_requests();
        cluster.app.put_setting("agent", "always").await;
        let has_failed = |object: &Value| agent_error(object).contains("was deployed by another server");
        cluster.wait_until("the error", has_failed).await;
        assert_eq!(
            (cluster.progress().await.state.as_str(), agent_changes(&cluster)),
            ("active", Vec::new())
        );
    }
}

async fn run_command_leaves_the_agent_of_another_server_alone(database: Database) {
    let cluster = create_private(database).await;
    cluster.app.put_setting("agent", "never").await;
    wait_for_message(&cluster, "the annotation norman-aks.io/agent is never").await;
    cluster.app.control.set_reachable(&cluster.api_host("one-"), true);
    cluster.wait_until_active().await;
    deploy_foreign_agent(&cluster, json!({})).await;
    disconnect(&cluster);
    cluster.app.control.clear_kubernetes_requests();
    cluster.app.put_setting("agent", "always").await;
    let has_failed = |object: &Value| agent_error(object).contains("was deployed by another server");
    let object = cluster.wait_until("the error", has_failed).await;
    let message = agent_error(&object);
    assert!(message.contains("annotation norman-aks.io/agent of the cluster to never"), "{message}");
    cluster.advance_secs(7_200).await;
    assert_eq!(cluster.request_count(Operation::RunCommand, "POST"), 1, "it is not tried again");
    let rejected = ["PATCH namespaces/cattle-system", "PATCH deployments/cattle-cluster-agent"];
    assert_eq!(agent_changes(&cluster), rejected, "nothing else is sent");
    assert_eq!(event_messages(&cluster, "agentManifestFailed").await.len(), 1);
}

async fn removing_import_removes_its_agent(database: Database) {
    let cluster = create_import(database).await;
    cluster.advance_secs(600).await;
    cluster.app.control.clear_kubernetes_requests();
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    assert_eq!(agent_changes(&cluster), REMOVAL_REQUESTS);
    assert_eq!(event_messages(&cluster, "agentRemoved").await.len(), 1);
}

async fn removing_unreachable_import_removes_its_agent(database: Database) {
    let cluster = create_import(database).await;
    cluster.advance_secs(600).await;
    disconnect(&cluster);
    cluster.app.control.clear_kubernetes_requests();
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    assert_eq!(sorted(agent_changes(&cluster)), sorted(REMOVAL_REQUESTS.map(str::to_owned).to_vec()));
    assert_eq!(cluster.request_count(Operation::RunCommand, "POST"), 1);
}

async fn import_is_removed_although_its_roles_remain(database: Database) {
    let cluster = create_import_with(database, json!({})).await;
    disconnect(&cluster);
    cluster.add_fault(Operation::RunCommand, "POST", fault::error(403, "AuthorizationFailed", "no"));
    cluster.delete().await;
    cluster.advance_secs(30).await;
    assert_eq!(cluster.progress().await.state, "removing");
    cluster.advance_secs(60).await;
    cluster.wait_until_deleted().await;
    assert_eq!(event_messages(&cluster, "agentLeft").await.len(), 0, "no agent was deployed");
}

async fn import_deleted_in_azure_is_removed_at_once(database: Database) {
    let cluster = create_import(database).await;
    disconnect(&cluster);
    cluster.add_fault(
        Operation::ManagedCluster,
        "GET",
        fault::error(404, "ResourceNotFound", "The resource was not found."),
    );
    cluster.delete().await;
    cluster.advance_secs(5).await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.request_count(Operation::RunCommand, "POST"), 0);
}

async fn removing_import_removes_objects_of_failed_attempt(database: Database) {
    let cluster = create_import_with(database, json!({})).await;
    cluster.app.control.add_kubernetes_fault(Fault {
        method: Some("PATCH".to_owned()),
        path: Some("deployments".to_owned()),
        effect: Some(fault::error(500, "InternalError", "no")),
        ..Fault::default()
    });
    cluster.app.put_setting("agent", "always").await;
    let has_failed = |object: &Value| agent_error(object).contains("the Kubernetes API failed");
    cluster.wait_until("the failure", has_failed).await;
    cluster.app.control.clear_kubernetes_faults();
    cluster.app.control.clear_kubernetes_requests();
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    assert!(
        agent_changes(&cluster).contains(&"DELETE secrets/cattle-credentials".to_owned()),
        "{:?}",
        agent_changes(&cluster)
    );
}

async fn import_is_removed_although_its_agent_remains(database: Database) {
    let cluster = create_import(database).await;
    cluster.advance_secs(600).await;
    cluster.app.control.add_kubernetes_fault(fault::for_all(fault::error(500, "InternalError", "no")));
    cluster.add_fault(Operation::RunCommand, "POST", fault::error(403, "AuthorizationFailed", "no"));
    cluster.delete().await;
    cluster.advance_secs(300).await;
    assert_eq!(cluster.progress().await.state, "removing");
    cluster.advance_secs(400).await;
    cluster.wait_until_deleted().await;
    assert_eq!(event_messages(&cluster, "agentLeft").await.len(), 1);
}
