//! Regions in every spelling: normalized inside the server and towards Azure; responses keep the user's spelling.

use http::StatusCode;
use serde_json::json;

use crate::provisioning::{Case, lines};

/// A unit test has all spellings: `all_spellings_of_a_region_are_normalized`.
#[tokio::test]
async fn regions_are_sent_to_azure_normalized() {
    let case = Case::start().await;
    for (index, (spelling, name)) in
        [("(US) East US", "eastus"), ("North Central US", "northcentralus"), (" west europe ", "westeurope")]
            .into_iter()
            .enumerate()
    {
        let cluster = format!("display{index}");
        let mut body = case
            .small_with(json!({"resourceLocation": spelling, "clusterName": cluster, "dnsPrefix": cluster}));
        body["name"] = json!(cluster);
        let id = case.post(&body).await;
        case.app.settle().await;
        case.expect_active(&id).await;
        let put = case
            .take_writes()
            .into_iter()
            .find(|write| write.line == format!("PUT rancher/{cluster}"))
            .unwrap();
        assert_eq!(put.at("/location"), name, "{spelling}");
        assert_eq!(put.at("/properties/nodeResourceGroup"), format!("MC_rancher_{cluster}_{name}"));
        assert_eq!(case.get(&id).await["aksConfig"]["resourceLocation"], spelling.trim());
        case.advance_refreshes(2).await;
        case.expect_active(&id).await;
        assert_eq!(lines(&case.take_writes()), [""; 0], "{spelling}");
    }
}

#[tokio::test]
async fn group_and_workspace_are_created_in_the_region() {
    let case = Case::start().await;
    let body = case.small_with(
        json!({"resourceLocation": "West US 2", "resourceGroup": "new-group", "monitoring": true}),
    );
    let id = case.post(&body).await;
    case.app.settle().await;
    case.expect_active(&id).await;
    let writes = case.take_writes();
    let group = writes.iter().find(|write| write.line == "PUT new-group").unwrap();
    assert_eq!(group.at("/location"), "westus2");
    let workspace = writes.iter().find(|write| write.line.contains("new-group-WUS2")).unwrap();
    assert_eq!(workspace.at("/location"), "westus2");
}

#[tokio::test]
async fn unknown_regions_are_rejected() {
    let case = Case::start().await;
    for bad in ["middleearth", "east/us", "east us 9", "europe"] {
        let (field, _) = case.post_rejected(&case.small_with(json!({"resourceLocation": bad}))).await;
        assert_eq!(field, "aksConfig.resourceLocation", "{bad}");
    }
}

#[tokio::test]
async fn another_spelling_of_the_region_is_not_a_change() {
    let case = Case::start().await;
    let id = case.create_active(&case.small_with(json!({"resourceLocation": "East US"}))).await;
    for spelling in ["eastus", "EAST-US", "east_us", " East  US"] {
        let answer = case.update(&id, json!({"resourceLocation": spelling})).await;
        assert_eq!(
            (answer.status, &answer.json()["state"]),
            (StatusCode::OK, &json!("active")),
            "{spelling}"
        );
        case.app.settle().await;
        assert_eq!(case.get(&id).await["aksConfig"]["resourceLocation"], spelling.trim());
        assert_eq!(lines(&case.take_writes()), [""; 0], "{spelling}");
    }
    for other in ["eastus2", "West US 2"] {
        assert_eq!(
            case.put_rejected(&id, json!({"resourceLocation": other})).await.0,
            "aksConfig.resourceLocation"
        );
    }
}

#[tokio::test]
async fn region_can_be_changed_until_the_cluster_exists() {
    let case = Case::start().await;
    let rejection = json!({"path": "/one", "operation": "managedCluster", "method": "PUT", "times": 1,
        "effect": {"status": {"status": 400, "code": "SkuNotAvailable", "message": "not available"}}});
    case.app.control.add_fault(serde_json::from_value(rejection).unwrap());
    let id = case.post(&case.small()).await;
    case.app.advance(std::time::Duration::from_secs(4)).await;
    assert!(case.expect_failure(&id, "provisioning").await.contains("not available"));
    case.app.control.clear_requests();
    // An unknown region is rejected as for a new cluster.
    assert_eq!(
        case.put_rejected(&id, json!({"resourceLocation": "middleearth"})).await.0,
        "aksConfig.resourceLocation"
    );
    case.update(&id, json!({"resourceLocation": "West US 2"})).await.expect(200);
    case.app.settle().await;
    case.expect_active(&id).await;
    let put = case.take_writes().into_iter().find(|write| write.line == "PUT rancher/one").unwrap();
    assert_eq!(
        (put.at("/location"), put.at("/properties/nodeResourceGroup")),
        (json!("westus2"), json!("MC_rancher_one_westus2"))
    );
    assert_eq!(
        case.put_rejected(&id, json!({"resourceLocation": "eastus"})).await.0,
        "aksConfig.resourceLocation"
    );
}
