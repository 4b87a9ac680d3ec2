//! Several servers with one database: servers that are killed while they hold a lease, and servers that continue a step after
//! their lease has expired.

use std::collections::BTreeMap;
use std::time::Duration;

use azure_sandbox::Operation;
use norman_aks::store::{ClusterRow, ReconcileColumns, clusters};
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
    late_result_of_a_request_is_not_saved,
    late_server_does_not_restore_a_removed_cluster,
);

/// The duration of the worker's leases.
const LEASE_MS: i64 = 150_000;

/// A longer lease, which does not expire during a test's step.
const LONG_LEASE_MS: i64 = 600_000;

/// Claims the cluster as another server that saves a state of its step and is then killed.
async fn claim_and_save(cluster: &TestCluster, change: impl FnOnce(&mut ReconcileColumns)) {
    let ClusterRow { id, mut work, generation, .. } = claim_as_other_server(cluster, LEASE_MS).await;
    change(&mut work);
    let now = cluster.app.clock.now_ms();
    assert!(clusters::record(&cluster.db.store, &id, &work, generation, now).await.unwrap());
}

/// Claims the cluster as another server, which runs no step.
async fn claim_as_other_server(cluster: &TestCluster, lease_ms: i64) -> ClusterRow {
    let now = cluster.app.clock.now_ms();
    // The cluster may not be due yet.
    let claimed = clusters::claim(&cluster.db.store, "another", now + 600_000, now + lease_ms, 10).await;
    let [row] = claimed.unwrap().try_into().unwrap();
    row
}

async fn expired_lease_is_taken_over(database: Database) {
    let cluster = TestCluster::create(database).await;
    claim_as_other_server(&cluster, LEASE_MS).await;
    cluster.advance_secs(140).await;
    assert_eq!(
        (cluster.progress().await.state.as_str(), cluster.app.take_azure_requests()),
        ("provisioning", vec![]),
        "the lease has not expired"
    );
    cluster.advance_secs(20).await;
    assert!(cluster.accepted_writes().contains(&"PUT cluster".to_owned()), "{:?}", cluster.sent_writes());
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT group", "PUT cluster"]);
}

async fn crash_before_the_request_is_recovered(database: Database) {
    let cluster = TestCluster::create(database).await;
    claim_and_save(&cluster, |work| {
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
    // The operation that the PUT started was not saved.
    claim_and_save(&cluster, |work| work.operation = None).await;
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
    claim_and_save(&cluster, |work| work.operation = None).await;
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PUT pool more"]);

    cluster.app.control.clear_requests();
    cluster.delete().await;
    cluster
        .wait_until("the deletion", |object| super::progress_of(object).message.contains("is being deleted"))
        .await;
    claim_and_save(&cluster, |work| work.operation = None).await;
    cluster.wait_until_deleted().await;
    assert_eq!(cluster.sent_writes(), ["DELETE cluster"]);
}

/// Runs a step, and delays its request of this kind in Azure until the lease has expired. During the delay, another server
/// claims the cluster, and `act_as_other_server` is called. Returns the row as claimed.
async fn run_step_past_lease(
    cluster: &TestCluster,
    operation: Operation,
    method: &str,
    act_as_other_server: impl AsyncFnOnce(&ClusterRow),
) -> ClusterRow {
    cluster.app.control.add_fault(fault::once(fault::delay_request(operation, method, 600_000)));
    let worker = cluster.app.server.worker.clone();
    let step = tokio::spawn(async move { worker.run_due(&CancellationToken::new()).await });
    wait_until_received(&cluster.app, operation, method).await;
    cluster.app.clock.advance(Duration::from_secs(200));
    let row = claim_as_other_server(cluster, LONG_LEASE_MS).await;
    act_as_other_server(&row).await;
    assert!(!step.is_finished(), "the step is still delayed");
    cluster.app.control.clear_faults();
    step.await.unwrap().unwrap();
    row
}

async fn late_server_sends_and_saves_nothing(database: Database) {
    // Delayed at the first read of the cluster, and at the read before the PUT of the resource group.
    for (operation, method) in [(Operation::ManagedCluster, "GET"), (Operation::ResourceGroup, "HEAD")] {
        let cluster = TestCluster::create(database).await;
        let claimed = run_step_past_lease(&cluster, operation, method, async |_| ()).await;
        assert_eq!(cluster.sent_writes(), Vec::<String>::new(), "delayed at {method} of {operation:?}");
        let stored = clusters::get(&cluster.db.store, &claimed.id).await.unwrap().unwrap();
        assert_eq!(stored, claimed, "the late server wrote nothing");
    }
}

async fn late_result_of_a_request_is_not_saved(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    cluster.update(json!({"tags": {"a": "b"}})).await;
    let claimed = run_step_past_lease(&cluster, Operation::ManagedCluster, "PATCH", async |_| ()).await;
    let stored = clusters::get(&cluster.db.store, &claimed.id).await.unwrap().unwrap();
    assert_eq!(stored, claimed, "the late server wrote nothing");
    assert_eq!(cluster.sent_writes(), ["PATCH cluster"]);
    // When the lease of the other server has expired, the state is read and the change is complete.
    cluster.app.clock.advance(Duration::from_mins(10));
    cluster.wait_until_active().await;
    assert_eq!(cluster.sent_writes(), ["PATCH cluster"], "the change was already applied");
}

async fn late_server_does_not_restore_a_removed_cluster(database: Database) {
    let cluster = TestCluster::create_active(database).await;
    cluster.app.clock.advance(Duration::from_secs(301));
    run_step_past_lease(&cluster, Operation::ManagedCluster, "GET", async |row| {
        assert!(
            clusters::delete_claimed(&cluster.db.store, &row.id, row.work.fence, &[], None).await.unwrap()
        );
    })
    .await;
    assert_eq!(cluster.app.get(&cluster.path).send().await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_share_steps_without_duplicate_requests() {
    let Some(db) = databases::postgres().await else { return };
    let first = TestApp::builder().database(&db).start().await;
    let second = TestApp::builder().database(&db).with_azure_of(&first).start().await;
    let credential = first.store_credential(&first.admin).await;
    let names: Vec<String> = (0..8).map(|number| format!("n{number}")).collect();
    let mut paths = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let app = if number % 2 == 0 { &first } else { &second };
        paths.push(super::create_object(app, &small_cluster(name, &credential)).await);
    }
    first.control.clear_requests();
    // Runs both workers until all clusters have the state; with "gone", until none exists.
    let run_until = async |state: &str| {
        for _ in 0..600 {
            let steps = [&first, &second].map(|app| {
                let worker = app.server.worker.clone();
                tokio::spawn(async move { worker.run_due(&CancellationToken::new()).await.unwrap() })
            });
            let mut count = 0;
            for step in steps {
                count += step.await.unwrap();
            }
            if count == 0 {
                first.clock.advance(Duration::from_secs(1));
            }
            let list = first.get("/v3/clusters").send().await.expect(200).json();
            let objects = list["data"].as_array().unwrap();
            let expected_len = if state == "gone" { 0 } else { names.len() };
            if objects.len() == expected_len && objects.iter().all(|object| object["state"] == state) {
                return;
            }
        }
        panic!("not all {state}");
    };
    // The write requests for each cluster since the last call.
    let take_writes = || {
        let mut writes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for request in super::sent_writes(&first) {
            let name = names.iter().find(|name| request.path.contains(name.as_str())).unwrap();
            writes.entry(name.clone()).or_default().push(super::short_line(&request));
        }
        first.control.clear_requests();
        writes
    };
    let for_each_cluster = |requests: &[&str]| -> BTreeMap<String, Vec<String>> {
        let requests: Vec<String> = requests.iter().map(|request| (*request).to_owned()).collect();
        names.iter().map(|name| (name.clone(), requests.clone())).collect()
    };
    run_until("active").await;
    assert_eq!(take_writes(), for_each_cluster(&["PUT group", "PUT cluster"]));
    for (number, path) in paths.iter().enumerate() {
        let app = if number % 2 == 0 { &second } else { &first };
        let system = system_pool();
        let change = json!({"name": names[number], "aksConfig": {"tags": {"a": "b"}, "nodePools": [system, pool("more", 1)]}});
        app.put(path).json(&change).send().await.expect(200);
    }
    run_until("active").await;
    assert_eq!(take_writes(), for_each_cluster(&["PATCH cluster", "PUT pool more"]));
    for path in &paths {
        assert_eq!(second.delete(path).send().await.status, 200);
    }
    run_until("gone").await;
    assert_eq!(take_writes(), for_each_cluster(&["DELETE cluster"]));
}
