//! Several servers of one database, servers that are killed with a lease, and servers that return too late.

use std::collections::BTreeMap;
use std::time::Duration;

use azure_sandbox::{Effect, Fault, Operation};
use norman_aks::store::{ClusterRow, clusters};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Base, Stage, fault, held, pool, small};
use crate::support::app::TestApp;
use crate::support::databases;

on_both!(
    expired_lease_is_taken_over,
    crash_before_the_request_is_recovered,
    crash_after_the_request_is_recovered,
    late_server_sends_and_saves_nothing,
    late_server_does_not_restore_a_removed_cluster,
);

/// The duration of a lease.
const LEASE_MS: i64 = 150_000;

/// Claims the cluster as another server that is then killed.
async fn die(scene: &Stage) -> ClusterRow {
    claim_and_die(scene, 600_000).await
}

/// Claims the cluster with the usual lease.
async fn die_for_a_lease(scene: &Stage) -> ClusterRow {
    claim_and_die(scene, LEASE_MS).await
}

async fn claim_and_die(scene: &Stage, lease_ms: i64) -> ClusterRow {
    let now = scene.app.clock.now_ms();
    // Even if it is not due yet.
    let claimed = clusters::claim(&scene.db.store, "another", now + 600_000, now + lease_ms, 10).await;
    let [row] = claimed.unwrap().try_into().unwrap();
    row
}

async fn expired_lease_is_taken_over(base: Base) {
    let scene = Stage::set(base).await;
    die_for_a_lease(&scene).await;
    scene.pass(140).await;
    assert_eq!(
        (scene.told().await.0.as_str(), scene.app.upstream()),
        ("provisioning", vec![]),
        "it has a lease"
    );
    scene.pass(20).await;
    assert!(scene.taken().contains(&"PUT cluster".to_owned()), "{:?}", scene.sent());
    scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster"]);
}

async fn crash_before_the_request_is_recovered(base: Base) {
    let scene = Stage::set(base).await;
    let row = die_for_a_lease(&scene).await;
    let mut work = row.work.clone();
    work.claimed = true;
    "creating".clone_into(&mut work.phase);
    let now = scene.app.clock.now_ms();
    assert!(clusters::record(&scene.db.store, &row.id, &work, row.generation, now).await.unwrap());
    scene.pass(170).await;
    scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster"]);
}

async fn crash_after_the_request_is_recovered(base: Base) {
    let scene = Stage::set(base).await;
    scene.until("the PUT", |cluster| super::told(cluster).2.contains("is being made")).await;
    // The operation that the PUT started was not recorded.
    let row = die_for_a_lease(&scene).await;
    let mut work = row.work.clone();
    work.operation = None;
    let now = scene.app.clock.now_ms();
    assert!(clusters::record(&scene.db.store, &row.id, &work, row.generation, now).await.unwrap());
    scene.pass(140).await;
    assert_eq!(scene.told().await.0, "provisioning");
    scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PUT group", "PUT cluster"]);

    // The same with an update and a deletion.
    scene.app.control.clear_requests();
    let system = small("one", "")["aksConfig"]["nodePools"][0].clone();
    scene.put(json!({"nodePools": [system, pool("more", 1)]})).await;
    scene.until("the pool", |cluster| super::told(cluster).2.contains("node pool more is being")).await;
    let row = die_for_a_lease(&scene).await;
    let mut work = row.work.clone();
    work.operation = None;
    let now = scene.app.clock.now_ms();
    assert!(clusters::record(&scene.db.store, &row.id, &work, row.generation, now).await.unwrap());
    scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PUT pool more"]);

    scene.app.control.clear_requests();
    scene.delete().await;
    scene.until("the deletion", |cluster| super::told(cluster).2.contains("is being removed")).await;
    let row = die_for_a_lease(&scene).await;
    let mut work = row.work.clone();
    work.operation = None;
    let now = scene.app.clock.now_ms();
    assert!(clusters::record(&scene.db.store, &row.id, &work, row.generation, now).await.unwrap());
    scene.is_gone().await;
    assert_eq!(scene.sent(), ["DELETE cluster"]);
}

/// Delays a step at a request until its lease has expired; `other` then takes the lease, and the step ends.
async fn outlived(scene: &Stage, operation: Operation, method: &str, other: impl AsyncFnOnce()) {
    let slow = Fault {
        times: Some(1),
        effect: None,
        latency_ms: 600_000,
        ..fault(operation, method, Effect::CutInBody)
    };
    scene.app.control.add_fault(slow);
    let worker = scene.app.app.worker.clone();
    let step = tokio::spawn(async move { worker.run_due(&CancellationToken::new()).await });
    held(&scene.app, operation, method).await;
    scene.app.clock.advance(Duration::from_secs(200));
    other().await;
    assert!(!step.is_finished(), "the lease was lost during the step");
    scene.app.control.clear_faults();
    step.await.unwrap().unwrap();
}

async fn late_server_sends_and_saves_nothing(base: Base) {
    // Before the first request for the cluster, and at the read before the PUT.
    for (operation, method) in [(Operation::ManagedCluster, "GET"), (Operation::ResourceGroup, "HEAD")] {
        let scene = Stage::set(base).await;
        let mut row = None;
        outlived(&scene, operation, method, async || row = Some(die(&scene).await)).await;
        assert_eq!(scene.sent(), Vec::<String>::new(), "delayed at {method} of {operation:?}");
        let row = row.unwrap();
        let now = clusters::get(&scene.db.store, &row.id).await.unwrap().unwrap();
        assert_eq!(now, row, "the late server wrote nothing");
    }
    // During an update whose PUT is delayed in Azure: the result is not saved.
    let scene = Stage::active(base).await;
    scene.put(json!({"tags": {"a": "b"}})).await;
    let mut row = None;
    outlived(&scene, Operation::ManagedCluster, "PATCH", async || row = Some(die(&scene).await)).await;
    let row = row.unwrap();
    assert_eq!(clusters::get(&scene.db.store, &row.id).await.unwrap().unwrap(), row);
    assert_eq!(scene.sent(), ["PATCH cluster"]);
    // When the lease of the other server has expired, the state is read and the change is complete.
    scene.app.clock.advance(Duration::from_mins(10));
    scene.becomes_active().await;
    assert_eq!(scene.sent(), ["PATCH cluster"], "the change was already applied");
}

async fn late_server_does_not_restore_a_removed_cluster(base: Base) {
    let scene = Stage::active(base).await;
    scene.app.clock.advance(Duration::from_secs(301));
    outlived(&scene, Operation::ManagedCluster, "GET", async || {
        let row = die(&scene).await;
        assert!(clusters::delete_claimed(&scene.db.store, &row.id, row.work.fence, &[], None).await.unwrap());
    })
    .await;
    assert_eq!(scene.app.get(&scene.path).send().await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_share_the_work_without_duplicate_requests() {
    let Some(db) = databases::postgres().await else { return };
    let one = TestApp::with().on(&db).start().await;
    let two = TestApp::with().on(&db).beside(&one).start().await;
    let credential = one.stored_credential(&one.admin).await;
    let names: Vec<String> = (0..8).map(|number| format!("n{number}")).collect();
    let mut paths = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let app = if number % 2 == 0 { &one } else { &two };
        paths.push(super::made(app, &small(name, &credential)).await);
    }
    one.control.clear_requests();
    let round = async |wanted: &str| {
        for _ in 0..600 {
            let steps = [&one, &two].map(|app| {
                let worker = app.app.worker.clone();
                tokio::spawn(async move { worker.run_due(&CancellationToken::new()).await.unwrap() })
            });
            let mut done = 0;
            for step in steps {
                done += step.await.unwrap();
            }
            if done == 0 {
                one.clock.advance(Duration::from_secs(1));
            }
            let mut states = Vec::new();
            for path in &paths {
                let answer = one.get(path).send().await;
                states.push(if answer.status == 404 {
                    "gone".to_owned()
                } else {
                    super::told(&answer.json()).0
                });
            }
            if states.iter().all(|state| state == wanted) {
                return;
            }
        }
        panic!("not all {wanted}");
    };
    // The write requests for each cluster.
    let sent = || {
        let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for seen in super::sent(&one) {
            let name = names.iter().find(|name| seen.path.contains(name.as_str())).unwrap();
            sent.entry(name.clone()).or_default().push(super::short(&seen));
        }
        one.control.clear_requests();
        sent
    };
    let expected = |requests: &[&str]| -> BTreeMap<String, Vec<String>> {
        let requests: Vec<String> = requests.iter().map(|it| (*it).to_owned()).collect();
        names.iter().map(|name| (name.clone(), requests.clone())).collect()
    };
    round("active").await;
    assert_eq!(sent(), expected(&["PUT group", "PUT cluster"]));
    for (number, path) in paths.iter().enumerate() {
        let app = if number % 2 == 0 { &two } else { &one };
        let system = small("x", "")["aksConfig"]["nodePools"][0].clone();
        let change = json!({"name": names[number], "aksConfig": {"tags": {"a": "b"}, "nodePools": [system, pool("more", 1)]}});
        let answer = app.put(path).json(&change).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    round("active").await;
    assert_eq!(sent(), expected(&["PATCH cluster", "PUT pool more"]));
    for path in &paths {
        assert_eq!(two.delete(path).send().await.status, 200);
    }
    round("gone").await;
    assert_eq!(sent(), expected(&["DELETE cluster"]));
}
