//! Long-running operations that fail or are cancelled: Azure's message is shown and remains, no request is repeated
//! indefinitely, and a change by the user is a new attempt.

use azure_sandbox::{FinalStatus, Operation, OperationKind, ScriptedOutcome};
use serde_json::{Value, json};

use super::{Base, Stage, pool, refusal};

on_both!(
    failed_creation_is_explained_and_repaired,
    failed_creation_can_be_removed,
    failed_change_is_repeated_on_request,
    failing_change_is_not_sent_forever,
    unreported_failure_is_found_by_reading,
    failed_removal_is_repeated,
);

fn ending(deed: OperationKind, status: FinalStatus, times: Option<u32>) -> ScriptedOutcome {
    ScriptedOutcome {
        kind: Some(deed),
        status,
        times,
        code: "AllocationFailed".to_owned(),
        message: "There is no room for these machines.".to_owned(),
        ..ScriptedOutcome::default()
    }
}

fn puts(scene: &Stage, what: &str) -> usize {
    scene.taken().iter().filter(|taken| *taken == what).count()
}

async fn failed_creation_is_explained_and_repaired(base: Base) {
    for status in [FinalStatus::Failed, FinalStatus::Canceled] {
        let scene = Stage::set(base).await;
        scene.app.control.add_outcome(ending(OperationKind::CreateCluster, status, Some(1)));
        scene.until("the failure", |cluster| cluster["transitioning"] == "error").await;
        for seconds in [0, 10, 600] {
            scene.pass(seconds).await;
            let (state, transitioning, message) = scene.told().await;
            assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"), "{status:?}");
            assert!(
                message.contains("AllocationFailed") && message.contains("no room"),
                "Azure's message remains, {seconds} s later: {message}"
            );
        }
        assert_eq!(scene.sent(), ["PUT group", "PUT cluster"], "there is no automatic retry");
        scene.put(json!({"tags": {"again": "1"}})).await;
        let cluster = scene.becomes_active().await;
        assert_eq!(cluster["transitioningMessage"], "");
        let provisioned =
            cluster["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Provisioned");
        assert_eq!(provisioned.unwrap()["status"], "True");
        assert!(puts(&scene, "PUT cluster") <= 3, "{:?}", scene.sent());
    }
}

async fn failed_creation_can_be_removed(base: Base) {
    let scene = Stage::set(base).await;
    scene.app.control.add_outcome(ending(OperationKind::CreateCluster, FinalStatus::Failed, None));
    scene.until("the failure", |cluster| cluster["transitioning"] == "error").await;
    scene.pass(30).await;
    scene.delete().await;
    scene.is_gone().await;
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster", "DELETE cluster"]);
}

/// Changes, with their operations in Azure and the requests.
fn changes() -> [(OperationKind, Value, &'static str); 5] {
    let system = super::small("one", "")["aksConfig"]["nodePools"][0].clone();
    [
        (OperationKind::UpgradeCluster, json!({"kubernetesVersion": "1.33.3"}), "PUT cluster"),
        (OperationKind::TagCluster, json!({"tags": {"a": "b"}}), "PATCH cluster"),
        (OperationKind::CreatePool, json!({"nodePools": [system, pool("more", 1)]}), "PUT pool more"),
        (OperationKind::ScalePool, json!({"nodePools": [system, pool("more", 2)]}), "PUT pool more"),
        (OperationKind::DeletePool, json!({"nodePools": [system]}), "DELETE pool more"),
    ]
}

async fn failed_change_is_repeated_on_request(base: Base) {
    for status in [FinalStatus::Failed, FinalStatus::Canceled] {
        let scene = Stage::active(base).await;
        for (deed, change, sent) in changes() {
            scene.app.control.clear_requests();
            scene.app.control.add_outcome(ending(deed, status, Some(1)));
            scene.put(change.clone()).await;
            let cluster = scene.until("the failure", |cluster| cluster["transitioning"] == "error").await;
            let (state, _, message) = super::told(&cluster);
            assert_eq!(state, "updating", "{deed:?}");
            assert!(message.contains("AllocationFailed: There is no room"), "{deed:?}: {message}");
            // A pool that still exists is deleted without another message.
            if deed != OperationKind::DeletePool {
                scene.pass(300).await;
                let (state, transitioning, later) = scene.told().await;
                assert_eq!((state.as_str(), transitioning.as_str()), ("updating", "error"), "{deed:?}");
                assert!(
                    later.contains("AllocationFailed: There is no room"),
                    "the message remains, {deed:?}: {later}"
                );
                assert_eq!(scene.sent(), [sent]);
                scene.put(change).await;
            }
            let cluster = scene.becomes_active().await;
            let upstream = &cluster["aksStatus"]["upstreamSpec"];
            match deed {
                OperationKind::UpgradeCluster => assert_eq!(upstream["kubernetesVersion"], "1.33.3"),
                OperationKind::TagCluster => assert_eq!(upstream["tags"], json!({"a": "b"})),
                OperationKind::CreatePool => assert_eq!(upstream["nodePools"].as_array().unwrap().len(), 2),
                OperationKind::ScalePool => assert_eq!(upstream["nodePools"][1]["count"], 2),
                _ => assert_eq!(upstream["nodePools"].as_array().unwrap().len(), 1),
            }
            let all = scene.sent();
            assert!(all[0] == sent && all.len() == 2, "{deed:?} {status:?}: {all:?}");
        }
    }
}

async fn failing_change_is_not_sent_forever(base: Base) {
    for (deed, change, sent) in changes() {
        let scene = Stage::active(base).await;
        if deed == OperationKind::DeletePool || deed == OperationKind::ScalePool {
            let (_, more, _) = changes()[2].clone();
            scene.put(more).await;
            scene.becomes_active().await;
            scene.app.control.clear_requests();
        }
        scene.app.control.add_outcome(ending(deed, FinalStatus::Failed, None));
        // The repair of the cluster fails too.
        scene.app.control.add_outcome(ending(OperationKind::UpdateCluster, FinalStatus::Failed, None));
        scene.put(change).await;
        scene.pass(1_200).await;
        let cluster = scene.until("a failure", |cluster| cluster["transitioning"] == "error").await;
        let (state, _, message) = super::told(&cluster);
        assert_eq!(state, "updating", "{deed:?}: never falsely active");
        assert!(message.contains("There is no room"), "{deed:?}: {message}");
        let all = scene.sent();
        assert!(all[0] == sent && (1..=6).contains(&all.len()), "{deed:?} in twenty minutes: {all:?}");
    }
}

async fn unreported_failure_is_found_by_reading(base: Base) {
    let forgotten = || refusal(404, "NotFound", "The entity was not found.");
    // A creation.
    let scene = Stage::set(base).await;
    scene.fault(Operation::LongOperation, "GET", forgotten());
    scene.app.control.add_outcome(ending(OperationKind::CreateCluster, FinalStatus::Failed, None));
    scene.app.control.add_outcome(ending(OperationKind::UpdateCluster, FinalStatus::Failed, None));
    scene.pass(600).await;
    let (state, transitioning, message) = scene.told().await;
    assert_eq!((state.as_str(), transitioning.as_str()), ("provisioning", "error"), "{message}");
    assert!(message.contains("creation for cluster [one") && message.contains("status: Failed"), "{message}");
    assert!(puts(&scene, "PUT cluster") <= 2, "{:?}", scene.sent());

    // Changes that Azure returns as applied although they failed.
    for (deed, change, _) in changes().into_iter().take(3) {
        let scene = Stage::active(base).await;
        scene.fault(Operation::LongOperation, "GET", forgotten());
        scene.app.control.add_outcome(ending(deed, FinalStatus::Failed, None));
        scene.app.control.add_outcome(ending(OperationKind::UpdateCluster, FinalStatus::Failed, None));
        scene.put(change).await;
        scene.pass(600).await;
        let (state, _, message) = scene.told().await;
        assert_eq!(state, "updating", "{deed:?} failed, and nobody told: {message}");
    }
}

async fn failed_removal_is_repeated(base: Base) {
    for status in [FinalStatus::Failed, FinalStatus::Canceled] {
        let scene = Stage::active(base).await;
        scene.app.control.add_outcome(ending(OperationKind::DeleteCluster, status, Some(2)));
        scene.delete().await;
        let cluster = scene.until("the failure", |cluster| cluster["transitioning"] == "error").await;
        let (state, _, message) = super::told(&cluster);
        assert_eq!(state, "removing");
        assert!(
            message.contains("error removing cluster [one] message AllocationFailed: There is no room"),
            "{message}"
        );
        scene.is_gone().await;
        assert_eq!(scene.sent(), ["DELETE cluster"; 3]);
    }
}
