//! Several servers of one database, servers that are killed with a lease, and servers that return too late.

use std::collections::BTreeMap;
use std::time::Duration;

use azure_sandbox::Operation;
use norman_aks::store::{ClusterRow, WorkColumns, clusters};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Database, TestCluster, pool, small_cluster, system_pool, wait_until_received};
use crate::support::app::TestApp;
use crate::support::databases;
use crate::support::fault;

on_both_databases!(
    expired_lease_is_taken_over,
    crash_before_the_request_is_recovered,
    crash_after_the_request_is_recovered,
    late_server_sends_and_saves_nothing,
    late_server_does_not_restore_a_removed_cluster,
);

/// The duration of a lease.
const LEASE_MS: i64 = 150_000;

/// Claims the cluster as another server that is then killed.
async fn die(cluster: &TestCluster) -> ClusterRow {
    claim_and_die(cluster, 600_000).await
}

/// Claims the cluster with the usual lease.
async fn die_for_a_lease(cluster: &TestCluster) -> ClusterRow {
    claim_and_die(cluster, LEASE_MS).await
}

/// Claims the cluster with the usual lease, and records another state of the step.
async fn die_with_state(cluster: &TestCluster, change: impl FnOnce(&mut WorkColumns)) {
    let ClusterRow { id, mut work, generation, .. } = die_for_a_lease(cluster).await;
    change(&mut work);
    let now = cluster.app.clock.now_ms();
    assert!(clusters::record(&cluster.db.store, &id, &work, generation, now).await.unwrap());
}

async fn claim_and_die(cluster: &TestCluster, lease_ms: i64) -> ClusterRow {
    let now = cluster.app.clock.now_ms();
    // Even if it is not due yet.
    let claimed = clusters::claim(&cluster.db.store, "another", now + 600_000, now + lease_ms, 10).await;
    let [row] = claimed.unwrap().try_into().unwrap();
    row
}

async fn expired_lease_is_taken_over(database: Database) {
    let cluster = TestCluster::create(database).await;
    die_for_a_lease(&cluster).await;
    cluster.advance_secs(140).await;
    assert_eq!(
        (cluster.progress().await.state.as_str(), cluster.app.take_azure_requests()),
        ("provisioning", vec![]),
        "it has a lease"
    );
    cluster.advance_secs(20).await;
    assert!(cluster.accepted_writes().contains(&"PUT cluster".to_owned()), "{:?}", cluster.sent_writes());
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);
}

async fn crash_before_the_request_is_recovered(database: Database) {
    let cluster = TestCluster::create(database).await;
    die_with_state(&cluster, |work| {
        work.claimed = true;
        "creating".clone_into(&mut work.phase);
    })
    .await;
    cluster.advance_secs(170).await;
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);
}

async fn crash_after_the_request_is_recovered(database: Database) {
    let cluster = TestCluster::create(database).await;
    cluster
        .wait_until("the PUT", |object| super::progress_of(object).message.contains("creating cluster"))
        .await;
    // The operation that the PUT started was not recorded.
    die_with_state(&cluster, |work| work.operation = None).await;
    cluster.advance_secs(140).await;
    assert_eq!(cluster.progress().await.state, "provisioning");
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);

    // The same with an update and a deletion.
    cluster.app.control.clear_requests();
    let system = system_pool();
    cluster.update(json!({"nodePools": [system, pool("more", 1)]})).await;
    cluster
        .wait_until("the pool", |object| {
            super::progress_of(object).message.contains("node pool more is being")
        })
        .await;
    die_with_state(&cluster, |work| work.operation = None).await;
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT pool more"]);

    cluster.app.control.clear_requests();
    cluster.delete().await;
    cluster
        .wait_until("the deletion", |object| super::progress_of(object).message.contains("is being removed"))
        .await;
    die_with_state(&cluster, |work| work.operation = None).await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), ["DELETE cluster"]);
}

/// Delays a step at a request until its lease has expired; `other` then takes the lease, and the step ends.
async fn outlived(cluster: &TestCluster, operation: Operation, method: &str, other: impl AsyncFnOnce()) {
    let slow = fault::once(fault::delay_request(operation, method, 600_000));
    cluster.app.control.add_fault(slow);
    let worker = cluster.app.server.worker.clone();
    let step = tokio::spawn(async move { worker.run_due(&CancellationToken::new()).await });
    wait_until_received(&cluster.app, operation, method).await;
    cluster.app.clock.advance(Duration::from_secs(200));
    other().await;
    assert!(!step.is_finished(), "the lease was lost during the step");
    cluster.app.control.clear_faults();
    step.await.unwrap().unwrap();
}

async fn late_server_sends_and_saves_nothing(database: Database) {
    // Before the first request for the cluster, and at the read before the PUT.
    for (operation, method) in [(Operation::ManagedCluster, "GET"), (Operation::ResourceGroup, "HEAD")] {
        let cluster = TestCluster::create(database).await;
        let mut row = None;
        outlived(&cluster, operation, method, async || row = Some(die(&cluster).await)).await;
        assert_eq!(cluster.sent_writes(), Vec::<String>::new(), "delayed at {method} of {operation:?}");
        let row = row.unwrap();
        let now = clusters::get(&cluster.db.store, &row.id).await.unwrap().unwrap();
        assert_eq!(now, row, "the late server wrote nothing");
    }
    // During an update whose PUT is delayed in Azure: the result is not saved.
    let cluster = TestCluster::create_active(database).await;
    cluster.update(json!({"tags": {"a": "b"}})).await;
    let mut row = None;
    outlived(&cluster, Operation::ManagedCluster, "PATCH", async || row = Some(die(&cluster).await)).await;
    let row = row.unwrap();
    assert_eq!(clusters::get(&cluster.db.store, &row.id).await.unwrap().unwrap(), row);
    assert_eq!(cluster.sent_writes(), ["PATCH cluster"]);
    // When the lease of the other server has expired, the state is read and the change is complete.
    cluster.app.clock.advance(Duration::from_mins(10));
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PATCH cluster"], "the change was already applied");
}

async fn late_server_does_not_restore_a_removed_cluster(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    cluster.app.clock.advance(Duration::from_secs(301));
    outlived(&cluster, Operation::ManagedCluster, "GET", async || {
        let row = die(&cluster).await;
        assert!(
            clusters::delete_claimed(&cluster.db.store, &row.id, row.work.fence, &[], None).await.unwrap()
        );
    })
    .await;
    assert_eq!(cluster.app.get(&cluster.path).send().await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_share_the_work_without_duplicate_requests() {
    let Some(db) = databases::postgres().await else { return };
    let one = TestApp::builder().database(&db).start().await;
    let two = TestApp::builder().database(&db).with_azure_of(&one).start().await;
    let credential = one.store_credential(&one.admin).await;
    let names: Vec<String> = (0..8).map(|number| format!("n{number}")).collect();
    let mut paths = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let app = if number % 2 == 0 { &one } else { &two };
        paths.push(super::create_object(app, &small_cluster(name, &credential)).await);
    }
    one.control.clear_requests();
    let round = async |wanted: &str| {
        for _ in 0..600 {
            let steps = [&one, &two].map(|app| {
                let worker = app.server.worker.clone();
                tokio::spawn(async move { worker.run_due(&CancellationToken::new()).await.unwrap() })
            });
            let mut done = 0;
            for step in steps {
                done += step.await.unwrap();
            }
            if done == 0 {
                one.clock.advance(Duration::from_secs(1));
            }
            let list = one.get("/v3/clusters").send().await.expect(200).json();
            let objects = list["data"].as_array().unwrap();
            let left = if wanted == "gone" { 0 } else { names.len() };
            if objects.len() == left && objects.iter().all(|object| object["state"] == wanted) {
                return;
            }
        }
        panic!("not all {wanted}");
    };
    // The write requests for each cluster.
    let sent = || {
        let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for seen in super::sent_writes(&one) {
            let name = names.iter().find(|name| seen.path.contains(name.as_str())).unwrap();
            sent.entry(name.clone()).or_default().push(super::short_line(&seen));
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
        let system = system_pool();
        let change = json!({"name": names[number], "aksConfig": {"tags": {"a": "b"}, "nodePools": [system, pool("more", 1)]}});
        app.put(path).json(&change).send().await.expect(200);
    }
    round("active").await;
    assert_eq!(sent(), expected(&["PATCH cluster", "PUT pool more"]));
    for path in &paths {
        assert_eq!(two.delete(path).send().await.status, 200);
    }
    round("gone").await;
    assert_eq!(sent(), expected(&["DELETE cluster"]));
}
