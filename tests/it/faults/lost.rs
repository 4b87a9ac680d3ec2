//! Azure accepted a change, but its response was lost: the state is read, and nothing is sent again.

use azure_sandbox::{Effect, Operation, Timing};
use serde_json::json;

use super::{Base, Stage, pool, refusal};

on_both!(
    lost_creation_response_is_recovered,
    lost_change_and_removal_responses_are_recovered,
    forgotten_operation_is_recovered,
    concurrently_created_cluster_is_not_ours,
);

async fn lost_creation_response_is_recovered(base: Base) {
    for (operation, effect) in [
        (Operation::ManagedCluster, Effect::CutAfterTaken),
        (Operation::ManagedCluster, Effect::CutInBody),
        (Operation::ResourceGroup, Effect::CutAfterTaken),
        (Operation::ResourceGroup, Effect::CutInBody),
    ] {
        let scene = Stage::set(base).await;
        scene.fault_once(operation, "PUT", effect.clone());
        let cluster =
            scene.until("the aborted connection", |cluster| cluster["transitioning"] == "error").await;
        let (state, _, message) = super::told(&cluster);
        assert!(state == "provisioning" && message.contains("the connection was cut"), "{state} {message}");
        scene.becomes_active().await;
        assert_eq!(scene.sent(), ["PUT group", "PUT cluster"], "{effect:?} of {operation:?}");
    }
}

async fn lost_change_and_removal_responses_are_recovered(base: Base) {
    let scene = Stage::active(base).await;
    // Long enough that the operation is still in progress after the delay.
    scene.app.control.set_timing(Timing { scale: 10.0, ..Timing::default() }).unwrap();
    let system = super::small("one", "")["aksConfig"]["nodePools"][0].clone();
    for (operation, method, change, sent) in [
        (Operation::ManagedCluster, "PUT", json!({"kubernetesVersion": "1.33.3"}), "PUT cluster"),
        (Operation::ManagedCluster, "PATCH", json!({"tags": {"a": "b"}}), "PATCH cluster"),
        (Operation::AgentPool, "PUT", json!({"nodePools": [system, pool("more", 1)]}), "PUT pool more"),
        (Operation::AgentPool, "PUT", json!({"nodePools": [system, pool("more", 2)]}), "PUT pool more"),
        (Operation::AgentPool, "DELETE", json!({"nodePools": [system]}), "DELETE pool more"),
    ] {
        scene.app.control.clear_requests();
        scene.fault_once(operation, method, Effect::CutAfterTaken);
        scene.put(change).await;
        scene.until("the aborted connection", |cluster| cluster["transitioning"] == "error").await;
        let waits =
            scene.until("an operation in progress", |cluster| cluster["transitioning"] == "yes").await;
        assert!(super::told(&waits).2.starts_with("Azure: "), "{waits}");
        scene.becomes_active().await;
        assert_eq!(scene.sent(), [sent]);
    }
    scene.app.control.clear_requests();
    scene.fault_once(Operation::ManagedCluster, "DELETE", Effect::CutAfterTaken);
    scene.delete().await;
    scene.is_gone().await;
    assert_eq!(scene.sent(), ["DELETE cluster"]);
}

async fn forgotten_operation_is_recovered(base: Base) {
    let gone = || refusal(404, "NotFound", "The entity was not found.");
    let scene = Stage::set(base).await;
    scene.fault(Operation::LongOperation, "GET", gone());
    let cluster =
        scene.until("a read of the cluster", |cluster| super::told(cluster).2.contains("is Creating")).await;
    assert_eq!(cluster["transitioning"], "yes");
    scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster"]);

    let system = super::small("one", "")["aksConfig"]["nodePools"][0].clone();
    for (change, sent) in [
        (json!({"kubernetesVersion": "1.33.3"}), "PUT cluster"),
        (json!({"tags": {"a": "b"}}), "PATCH cluster"),
        (json!({"nodePools": [system, pool("more", 1)]}), "PUT pool more"),
        (json!({"nodePools": [system]}), "DELETE pool more"),
    ] {
        scene.app.control.clear_requests();
        scene.put(change).await;
        scene.becomes_active().await;
        assert_eq!(scene.sent(), [sent]);
    }
    scene.app.control.clear_requests();
    scene.delete().await;
    scene.is_gone().await;
    assert_eq!(scene.sent(), ["DELETE cluster"]);
}

async fn concurrently_created_cluster_is_not_ours(base: Base) {
    let scene = Stage::set_with(base, crate::support::app::TestApp::with(), |body| {
        body["aksConfig"]["resourceGroup"] = json!("rancher");
    })
    .await;
    // The PUT is recorded as sent but never arrives; then another client creates a cluster with this name.
    scene.fault(Operation::ManagedCluster, "PUT", Effect::CutBeforeAnswer);
    scene.until("the aborted connection", |cluster| cluster["transitioning"] == "error").await;
    let theirs = json!({"id": "/subscriptions/s/resourceGroups/rancher/providers/Microsoft.ContainerService/managedClusters/one",
        "name": "one", "location": "eastus", "tags": {"owner": "them"},
        "properties": {"provisioningState": "Succeeded", "kubernetesVersion": "1.32.7"}});
    let page = azure_sandbox::Page::new(200, &theirs).unwrap();
    scene.app.control.play(scene.app.seed.subscription_id, "managedCluster", vec![page]).unwrap();
    scene.app.control.clear_faults();
    scene.app.control.clear_requests();
    scene.pass(600).await;
    let (state, transitioning, message) = scene.told().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"));
    assert!(message.contains("cluster [one] already exists in AKS"), "{message}");
    scene.delete().await;
    scene.is_gone().await;
    assert_eq!(scene.sent(), Vec::<String>::new());
}
