//! Regions in every spelling: normalized inside the server and towards Azure; responses keep the user's spelling.

use http::StatusCode;
use serde_json::json;

use crate::provisioning::{ClusterSetup, lines};

/// The unit test `all_spellings_of_a_region_are_normalized` covers all spellings.
#[tokio::test]
async fn regions_are_sent_to_azure_normalized() {
    let setup = ClusterSetup::start().await;
    for (index, (spelling, name)) in
        [("(US) East US", "eastus"), ("North Central US", "northcentralus"), (" west europe ", "westeurope")]
            .into_iter()
            .enumerate()
    {
        let cluster = format!("display{index}");
        let mut body = setup.small_cluster_with(
            json!({"resourceLocation": spelling, "clusterName": cluster, "dnsPrefix": cluster}),
        );
        body["name"] = json!(cluster);
        let id = setup.post(&body).await;
        setup.app.settle().await;
        setup.expect_active(&id).await;
        let put = setup
            .take_writes()
            .into_iter()
            .find(|write| write.line == format!("PUT rancher/{cluster}"))
            .unwrap();
        assert_eq!(put.at("/location"), name, "{spelling}");
        assert_eq!(put.at("/properties/nodeResourceGroup"), format!("MC_rancher_{cluster}_{name}"));
        assert_eq!(setup.get(&id).await["aksConfig"]["resourceLocation"], spelling.trim());
        setup.advance_refreshes(2).await;
        setup.expect_active(&id).await;
        assert_eq!(lines(&setup.take_writes()), [""; 0], "{spelling}");
    }
}

#[tokio::test]
async fn group_and_workspace_are_created_in_the_region() {
    let setup = ClusterSetup::start().await;
    let body = setup.small_cluster_with(
        json!({"resourceLocation": "West US 2", "resourceGroup": "new-group", "monitoring": true}),
    );
    let id = setup.post(&body).await;
    setup.app.settle().await;
    setup.expect_active(&id).await;
    let writes = setup.take_writes();
    let group = writes.iter().find(|write| write.line == "PUT new-group").unwrap();
    assert_eq!(group.at("/location"), "westus2");
    let workspace = writes.iter().find(|write| write.line.contains("new-group-WUS2")).unwrap();
    assert_eq!(workspace.at("/location"), "westus2");
}

#[tokio::test]
async fn unknown_regions_are_rejected() {
    let setup = ClusterSetup::start().await;
    for region in ["middleearth", "east/us", "east us 9", "europe"] {
        let (field, _) =
            setup.post_rejected(&setup.small_cluster_with(json!({"resourceLocation": region}))).await;
        assert_eq!(field, "aksConfig.resourceLocation", "{region}");
    }
}

#[tokio::test]
async fn another_spelling_of_the_region_is_not_a_change() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.small_cluster_with(json!({"resourceLocation": "East US"}))).await;
    for spelling in ["eastus", "EAST-US", "east_us", " East  US"] {
        let response = setup.update(&id, json!({"resourceLocation": spelling})).await;
        assert_eq!(
            (response.status, &response.json()["state"]),
            (StatusCode::OK, &json!("active")),
            "{spelling}"
        );
        setup.app.settle().await;
        assert_eq!(setup.get(&id).await["aksConfig"]["resourceLocation"], spelling.trim());
        assert_eq!(lines(&setup.take_writes()), [""; 0], "{spelling}");
    }
    for other_region in ["eastus2", "West US 2"] {
        assert_eq!(
            setup.put_rejected(&id, json!({"resourceLocation": other_region})).await.0,
            "aksConfig.resourceLocation"
        );
    }
}

#[tokio::test]
async fn region_can_be_changed_until_the_cluster_exists() {
    let setup = ClusterSetup::start().await;
    let rejection = json!({"path": "/one", "operation": "managedCluster", "method": "PUT", "times": 1,
        "effect": {"status": {"status": 400, "code": "SkuNotAvailable", "message": "not available"}}});
    setup.app.control.add_fault(serde_json::from_value(rejection).unwrap());
    let id = setup.post(&setup.small_cluster()).await;
    setup.app.advance(std::time::Duration::from_secs(4)).await;
    assert!(setup.expect_failure(&id, "provisioning").await.contains("not available"));
    setup.app.control.clear_requests();
    // An unknown region is rejected as for a new cluster.
    assert_eq!(
        setup.put_rejected(&id, json!({"resourceLocation": "middleearth"})).await.0,
        "aksConfig.resourceLocation"
    );
    setup.update(&id, json!({"resourceLocation": "West US 2"})).await.expect(200);
    setup.app.settle().await;
    setup.expect_active(&id).await;
    let put = setup.take_writes().into_iter().find(|write| write.line == "PUT rancher/one").unwrap();
    assert_eq!(
        (put.at("/location"), put.at("/properties/nodeResourceGroup")),
        (json!("westus2"), json!("MC_rancher_one_westus2"))
    );
    assert_eq!(
        setup.put_rejected(&id, json!({"resourceLocation": "eastus"})).await.0,
        "aksConfig.resourceLocation"
    );
}
