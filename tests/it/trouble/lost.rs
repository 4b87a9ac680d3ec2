//! Azure took a change, and its answer never came: what is there is looked at, and nothing is sent a second time.

use norman_aks::sandbox::{Effect, Operation, Times};
use serde_json::json;

use super::{Base, Stage, pool, refusal};

on_both!(
    a_lost_answer_of_a_creation_is_looked_after,
    a_lost_answer_of_a_change_or_a_removal_is_looked_after,
    a_long_operation_that_azure_forgot_is_looked_after,
    what_another_made_in_the_meantime_is_never_taken_for_ours,
);

async fn a_lost_answer_of_a_creation_is_looked_after(base: Base) {
    for (operation, effect) in [
        (Operation::ManagedCluster, Effect::CutAfterTaken),
        (Operation::ManagedCluster, Effect::CutInBody),
        (Operation::ResourceGroup, Effect::CutAfterTaken),
        (Operation::ResourceGroup, Effect::CutInBody),
    ] {
        let stage = Stage::set(base).await;
        stage.fault_once(operation, "PUT", effect.clone());
        let cluster = stage.until("the cut", |cluster| cluster["transitioning"] == "error").await;
        let (state, _, message) = super::told(&cluster);
        assert!(state == "provisioning" && message.contains("the connection was cut"), "{state} {message}");
        stage.becomes_active().await;
        assert_eq!(stage.sent(), ["PUT group", "PUT cluster"], "{effect:?} of {operation:?}");
    }
}

async fn a_lost_answer_of_a_change_or_a_removal_is_looked_after(base: Base) {
    let stage = Stage::active(base).await;
    // So long that Azure is seen at work after the pause.
    stage.app.control.set_times(Times { scale: 10.0, ..Times::default() }).unwrap();
    let system = super::small("one", "")["aksConfig"]["nodePools"][0].clone();
    for (operation, method, change, sent) in [
        (Operation::ManagedCluster, "PUT", json!({"kubernetesVersion": "1.33.3"}), "PUT cluster"),
        (Operation::ManagedCluster, "PATCH", json!({"tags": {"a": "b"}}), "PATCH cluster"),
        (Operation::AgentPool, "PUT", json!({"nodePools": [system, pool("more", 1)]}), "PUT pool more"),
        (Operation::AgentPool, "PUT", json!({"nodePools": [system, pool("more", 2)]}), "PUT pool more"),
        (Operation::AgentPool, "DELETE", json!({"nodePools": [system]}), "DELETE pool more"),
    ] {
        stage.app.control.clear_requests();
        stage.fault_once(operation, method, Effect::CutAfterTaken);
        stage.put(change).await;
        stage.until("the cut", |cluster| cluster["transitioning"] == "error").await;
        let waits = stage.until("Azure at work", |cluster| cluster["transitioning"] == "yes").await;
        assert!(super::told(&waits).2.starts_with("Azure: "), "{waits}");
        stage.becomes_active().await;
        assert_eq!(stage.sent(), [sent]);
    }
    stage.app.control.clear_requests();
    stage.fault_once(Operation::ManagedCluster, "DELETE", Effect::CutAfterTaken);
    stage.delete().await;
    stage.is_gone().await;
    assert_eq!(stage.sent(), ["DELETE cluster"]);
}

async fn a_long_operation_that_azure_forgot_is_looked_after(base: Base) {
    let gone = || refusal(404, "NotFound", "The entity was not found.");
    let stage = Stage::set(base).await;
    stage.fault(Operation::LongOperation, "GET", gone());
    let cluster =
        stage.until("a look at the cluster", |cluster| super::told(cluster).2.contains("is Creating")).await;
    assert_eq!(cluster["transitioning"], "yes");
    stage.becomes_active().await;
    assert_eq!(stage.sent(), ["PUT group", "PUT cluster"]);

    let system = super::small("one", "")["aksConfig"]["nodePools"][0].clone();
    for (change, sent) in [
        (json!({"kubernetesVersion": "1.33.3"}), "PUT cluster"),
        (json!({"tags": {"a": "b"}}), "PATCH cluster"),
        (json!({"nodePools": [system, pool("more", 1)]}), "PUT pool more"),
        (json!({"nodePools": [system]}), "DELETE pool more"),
    ] {
        stage.app.control.clear_requests();
        stage.put(change).await;
        stage.becomes_active().await;
        assert_eq!(stage.sent(), [sent]);
    }
    stage.app.control.clear_requests();
    stage.delete().await;
    stage.is_gone().await;
    assert_eq!(stage.sent(), ["DELETE cluster"]);
}

async fn what_another_made_in_the_meantime_is_never_taken_for_ours(base: Base) {
    let stage = Stage::set_with(base, crate::support::app::TestApp::with(), |body| {
        body["aksConfig"]["resourceGroup"] = json!("rancher");
    })
    .await;
    // The PUT is written down as sent, and never comes through; then somebody else makes a cluster of that name.
    stage.fault(Operation::ManagedCluster, "PUT", Effect::CutBeforeAnswer);
    stage.until("the cut", |cluster| cluster["transitioning"] == "error").await;
    let theirs = json!({"id": "/subscriptions/s/resourceGroups/rancher/providers/Microsoft.ContainerService/managedClusters/one",
        "name": "one", "location": "eastus", "tags": {"owner": "them"},
        "properties": {"provisioningState": "Succeeded", "kubernetesVersion": "1.32.7"}});
    let page = norman_aks::sandbox::Page::new(200, &theirs).unwrap();
    stage.app.control.play(stage.app.seed.subscription_id, "managedCluster", vec![page]).unwrap();
    stage.app.control.clear_faults();
    stage.app.control.clear_requests();
    stage.pass(600).await;
    let (state, transitioning, message) = stage.told().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"));
    assert!(message.contains("cluster [one] already exists in AKS"), "{message}");
    stage.delete().await;
    stage.is_gone().await;
    assert_eq!(stage.sent(), Vec::<String>::new());
}
