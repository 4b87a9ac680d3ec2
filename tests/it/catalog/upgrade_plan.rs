//! `GET /api/v1/clusters/{id}/upgrade-plan`: the hops, what blocks them, who may read a plan, and that its hops can be applied.

use azure_sandbox::{Page, Quota};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::provisioning::{ClusterSetup, cluster_path, pool, pool_with};
use crate::support::app::TestResponse;
use crate::support::test_clusters;

async fn get_plan(setup: &ClusterSetup, token: &str, id: &str, query: &str) -> TestResponse {
    setup.app.get(&format!("/api/v1/clusters/{id}/upgrade-plan{query}")).token(token).send().await
}

/// The plan for the administrator, after checking that the request changed nothing.
async fn plan(setup: &ClusterSetup, id: &str, to: &str) -> Value {
    let (before, writes) = (setup.get(id).await, setup.app.control.writes().len());
    let query = if to.is_empty() { String::new() } else { format!("?to={to}") };
    let response = get_plan(setup, &setup.app.admin, id, &query).await.expect(200);
    assert_eq!((setup.get(id).await, setup.app.control.writes().len()), (before, writes));
    let plan = response.json();
    let hops = plan["hops"].as_array().unwrap();
    assert_eq!(plan["possible"], hops.iter().all(|hop| hop["blockedBy"] == json!([])), "{plan}");
    plan
}

/// The hops, such as `1.33.6 system=1.33.6!quotaShort`.
fn summary(plan: &Value) -> String {
    let line = |hop: &Value| {
        let to = hop["to"].as_str().unwrap();
        let part = match hop["what"].as_str().unwrap() {
            "controlPlane" => to.to_owned(),
            "nodePool" => format!("{}={to}", hop["pool"].as_str().unwrap()),
            other => panic!("{other}"),
        };
        let blocks = hop["blockedBy"].as_array().unwrap().iter().map(|block| {
            for key in ["message", "remedy", "source"] {
                assert!(!block[key].as_str().unwrap().is_empty(), "{block}");
            }
            format!("!{}", block["code"].as_str().unwrap())
        });
        part + &blocks.collect::<Vec<_>>().concat()
    };
    plan["hops"].as_array().unwrap().iter().map(line).collect::<Vec<_>>().join(" ")
}

/// The summary of a plan, after checking that everything it needs was read from Azure.
async fn complete_summary(setup: &ClusterSetup, id: &str, to: &str) -> String {
    let plan = plan(setup, id, to).await;
    assert_eq!(plan["azure"], json!({"outcome": "asked"}), "{plan}");
    assert_eq!(plan["notLookedAt"], json!([]), "{plan}");
    summary(&plan)
}

/// The versions that run in Azure: the control plane, then the pools.
async fn running_versions(setup: &ClusterSetup, name: &str) -> Vec<String> {
    let cluster = setup.aks_cluster(name).await.unwrap();
    let properties = &cluster["properties"];
    let pools = properties["agentPoolProfiles"].as_array().unwrap().iter();
    let versions = pools.map(|pool| &pool["currentOrchestratorVersion"]);
    let all = [&properties["currentKubernetesVersion"]].into_iter().chain(versions);
    all.map(|version| version.as_str().unwrap().to_owned()).collect()
}

/// Applies the first hop of the plan until no hop is left; returns the applied hops.
async fn follow_plan(setup: &ClusterSetup, id: &str, to: &str) -> Vec<String> {
    let mut applied = Vec::new();
    for _ in 0..20 {
        let plan = plan(setup, id, to).await;
        assert_eq!(plan["possible"], true, "{plan}");
        let Some(hop) = plan["hops"].as_array().unwrap().first().cloned() else { return applied };
        applied.push(summary(&plan).split(' ').next().unwrap().to_owned());
        setup.writes_of_update(id, hop["aksConfig"].clone()).await;
    }
    panic!("the plan never ends: {applied:?}");
}

fn set_version(body: &mut Value, version: &str) {
    body["properties"]["kubernetesVersion"] = json!(version);
    body["properties"]["currentKubernetesVersion"] = json!(version);
    for pool in body["properties"]["agentPoolProfiles"].as_array_mut().unwrap() {
        pool["orchestratorVersion"] = json!(version);
        pool["currentOrchestratorVersion"] = json!(version);
    }
}

fn enable_long_term_support(body: &mut Value) {
    body["sku"]["tier"] = json!("Premium");
    body["properties"]["supportPlan"] = json!("AKSLongTermSupport");
}

/// Asserts that the review rejects the change of a hop.
async fn expect_rejection(setup: &ClusterSetup, id: &str, hop: &Value, part: &str) {
    let body = json!({"name": "one", "aksConfig": hop["aksConfig"]});
    let put = setup.app.put(&format!("/v3/clusters/{id}")).json(&body);
    // A rejected credential is tried again for a while, because Azure may not know it yet.
    let (response, _) = setup.app.send_while_time_passes(put).await;
    let text = response.expect(422).text();
    assert!(text.contains(part), "{text}");
}

#[tokio::test]
async fn following_the_plan_upgrades_a_cluster_two_minors() {
    let setup = ClusterSetup::start().await;
    let pools =
        json!([pool("system", "System"), pool_with("work", "User", json!({"orchestratorVersion": "1.32"}))]);
    let id = setup.create_active(&setup.small_cluster_with(json!({"nodePools": pools}))).await;
    assert_eq!(running_versions(&setup, "one").await, ["1.32.7"; 3]);
    let first = plan(&setup, &id, "").await;
    assert_eq!((&first["from"], &first["to"]), (&json!("1.32.7"), &json!("1.34.3")), "{first}");
    assert_eq!(summary(&first), "1.33.6 1.34.3 system=1.34.3 work=1.34.3");
    assert_eq!(first["hops"][2]["surge"], json!({"nodes": 1, "vcpus": 2}), "{first}");

    // Applies the hops of one plan, in order.
    for hop in first["hops"].as_array().unwrap() {
        setup.writes_of_update(&id, hop["aksConfig"].clone()).await;
    }
    assert_eq!(running_versions(&setup, "one").await, ["1.34.3"; 3]);
    assert_eq!(complete_summary(&setup, &id, "1.34").await, "");
    let config = setup.get(&id).await["aksConfig"].clone();
    assert_eq!(config["nodePools"][1]["mode"], "User", "{config}");
    assert_eq!(config["nodePools"].as_array().unwrap().len(), 2, "{config}");
}

#[tokio::test]
async fn plan_that_is_read_after_each_hop_ends_at_the_target() {
    let (setup, id) = ClusterSetup::start_active().await;
    let old = pool_with("old", "User", json!({"orchestratorVersion": "1.32.7"}));
    setup.writes_of_update(&id, json!({"nodePools": [pool("system", "System"), old]})).await;
    setup.app.control.edit_cluster("one", |body| {
        set_version(body, "1.33.6");
        // This pool is so far behind that it must be upgraded first.
        body["properties"]["agentPoolProfiles"][1]["orchestratorVersion"] = json!("1.30.14");
        body["properties"]["agentPoolProfiles"][1]["currentOrchestratorVersion"] = json!("1.30.14");
    });
    setup.advance_refreshes(1).await;
    assert_eq!(
        follow_plan(&setup, &id, "1.34.3").await,
        ["old=1.33.6", "1.34.3", "system=1.34.3", "old=1.34.3"]
    );
    assert_eq!(running_versions(&setup, "one").await, ["1.34.3"; 3]);
}

#[tokio::test]
async fn import_without_managed_pools_is_upgraded_as_well() {
    let (setup, _) = ClusterSetup::start_active().await;
    let mine =
        setup.app.get("/v3/clusters").send().await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    // A second cluster object, which imports a cluster that others created.
    let id = setup.create_active(&test_clusters::import_body(&setup.app, "theirs", &setup.credential)).await;
    assert_ne!(mine, id);
    let applied = follow_plan(&setup, &id, "1.33").await;
    assert_eq!(applied.first().map(String::as_str), Some("1.33.6"), "{applied:?}");
    let versions = running_versions(&setup, setup.app.seed.imported_cluster_name).await;
    assert!(versions.iter().all(|version| version == "1.33.6"), "{versions:?}");
}

#[tokio::test]
async fn preview_is_marked_and_saved_with_a_warning() {
    let setup = ClusterSetup::start().await;
    let id = setup
        .create_active(&setup.small_cluster_with(json!({"kubernetesVersion": "1.34.3", "nodePools": [
        pool_with("system", "System", json!({"orchestratorVersion": "1.34.3"}))]})))
        .await;
    assert_eq!(complete_summary(&setup, &id, "").await, "");
    let preview = plan(&setup, &id, "1.35").await;
    assert_eq!(summary(&preview), "1.35.1!previewOnly system=1.35.1");
    let response = setup.update(&id, preview["hops"][0]["aksConfig"].clone()).await.expect(200);
    assert!(response.text().contains("is a preview in eastus"), "{}", response.text());
}

#[tokio::test]
async fn lower_and_long_term_versions_block() {
    let (setup, id) = ClusterSetup::start_active().await;
    let lower = plan(&setup, &id, "1.32.6").await;
    assert_eq!(summary(&lower), "1.32.6!downgrade");
    expect_rejection(&setup, &id, &lower["hops"][0], "cannot be downgraded from 1.32.7 to 1.32.6").await;
    setup.app.control.edit_cluster("one", |body| set_version(body, "1.30.14"));
    setup.advance_refreshes(1).await;
    let blocked = plan(&setup, &id, "1.31.13").await;
    assert_eq!(summary(&blocked), "1.31.13!needsLongTermSupport system=1.31.13");
    assert_eq!(blocked["longTermSupport"], false);
    expect_rejection(&setup, &id, &blocked["hops"][0], "only with long-term support").await;
    // Without long-term support, Azure offers to skip the versions that need it.
    assert_eq!(
        complete_summary(&setup, &id, "1.34.3").await,
        "1.32.10 1.33.6 system=1.33.6 1.34.3 system=1.34.3"
    );
    setup.app.control.edit_cluster("one", enable_long_term_support);
    assert_eq!(complete_summary(&setup, &id, "1.31.13").await, "1.31.13 system=1.31.13");
    let supported = plan(&setup, &id, "1.34.3").await;
    assert_eq!(summary(&supported), "1.31.13 1.32.10 1.33.6 system=1.33.6 1.34.3 system=1.34.3");
    assert_eq!(supported["longTermSupport"], true);
}

#[tokio::test]
async fn azures_upgrades_for_the_cluster_override_the_list() {
    let (setup, id) = ClusterSetup::start_active().await;
    let play = |upgrades: Value| {
        let body = json!({"properties": {"controlPlaneProfile": {"upgrades": upgrades}}});
        let page: Page = serde_json::from_str(&json!({"body": body}).to_string()).unwrap();
        setup.app.control.play(&setup.account.subscription_id, "upgradeProfile", vec![page]).unwrap();
    };
    play(json!([{"kubernetesVersion": "1.33.2"}]));
    assert_eq!(complete_summary(&setup, &id, "1.33.6").await, "1.33.2 1.33.6 system=1.33.6");
    // The review agrees: the list of the region has this upgrade, but Azure does not offer it to this cluster.
    let response = setup.update(&id, json!({"kubernetesVersion": "1.33.6"})).await;
    assert!(
        response.text().contains("does not offer this upgrade: upgrade to 1.33.2 first"),
        "{}",
        response.text()
    );
    play(json!([{"kubernetesVersion": "1.34.1"}]));
    assert_eq!(complete_summary(&setup, &id, "1.33.6").await, "1.33.6!upgradeNotOffered");
    // Nodes would be four minor versions behind.
    setup.app.control.edit_cluster("one", |body| set_version(body, "1.30.14"));
    setup.advance_refreshes(1).await;
    let old = plan(&setup, &id, "1.34.1").await;
    assert_eq!(summary(&old), "1.34.1!poolTooOld system=1.34.1");
    expect_rejection(&setup, &id, &old["hops"][0], "is too far behind").await;
}

#[tokio::test]
async fn surge_needs_quota() {
    let (setup, id) = ClusterSetup::start_active().await;
    let set_quota = |limit: u32| {
        let quota = Quota { region: "eastus".to_owned(), name: "cores".to_owned(), limit };
        setup.app.control.set_quota(&setup.account.subscription_id, quota);
    };
    assert_eq!(complete_summary(&setup, &id, "1.33.6").await, "1.33.6 system=1.33.6");
    set_quota(1);
    let short = plan(&setup, &id, "1.33.6").await;
    assert_eq!(summary(&short), "1.33.6 system=1.33.6!quotaShort");
    setup.writes_of_update(&id, short["hops"][0]["aksConfig"].clone()).await;
    expect_rejection(
        &setup,
        &id,
        &short["hops"][1],
        "temporarily needs 2 more vCPUs of the quota Total Regional vCPUs",
    )
    .await;
    set_quota(1_000);
    assert_eq!(complete_summary(&setup, &id, "1.33.6").await, "system=1.33.6");
    setup.writes_of_update(&id, short["hops"][1]["aksConfig"].clone()).await;
    assert_eq!(running_versions(&setup, "one").await, ["1.33.6"; 2]);
}

#[tokio::test]
async fn rejected_credential_blocks_a_plan_from_stored_data() {
    let (setup, id) = ClusterSetup::start_active().await;
    test_clusters::invalidate_credential(&setup.app, &setup.credential).await;
    let blocked = plan(&setup, &id, "1.34.3").await;
    assert_eq!(summary(&blocked), "1.33!credentialExpired 1.34.3 system=1.34.3");
    assert_eq!(
        (&blocked["azure"]["outcome"], &blocked["from"]),
        (&json!("failed"), &json!("1.32.7")),
        "{blocked}"
    );
    assert_eq!(blocked["notLookedAt"][0]["what"], "azure");
    expect_rejection(&setup, &id, &blocked["hops"][0], "is rejected").await;
    assert!(!blocked.to_string().contains("nobody~knows"), "{blocked}");
}

#[tokio::test]
async fn failures_and_the_state_in_azure_are_named() {
    let (setup, id) = ClusterSetup::start_active().await;
    let fault = |path: &str, status: u16, code: &str| {
        let fault = json!({"path": path, "method": "GET", "effect": {"status": {"status": status, "code": code, "message": "no"}}});
        setup.app.control.add_fault(serde_json::from_value(fault).unwrap());
    };
    // Lists that cannot be read block nothing, and are in notLookedAt. Without the list of versions, Azure chooses the patches.
    fault("/skus", 403, "AuthorizationFailed");
    fault("/kubernetesVersions", 403, "AuthorizationFailed");
    let partial = plan(&setup, &id, "1.34.3").await;
    assert_eq!(summary(&partial), "1.33 1.34.3 system=1.34.3");
    let missing = [&partial["notLookedAt"][0]["what"], &partial["notLookedAt"][1]["what"]];
    assert_eq!(
        (missing, &partial["azure"]["outcome"]),
        ([&json!("versions"), &json!("vmSizes")], &json!("asked"))
    );
    setup.app.control.clear_faults();
    for (path, what) in [("/usages", "quotas"), ("/upgradeProfiles/", "upgradeProfile")] {
        fault(path, 403, "AuthorizationFailed");
        let partial = plan(&setup, &id, "1.33.6").await;
        assert_eq!(summary(&partial), "1.33.6 system=1.33.6", "{what}");
        assert_eq!(partial["notLookedAt"][0]["what"], what, "{partial}");
        setup.app.control.clear_faults();
    }

    fault("/managedClusters/one", 403, "AuthorizationFailed");
    let denied = plan(&setup, &id, "1.33.6").await;
    assert_eq!(summary(&denied), "1.33.6!accessDenied system=1.33.6");
    assert_eq!(denied["azure"]["outcome"], "failed");
    setup.app.control.clear_faults();
    assert_eq!(complete_summary(&setup, &id, "1.33.6").await, "1.33.6 system=1.33.6");

    setup.app.control.edit_cluster("one", |body| body["properties"]["powerState"]["code"] = json!("Stopped"));
    assert_eq!(summary(&plan(&setup, &id, "1.33.6").await), "1.33.6!clusterStopped system=1.33.6");
}

#[tokio::test]
async fn plan_is_for_those_who_see_the_cluster() {
    let (setup, id) = ClusterSetup::start_active().await;
    let stranger = setup.app.token("stranger").await;
    get_plan(&setup, &stranger, &id, "").await.expect(404);
    assert_eq!(get_plan(&setup, &setup.app.admin, "c-zzzzz", "").await.status, StatusCode::NOT_FOUND);
    setup.app.get(&format!("/api/v1/clusters/{id}/upgrade-plan")).anonymous().send().await.expect(401);

    // A member sees the cluster, but may not use its credential.
    for role in ["read-only", "cluster-member"] {
        let member = test_clusters::add_member(&setup.app, &id, role, role).await;
        setup.app.control.clear_requests();
        let member_plan = get_plan(&setup, &member, &id, "?to=1.34.3").await.expect(200).json();
        assert_eq!(summary(&member_plan), "1.33 1.34.3 system=1.34.3");
        assert_eq!(member_plan["azure"]["outcome"], "notAllowed", "{member_plan}");
        assert_eq!(setup.app.take_azure_requests(), [""; 0]);
    }
}

#[tokio::test]
async fn invalid_requests_are_rejected() {
    let setup = ClusterSetup::start().await;
    let id = setup.post(&setup.small_cluster()).await;
    for (query, field) in [("?to=latest", "to"), ("?too=1.33", "too"), ("?to=1.33", "state"), ("", "state")] {
        let response = get_plan(&setup, &setup.app.admin, &id, query).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {}", response.text());
        assert_eq!(response.json()["fieldName"], field, "{query}");
    }
    setup.app.settle().await;
    setup.expect_active(&id).await;
    setup.change_in_azure(Method::DELETE, &cluster_path("one"), None).await;
    let response = get_plan(&setup, &setup.app.admin, &id, "").await;
    assert_eq!(response.json()["code"], "InvalidState", "{}", response.text());
    setup.app.post(&format!("/api/v1/clusters/{id}/upgrade-plan")).send().await.expect(405);
}
