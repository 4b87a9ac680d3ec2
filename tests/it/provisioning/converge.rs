//! Convergence after unexpected changes by Azure or by other users.

use std::time::Duration;

use azure_sandbox::{Declared, Fault, OperationKind, ScriptedOutcome};
use http::Method;
use norman_aks::store;
use serde_json::{Value, json};

use super::{ClusterSetup, azure_cluster_body, cluster_path, lines, pool, pool_with};
use crate::support::app::TestApp;
use crate::support::databases;
use crate::support::fault;

const READ_KUBECONFIG: &str = "POST rancher/one/listClusterAdminCredential";

fn failure(kind: OperationKind) -> ScriptedOutcome {
    fault::outcome(kind, "QuotaExceeded", "no cores are left")
}

fn rejection(path: &str, status: u16) -> Fault {
    fault::for_path(path, fault::error(status, "NotToday", "somebody else said so"))
}

/// The host name of the Kubernetes API of the cluster.
async fn host(setup: &ClusterSetup) -> String {
    setup.aks_cluster("one").await.unwrap()["properties"]["fqdn"].as_str().unwrap().to_owned()
}

/// Replaces the certificate authority of the cluster, which then rejects all earlier credentials.
async fn rotate_certificates(setup: &ClusterSetup) {
    let host = host(setup).await;
    let declared = setup.app.control.kubernetes().into_iter().find(|cluster| cluster.fqdn == host).unwrap();
    setup.app.control.forget_kubernetes(&host);
    setup.app.control.declare_kubernetes(declared);
}

fn condition<'a>(cluster: &'a Value, condition_type: &str) -> (&'a str, &'a str) {
    let conditions = cluster["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|condition| condition["type"] == condition_type).unwrap();
    (condition["status"].as_str().unwrap(), condition["message"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn changed_authority_is_learned_by_the_next_refresh() {
    let (setup, id) = ClusterSetup::start_active().await;
    let old_authority = setup.get(&id).await["caCert"].clone();
    rotate_certificates(&setup).await;
    setup.advance_refreshes(1).await;
    let object = setup.get(&id).await;
    assert_ne!(object["caCert"], old_authority);
    assert_eq!(condition(&object, "Ready"), ("True", ""));
    assert_eq!(lines(&setup.take_writes()), [READ_KUBECONFIG]);
    setup.advance_refreshes(3).await;
    assert_eq!(lines(&setup.take_writes()), [""; 0], "the new authority is stored");
}

#[tokio::test]
async fn temporarily_unreachable_cluster_recovers() {
    let (setup, id) = ClusterSetup::start_active().await;
    let host = host(&setup).await;
    let declared = setup.app.control.kubernetes().into_iter().find(|cluster| cluster.fqdn == host).unwrap();
    let set_running =
        |running| setup.app.control.declare_kubernetes(Declared { running, ..declared.clone() });
    set_running(false);
    setup.app.control.clear_kubernetes_requests();
    // The first refresh may fail on a closed connection, and then does not request the kubeconfig.
    setup.advance_refreshes(3).await;
    assert_eq!(condition(&setup.get(&id).await, "Ready").0, "False");
    let reads = lines(&setup.take_writes());
    assert!((2..=3).contains(&reads.len()) && reads.iter().all(|line| line == READ_KUBECONFIG), "{reads:?}");
    set_running(true);
    setup.advance_refreshes(1).await;
    assert_eq!(condition(&setup.get(&id).await, "Ready"), ("True", ""));
    assert_eq!(lines(&setup.take_writes()), [""; 0]);
    let writes =
        setup.app.control.kubernetes_requests().into_iter().filter(|request| request.method != "GET");
    assert_eq!(
        writes.map(|request| request.path).collect::<Vec<_>>(),
        [""; 0],
        "nothing is written in the cluster"
    );
}

#[tokio::test]
async fn failed_creation_is_retried_with_another_spec() {
    let setup = ClusterSetup::start().await;
    setup.app.control.add_outcome(failure(OperationKind::CreateCluster));
    let id = setup.post_and_settle(&setup.small_cluster()).await;
    setup.expect_failure(&id, "provisioning").await;
    let changes = json!({"vmSize": "Standard_D4s_v3", "availabilityZones": ["1"], "maxPods": 60});
    let response = setup.update(&id, json!({"nodePools": [pool_with("system", "System", changes)]})).await;
    assert_eq!(response.status.as_u16(), 200, "{}", response.text());
    setup.settle_and_expect_active(&id).await;
    let system_pool = setup.pool_in_azure("one", "system").await.unwrap();
    assert_eq!((&system_pool["vmSize"], &system_pool["maxPods"]), (&json!("Standard_D4s_v3"), &json!(60)));
    // Now that the pool exists, these fields are immutable.
    let response = setup.update(&id, json!({"nodePools": [pool("system", "System")]})).await;
    assert_eq!(response.status.as_u16(), 422, "{}", response.text());
}

#[tokio::test]
async fn change_is_done_without_access_to_the_cluster() {
    let (setup, id) = ClusterSetup::start_active().await;
    rotate_certificates(&setup).await;
    setup.app.control.add_fault(rejection("listClusterAdminCredential", 409));
    setup.update_and_settle(&id, json!({"tags": {"a": "b"}})).await;
    let object = setup.get(&id).await;
    let (status, message) = condition(&object, "Ready");
    assert_eq!(status, "False");
    assert!(message.contains("error getting kube config: NotToday"), "{message}");
    setup.advance_refreshes(1).await;
    assert_eq!(condition(&setup.get(&id).await, "Updated"), ("True", ""));
    setup.app.control.clear_faults();
    setup.advance_refreshes(1).await;
    assert_eq!(condition(&setup.get(&id).await, "Ready"), ("True", ""));
}

#[tokio::test]
async fn failed_pool_is_deleted_once_unlisted() {
    let (setup, id) = ClusterSetup::start_active().await;
    setup.app.control.add_outcome(failure(OperationKind::CreatePool));
    let two_pools = json!({"nodePools": [pool("system", "System"), pool("gpu", "User")]});
    assert_eq!(setup.update(&id, two_pools).await.status.as_u16(), 200);
    setup.app.settle().await;
    setup.expect_failure(&id, "updating").await;
    assert!(setup.pool_in_azure("one", "gpu").await.is_some());
    let writes = setup.writes_of_update(&id, json!({"nodePools": [pool("system", "System")]})).await;
    assert_eq!(lines(&writes).last().map(String::as_str), Some("DELETE rancher/one/gpu"));
    assert_eq!(setup.pool_in_azure("one", "gpu").await, None);
    // A pool that another user creates later with this name is not ours.
    setup
        .put_pool_in_azure("one", "gpu", json!({"count": 1, "vmSize": "Standard_DS2_v2", "mode": "User"}))
        .await;
    setup.expect_no_writes(&id).await;
    assert!(setup.pool_in_azure("one", "gpu").await.is_some());
}

#[tokio::test]
async fn pool_removed_during_creation_is_deleted() {
    let setup = ClusterSetup::start().await;
    let id = setup
        .post(
            &setup.small_cluster_with(json!({"nodePools": [pool("system", "System"), pool("work", "User")]})),
        )
        .await;
    setup.run_due_steps().await;
    assert!(setup.aks_cluster("one").await.is_some(), "it is being created");
    let response = setup.update(&id, json!({"nodePools": [pool("system", "System")]})).await;
    assert_eq!(response.status.as_u16(), 200, "{}", response.text());
    setup.settle_and_expect_active(&id).await;
    assert_eq!(setup.pool_in_azure("one", "work").await, None);
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn removed_ranges_are_removed_in_azure() {
    let setup = ClusterSetup::start().await;
    let body = setup
        .small_cluster_with(json!({"authorizedIpRanges": ["20.1.0.0/16"], "outboundType": "loadBalancer"}));
    let id = setup.create_active(&body).await;
    let mut config = body["aksConfig"].clone();
    config.as_object_mut().unwrap().remove("authorizedIpRanges");
    let writes = setup.writes_of_update(&id, config).await;
    assert_eq!(lines(&writes), ["PUT rancher/one"]);
    assert_eq!(writes[0].at("/properties/apiServerAccessProfile/authorizedIPRanges"), json!([]));
    assert!(setup.get(&id).await["aksConfig"].get("authorizedIpRanges").is_none());
    // Ranges that another user sets in Azure are not managed afterwards.
    let path = "/properties/apiServerAccessProfile";
    setup.set_in_azure("one", path, json!({"authorizedIPRanges": ["20.9.0.0/16"]})).await;
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn unrelated_change_keeps_recent_changes_in_azure() {
    let (setup, id) = ClusterSetup::start_active().await;
    setup.put_pool_in_azure("one", "system", json!({"count": 3})).await;
    let body = json!({"name": "one", "description": "other words", "labels": {"a": "b"},
        "aksConfig": setup.small_cluster()["aksConfig"]});
    let response = setup.app.put(&format!("/v3/clusters/{id}")).json(&body).send().await;
    assert_eq!(
        (response.status.as_u16(), &response.json()["state"]),
        (200, &json!("active")),
        "{}",
        response.text()
    );
    setup.settle_and_expect_active(&id).await;
    assert_eq!(lines(&setup.take_writes()), [""; 0]);
    let object = setup.get(&id).await;
    assert_eq!((&object["description"], &object["labels"]["a"]), (&json!("other words"), &json!("b")));
    assert_eq!(object["aksConfig"]["nodePools"][0]["count"], 3, "read and adopted");
}

#[tokio::test]
async fn import_contains_azures_state_when_it_is_active() {
    let setup = ClusterSetup::start().await;
    let empty_values = json!({"tags": {}, "monitoring": false, "httpApplicationRouting": false});
    let id = setup.create_active(&setup.import_body("made-elsewhere", empty_values)).await;
    let object = setup.get(&id).await;
    assert_eq!(object["aksConfig"]["tags"], json!({}), "Azure's tags are not the user's");
    assert_eq!(object["aksStatus"]["upstreamSpec"]["tags"], json!({"team": "platform"}));
    let writes = setup.writes_of_update(&id, json!({"authorizedIpRanges": ["20.1.0.0/16"]})).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"], "no PATCH of the tags");
    assert_eq!(setup.aks_cluster("made-elsewhere").await.unwrap()["tags"], json!({"team": "platform"}));
}

#[tokio::test]
async fn failed_change_is_retried_later() {
    let (setup, id) = ClusterSetup::start_active().await;
    setup.app.control.add_outcome(failure(OperationKind::ScalePool));
    setup.app.control.add_outcome(failure(OperationKind::UpdatePool));
    let config = json!({"nodePools": [pool_with("system", "System", json!({"count": 2}))]});
    assert_eq!(setup.update(&id, config).await.status.as_u16(), 200);
    setup.app.settle().await;
    let expected = "failed to update cluster [one]: node pool system: QuotaExceeded: no cores are left";
    assert_eq!(setup.expect_failure(&id, "updating").await, expected);
    setup.advance_refreshes(4).await;
    assert_eq!(lines(&setup.take_writes()), ["PUT rancher/one/system"], "not immediately");
    assert_eq!(setup.expect_failure(&id, "updating").await, expected);
    for _ in 0..2 {
        setup.app.clock.advance(Duration::from_mins(30));
        setup.app.settle().await;
    }
    setup.expect_active(&id).await;
    let writes = lines(&setup.take_writes());
    assert!(
        (1..=2).contains(&writes.len()) && writes.iter().all(|line| line == "PUT rancher/one/system"),
        "{writes:?}"
    );
}

#[tokio::test]
async fn resource_is_polled_if_the_operation_is_unreadable() {
    /// More than there are polls.
    const MAX_FAULTS: Option<u32> = Some(1_000);
    let (setup, id) = ClusterSetup::start_active().await;
    for status in [400, 401, 403, 405, 409] {
        setup.app.control.add_fault(Fault { times: MAX_FAULTS, ..rejection("/operations/", status) });
        // A different count for each status.
        let count = status / 100 + status % 10;
        let config = json!({"nodePools": [pool_with("system", "System", json!({"count": count}))]});
        let writes = setup.writes_of_update(&id, config).await;
        assert_eq!(lines(&writes), ["PUT rancher/one/system"], "{status}");
        let faults = setup.app.control.faults();
        assert!(faults.iter().all(|fault| fault.times < MAX_FAULTS), "no poll of the operation failed");
        setup.app.control.clear_faults();
    }
}

#[tokio::test]
async fn workspace_is_irrelevant_once_monitoring_is_on() {
    let setup = ClusterSetup::start().await;
    setup.app.control.add_outcome(failure(OperationKind::CreateWorkspace));
    let id = setup.post_and_settle(&setup.small_cluster_with(json!({"monitoring": true}))).await;
    setup.expect_active(&id).await;
    let attempts =
        lines(&setup.take_writes()).into_iter().filter(|line| line.ends_with("/rancher-EUS")).count();
    assert_eq!(attempts, 2, "the first one failed");
    setup.app.control.add_fault(rejection("/workspaces/", 403));
    let writes = setup.writes_of_update(&id, json!({"tags": {"a": "b"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/one"]);
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn removal_of_a_foreign_cluster_says_that_it_stays() {
    let db = databases::sqlite().await;
    let setup = ClusterSetup::new(TestApp::builder().database(&db).start().await, "ready").await;
    let id = setup.create_active(&setup.small_cluster()).await;
    setup.change_in_azure(Method::DELETE, &cluster_path("one"), None).await;
    setup
        .change_in_azure(Method::PUT, &cluster_path("one"), Some(&azure_cluster_body("theirs", json!({}))))
        .await;
    setup.delete_and_settle(&id).await;
    assert!(setup.aks_cluster("one").await.is_some());
    let events = store::cluster_events::list(&db.store, &id, "", 100).await.unwrap();
    let last = &events.last().unwrap().message;
    assert!(
        last.contains("one in Azure is not the cluster that this server created, so it is left unchanged"),
        "{last}"
    );
}
