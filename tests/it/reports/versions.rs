//! Kubernetes versions: minor versions alone, retired patches, long-term support, automatic upgrades.

use azure_sandbox::Page;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::provisioning::{ClusterSetup, cluster_path, lines, pool, pool_with};

/// Removes patches from Azure's list of versions in the region.
async fn retire_patches(setup: &ClusterSetup, patches: &[&str]) {
    let path = "/providers/Microsoft.ContainerService/locations/eastus/kubernetesVersions";
    let (status, mut list) = setup.azure(Method::GET, path, None).await;
    assert_eq!(status, 200);
    for minor in list["values"].as_array_mut().unwrap() {
        minor["patchVersions"].as_object_mut().unwrap().retain(|patch, _| !patches.contains(&patch.as_str()));
    }
    let page: Page = serde_json::from_str(&json!({"body": list}).to_string()).unwrap();
    setup.app.control.play(&setup.account.subscription_id, "kubernetesVersions", vec![page]).unwrap();
}

/// Enables long-term support, with 1.30.14 as the version of the cluster and its pools.
fn enable_long_term_support(body: &mut Value) {
    body["sku"]["tier"] = json!("Premium");
    body["properties"]["supportPlan"] = json!("AKSLongTermSupport");
    set_versions(body, "1.30.14", "1.30.14");
}

/// Sets the requested version and the running version of the cluster and its pools.
fn set_versions(body: &mut Value, requested: &str, running: &str) {
    body["properties"]["kubernetesVersion"] = json!(requested);
    body["properties"]["currentKubernetesVersion"] = json!(running);
    for pool in body["properties"]["agentPoolProfiles"].as_array_mut().unwrap() {
        pool["orchestratorVersion"] = json!(requested);
        pool["currentOrchestratorVersion"] = json!(running);
    }
}

fn enabled_versions(upgrades: &[String]) -> Vec<&str> {
    upgrades.iter().filter_map(|item| item.strip_suffix('+')).collect()
}

#[tokio::test]
async fn upgrades_of_a_minor_version_follow_the_running_patch() {
    let setup = ClusterSetup::start().await;
    for (name, version) in [("one", "1.33"), ("two", "v1.33 ")] {
        let body = setup.small_cluster_with(
            json!({"kubernetesVersion": version, "clusterName": name, "dnsPrefix": name}),
        );
        let id = setup.create_active(&json!({"name": name, "aksConfig": body["aksConfig"]})).await;
        let cluster = setup.get(&id).await;
        assert_eq!(cluster["aksConfig"]["kubernetesVersion"], version.trim(), "the user's spelling");
        let upgrades = setup.upgrades(&id).await;
        assert_eq!(enabled_versions(&upgrades), ["1.34.0", "1.34.1", "1.34.2", "1.34.3"]);
        assert!(upgrades[0].starts_with("1.34.0"), "{upgrades:?}");
    }
    setup.create_in_azure("theirs", json!({"kubernetesVersion": "1.33"})).await;
    let import = setup.create_active(&setup.import_body("theirs", json!({}))).await;
    assert_eq!(enabled_versions(&setup.upgrades(&import).await), ["1.34.0", "1.34.1", "1.34.2", "1.34.3"]);
}

#[tokio::test]
async fn spellings_of_the_running_version_change_nothing() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.small_cluster_with(json!({"kubernetesVersion": "1.33"}))).await;
    for spelling in ["1.33.6", "v1.33.6", " 1.33 ", "v1.33"] {
        let pools = json!([pool_with("system", "System", json!({"orchestratorVersion": spelling}))]);
        let response = setup.update(&id, json!({"kubernetesVersion": spelling, "nodePools": pools})).await;
        assert_eq!(response.status, StatusCode::OK, "{spelling}: {}", response.text());
        setup.app.settle().await;
        setup.expect_active(&id).await;
        assert_eq!(lines(&setup.take_writes()), [""; 0], "{spelling}");
        setup.advance_refreshes(1).await;
        let returned = setup.get(&id).await["aksConfig"]["kubernetesVersion"].clone();
        assert_eq!(returned, spelling.trim(), "the user's spelling");
    }
    // A change of another key sends the version as Azure returns it: as a minor version.
    let writes = setup.writes_of_update(&id, json!({"authorizedIpRanges": ["203.0.113.0/24"]})).await;
    assert_eq!(lines(&writes), ["PUT rancher/one"]);
    assert_eq!(writes[0].at("/properties/kubernetesVersion"), "1.33");
    let writes = setup.writes_of_update(&id, json!({"kubernetesVersion": " v1.34.1"})).await;
    assert_eq!(writes[0].at("/properties/kubernetesVersion"), "1.34.1");
}

#[tokio::test]
async fn upgrades_from_a_retired_patch_come_from_the_profile() {
    let (setup, id) = ClusterSetup::start_active().await;
    retire_patches(&setup, &["1.32.7"]).await;
    let upgrades = setup.upgrades(&id).await;
    let expected =
        ["1.32.8", "1.32.9", "1.32.10", "1.33.0", "1.33.1", "1.33.2", "1.33.3", "1.33.4", "1.33.5", "1.33.6"];
    assert_eq!(enabled_versions(&upgrades), expected);
    // The upgrade profile of the cluster is cached like the list of versions.
    setup.app.control.clear_requests();
    let path = format!("/meta/aksUpgrades?cloudCredentialId={}&clusterId={id}", setup.credential);
    assert_eq!(setup.app.get(&path).send().await.status, 200);
    assert_eq!(setup.app.take_azure_requests(), [""; 0]);
    // The review agrees: it accepts enabled versions only, and names the next reachable one.
    let (field, message) = setup.put_rejected(&id, json!({"kubernetesVersion": "1.34.1"})).await;
    assert_eq!(field, "aksConfig.kubernetesVersion");
    assert!(message.ends_with("minor versions cannot be skipped: upgrade to 1.33.6 first"), "{message}");
    let writes = setup.writes_of_update(&id, json!({"kubernetesVersion": "1.33.3"})).await;
    assert_eq!(writes[0].at("/properties/kubernetesVersion"), "1.33.3");
}

#[tokio::test]
async fn upgrade_profile_adds_missing_targets() {
    let (setup, id) = ClusterSetup::start_active().await;
    retire_patches(&setup, &["1.32.7", "1.32.9"]).await;
    let upgrades = setup.upgrades(&id).await;
    assert!(upgrades.contains(&"1.32.9+".to_owned()), "{upgrades:?}");
    let is_sorted = upgrades.iter().position(|item| item == "1.32.9+")
        < upgrades.iter().position(|item| item == "1.32.10+");
    assert!(is_sorted, "{upgrades:?}");
    // If Azure denies the profile, the list is returned without it.
    let denial = json!({"path": "/upgradeProfiles/", "effect": {"status": {"status": 403, "code": "AuthorizationFailed", "message": "no"}}});
    setup.app.control.add_fault(serde_json::from_value(denial).unwrap());
    let upgrades = setup.upgrades(&id).await;
    assert_eq!(enabled_versions(&upgrades), [""; 0]);
    assert!(upgrades.len() > 10, "{upgrades:?}");
}

#[tokio::test]
async fn long_term_support_offers_older_versions() {
    let (setup, id) = ClusterSetup::start_active().await;
    setup.app.control.edit_cluster("one", enable_long_term_support);
    setup.advance_refreshes(1).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["kubernetesVersion"], "1.30.14");
    let upgrades = setup.upgrades(&id).await;
    for target in ["1.30.100", "1.30.101", "1.31.11", "1.32.7", "1.33.6"] {
        assert!(enabled_versions(&upgrades).contains(&target), "{target} {upgrades:?}");
    }
    let older = pool_with("older", "User", json!({"orchestratorVersion": "1.29.103"}));
    let writes = setup.writes_of_update(&id, json!({"nodePools": [pool("system", "System"), older]})).await;
    assert_eq!(writes[0].at("/properties/orchestratorVersion"), "1.29.103");
    for version in ["1.30.100", "1.31.11", "1.32.7"] {
        setup.writes_of_update(&id, json!({"kubernetesVersion": version})).await;
    }
}

#[tokio::test]
async fn long_term_versions_require_long_term_support() {
    let setup = ClusterSetup::start().await;
    let (field, message) =
        setup.post_rejected(&setup.small_cluster_with(json!({"kubernetesVersion": "1.31.11"}))).await;
    assert_eq!(field, "aksConfig.kubernetesVersion");
    assert!(message.contains("long-term support"), "{message}");
    let id = setup.create_active(&setup.small_cluster()).await;
    let older = pool_with("older", "User", json!({"orchestratorVersion": "1.31.11"}));
    let (field, message) =
        setup.put_rejected(&id, json!({"nodePools": [pool("system", "System"), older]})).await;
    assert_eq!(field, "aksConfig.nodePools[1].orchestratorVersion");
    assert!(message.ends_with("which the cluster does not have: use 1.32.7"), "{message}");
    // Azure rejects the version too.
    let body =
        json!({"properties": {"count": 1, "vmSize": "Standard_DS2_v2", "orchestratorVersion": "1.31.11"}});
    let (status, response) =
        setup.azure(Method::PUT, &format!("{}/agentPools/older", cluster_path("one")), Some(&body)).await;
    assert_eq!((status, &response["code"]), (400, &json!("AgentPoolK8sVersionNotSupported")), "{response}");
}

#[tokio::test]
async fn remedies_name_reachable_versions() {
    let (setup, id) = ClusterSetup::start_active().await;
    let (_, message) = setup.put_rejected(&id, json!({"kubernetesVersion": "1.32.99"})).await;
    assert!(message.contains("use one of 1.32.8, 1.32.9, 1.32.10, 1.33.0, "), "{message}");
    assert!(!message.contains("1.34"), "{message}");
    setup.writes_of_update(&id, json!({"kubernetesVersion": "1.33.3"})).await;
    let (_, message) = setup.put_rejected(&id, json!({"kubernetesVersion": "1.33.99"})).await;
    assert!(message.contains("use one of 1.33.4, 1.33.5, 1.33.6, 1.34.0, "), "{message}");
    assert!(!message.contains("1.32"), "{message}");
}

#[tokio::test]
async fn version_that_azure_rejects_is_shown_with_the_first_upgrade() {
    let (setup, id) = ClusterSetup::start_active().await;
    let request_version = async |version: &str| {
        let advise = json!({"norman-aks.io/review": "advise"});
        let body = json!({"name": "one", "annotations": advise, "aksConfig": {"kubernetesVersion": version}});
        setup.app.put(&format!("/v3/clusters/{id}")).json(&body).send().await.expect(200);
        setup.app.settle().await;
    };
    request_version("1.34.3").await;
    let message = setup.expect_failure(&id, "updating").await;
    assert!(message.contains("Upgrading Kubernetes version 1.32.7 to 1.34.3 is not allowed"), "{message}");
    let remedy = format!(
        "; upgrade to 1.33.6 first; GET /api/v1/clusters/{id}/upgrade-plan?to=1.34.3 lists all steps"
    );
    assert!(message.ends_with(&remedy), "{message}");
    // No upgrade path leads to this version, so there is no remedy.
    request_version("1.35.9").await;
    let message = setup.expect_failure(&id, "updating").await;
    assert!(message.contains("1.35.9") && !message.contains(" first"), "{message}");
    request_version("1.33.6").await;
    setup.expect_active(&id).await;
}

#[tokio::test]
async fn automatic_upgrade_is_never_reverted() {
    let (setup, id) = ClusterSetup::start_active().await;
    setup.app.control.edit_cluster("one", |body| set_versions(body, "1.32.9", "1.32.9"));
    // This server has not observed the upgrade yet: a change of another key keeps Azure's version.
    let writes = setup
        .writes_of_update(
            &id,
            json!({"authorizedIpRanges": ["203.0.113.0/24"], "kubernetesVersion": "1.32.7"}),
        )
        .await;
    assert_eq!(lines(&writes), ["PUT rancher/one"]);
    assert_eq!(writes[0].at("/properties/kubernetesVersion"), "1.32.9");
    setup.advance_refreshes(1).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["kubernetesVersion"], "1.32.9");
    let (field, message) = setup.put_rejected(&id, json!({"kubernetesVersion": "1.32.8"})).await;
    assert_eq!(field, "aksConfig.kubernetesVersion");
    assert!(message.contains("cannot be downgraded from 1.32.9 to 1.32.8"), "{message}");
}
