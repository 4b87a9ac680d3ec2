//! What has to come right by itself: after Azure, or somebody there, did what nobody here asked for.

use std::time::Duration;

use azure_sandbox::{Declared, Effect, Fault, OperationKind, Refusal, ScriptedOutcome};
use http::Method;
use norman_aks::store;
use serde_json::{Value, json};

use super::{Case, cluster, lines, made_in_azure, pool, pool_with};
use crate::support::app::TestApp;
use crate::support::databases;

const LOOKED: &str = "POST rancher/one/listClusterAdminCredential";

fn fails(deed: OperationKind, times: u32) -> ScriptedOutcome {
    ScriptedOutcome {
        kind: Some(deed),
        times: Some(times),
        code: "QuotaExceeded".to_owned(),
        message: "no cores are left".to_owned(),
        ..ScriptedOutcome::default()
    }
}

fn refused(path: &str, status: u16) -> Fault {
    let refusal = Refusal {
        status: Some(status),
        code: Some("NotToday".to_owned()),
        message: Some("somebody else said so".to_owned()),
        ..Refusal::default()
    };
    Fault { path: Some(path.to_owned()), effect: Some(Effect::Status(refusal)), ..Fault::default() }
}

/// The host name of the Kubernetes API of the cluster.
async fn host(case: &Case) -> String {
    case.aks("one").await.unwrap()["properties"]["fqdn"].as_str().unwrap().to_owned()
}

/// The cluster gets another authority, and nobody of before is known to it any more.
async fn rotate(case: &Case) {
    let host = host(case).await;
    let declared = case.app.control.kubernetes().into_iter().find(|it| it.fqdn == host).unwrap();
    case.app.control.forget_kubernetes(&host);
    case.app.control.declare_kubernetes(declared);
}

fn condition<'a>(cluster: &'a Value, kind: &str) -> (&'a str, &'a str) {
    let conditions = cluster["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|it| it["type"] == kind).unwrap();
    (found["status"].as_str().unwrap(), found["message"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn another_authority_of_a_cluster_is_learned_with_the_next_look() {
    let case = Case::start().await;
    let id = case.active(&case.small()).await;
    let known = case.get(&id).await["caCert"].clone();
    rotate(&case).await;
    case.refreshes(1).await;
    let shown = case.get(&id).await;
    assert_ne!(shown["caCert"], known);
    assert_eq!(condition(&shown, "Ready"), ("True", ""));
    assert_eq!(lines(&case.writes()), [LOOKED]);
    case.refreshes(3).await;
    assert_eq!(lines(&case.writes()), [""; 0], "it is known now");
}

#[tokio::test]
async fn a_cluster_that_is_not_found_for_a_while_is_the_same_afterwards() {
    let case = Case::start().await;
    let id = case.active(&case.small()).await;
    let host = host(&case).await;
    let declared = case.app.control.kubernetes().into_iter().find(|it| it.fqdn == host).unwrap();
    let switch = |running| case.app.control.declare_kubernetes(Declared { running, ..declared.clone() });
    switch(false);
    case.app.control.clear_kubernetes_requests();
    // The first look may meet the end of a connection from before.
    case.refreshes(3).await;
    assert_eq!(condition(&case.get(&id).await, "Ready").0, "False");
    let looked = lines(&case.writes());
    assert!((2..=3).contains(&looked.len()) && looked.iter().all(|line| line == LOOKED), "{looked:?}");
    switch(true);
    case.refreshes(1).await;
    assert_eq!(condition(&case.get(&id).await, "Ready"), ("True", ""));
    assert_eq!(lines(&case.writes()), [""; 0]);
    let made = case.app.control.kubernetes_requests().into_iter().filter(|seen| seen.method != "GET");
    assert_eq!(made.map(|seen| seen.path).collect::<Vec<_>>(), [""; 0], "no other service account");
}

#[tokio::test]
async fn a_creation_that_failed_is_made_in_another_way() {
    let case = Case::start().await;
    case.app.control.add_outcome(fails(OperationKind::CreateCluster, 1));
    let id = case.post(&case.small()).await;
    case.app.settle().await;
    case.trouble(&id, "provisioning").await;
    let other = json!({"vmSize": "Standard_D4s_v3", "availabilityZones": ["1"], "maxPods": 60});
    let answer = case.put(&id, json!({"nodePools": [pool_with("system", "System", other)]})).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    case.app.settle().await;
    case.expect_active(&id).await;
    let made = case.pool_in_azure("one", "system").await.unwrap();
    assert_eq!((&made["vmSize"], &made["maxPods"]), (&json!("Standard_D4s_v3"), &json!(60)));
    // From now on it is what it is.
    let answer = case.put(&id, json!({"nodePools": [pool("system", "System")]})).await;
    assert_eq!(answer.status.as_u16(), 422, "{}", answer.text());
}

#[tokio::test]
async fn a_change_is_done_although_the_way_into_the_cluster_is_closed() {
    let case = Case::start().await;
    let id = case.active(&case.small()).await;
    rotate(&case).await;
    case.app.control.add_fault(refused("listClusterAdminCredential", 409));
    assert_eq!(case.put(&id, json!({"tags": {"a": "b"}})).await.status.as_u16(), 200);
    case.app.settle().await;
    case.expect_active(&id).await;
    let shown = case.get(&id).await;
    let (status, message) = condition(&shown, "Ready");
    assert_eq!(status, "False");
    assert!(message.contains("error getting kube config: NotToday"), "{message}");
    case.refreshes(1).await;
    assert_eq!(condition(&case.get(&id).await, "Updated"), ("True", ""));
    case.app.control.clear_faults();
    case.refreshes(1).await;
    assert_eq!(condition(&case.get(&id).await, "Ready"), ("True", ""));
}

#[tokio::test]
async fn a_pool_that_failed_and_is_no_longer_wanted_goes() {
    let case = Case::start().await;
    let id = case.active(&case.small()).await;
    case.app.control.add_outcome(fails(OperationKind::CreatePool, 1));
    let two = json!({"nodePools": [pool("system", "System"), pool("gpu", "User")]});
    assert_eq!(case.put(&id, two).await.status.as_u16(), 200);
    case.app.settle().await;
    case.trouble(&id, "updating").await;
    assert!(case.pool_in_azure("one", "gpu").await.is_some());
    let writes = case.changed(&id, json!({"nodePools": [pool("system", "System")]})).await;
    assert_eq!(lines(&writes).last().map(String::as_str), Some("DELETE rancher/one/gpu"));
    assert_eq!(case.pool_in_azure("one", "gpu").await, None);
    // And what somebody else makes later under that name is not ours.
    case.meanwhile_pool("one", "gpu", json!({"count": 1, "vmSize": "Standard_DS2_v2", "mode": "User"})).await;
    case.expect_rest(&id).await;
    assert!(case.pool_in_azure("one", "gpu").await.is_some());
}

#[tokio::test]
async fn a_pool_that_is_dropped_while_the_cluster_is_made_goes() {
    let case = Case::start().await;
    let id =
        case.post(&case.with(json!({"nodePools": [pool("system", "System"), pool("work", "User")]}))).await;
    case.work().await;
    assert!(case.aks("one").await.is_some(), "it is being made");
    let answer = case.put(&id, json!({"nodePools": [pool("system", "System")]})).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    case.app.settle().await;
    case.expect_active(&id).await;
    assert_eq!(case.pool_in_azure("one", "work").await, None);
    case.expect_rest(&id).await;
}

#[tokio::test]
async fn ranges_that_are_no_longer_said_are_no_longer_in_force() {
    let case = Case::start().await;
    let body = case.with(json!({"authorizedIpRanges": ["20.1.0.0/16"], "outboundType": "loadBalancer"}));
    let id = case.active(&body).await;
    let mut statement = body["aksConfig"].clone();
    statement.as_object_mut().unwrap().remove("authorizedIpRanges");
    let writes = case.changed(&id, statement).await;
    assert_eq!(lines(&writes), ["PUT rancher/one"]);
    assert_eq!(writes[0].at("/properties/apiServerAccessProfile/authorizedIPRanges"), json!([]));
    assert!(case.get(&id).await["aksConfig"].get("authorizedIpRanges").is_none());
    // Ranges that somebody sets in Azure are not managed from now on.
    let path = "/properties/apiServerAccessProfile";
    case.meanwhile_set("one", path, json!({"authorizedIPRanges": ["20.9.0.0/16"]})).await;
    case.expect_rest(&id).await;
}

#[tokio::test]
async fn other_words_do_not_undo_what_somebody_changed_in_azure_a_moment_ago() {
    let case = Case::start().await;
    let id = case.active(&case.small()).await;
    case.meanwhile_pool("one", "system", json!({"count": 3})).await;
    let body = json!({"name": "one", "description": "other words", "labels": {"a": "b"},
        "aksConfig": case.small()["aksConfig"]});
    let answer = case.app.put(&format!("/v3/clusters/{id}")).json(&body).send().await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["state"]),
        (200, &json!("active")),
        "{}",
        answer.text()
    );
    case.app.settle().await;
    case.expect_active(&id).await;
    assert_eq!(lines(&case.writes()), [""; 0]);
    let shown = case.get(&id).await;
    assert_eq!((&shown["description"], &shown["labels"]["a"]), (&json!("other words"), &json!("b")));
    assert_eq!(shown["aksConfig"]["nodePools"][0]["count"], 3, "looked at, and taken over");
}

#[tokio::test]
async fn an_import_says_from_its_first_moment_on_what_is_there() {
    let case = Case::start().await;
    let nothing = json!({"tags": {}, "monitoring": false, "httpApplicationRouting": false});
    let id = case.active(&case.import("made-elsewhere", nothing)).await;
    let shown = case.get(&id).await;
    assert_eq!(shown["aksConfig"]["tags"], json!({}), "none of them is the user's");
    assert_eq!(shown["aksStatus"]["upstreamSpec"]["tags"], json!({"team": "platform"}));
    let writes = case.changed(&id, json!({"authorizedIpRanges": ["20.1.0.0/16"]})).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"], "and no tags");
    assert_eq!(case.aks("made-elsewhere").await.unwrap()["tags"], json!({"team": "platform"}));
}

#[tokio::test]
async fn a_change_that_azure_gave_up_is_tried_again_now_and_then() {
    let case = Case::start().await;
    let id = case.active(&case.small()).await;
    case.app.control.add_outcome(fails(OperationKind::ScalePool, 1));
    case.app.control.add_outcome(fails(OperationKind::UpdatePool, 1));
    let wanted = json!({"nodePools": [pool_with("system", "System", json!({"count": 2}))]});
    assert_eq!(case.put(&id, wanted).await.status.as_u16(), 200);
    case.app.settle().await;
    let said = "failed to update cluster [one]: node pool system: QuotaExceeded: no cores are left";
    assert_eq!(case.trouble(&id, "updating").await, said);
    case.refreshes(4).await;
    assert_eq!(lines(&case.writes()), ["PUT rancher/one/system"], "not at once");
    assert_eq!(case.trouble(&id, "updating").await, said);
    for _ in 0..2 {
        case.app.clock.advance(Duration::from_mins(30));
        case.app.settle().await;
    }
    case.expect_active(&id).await;
    let writes = lines(&case.writes());
    assert!(
        (1..=2).contains(&writes.len()) && writes.iter().all(|it| it == "PUT rancher/one/system"),
        "{writes:?}"
    );
}

#[tokio::test]
async fn an_operation_that_cannot_be_asked_about_is_told_by_its_resource() {
    let case = Case::start().await;
    let id = case.active(&case.small()).await;
    for status in [400, 401, 403, 405, 409] {
        case.app.control.add_fault(refused("/operations/", status));
        let count = status / 100 + status % 10;
        let wanted = json!({"nodePools": [pool_with("system", "System", json!({"count": count}))]});
        let writes = case.changed(&id, wanted).await;
        assert_eq!(lines(&writes), ["PUT rancher/one/system"], "{status}");
        assert!(!case.app.control.faults().is_empty());
        case.app.control.clear_faults();
    }
}

#[tokio::test]
async fn a_workspace_matters_only_until_the_cluster_is_monitored() {
    let case = Case::start().await;
    case.app.control.add_outcome(fails(OperationKind::CreateWorkspace, 1));
    let id = case.post(&case.with(json!({"monitoring": true}))).await;
    case.app.settle().await;
    case.expect_active(&id).await;
    let made = lines(&case.writes()).into_iter().filter(|line| line.ends_with("/rancher-EUS")).count();
    assert_eq!(made, 2, "the first one failed");
    case.app.control.add_fault(refused("/workspaces/", 403));
    let writes = case.changed(&id, json!({"tags": {"a": "b"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/one"]);
    case.expect_rest(&id).await;
}

#[tokio::test]
async fn whoever_removes_the_object_of_another_cluster_is_told_that_it_stays() {
    let db = databases::sqlite().await;
    let case = Case::of(TestApp::with().on(&db).start().await, "ready").await;
    let id = case.active(&case.small()).await;
    case.meanwhile(Method::DELETE, &cluster("one"), None).await;
    case.meanwhile(Method::PUT, &cluster("one"), Some(&made_in_azure("theirs", json!({})))).await;
    case.remove(&id).await;
    case.app.settle().await;
    assert!(case.is_gone(&id).await);
    assert!(case.aks("one").await.is_some());
    let events = store::cluster_events::list(&db.store, &id, "", 100).await.unwrap();
    let last = &events.last().unwrap().message;
    assert!(last.contains("one in Azure is not the cluster that was made here, and is left alone"), "{last}");
}
