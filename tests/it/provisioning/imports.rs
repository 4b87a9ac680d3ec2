//! Clusters that were created elsewhere: they are read, changed only if the user requests it, and never deleted.

use http::StatusCode;
use serde_json::json;

use super::{Case, Write, azure_cluster_body, cluster, lines};
use crate::support::app::TestApp;

const NAME: &str = "made-elsewhere";
const READ_KUBECONFIG: &str = "POST rancher/made-elsewhere/listClusterAdminCredential";

fn changes(writes: &[Write]) -> Vec<String> {
    lines(writes)
        .into_iter()
        .filter(|line| !(line.starts_with("POST ") && line.ends_with("Credential")))
        .collect()
}

#[tokio::test]
async fn import_becomes_active() {
    let case = Case::start().await;
    let body = case.import(NAME, json!({}));
    let id = case.post(&body).await;
    let statuses = case.record_statuses(&id, 20).await;
    let done =
        "Pending=True Provisioned=True SystemAccountCreated=True Connected=True Ready=True Updated=True";
    assert_eq!((&*statuses.last().unwrap().state, &*statuses.last().unwrap().conditions), ("active", done));
    assert!(statuses.iter().all(|status| status.transitioning != "error"), "{statuses:?}");
    let shown = case.get(&id).await;
    let mut config = shown["aksConfig"].clone();
    config.as_object_mut().unwrap().remove("type");
    assert_eq!(config, body["aksConfig"], "unset keys are not managed");
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
async fn import_writes_nothing_to_azure() {
    let app = TestApp::builder().setting("NORMAN_AKS_SERVER_URL", "https://aks.example.org").start().await;
    let case = Case::new(app, "ready").await;
    let before = case.aks_cluster(NAME).await.unwrap();
    let id = case.post_and_settle(&case.import(NAME, json!({}))).await;
    case.expect_active(&id).await;
    case.advance_refreshes(30).await;
    case.update_description(&id).await;
    case.expect_active(&id).await;
    case.app.post(&format!("/v3/clusters/{id}?action=generateKubeconfig")).send().await.expect(200);
    // As sent by Terraform.
    case.update(&id, case.import(NAME, json!({}))["aksConfig"].clone()).await.expect(200);
    case.settle_active(&id).await;
    case.advance_refreshes(5).await;
    case.delete_and_settle(&id).await;
    assert_eq!(lines(&case.take_writes()), [READ_KUBECONFIG]);
    assert_eq!(case.aks_cluster(NAME).await.unwrap(), before);
}

#[tokio::test]
async fn empty_values_of_an_import_change_nothing() {
    let case = Case::start().await;
    let nothing = json!({
        "tags": {}, "monitoring": false, "httpApplicationRouting": false, "authorizedIpRanges": [], "outboundType": "loadBalancer",
    });
    let id = case.post_and_settle(&case.import(NAME, nothing)).await;
    case.expect_active(&id).await;
    case.advance_refreshes(3).await;
    assert_eq!(lines(&case.take_writes()), [READ_KUBECONFIG]);
    assert_eq!(case.aks_cluster(NAME).await.unwrap()["tags"], json!({"team": "platform"}));
}

#[tokio::test]
async fn import_writes_only_set_keys() {
    let case = Case::start().await;
    let id = case.create_active(&case.import(NAME, json!({}))).await;
    let writes = case.writes_of_update(&id, json!({"tags": {"team": "ours"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/made-elsewhere"]);
    assert_eq!(writes[0].body, json!({"tags": {"team": "ours"}}), "no owner tag: it is not ours");
    let writes = case.writes_of_update(&id, json!({"authorizedIpRanges": ["20.1.0.0/16"]})).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"]);
    case.set_in_azure(
        NAME,
        "/properties/apiServerAccessProfile/authorizedIPRanges",
        json!(["20.1.0.0/16", "20.9.0.0/16"]),
    )
    .await;
    let writes =
        case.writes_of_update(&id, json!({"authorizedIpRanges": ["20.1.0.0/16", "20.2.0.0/16"]})).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"]);
    let now = case.aks_cluster(NAME).await.unwrap();
    let ranges = &now["properties"]["apiServerAccessProfile"]["authorizedIPRanges"];
    assert_eq!(*ranges, json!(["20.1.0.0/16", "20.9.0.0/16", "20.2.0.0/16"]), "entries of others remain");
    case.expect_no_writes(&id).await;
    case.delete_and_settle(&id).await;
    assert_eq!(changes(&case.take_writes()), Vec::<String>::new());
    assert!(case.aks_cluster(NAME).await.is_some());
}

#[tokio::test]
async fn import_manages_named_pools() {
    let case = Case::start().await;
    let id = case.create_active(&case.import(NAME, json!({}))).await;
    let work = |count: u32| {
        json!({"nodePools": [
            {"name": "system", "count": 3, "maxPods": 30, "vmSize": "Standard_D4s_v5", "osDiskSizeGB": 128, "osDiskType": "Managed",
                "osType": "Linux", "mode": "System", "enableAutoScaling": true, "minCount": 3, "maxCount": 5},
            {"name": "work", "count": count, "maxPods": 30, "vmSize": "Standard_D8s_v5", "osDiskSizeGB": 128, "osDiskType": "Managed",
                "osType": "Linux", "mode": "User"},
        ]})
    };
    assert_eq!(lines(&case.writes_of_update(&id, work(2)).await), Vec::<String>::new());
    let writes = case.writes_of_update(&id, work(3)).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere/work"]);
    case.expect_no_writes(&id).await;
}

#[tokio::test]
async fn import_writes_keys_set_before_its_first_read() {
    let case = Case::start().await;
    let id = case.post(&case.import(NAME, json!({}))).await;
    assert_eq!(case.update(&id, json!({"tags": {"team": "ours"}})).await.status, StatusCode::OK);
    case.settle_active(&id).await;
    assert_eq!(changes(&case.take_writes()), ["PATCH rancher/made-elsewhere"]);
    assert_eq!(case.get(&id).await["aksConfig"]["tags"], json!({"team": "ours"}));
    assert_eq!(case.aks_cluster(NAME).await.unwrap()["tags"], json!({"team": "ours"}));
}

#[tokio::test]
async fn import_keeps_the_owner_tag_of_another_server() {
    let case = Case::start().await;
    let tags = json!({"a": "b", "norman-aks-owner": "other/c-other"});
    case.change_in_azure(http::Method::PUT, &cluster("theirs"), Some(&azure_cluster_body("theirs", tags)))
        .await;
    let id = case.create_active(&case.import("theirs", json!({}))).await;
    let writes = case.writes_of_update(&id, json!({"tags": {"c": "d"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/theirs"]);
    assert_eq!(
        case.aks_cluster("theirs").await.unwrap()["tags"],
        json!({"a": "b", "c": "d", "norman-aks-owner": "other/c-other"})
    );
    case.expect_no_writes(&id).await;
    case.delete(&id).await;
    case.app.settle().await;
    assert!(case.aks_cluster("theirs").await.is_some());
}

#[tokio::test]
async fn import_of_a_missing_cluster_can_be_removed() {
    let case = Case::start().await;
    let id = case.post_with_advisory_review_and_settle(&case.import("nowhere", json!({}))).await;
    let message = case.expect_failure(&id, "provisioning").await;
    assert_eq!(message, "nowhere does not exist in Azure, so it cannot be imported");
    case.delete_and_settle(&id).await;
    assert_eq!(lines(&case.take_writes()), Vec::<String>::new());
}

#[tokio::test]
async fn failed_cluster_can_be_imported() {
    let case = Case::start().await;
    case.app.control.add_outcome(azure_sandbox::ScriptedOutcome {
        times: Some(1),
        ..azure_sandbox::ScriptedOutcome::default()
    });
    case.set_in_azure(
        NAME,
        "/properties/addonProfiles",
        json!({"httpApplicationRouting": {"enabled": true}}),
    )
    .await;
    assert_eq!(case.aks_cluster(NAME).await.unwrap()["properties"]["provisioningState"], "Failed");
    let id = case.post_and_settle(&case.import(NAME, json!({}))).await;
    case.expect_active(&id).await;
    case.update_description(&id).await;
    case.expect_active(&id).await;
    assert_eq!(lines(&case.take_writes()), [READ_KUBECONFIG]);
}

#[tokio::test]
async fn import_upgrade_changes_only_the_version() {
    let case = Case::start().await;
    let id = case.create_active(&case.import(NAME, json!({}))).await;
    let mut expected = case.aks_cluster(NAME).await.unwrap();
    let writes = case.writes_of_update(&id, json!({"kubernetesVersion": "1.33.3"})).await;
    assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"]);
    expected["properties"]["kubernetesVersion"] = json!("1.33.3");
    assert_eq!(writes[0].body, expected);
    case.expect_no_writes(&id).await;
}

/// The address ranges in Azure.
async fn ranges(case: &Case) -> serde_json::Value {
    case.aks_cluster(NAME).await.unwrap()["properties"]["apiServerAccessProfile"]["authorizedIPRanges"]
        .clone()
}

#[tokio::test]
async fn import_ranges_are_removed_with_the_users_entry() {
    let case = Case::start().await;
    let pointer = "/properties/apiServerAccessProfile/authorizedIPRanges";
    case.set_in_azure(NAME, pointer, json!(["192.0.2.0/24"])).await;
    let id = case.create_active(&case.import(NAME, json!({}))).await;
    for (stated, expected) in [
        (
            json!(["203.0.113.0/24", "198.51.100.0/24"]),
            json!(["192.0.2.0/24", "203.0.113.0/24", "198.51.100.0/24"]),
        ),
        (json!(["203.0.113.0/24"]), json!(["192.0.2.0/24", "203.0.113.0/24"])),
        (json!([]), json!(["192.0.2.0/24"])),
    ] {
        let writes = case.writes_of_update(&id, json!({"authorizedIpRanges": stated})).await;
        assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere"]);
        assert_eq!(ranges(&case).await, expected, "{stated}");
        case.advance_refreshes(2).await;
        let shown = case.get(&id).await;
        assert_eq!(shown["aksConfig"]["authorizedIpRanges"], stated, "the user's spelling");
        assert_eq!(shown["aksStatus"]["upstreamSpec"]["authorizedIpRanges"], expected);
    }
    case.expect_no_writes(&id).await;
    assert_eq!(ranges(&case).await, json!(["192.0.2.0/24"]));
}

#[tokio::test]
async fn import_ranges_are_removed_with_their_key_only() {
    let case = Case::start().await;
    let pointer = "/properties/apiServerAccessProfile/authorizedIPRanges";
    case.set_in_azure(NAME, pointer, json!(["192.0.2.0/24"])).await;
    let id = case.create_active(&case.import(NAME, json!({}))).await;
    case.writes_of_update(&id, json!({"authorizedIpRanges": ["203.0.113.7"]})).await;
    let both = json!(["192.0.2.0/24", "203.0.113.7"]);
    // An absent key has no effect, even if other keys change.
    case.writes_of_update(&id, json!({"tags": {"a": "b"}})).await;
    assert_eq!(ranges(&case).await, both);
    // A single address with its mask is the same range.
    assert_eq!(
        case.update(&id, json!({"authorizedIpRanges": ["203.0.113.7/32"]})).await.status,
        StatusCode::OK
    );
    case.settle_active(&id).await;
    assert_eq!(ranges(&case).await, both);
    case.writes_of_update(&id, json!({"authorizedIpRanges": null})).await;
    assert_eq!(ranges(&case).await, json!(["192.0.2.0/24"]));
}

#[tokio::test]
async fn import_range_from_azure_is_not_the_users() {
    let case = Case::start().await;
    let pointer = "/properties/apiServerAccessProfile/authorizedIPRanges";
    case.set_in_azure(NAME, pointer, json!(["192.0.2.0/24"])).await;
    let id = case.create_active(&case.import(NAME, json!({}))).await;
    case.update(&id, json!({"authorizedIpRanges": ["192.0.2.0/24"]})).await.expect(200);
    case.app.settle().await;
    let answer = case.update(&id, json!({"authorizedIpRanges": []})).await;
    let findings = answer.json()["aksStatus"]["review"]["findings"].clone();
    let stays =
        findings.as_array().unwrap().iter().find(|finding| finding["rule"] == "entries-stay").unwrap();
    assert_eq!(
        (&stays["field"], &stays["severity"]),
        (&json!("aksConfig.authorizedIpRanges"), &json!("warning"))
    );
    assert!(stays["message"].as_str().unwrap().contains("192.0.2.0/24"), "{stays}");
    case.settle_active(&id).await;
    assert_eq!(ranges(&case).await, json!(["192.0.2.0/24"]));
    assert_eq!(changes(&case.take_writes()), Vec::<String>::new());
}

#[tokio::test]
async fn import_tags_are_removed_with_the_users_entry() {
    let case = Case::start().await;
    let id = case.create_active(&case.import(NAME, json!({}))).await;
    for (stated, expected) in [
        (json!({"a": "1", "b": "2"}), json!({"team": "platform", "a": "1", "b": "2"})),
        (json!({"a": "3"}), json!({"team": "platform", "a": "3"})),
        (json!({}), json!({"team": "platform"})),
        (json!({"Team": "ours"}), json!({"Team": "ours"})),
        (json!({}), json!({})),
    ] {
        let writes = case.writes_of_update(&id, json!({"tags": stated})).await;
        assert_eq!(lines(&writes), ["PATCH rancher/made-elsewhere"], "{stated}");
        assert_eq!(case.aks_cluster(NAME).await.unwrap()["tags"], expected, "{stated}");
        case.advance_refreshes(1).await;
        assert_eq!(case.get(&id).await["aksConfig"]["tags"], stated, "the user's spelling");
    }
    case.expect_no_writes(&id).await;
}

#[tokio::test]
async fn import_labels_and_taints_are_removed_with_the_users_entry() {
    let case = Case::start().await;
    let theirs = json!({"nodeLabels": {"theirs": "1"}, "nodeTaints": ["theirs=1:NoSchedule"]});
    case.put_pool_in_azure(NAME, "work", theirs).await;
    let id = case.create_active(&case.import(NAME, json!({}))).await;
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
    for (stated, labels, taints) in [
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
        let writes = case.writes_of_update(&id, pools(stated.clone())).await;
        assert_eq!(lines(&writes), ["PUT rancher/made-elsewhere/work"], "{stated}");
        let pool = case.pool_in_azure(NAME, "work").await.unwrap();
        assert_eq!((&pool["nodeLabels"], &pool["nodeTaints"]), (&labels, &taints), "{stated}");
        case.advance_refreshes(1).await;
        let shown = case.get(&id).await["aksConfig"]["nodePools"][1].clone();
        assert_eq!(
            (&shown["nodeLabels"], &shown["nodeTaints"]),
            (&stated["nodeLabels"], &stated["nodeTaints"])
        );
    }
    case.expect_no_writes(&id).await;
}

#[tokio::test]
async fn import_entry_changed_by_others_is_not_written_again() {
    let case = Case::start().await;
    let id = case.create_active(&case.import(NAME, json!({}))).await;
    case.writes_of_update(&id, json!({"tags": {"a": "1", "b": "2"}})).await;
    let theirs = json!({"tags": {"team": "platform", "a": "theirs", "c": "4"}});
    case.change_in_azure(http::Method::PATCH, &cluster(NAME), Some(&theirs)).await;
    case.advance_refreshes(2).await;
    assert_eq!(case.get(&id).await["aksConfig"]["tags"], json!({"a": "theirs"}));
    case.expect_no_writes(&id).await;
    // Entries that others have set since are not removed together with the user's last entry.
    let writes = case.writes_of_update(&id, json!({"tags": {}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/made-elsewhere"]);
    assert_eq!(case.aks_cluster(NAME).await.unwrap()["tags"], json!({"team": "platform", "c": "4"}));
}

#[tokio::test]
async fn import_remembers_named_entries_over_a_restart() {
    let db = crate::support::databases::sqlite().await;
    let first = Case::new(TestApp::builder().database(&db).start().await, "ready").await;
    let id = first.create_active(&first.import(NAME, json!({}))).await;
    first.writes_of_update(&id, json!({"authorizedIpRanges": ["203.0.113.7"], "tags": {"a": "1"}})).await;
    let app = TestApp::builder().database(&db).with_azure_of(&first.app).start().await;
    let Case { credential, account, client, .. } = first;
    let second = Case { app, credential, account, client };
    second.writes_of_update(&id, json!({"authorizedIpRanges": [], "tags": {}})).await;
    let azure = second.aks_cluster(NAME).await.unwrap();
    assert_eq!(azure["tags"], json!({"team": "platform"}));
    assert_eq!(ranges(&second).await, json!([]));
}

#[tokio::test]
async fn failed_import_change_remembers_named_entries() {
    let case = Case::start().await;
    let id = case.create_active(&case.import(NAME, json!({}))).await;
    case.app.control.add_outcome(azure_sandbox::ScriptedOutcome {
        times: Some(1),
        ..azure_sandbox::ScriptedOutcome::default()
    });
    assert_eq!(case.update(&id, json!({"authorizedIpRanges": ["203.0.113.7"]})).await.status, StatusCode::OK);
    case.app.settle().await;
    case.writes_of_update(&id, json!({"authorizedIpRanges": []})).await;
    assert_eq!(ranges(&case).await, json!([]));
}
