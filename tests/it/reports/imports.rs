//! Imports: pools and policies that this server cannot make, and that Azure runs all the same; the credential; the region.

use http::StatusCode;
use serde_json::{Value, json};

use super::{azure_pool, findings, rejected_field};
use crate::provisioning::{Case, lines, pool};

fn with_windows() -> Value {
    let mut windows = azure_pool(json!({"name": "win", "mode": "User", "osType": "Windows"}));
    windows.as_object_mut().unwrap().remove("osDiskType");
    json!({"windowsProfile": {"adminUsername": "azureuser"}, "agentPoolProfiles": [azure_pool(json!({})), windows]})
}

#[tokio::test]
async fn existing_windows_pool_does_not_block_changes() {
    let case = Case::start().await;
    let id = case.create_import("windows", with_windows()).await;
    let mut pools = case.get(&id).await["aksStatus"]["upstreamSpec"]["nodePools"].clone();
    pools[0]["count"] = json!(3);
    let writes = case.writes_of_update(&id, json!({"nodePools": pools})).await;
    assert_eq!(lines(&writes), ["PUT rancher/windows/system"], "the Windows pool is unchanged");
    assert_eq!(case.pool_in_azure("windows", "system").await.unwrap()["count"], 3);
    // It is scaled like any other.
    pools[1]["count"] = json!(2);
    let writes = case.writes_of_update(&id, json!({"nodePools": pools})).await;
    assert_eq!(lines(&writes), ["PUT rancher/windows/win"]);
    assert_eq!(
        (writes[0].at("/properties/count"), writes[0].at("/properties/osType")),
        (json!(2), json!("Windows"))
    );
    // Another key, without a word about pools.
    case.writes_of_update(&id, json!({"tags": {"team": "a"}})).await;
    for system in ["Windows", "windows"] {
        let mut more = pools.clone();
        let mut new = pool("new", "User");
        new["osType"] = json!(system);
        more.as_array_mut().unwrap().push(new);
        let (field, message) = case.put_rejected(&id, json!({"nodePools": more})).await;
        assert_eq!(field, "aksConfig.nodePools[2].osType");
        assert!(message.contains("windows node pools are not supported: set osType to Linux"), "{message}");
    }
    // The Linux pool does not become one.
    let mut turned = pools.clone();
    turned[0]["osType"] = json!("Windows");
    assert_eq!(case.put_rejected(&id, json!({"nodePools": turned})).await.0, "aksConfig.nodePools[0].osType");
}

#[tokio::test]
async fn project_isolation_works_with_every_policy_that_is_enforced() {
    let case = Case::start().await;
    let profile =
        |policy: &str| json!({"networkProfile": {"networkPlugin": "azure", "networkPolicy": policy}});
    for (name, policy, status) in [
        ("cilium", "cilium", StatusCode::OK),
        ("calico", "calico", StatusCode::OK),
        ("azure", "azure", StatusCode::OK),
        ("none", "none", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let id = case.create_import(name, profile(policy)).await;
        let body = json!({"name": name, "enableNetworkPolicy": true});
        let answer = case.app.put(&format!("/v3/clusters/{id}")).json(&body).send().await;
        assert_eq!(answer.status, status, "{policy}: {}", answer.text());
        if status != StatusCode::OK {
            assert_eq!(rejected_field(&answer).0, "aksConfig.networkPolicy");
        }
    }
}

#[tokio::test]
async fn credential_cannot_be_removed() {
    let case = Case::start().await;
    case.create_in_azure("theirs", json!({})).await;
    let own = case.create_active(&case.small()).await;
    let import = case.create_active(&case.import("theirs", json!({}))).await;
    for id in [own, import] {
        for empty in [Value::Null, json!(""), json!("  ")] {
            let answer = case.update(&id, json!({"azureCredentialSecret": empty})).await;
            if empty == json!("  ") {
                assert!(answer.status.is_client_error(), "{}", answer.text());
                continue;
            }
            let (field, message) = rejected_field(&answer);
            assert_eq!(field, "aksConfig.azureCredentialSecret");
            assert!(message.contains("set azureCredentialSecret"), "{message}");
        }
        let mut config = case.get(&id).await["aksConfig"].clone();
        config.as_object_mut().unwrap().remove("azureCredentialSecret");
        let name = case.get(&id).await["name"].clone();
        let replaced = case
            .app
            .put(&format!("/v3/clusters/{id}?_replace=true"))
            .json(&json!({"name": name, "aksConfig": config}));
        assert_eq!(rejected_field(&replaced.send().await).0, "aksConfig.azureCredentialSecret");
        assert_eq!(case.get(&id).await["aksConfig"]["azureCredentialSecret"], case.credential);
        case.writes_of_update(&id, json!({"tags": {"still": "managed"}})).await;
    }
}

#[tokio::test]
async fn import_requires_credential_group_and_name() {
    let case = Case::start().await;
    for key in ["azureCredentialSecret", "resourceGroup", "clusterName"] {
        for empty in [Value::Null, json!("")] {
            let body = case.import("theirs", json!({ key: empty }));
            let (field, _) = case.post_rejected(&body).await;
            assert_eq!(field, format!("aksConfig.{key}"));
        }
        let mut own = case.small();
        own["aksConfig"].as_object_mut().unwrap().remove(key);
        assert_eq!(case.post_rejected(&own).await.0, format!("aksConfig.{key}"));
    }
}

#[tokio::test]
async fn import_with_wrong_region_warns_and_uses_the_real_one() {
    let case = Case::start().await;
    case.create_in_azure("elsewhere", json!({})).await;
    let body = case.import("elsewhere", json!({"resourceLocation": "West Europe"}));
    let id = case.create_active(&body).await;
    let cluster = case.get(&id).await;
    assert_eq!(findings(&cluster["aksStatus"]["review"]), ["region-matches warning"]);
    assert_eq!(
        cluster["aksStatus"]["review"]["findings"][0]["remedy"],
        "set resourceLocation to eastus; once the cluster is active, eastus is used in any case"
    );
    assert_eq!(cluster["aksStatus"]["upstreamSpec"]["resourceLocation"], "eastus");
    assert_eq!(cluster["aksConfig"]["resourceLocation"], "West Europe");
    case.app.control.clear_requests();
    assert!(!case.upgrades(&id).await.is_empty());
    case.writes_of_update(&id, json!({"kubernetesVersion": "1.32.9"})).await;
    let asked: Vec<_> =
        case.app.control.requests().into_iter().filter(|seen| seen.path.contains("/locations/")).collect();
    assert!(asked.iter().all(|seen| seen.path.contains("/locations/eastus/")), "{asked:?}");
    // The wrong region can be corrected, and only to the right one.
    assert_eq!(
        case.put_rejected(&id, json!({"resourceLocation": "westus2"})).await.0,
        "aksConfig.resourceLocation"
    );
    let answer = case.update(&id, json!({"resourceLocation": "East US"})).await.expect(200);
    assert_eq!(findings(&answer.json()["aksStatus"]["review"]), [""; 0]);
}
