//! Clusters that were created elsewhere: they are read, changed only if the user requests it, and never deleted.

use azure_sandbox::ScriptedOutcome;
use http::StatusCode;
use serde_json::json;

use super::{ClusterSetup, Write, azure_cluster_body, cluster_path, lines};
use crate::support::app::TestApp;

const NAME: &str = "made-elsewhere";
const READ_KUBECONFIG: &str = "POST rancher/made-elsewhere/listClusterAdminCredential";

/// The writes except requests for a kubeconfig.
fn change_lines(writes: &[Write]) -> Vec<String> {
    lines(writes)
        .into_iter()
        .filter(|line| !(line.starts_with("POST ") && line.ends_with("Credential")))
        .collect()
}

#[tokio::test]
async fn import_becomes_active() {
    let setup = ClusterSetup::start().await;
    let body = setup.import_body(NAME, json!({}));
    let id = setup.post(&body).await;
    let statuses = setup.record_statuses(&id, 20).await;
    let all_true =
        "Pending=True Provisioned=True SystemAccountCreated=True Connected=True Ready=True Updated=True";
    assert_eq!(
        (&*statuses.last().unwrap().state, &*statuses.last().unwrap().conditions),
        ("active", all_true)
    );
    assert!(statuses.iter().all(|status| status.transitioning != "error"), "{statuses:?}");
    let object = setup.get(&id).await;
    let mut config = object["aksConfig"].clone();
    config.as_object_mut().unwrap().remove("type");
    assert_eq!(config, body["aksConfig"], "unset keys are not managed");
    let upstream = &object["aksStatus"]["upstreamSpec"];
    let pools: Vec<&str> =
        upstream["nodePools"].as_array().unwrap().iter().map(|pool| pool["name"].as_str().unwrap()).collect();
    assert_eq!(pools, ["system", "work"]);
    assert_eq!(
        (&upstream["kubernetesVersion"], &upstream["tags"]),
        (&json!("1.32"), &json!({"team": "platform"}))
    );
    assert_eq!((&object["aksStatus"]["rbacEnabled"], &upstream["imported"]), (&json!(true), &json!(true)));
    assert_eq!(object["version"]["gitVersion"], "v1.32.7");
}

#[tokio::test]
async fn import_writes_nothing_to_azure() {
    let app = TestApp::builder().setting("NORMAN_AKS_SERVER_URL", "https://aks.example.org").start().await;
    let setup = ClusterSetup::new(app, "ready").await;
    let before = setup.aks_cluster(NAME).await.unwrap();
    let id = setup.post_and_settle(&setup.import_body(NAME, json!({}))).await;
    setup.expect_active(&id).await;
    setup.advance_refreshes(30).await;
    setup.update_description(&id).await;
    setup.expect_active(&id).await;
    setup.app.post(&format!("/v3/clusters/{id}?action=generateKubeconfig")).send().await.expect(200);
    // Terraform sends the whole `aksConfig`.
    setup.update(&id, setup.import_body(NAME, json!({}))["aksConfig"].clone()).await.expect(200);
    setup.settle_and_expect_active(&id).await;
    setup.advance_refreshes(5).await;
    setup.delete_and_settle(&id).await;
    assert_eq!(lines(&setup.take_writes()), [READ_KUBECONFIG]);
    assert_eq!(setup.aks_cluster(NAME).await.unwrap(), before);
}

#[tokio::test]
async fn empty_values_of_an_import_change_nothing() {
    let setup = ClusterSetup::start().await;
    let empty_values = json!({
        "tags": {}, "monitoring": false, "httpApplicationRouting": false, "authorizedIpRanges": [], "outboundType": "loadBalancer",
    });
    let id = setup.post_and_settle(&setup.import_body(NAME, empty_values)).await;
    setup.expect_active(&id).await;
    setup.advance_refreshes(3).await;
    assert_eq!(lines(&setup.take_writes()), [READ_KUBECONFIG]);
    assert_eq!(setup.aks_cluster(NAME).await.unwrap()["tags"], json!({"team": "platform"}));
}

#[tokio::test]
async fn import_writes_only_set_keys() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.import_body(NAME, json!({}))).await;
    let writes = setup.writes_of_update(&id, json!({"tags": {"team": "ours"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/made-elsewhere"]);
    assert_eq!(writes[0].body, json!({"tags": {"team": "ours"}}), "no owner tag: it is not ours");
    let writes = setup.writes_of_update(&id, json!({"authorizedIpRanges": ["20.1.0.0/16"]})).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"]);
    setup
        .set_in_azure(
            NAME,
            "/properties/apiServerAccessProfile/authorizedIPRanges",
            json!(["20.1.0.0/16", "20.9.0.0/16"]),
        )
        .await;
    let writes =
        setup.writes_of_update(&id, json!({"authorizedIpRanges": ["20.1.0.0/16", "20.2.0.0/16"]})).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"]);
    let in_azure = setup.aks_cluster(NAME).await.unwrap();
    let ranges = &in_azure["properties"]["apiServerAccessProfile"]["authorizedIPRanges"];
    assert_eq!(*ranges, json!(["20.1.0.0/16", "20.9.0.0/16", "20.2.0.0/16"]), "entries of others remain");
    setup.expect_no_writes(&id).await;
    setup.delete_and_settle(&id).await;
    assert_eq!(change_lines(&setup.take_writes()), Vec::<String>::new());
    assert!(setup.aks_cluster(NAME).await.is_some());
}

#[tokio::test]
async fn import_manages_listed_pools() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.import_body(NAME, json!({}))).await;
    let with_work_count = |count: u32| {
        json!({"nodePools": [
            {"name": "system", "count": 3, "maxPods": 30, "vmSize": "Standard_D4s_v5", "osDiskSizeGB": 128, "osDiskType": "Managed",
                "osType": "Linux", "mode": "System", "enableAutoScaling": true, "minCount": 3, "maxCount": 5},
            {"name": "work", "count": count, "maxPods": 30, "vmSize": "Standard_D8s_v5", "osDiskSizeGB": 128, "osDiskType": "Managed",
                "osType": "Linux", "mode": "User"},
        ]})
    };
    assert_eq!(lines(&setup.writes_of_update(&id, with_work_count(2)).await), Vec::<String>::new());
    let writes = setup.writes_of_update(&id, with_work_count(3)).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere/work"]);
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn import_writes_keys_set_before_its_first_read() {
    let setup = ClusterSetup::start().await;
    let id = setup.post(&setup.import_body(NAME, json!({}))).await;
    assert_eq!(setup.update(&id, json!({"tags": {"team": "ours"}})).await.status, StatusCode::OK);
    setup.settle_and_expect_active(&id).await;
    assert_eq!(change_lines(&setup.take_writes()), ["PATCH rancher/made-elsewhere"]);
    assert_eq!(setup.get(&id).await["aksConfig"]["tags"], json!({"team": "ours"}));
    assert_eq!(setup.aks_cluster(NAME).await.unwrap()["tags"], json!({"team": "ours"}));
}

#[tokio::test]
async fn import_keeps_the_owner_tag_of_another_server() {
    let setup = ClusterSetup::start().await;
    let tags = json!({"a": "b", "norman-aks-owner": "other/c-other"});
    setup
        .change_in_azure(
            http::Method::PUT,
            &cluster_path("theirs"),
            Some(&azure_cluster_body("theirs", tags)),
        )
        .await;
    let id = setup.create_active(&setup.import_body("theirs", json!({}))).await;
    let writes = setup.writes_of_update(&id, json!({"tags": {"c": "d"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/theirs"]);
    assert_eq!(
        setup.aks_cluster("theirs").await.unwrap()["tags"],
        json!({"a": "b", "c": "d", "norman-aks-owner": "other/c-other"})
    );
    setup.expect_no_writes(&id).await;
    setup.delete(&id).await;
    setup.app.settle().await;
    assert!(setup.aks_cluster("theirs").await.is_some());
}

#[tokio::test]
async fn import_of_a_missing_cluster_can_be_removed() {
    let setup = ClusterSetup::start().await;
    let id = setup.post_with_advisory_review_and_settle(&setup.import_body("nowhere", json!({}))).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert_eq!(message, "nowhere does not exist in Azure, so it cannot be imported");
    setup.delete_and_settle(&id).await;
    assert_eq!(lines(&setup.take_writes()), Vec::<String>::new());
}

#[tokio::test]
async fn failed_cluster_can_be_imported() {
    let setup = ClusterSetup::start().await;
    let one_failure = ScriptedOutcome { times: Some(1), ..ScriptedOutcome::default() };
    setup.app.control.add_outcome(one_failure);
    setup
        .set_in_azure(NAME, "/properties/addonProfiles", json!({"httpApplicationRouting": {"enabled": true}}))
        .await;
    assert_eq!(setup.aks_cluster(NAME).await.unwrap()["properties"]["provisioningState"], "Failed");
    let id = setup.post_and_settle(&setup.import_body(NAME, json!({}))).await;
    setup.expect_active(&id).await;
    setup.update_description(&id).await;
    setup.expect_active(&id).await;
    assert_eq!(lines(&setup.take_writes()), [READ_KUBECONFIG]);
}

#[tokio::test]
async fn import_upgrade_changes_only_the_version() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.import_body(NAME, json!({}))).await;
    let mut expected = setup.aks_cluster(NAME).await.unwrap();
    let writes = setup.writes_of_update(&id, json!({"kubernetesVersion": "1.33.3"})).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"]);
    expected["properties"]["kubernetesVersion"] = json!("1.33.3");
    assert_eq!(writes[0].body, expected);
    setup.expect_no_writes(&id).await;
}

/// The authorized IP ranges in Azure.
async fn ranges(setup: &ClusterSetup) -> serde_json::Value {
    setup.aks_cluster(NAME).await.unwrap()["properties"]["apiServerAccessProfile"]["authorizedIPRanges"]
        .clone()
}

#[tokio::test]
async fn import_ranges_are_removed_with_the_users_entry() {
    let setup = ClusterSetup::start().await;
    let pointer = "/properties/apiServerAccessProfile/authorizedIPRanges";
    setup.set_in_azure(NAME, pointer, json!(["192.0.2.0/24"])).await;
    let id = setup.create_active(&setup.import_body(NAME, json!({}))).await;
    for (configured, expected) in [
        (
            json!(["203.0.113.0/24", "198.51.100.0/24"]),
            json!(["192.0.2.0/24", "203.0.113.0/24", "198.51.100.0/24"]),
        ),
        (json!(["203.0.113.0/24"]), json!(["192.0.2.0/24", "203.0.113.0/24"])),
        (json!([]), json!(["192.0.2.0/24"])),
    ] {
        let writes = setup.writes_of_update(&id, json!({"authorizedIpRanges": configured})).await;
        assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"]);
        assert_eq!(ranges(&setup).await, expected, "{configured}");
        setup.advance_refreshes(2).await;
        let object = setup.get(&id).await;
        assert_eq!(object["aksConfig"]["authorizedIpRanges"], configured, "the user's spelling");
        assert_eq!(object["aksStatus"]["upstreamSpec"]["authorizedIpRanges"], expected);
    }
    setup.expect_no_writes(&id).await;
    assert_eq!(ranges(&setup).await, json!(["192.0.2.0/24"]));
}

#[tokio::test]
async fn import_ranges_are_removed_with_their_key_only() {
    let setup = ClusterSetup::start().await;
    let pointer = "/properties/apiServerAccessProfile/authorizedIPRanges";
    setup.set_in_azure(NAME, pointer, json!(["192.0.2.0/24"])).await;
    let id = setup.create_active(&setup.import_body(NAME, json!({}))).await;
    setup.writes_of_update(&id, json!({"authorizedIpRanges": ["203.0.113.7"]})).await;
    let both_ranges = json!(["192.0.2.0/24", "203.0.113.7"]);
    // An absent key has no effect, even if other keys change.
    setup.writes_of_update(&id, json!({"tags": {"a": "b"}})).await;
    assert_eq!(ranges(&setup).await, both_ranges);
    // A single address with its mask is the same range.
    assert_eq!(
        setup.update(&id, json!({"authorizedIpRanges": ["203.0.113.7/32"]})).await.status,
        StatusCode::OK
    );
    setup.settle_and_expect_active(&id).await;
    assert_eq!(ranges(&setup).await, both_ranges);
    setup.writes_of_update(&id, json!({"authorizedIpRanges": null})).await;
    assert_eq!(ranges(&setup).await, json!(["192.0.2.0/24"]));
}

#[tokio::test]
async fn import_range_from_azure_is_not_the_users() {
    let setup = ClusterSetup::start().await;
    let pointer = "/properties/apiServerAccessProfile/authorizedIPRanges";
    setup.set_in_azure(NAME, pointer, json!(["192.0.2.0/24"])).await;
    let id = setup.create_active(&setup.import_body(NAME, json!({}))).await;
    setup.update(&id, json!({"authorizedIpRanges": ["192.0.2.0/24"]})).await.expect(200);
    setup.app.settle().await;
    let response = setup.update(&id, json!({"authorizedIpRanges": []})).await;
    let findings = response.json()["aksStatus"]["review"]["findings"].clone();
    let stays =
        findings.as_array().unwrap().iter().find(|finding| finding["rule"] == "entries-stay").unwrap();
    assert_eq!(
        (&stays["field"], &stays["severity"]),
        (&json!("aksConfig.authorizedIpRanges"), &json!("warning"))
    );
    assert!(stays["message"].as_str().unwrap().contains("192.0.2.0/24"), "{stays}");
    setup.settle_and_expect_active(&id).await;
    assert_eq!(ranges(&setup).await, json!(["192.0.2.0/24"]));
    assert_eq!(change_lines(&setup.take_writes()), Vec::<String>::new());
}

#[tokio::test]
async fn import_tags_are_removed_with_the_users_entry() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.import_body(NAME, json!({}))).await;
    for (configured, expected) in [
        (json!({"a": "1", "b": "2"}), json!({"team": "platform", "a": "1", "b": "2"})),
        (json!({"a": "3"}), json!({"team": "platform", "a": "3"})),
        (json!({}), json!({"team": "platform"})),
        (json!({"Team": "ours"}), json!({"Team": "ours"})),
        (json!({}), json!({})),
    ] {
        let writes = setup.writes_of_update(&id, json!({"tags": configured})).await;
        assert_eq!(lines(&writes), ["PATCH rancher/made-elsewhere"], "{configured}");
        assert_eq!(setup.aks_cluster(NAME).await.unwrap()["tags"], expected, "{configured}");
        setup.advance_refreshes(1).await;
        assert_eq!(setup.get(&id).await["aksConfig"]["tags"], configured, "the user's spelling");
    }
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn import_labels_and_taints_are_removed_with_the_users_entry() {
    let setup = ClusterSetup::start().await;
    let theirs = json!({"nodeLabels": {"theirs": "1"}, "nodeTaints": ["theirs=1:NoSchedule"]});
    setup.put_pool_in_azure(NAME, "work", theirs).await;
    let id = setup.create_active(&setup.import_body(NAME, json!({}))).await;
    let pools = |work: serde_json::Value| {
        let mut pools = json!([
            {"name": "system", "count": 3, "maxPods": 30, "vmSize": "Standard_D4s_v5", "osDiskSizeGB": 128, "osDiskType": "Managed",
                "osType": "Linux", "mode": "System", "enableAutoScaling": true, "minCount": 3, "maxCount": 5},
            {"name": "work", "count": 2, "maxPods": 30, "vmSize": "Standard_D8s_v5", "osDiskSizeGB": 128, "osDiskType": "Managed",
                "osType": "Linux", "mode": "User"},
        ]);
        pools[1].as_object_mut().unwrap().extend(work.as_object().unwrap().clone());
        json!({"nodePools": pools})
    };
    for (configured, labels, taints) in [
        (
            json!({"nodeLabels": {"x": "1", "y": "2"}, "nodeTaints": ["x=1:NoSchedule", "y=1:NoExecute"]}),
            json!({"theirs": "1", "x": "1", "y": "2"}),
            json!(["theirs=1:NoSchedule", "x=1:NoSchedule", "y=1:NoExecute"]),
        ),
        (
            json!({"nodeLabels": {"x": "3"}, "nodeTaints": ["x=2:NoSchedule"]}),
            json!({"theirs": "1", "x": "3"}),
            json!(["theirs=1:NoSchedule", "x=2:NoSchedule"]),
        ),
        (json!({"nodeLabels": {}, "nodeTaints": []}), json!({"theirs": "1"}), json!(["theirs=1:NoSchedule"])),
    ] {
        let writes = setup.writes_of_update(&id, pools(configured.clone())).await;
        assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere/work"], "{configured}");
        let pool = setup.pool_in_azure(NAME, "work").await.unwrap();
        assert_eq!((&pool["nodeLabels"], &pool["nodeTaints"]), (&labels, &taints), "{configured}");
        setup.advance_refreshes(1).await;
        let returned = setup.get(&id).await["aksConfig"]["nodePools"][1].clone();
        assert_eq!(
            (&returned["nodeLabels"], &returned["nodeTaints"]),
            (&configured["nodeLabels"], &configured["nodeTaints"])
        );
    }
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn import_entry_changed_by_others_is_not_written_again() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.import_body(NAME, json!({}))).await;
    setup.writes_of_update(&id, json!({"tags": {"a": "1", "b": "2"}})).await;
    let theirs = json!({"tags": {"team": "platform", "a": "theirs", "c": "4"}});
    setup.change_in_azure(http::Method::PATCH, &cluster_path(NAME), Some(&theirs)).await;
    setup.advance_refreshes(2).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["tags"], json!({"a": "theirs"}));
    setup.expect_no_writes(&id).await;
    // Entries that others have set since are not removed together with the user's last entry.
    let writes = setup.writes_of_update(&id, json!({"tags": {}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/made-elsewhere"]);
    assert_eq!(setup.aks_cluster(NAME).await.unwrap()["tags"], json!({"team": "platform", "c": "4"}));
}

#[tokio::test]
async fn import_entries_of_the_user_survive_a_restart() {
    let db = crate::support::databases::sqlite().await;
    let first = ClusterSetup::new(TestApp::builder().database(&db).start().await, "ready").await;
    let id = first.create_active(&first.import_body(NAME, json!({}))).await;
    first.writes_of_update(&id, json!({"authorizedIpRanges": ["203.0.113.7"], "tags": {"a": "1"}})).await;
    let app = TestApp::builder().database(&db).with_azure_of(&first.app).start().await;
    let ClusterSetup { credential, account, client, .. } = first;
    let second = ClusterSetup { app, credential, account, client };
    second.writes_of_update(&id, json!({"authorizedIpRanges": [], "tags": {}})).await;
    let azure = second.aks_cluster(NAME).await.unwrap();
    assert_eq!(azure["tags"], json!({"team": "platform"}));
    assert_eq!(ranges(&second).await, json!([]));
}

#[tokio::test]
async fn import_entries_of_the_user_survive_a_failed_change() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.import_body(NAME, json!({}))).await;
    let one_failure = ScriptedOutcome { times: Some(1), ..ScriptedOutcome::default() };
    setup.app.control.add_outcome(one_failure);
    assert_eq!(
        setup.update(&id, json!({"authorizedIpRanges": ["203.0.113.7"]})).await.status,
        StatusCode::OK
    );
    setup.app.settle().await;
    setup.writes_of_update(&id, json!({"authorizedIpRanges": []})).await;
    assert_eq!(ranges(&setup).await, json!([]));
}
