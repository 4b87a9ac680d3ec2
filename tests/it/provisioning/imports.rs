//! Clusters that were made elsewhere: looked at, never changed unless their user says so, never removed.

use http::StatusCode;
use serde_json::json;

use super::{Case, Write, cluster, lines, made_in_azure};
use crate::support::app::TestApp;

const NAME: &str = "made-elsewhere";
const LOOKED: &str = "POST rancher/made-elsewhere/listClusterAdminCredential";

fn changes(writes: &[Write]) -> Vec<String> {
    lines(writes)
        .into_iter()
        .filter(|line| !(line.starts_with("POST ") && line.ends_with("Credential")))
        .collect()
}

#[tokio::test]
async fn an_import_is_registered_read_and_active() {
    let case = Case::start().await;
    let body = case.import(NAME, json!({}));
    let id = case.post(&body).await;
    let film = case.film(&id, 20).await;
    let done =
        "Pending=True Provisioned=True SystemAccountCreated=True Connected=True Ready=True Updated=True";
    assert_eq!((&*film.last().unwrap().state, &*film.last().unwrap().conditions), ("active", done));
    assert!(film.iter().all(|frame| frame.transitioning != "error"), "{film:?}");
    let shown = case.get(&id).await;
    let mut config = shown["aksConfig"].clone();
    config.as_object_mut().unwrap().remove("type");
    assert_eq!(config, body["aksConfig"], "what nobody set is not managed");
    let upstream = &shown["aksStatus"]["upstreamSpec"];
    let pools: Vec<&str> =
        upstream["nodePools"].as_array().unwrap().iter().map(|pool| pool["name"].as_str().unwrap()).collect();
    assert_eq!(pools, ["system", "work"]);
    assert_eq!(
        (&upstream["kubernetesVersion"], &upstream["tags"]),
        (&json!("1.32"), &json!({"team": "platform"}))
    );
    assert_eq!((&shown["aksStatus"]["rbacEnabled"], &upstream["imported"]), (&json!(true), &json!(true)));
    assert_eq!(shown["version"]["gitVersion"], "v1.32.7");
}

#[tokio::test]
async fn over_its_whole_life_an_import_only_asks_azure_for_the_way_in() {
    let app = TestApp::with().setting("NORMAN_AKS_SERVER_URL", "https://aks.example.org").start().await;
    let case = Case::of(app, "ready").await;
    let before = case.aks(NAME).await.unwrap();
    let id = case.post(&case.import(NAME, json!({}))).await;
    case.app.settle().await;
    case.expect_active(&id).await;
    case.refreshes(30).await;
    case.describe(&id).await;
    case.expect_active(&id).await;
    let kubeconfig = case.app.post(&format!("/v3/clusters/{id}?action=generateKubeconfig")).send().await;
    assert_eq!(kubeconfig.status, StatusCode::OK, "{}", kubeconfig.text());
    // As Terraform sends it.
    let answer = case.put(&id, case.import(NAME, json!({}))["aksConfig"].clone()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    case.app.settle().await;
    case.expect_active(&id).await;
    case.refreshes(5).await;
    case.remove(&id).await;
    case.app.settle().await;
    assert!(case.is_gone(&id).await);
    assert_eq!(lines(&case.writes()), [LOOKED]);
    assert_eq!(case.aks(NAME).await.unwrap(), before);
}

#[tokio::test]
async fn words_for_nothing_in_an_import_change_nothing() {
    let case = Case::start().await;
    let nothing = json!({
        "tags": {}, "monitoring": false, "httpApplicationRouting": false, "authorizedIpRanges": [], "outboundType": "loadBalancer",
    });
    let id = case.post(&case.import(NAME, nothing)).await;
    case.app.settle().await;
    case.expect_active(&id).await;
    case.refreshes(3).await;
    assert_eq!(lines(&case.writes()), [LOOKED]);
    assert_eq!(case.aks(NAME).await.unwrap()["tags"], json!({"team": "platform"}));
}

#[tokio::test]
async fn a_key_that_the_user_sets_is_written_and_nothing_else() {
    let case = Case::start().await;
    let id = case.active(&case.import(NAME, json!({}))).await;
    let writes = case.changed(&id, json!({"tags": {"team": "ours"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/made-elsewhere"]);
    assert_eq!(writes[0].body, json!({"tags": {"team": "ours"}}), "no mark: it is not ours");
    let writes = case.changed(&id, json!({"authorizedIpRanges": ["20.1.0.0/16"]})).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"]);
    case.meanwhile_set(
        NAME,
        "/properties/apiServerAccessProfile/authorizedIPRanges",
        json!(["20.1.0.0/16", "20.9.0.0/16"]),
    )
    .await;
    let writes = case.changed(&id, json!({"authorizedIpRanges": ["20.1.0.0/16", "20.2.0.0/16"]})).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"]);
    let now = case.aks(NAME).await.unwrap();
    let ranges = &now["properties"]["apiServerAccessProfile"]["authorizedIPRanges"];
    assert_eq!(*ranges, json!(["20.1.0.0/16", "20.9.0.0/16", "20.2.0.0/16"]), "those of others stay");
    case.expect_rest(&id).await;
    case.remove(&id).await;
    case.app.settle().await;
    assert!(case.is_gone(&id).await);
    assert_eq!(changes(&case.writes()), Vec::<String>::new());
    assert!(case.aks(NAME).await.is_some());
}

#[tokio::test]
async fn pools_of_an_import_are_managed_once_they_are_named() {
    let case = Case::start().await;
    let id = case.active(&case.import(NAME, json!({}))).await;
    let work = |count: u32| {
        json!({"nodePools": [
            {"name": "system", "count": 3, "maxPods": 30, "vmSize": "Standard_D4s_v5", "osDiskSizeGB": 128, "osDiskType": "Managed",
                "osType": "Linux", "mode": "System", "enableAutoScaling": true, "minCount": 3, "maxCount": 5},
            {"name": "work", "count": count, "maxPods": 30, "vmSize": "Standard_D8s_v5", "osDiskSizeGB": 128, "osDiskType": "Managed",
                "osType": "Linux", "mode": "User"},
        ]})
    };
    assert_eq!(lines(&case.changed(&id, work(2)).await), Vec::<String>::new());
    let writes = case.changed(&id, work(3)).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere/work"]);
    case.expect_rest(&id).await;
}

#[tokio::test]
async fn what_is_set_before_the_import_was_looked_at_is_written_too() {
    let case = Case::start().await;
    let id = case.post(&case.import(NAME, json!({}))).await;
    assert_eq!(case.put(&id, json!({"tags": {"team": "ours"}})).await.status, StatusCode::OK);
    case.app.settle().await;
    case.expect_active(&id).await;
    assert_eq!(changes(&case.writes()), ["PATCH rancher/made-elsewhere"]);
    assert_eq!(case.get(&id).await["aksConfig"]["tags"], json!({"team": "ours"}));
    assert_eq!(case.aks(NAME).await.unwrap()["tags"], json!({"team": "ours"}));
}

#[tokio::test]
async fn the_mark_of_another_server_stays_on_an_import() {
    let case = Case::start().await;
    let tags = json!({"a": "b", "norman-aks-owner": "other/c-other"});
    case.meanwhile(http::Method::PUT, &cluster("theirs"), Some(&made_in_azure("theirs", tags))).await;
    let id = case.active(&case.import("theirs", json!({}))).await;
    let writes = case.changed(&id, json!({"tags": {"c": "d"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/theirs"]);
    assert_eq!(
        case.aks("theirs").await.unwrap()["tags"],
        json!({"c": "d", "norman-aks-owner": "other/c-other"})
    );
    case.expect_rest(&id).await;
    case.remove(&id).await;
    case.app.settle().await;
    assert!(case.aks("theirs").await.is_some());
}

#[tokio::test]
async fn an_import_of_what_is_not_there_says_so_and_can_be_removed() {
    let case = Case::start().await;
    let id = case.post(&case.import("nowhere", json!({}))).await;
    case.app.settle().await;
    let message = case.trouble(&id, "provisioning").await;
    assert_eq!(message, "nowhere does not exist in Azure, so it cannot be imported");
    case.remove(&id).await;
    case.app.settle().await;
    assert!(case.is_gone(&id).await);
    assert_eq!(lines(&case.writes()), Vec::<String>::new());
}

#[tokio::test]
async fn a_cluster_whose_last_change_failed_is_imported_as_it_is() {
    let case = Case::start().await;
    case.app
        .control
        .add_ending(norman_aks::sandbox::Ending { times: Some(1), ..norman_aks::sandbox::Ending::default() });
    case.meanwhile_set(
        NAME,
        "/properties/addonProfiles",
        json!({"httpApplicationRouting": {"enabled": true}}),
    )
    .await;
    assert_eq!(case.aks(NAME).await.unwrap()["properties"]["provisioningState"], "Failed");
    let id = case.post(&case.import(NAME, json!({}))).await;
    case.app.settle().await;
    case.expect_active(&id).await;
    case.describe(&id).await;
    case.expect_active(&id).await;
    assert_eq!(lines(&case.writes()), [LOOKED]);
}

#[tokio::test]
async fn an_upgrade_of_an_import_sends_back_what_azure_said_with_another_version() {
    let case = Case::start().await;
    let id = case.active(&case.import(NAME, json!({}))).await;
    let mut expected = case.aks(NAME).await.unwrap();
    let writes = case.changed(&id, json!({"kubernetesVersion": "1.33.3"})).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"]);
    expected["properties"]["kubernetesVersion"] = json!("1.33.3");
    assert_eq!(writes[0].body, expected);
    case.expect_rest(&id).await;
}
