//! What this server did not make is never changed and never removed.

use azure_sandbox::{Effect, Fault, Operation, Refusal};
use http::Method;
use serde_json::{Value, json};

use super::{Case, cluster, lines, made_in_azure, pool, pool_with};

const NOTHING: [&str; 0] = [];

#[tokio::test]
async fn pools_that_were_made_in_azure_are_shown_and_left_alone() {
    let case = Case::start().await;
    let id =
        case.active(&case.with(json!({"nodePools": [pool("system", "System"), pool("work", "User")]}))).await;
    case.meanwhile_pool("one", "theirs", json!({"count": 2, "vmSize": "Standard_DS2_v2", "mode": "User"}))
        .await;
    case.expect_rest(&id).await;
    let shown = case.get(&id).await;
    let names = |pools: &Value| -> Vec<String> {
        pools.as_array().unwrap().iter().map(|pool| pool["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&shown["aksStatus"]["upstreamSpec"]["nodePools"]), ["system", "work", "theirs"]);
    assert_eq!(names(&shown["aksConfig"]["nodePools"]), ["system", "work"]);
    let theirs = case.pool_in_azure("one", "theirs").await.unwrap();
    let writes =
        case.changed(&id, json!({"nodePools": [pool_with("system", "System", json!({"count": 2}))]})).await;
    assert_eq!(lines(&writes), ["PUT rancher/one/system", "DELETE rancher/one/work"]);
    let writes = case.changed(&id, json!({"kubernetesVersion": "1.33.3", "tags": {"a": "b"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/one", "PUT rancher/one"]);
    assert_eq!(case.pool_in_azure("one", "theirs").await.unwrap(), theirs);
    case.expect_rest(&id).await;
}

#[tokio::test]
async fn a_pool_made_in_azure_becomes_ours_when_it_is_named() {
    let case = Case::start().await;
    let id = case.active(&case.small()).await;
    case.meanwhile_pool(
        "one",
        "theirs",
        json!({"count": 1, "vmSize": "Standard_DS2_v2", "mode": "User", "maxPods": 110}),
    )
    .await;
    let both = json!({"nodePools": [pool("system", "System"), pool("theirs", "User")]});
    assert_eq!(lines(&case.changed(&id, both).await), NOTHING);
    let writes = case.changed(&id, json!({"nodePools": [pool("system", "System")]})).await;
    assert_eq!(lines(&writes), ["DELETE rancher/one/theirs"]);
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_when_it_is_known() {
    let case = Case::start().await;
    let answer =
        case.app.post("/v3/clusters").json(&case.with(json!({"clusterName": "made-elsewhere"}))).send().await;
    assert_eq!(answer.status.as_u16(), 422, "{}", answer.text());
    assert!(
        answer.text().contains("already exists in AKS. Update configuration or import the existing one"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_cluster_that_took_the_name_first_is_neither_changed_nor_removed() {
    let case = Case::start().await;
    let id = case.post(&case.small()).await;
    case.meanwhile(Method::PUT, &cluster("one"), Some(&made_in_azure("theirs", json!({"whose": "theirs"}))))
        .await;
    let theirs = case.aks("one").await.unwrap();
    case.app.settle().await;
    let message = case.trouble(&id, "provisioning").await;
    assert_eq!(
        message,
        "cluster [one] already exists in AKS. Update configuration or import the existing one"
    );
    let answer = case.put(&id, json!({"tags": {"a": "b"}, "kubernetesVersion": "1.33.3"})).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    case.refreshes(5).await;
    case.trouble(&id, "provisioning").await;
    case.remove(&id).await;
    case.app.settle().await;
    assert!(case.is_gone(&id).await);
    assert_eq!(lines(&case.writes()), NOTHING);
    assert_eq!(case.aks("one").await.unwrap(), theirs);
}

#[tokio::test]
async fn a_name_that_was_taken_after_azure_refused_us_is_left_alone_too() {
    let case = Case::start().await;
    case.app.control.add_fault(Fault {
        operation: Some(Operation::ManagedCluster),
        method: Some("PUT".to_owned()),
        times: Some(1),
        effect: Some(Effect::Status(Refusal {
            status: Some(400),
            code: Some("BadRequest".to_owned()),
            message: Some("not today".to_owned()),
            ..Refusal::default()
        })),
        ..Fault::default()
    });
    let id = case.post(&case.small()).await;
    case.work().await;
    assert!(case.trouble(&id, "provisioning").await.contains("BadRequest: not today"));
    case.meanwhile(Method::PUT, &cluster("one"), Some(&made_in_azure("theirs", json!({})))).await;
    let theirs = case.aks("one").await.unwrap();
    case.app.settle().await;
    assert!(case.trouble(&id, "provisioning").await.contains("already exists in AKS"));
    case.remove(&id).await;
    case.app.settle().await;
    assert!(case.is_gone(&id).await);
    assert_eq!(lines(&case.writes()), ["PUT rancher/one"], "only the one that Azure refused");
    assert_eq!(case.aks("one").await.unwrap(), theirs);
}

#[tokio::test]
async fn another_cluster_in_the_place_of_ours_is_left_alone() {
    let case = Case::start().await;
    let id = case.active(&case.with(json!({"tags": {"a": "b"}}))).await;
    case.meanwhile(Method::DELETE, &cluster("one"), None).await;
    case.meanwhile(Method::PUT, &cluster("one"), Some(&made_in_azure("one", json!({"whose": "theirs"}))))
        .await;
    let theirs = case.aks("one").await.unwrap();
    case.refreshes(2).await;
    let shown = case.get(&id).await;
    assert_eq!(shown["aksConfig"]["tags"], json!({"a": "b"}), "nothing is taken over from a stranger");
    let updated =
        shown["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Updated").unwrap().clone();
    assert_eq!(updated["status"], "False");
    let words = "one in Azure is not the cluster that was made here, and is left alone";
    assert!(updated["message"].as_str().unwrap().contains(words), "{updated}");
    assert_eq!(case.put(&id, json!({"tags": {"a": "c"}})).await.status.as_u16(), 200);
    case.app.settle().await;
    assert!(case.trouble(&id, "updating").await.starts_with(words));
    case.remove(&id).await;
    case.app.settle().await;
    assert!(case.is_gone(&id).await);
    assert_eq!(lines(&case.writes()), NOTHING);
    assert_eq!(case.aks("one").await.unwrap(), theirs);
}

#[tokio::test]
async fn our_cluster_stays_ours_when_its_tags_were_replaced() {
    let case = Case::start().await;
    let id = case.active(&case.with(json!({"tags": {"a": "b"}}))).await;
    case.meanwhile(Method::PATCH, &cluster("one"), Some(&json!({"tags": {"a": "x"}}))).await;
    case.refreshes(1).await;
    assert_eq!(case.get(&id).await["aksConfig"]["tags"], json!({"a": "x"}));
    case.expect_active(&id).await;
    case.app.control.clear_requests();
    case.remove(&id).await;
    case.app.settle().await;
    assert!(case.is_gone(&id).await);
    assert_eq!(lines(&case.writes()), ["DELETE rancher/one"]);
    assert_eq!(case.aks("one").await, None);
}

#[tokio::test]
async fn nobody_takes_our_cluster_by_the_mark() {
    let case = Case::start().await;
    case.active(&case.small()).await;
    // Somebody copies tags and all to a cluster of his own.
    let mark = case.aks("one").await.unwrap()["tags"]["norman-aks-owner"].clone();
    case.meanwhile(
        Method::PUT,
        &cluster("copy"),
        Some(&made_in_azure("copy", json!({"norman-aks-owner": mark}))),
    )
    .await;
    let mut body = case.with(json!({"clusterName": "copy", "dnsPrefix": "copy"}));
    (body["name"], body["annotations"]) = (json!("copy"), json!({"norman-aks.io/review": "advise"}));
    let id = case.post(&body).await;
    case.app.settle().await;
    assert!(case.trouble(&id, "provisioning").await.contains("already exists in AKS"));
    case.remove(&id).await;
    case.app.settle().await;
    assert_eq!(lines(&case.writes()), NOTHING);
    assert!(case.aks("copy").await.is_some());
}
