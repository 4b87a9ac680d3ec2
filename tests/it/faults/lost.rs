//! Azure accepted a change, but its response was lost: the server reads the state, and does not send the change again.

use azure_sandbox::{Effect, Operation, Timing};
use serde_json::json;

use super::{Database, Progress, TestCluster, pool, system_pool};
use crate::support::fault;

on_both_databases!(
    lost_creation_response_is_recovered,
    lost_change_and_removal_responses_are_recovered,
    forgotten_operation_is_recovered,
    concurrently_created_cluster_is_not_ours,
);

async fn lost_creation_response_is_recovered(database: Database) {
    for (operation, effect) in [
        (Operation::ManagedCluster, Effect::CutAfterTaken),
        (Operation::ManagedCluster, Effect::CutInBody),
        (Operation::ResourceGroup, Effect::CutAfterTaken),
        (Operation::ResourceGroup, Effect::CutInBody),
    ] {
        let cluster = TestCluster::create(database).await;
        cluster.add_fault_once(operation, "PUT", effect.clone());
        let object =
            cluster.wait_until("the aborted connection", |object| object["transitioning"] == "error").await;
        let Progress { state, message, .. } = super::progress_of(&object);
        assert!(
            state == "provisioning" && message.contains("the connection was closed early"),
            "{state} {message}"
        );
        cluster.wait_until_active().await;
        assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"], "{effect:?} of {operation:?}");
    }
}

async fn lost_change_and_removal_responses_are_recovered(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    // Long enough that the operation is still in progress when the server retries.
    cluster.app.control.set_timing(Timing { scale: 10.0, ..Timing::default() }).unwrap();
    let system = system_pool();
    for (operation, method, change, expected_request) in [
        (Operation::ManagedCluster, "PUT", json!({"kubernetesVersion": "1.33.3"}), "PUT cluster"),
        (Operation::ManagedCluster, "PATCH", json!({"tags": {"a": "b"}}), "PATCH cluster"),
        (Operation::AgentPool, "PUT", json!({"nodePools": [system, pool("more", 1)]}), "PUT pool more"),
        (Operation::AgentPool, "PUT", json!({"nodePools": [system, pool("more", 2)]}), "PUT pool more"),
        (Operation::AgentPool, "DELETE", json!({"nodePools": [system]}), "DELETE pool more"),
    ] {
        cluster.app.control.clear_requests();
        cluster.add_fault_once(operation, method, Effect::CutAfterTaken);
        cluster.update(change).await;
        cluster.wait_until("the aborted connection", |object| object["transitioning"] == "error").await;
        let waiting =
            cluster.wait_until("an operation in progress", |object| object["transitioning"] == "yes").await;
        assert!(super::progress_of(&waiting).message.starts_with("Azure: "), "{waiting}");
        cluster.wait_until_active().await;
        assert_eq!(cluster.sent_writes(), [expected_request]);
    }
    cluster.app.control.clear_requests();
    cluster.add_fault_once(Operation::ManagedCluster, "DELETE", Effect::CutAfterTaken);
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), ["DELETE cluster"]);
}

async fn forgotten_operation_is_recovered(database: Database) {
    let operation_not_found = || fault::error(404, "NotFound", "The entity was not found.");
    let cluster = TestCluster::create(database).await;
    cluster.add_fault(Operation::LongOperation, "GET", operation_not_found());
    let object = cluster
        .wait_until("a read of the cluster", |object| {
            super::progress_of(object).message.contains("is in state Creating")
        })
        .await;
    assert_eq!(object["transitioning"], "yes");
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);

    let system = system_pool();
    for (change, expected_request) in [
        (json!({"kubernetesVersion": "1.33.3"}), "PUT cluster"),
        (json!({"tags": {"a": "b"}}), "PATCH cluster"),
        (json!({"nodePools": [system, pool("more", 1)]}), "PUT pool more"),
        (json!({"nodePools": [system]}), "DELETE pool more"),
    ] {
        cluster.app.control.clear_requests();
        cluster.update(change).await;
        cluster.wait_until_active().await;
        assert_eq!(cluster.sent_writes(), [expected_request]);
    }
    cluster.app.control.clear_requests();
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), ["DELETE cluster"]);
}

async fn concurrently_created_cluster_is_not_ours(database: Database) {
    let cluster = TestCluster::create_with(database, crate::support::app::TestApp::builder(), |body| {
        body["aksConfig"]["resourceGroup"] = json!("rancher");
    })
    .await;
    // The server has saved its intent to send the PUT, which never arrives; then another client creates a cluster of this name.
    cluster.add_fault(Operation::ManagedCluster, "PUT", Effect::CutBeforeAnswer);
    cluster.wait_until("the aborted connection", |object| object["transitioning"] == "error").await;
    let theirs = json!({"id": "/subscriptions/s/resourceGroups/rancher/providers/Microsoft.ContainerService/managedClusters/one",
        "name": "one", "location": "eastus", "tags": {"owner": "them"},
        "properties": {"provisioningState": "Succeeded", "kubernetesVersion": "1.32.7"}});
    let page = azure_sandbox::Page::new(200, &theirs).unwrap();
    cluster.app.control.play(cluster.app.seed.subscription_id, "managedCluster", vec![page]).unwrap();
    cluster.app.control.clear_faults();
    cluster.app.control.clear_requests();
    cluster.advance_secs(600).await;
    let Progress { state, transitioning, message } = cluster.progress().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"));
    assert!(message.contains("cluster [one] already exists in AKS"), "{message}");
    cluster.delete().await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), Vec::<String>::new());
}
