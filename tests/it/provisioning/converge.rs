//! What has to come right by itself: after Azure, or somebody there, did what nobody here asked for.

use norman_aks::sandbox::{Declared, Deed, Effect, Ending, Fault, Refusal};
use serde_json::{Value, json};

use super::{Case, lines, pool, pool_with};

const LOOKED: &str = "POST rancher/one/accessProfiles/clusterAdmin/listCredential";

fn fails(deed: Deed, times: u32) -> Ending {
    Ending {
        deed: Some(deed),
        times: Some(times),
        code: "QuotaExceeded".to_owned(),
        message: "no cores are left".to_owned(),
        ..Ending::default()
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
    case.refreshes(2).await;
    assert_eq!(condition(&case.get(&id).await, "Ready").0, "False");
    assert_eq!(lines(&case.writes()), [LOOKED; 2], "looked whether it has another name");
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
    case.app.control.add_ending(fails(Deed::CreateCluster, 1));
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
    case.app.control.add_fault(refused("listCredential", 403));
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
