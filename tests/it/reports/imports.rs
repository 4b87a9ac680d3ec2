//! Imports: existing pools and network policies that this server cannot create, and required fields.

use http::StatusCode;
use serde_json::{Value, json};

use super::{azure_pool, field_and_message};
use crate::provisioning::{ClusterSetup, lines, pool};

/// The Azure properties of a cluster with a Linux pool and a Windows pool.
fn windows_properties() -> Value {
    let mut windows = azure_pool(json!({"name": "win", "mode": "User", "osType": "Windows"}));
    windows.as_object_mut().unwrap().remove("osDiskType");
    json!({"windowsProfile": {"adminUsername": "azureuser"}, "agentPoolProfiles": [azure_pool(json!({})), windows]})
}

#[tokio::test]
async fn existing_windows_pool_does_not_block_changes() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_import("windows", windows_properties()).await;
    let mut pools = setup.get(&id).await["aksStatus"]["upstreamSpec"]["nodePools"].clone();
    pools[0]["count"] = json!(3);
    let writes = setup.writes_of_update(&id, json!({"nodePools": pools})).await;
    assert_eq!(lines(&writes), ["PUT rancher/windows/system"], "the Windows pool is unchanged");
    assert_eq!(setup.pool_in_azure("windows", "system").await.unwrap()["count"], 3);
    // The Windows pool can be scaled.
    pools[1]["count"] = json!(2);
    let writes = setup.writes_of_update(&id, json!({"nodePools": pools})).await;
    assert_eq!(lines(&writes), ["PUT rancher/windows/win"]);
    assert_eq!(
        (writes[0].at("/properties/count"), writes[0].at("/properties/osType")),
        (json!(2), json!("Windows"))
    );
    // A change of another key needs no `nodePools`.
    setup.writes_of_update(&id, json!({"tags": {"team": "a"}})).await;
    for os_type in ["Windows", "windows"] {
        let mut with_new_pool = pools.clone();
        let mut new_pool = pool("new", "User");
        new_pool["osType"] = json!(os_type);
        with_new_pool.as_array_mut().unwrap().push(new_pool);
        let (field, message) = setup.put_rejected(&id, json!({"nodePools": with_new_pool})).await;
        assert_eq!(field, "aksConfig.nodePools[2].osType");
        assert!(message.contains("windows node pools are not supported: set osType to Linux"), "{message}");
    }
    // A Linux pool cannot become a Windows pool.
    let mut converted = pools.clone();
    converted[0]["osType"] = json!("Windows");
    assert_eq!(
        setup.put_rejected(&id, json!({"nodePools": converted})).await.0,
        "aksConfig.nodePools[0].osType"
    );
}

#[tokio::test]
async fn project_isolation_requires_network_policy_engine() {
    let setup = ClusterSetup::start().await;
    let profile =
        |policy: &str| json!({"networkProfile": {"networkPlugin": "azure", "networkPolicy": policy}});
    for (name, policy, status) in [
        ("cilium", "cilium", StatusCode::OK),
        ("calico", "calico", StatusCode::OK),
        ("azure", "azure", StatusCode::OK),
        ("none", "none", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let id = setup.create_import(name, profile(policy)).await;
        let body = json!({"name": name, "enableNetworkPolicy": true});
        let response = setup.app.put(&format!("/v3/clusters/{id}")).json(&body).send().await;
        assert_eq!(response.status, status, "{policy}: {}", response.text());
        if status != StatusCode::OK {
            assert_eq!(field_and_message(&response).0, "aksConfig.networkPolicy");
        }
    }
}

#[tokio::test]
async fn import_requires_credential_group_and_name() {
    let setup = ClusterSetup::start().await;
    for key in ["azureCredentialSecret", "resourceGroup", "clusterName"] {
        for empty in [Value::Null, json!("")] {
            let body = setup.import_body("theirs", json!({ key: empty }));
            let (field, _) = setup.post_rejected(&body).await;
            assert_eq!(field, format!("aksConfig.{key}"));
        }
        let mut new_cluster = setup.small_cluster();
        new_cluster["aksConfig"].as_object_mut().unwrap().remove(key);
        assert_eq!(setup.post_rejected(&new_cluster).await.0, format!("aksConfig.{key}"));
    }
    let id = setup.create_import("theirs", json!({})).await;
    let (field, _) = setup.put_rejected(&id, json!({"azureCredentialSecret": ""})).await;
    assert_eq!(field, "aksConfig.azureCredentialSecret");
}
