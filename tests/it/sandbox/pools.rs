//! Creation, changes and deletion of agent pools.

use serde_json::{Value, json};

use super::{Azure, cluster, pool, small};

fn user_pool(count: u32) -> Value {
    json!({"properties": {"count": count, "vmSize": "Standard_D2s_v3", "mode": "User"}})
}

#[tokio::test]
async fn pool_can_be_created_updated_and_deleted() {
    let azure = Azure::start().await;
    azure.create_cluster("c", &small()).await;
    let path = pool("c", "work");
    azure.get(&path).await.assert_error(404, "NotFound", "'work'");
    azure.delete(&path).await.expect(204);
    let created = azure.put(&path, &user_pool(2)).await.expect(201);
    assert_eq!(
        (created.state(), created.at("/name"), created.at("/properties/name")),
        ("Creating".to_owned(), json!("work"), json!(null))
    );
    assert_eq!(created.at("/type"), "Microsoft.ContainerService/managedClusters/agentPools");
    assert_eq!(
        created.at("/id"),
        format!("{}/resourcegroups/rancher/providers/{}/c/agentPools/work", azure.subscription(), super::AKS)
    );
    assert_eq!(created.at("/properties/orchestratorVersion"), "1.32.7");
    assert_eq!(azure.get(&cluster("c")).await.state(), "Succeeded", "the cluster itself is not updating");
    azure.finish(&created).await;
    let names = azure.get(&format!("{}/agentPools", cluster("c"))).await.at("/value");
    assert_eq!(names.as_array().unwrap().len(), 2);
    assert_eq!(azure.get(&cluster("c")).await.at("/properties/agentPoolProfiles/1/name"), "work");

    let put = azure.put(&path, &json!({"properties": {"count": 3}})).await.expect(200);
    assert_eq!(
        (put.state(), put.at("/properties/count"), put.at("/properties/vmSize")),
        ("Scaling".to_owned(), json!(3), json!("Standard_D2s_v3"))
    );
    azure.finish(&put).await;
    let labels =
        json!({"properties": {"nodeLabels": {"a": "b"}, "nodeTaints": ["x=y:NoSchedule"], "unknown": 1}});
    let put = azure.put(&path, &labels).await.expect(200);
    assert_eq!(put.state(), "Updating");
    azure.finish(&put).await;
    let read = azure.get(&path).await;
    assert_eq!(
        (read.at("/properties/nodeLabels"), read.at("/properties/count"), read.at("/properties/unknown")),
        (json!({"a": "b"}), json!(3), json!(1))
    );
    let put = azure
        .put(&path, &json!({"properties": {"nodeLabels": {"c": "d"}, "nodeTaints": []}}))
        .await
        .expect(200);
    azure.finish(&put).await;
    let read = azure.get(&path).await;
    assert_eq!(
        (read.at("/properties/nodeLabels"), read.at("/properties/nodeTaints")),
        (json!({"c": "d"}), json!(null))
    );

    let deletion = azure.delete(&path).await.expect(202);
    assert_eq!(azure.get(&path).await.state(), "Deleting");
    assert_eq!(azure.delete(&path).await.expect(202).header("location"), deletion.header("location"));
    azure.finish(&deletion).await;
    azure.get(deletion.header("location")).await.expect(204);
    azure.get(&path).await.expect(404);
    assert_eq!(
        azure.get(&cluster("c")).await.at("/properties/agentPoolProfiles").as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn autoscaling_clamps_the_count() {
    let azure = Azure::start().await;
    azure.create_cluster("c", &small()).await;
    let path = pool("c", "work");
    let scaling = |min: u32, max: u32| json!({"properties": {"enableAutoScaling": true, "minCount": min, "maxCount": max}});
    let mut body = scaling(2, 4);
    body["properties"]["vmSize"] = json!("Standard_D2s_v3");
    let created = azure.put(&path, &body).await.expect(201);
    assert_eq!(created.at("/properties/count"), 2);
    azure.finish(&created).await;
    let put = azure.put(&path, &scaling(3, 5)).await.expect(200);
    assert_eq!((put.state(), put.at("/properties/count")), ("Scaling".to_owned(), json!(3)));
    azure.finish(&put).await;
    azure.put(&path, &scaling(5, 3)).await.assert_error(400, "InvalidParameter", "minCount");
    let off = json!({"properties": {"enableAutoScaling": false, "minCount": 3, "maxCount": 5}});
    azure.put(&path, &off).await.assert_error(400, "InvalidParameter", "minCount");
    let put =
        azure.put(&path, &json!({"properties": {"enableAutoScaling": false, "count": 1}})).await.expect(200);
    azure.finish(&put).await;
    let read = azure.get(&path).await;
    assert_eq!((read.at("/properties/count"), read.at("/properties/minCount")), (json!(1), json!(null)));
}

#[tokio::test]
async fn concurrent_operations_are_rejected() {
    let azure = Azure::start().await;
    let created = azure.put(&cluster("c"), &small()).await.expect(201);
    let busy = |words: &str| format!("Operation is not allowed: Another {words} is in progress");
    for response in [
        azure.put(&cluster("c"), &small()).await,
        azure.put(&pool("c", "work"), &user_pool(1)).await,
        azure.delete(&pool("c", "system")).await,
        azure.send(http::Method::PATCH, &cluster("c"), Some(&json!({"tags": {}}))).await,
        azure.post(&format!("{}/stop", cluster("c"))).await,
    ] {
        response.assert_error(409, "OperationNotAllowed", &busy("operation (Creating)"));
        assert!(
            response.at("/details").is_null() && response.at("/subcode") == "",
            "AKS has no envelope: {}",
            response.text
        );
    }
    azure.finish(&created).await;
    let work = azure.put(&pool("c", "work"), &user_pool(1)).await.expect(201);
    for response in
        [azure.put(&cluster("c"), &small()).await, azure.put(&pool("c", "more"), &user_pool(1)).await]
    {
        response.assert_error(409, "OperationNotAllowed", &busy("agentpool operation (work - Creating)"));
    }
    // While a pool is being created, only a deletion of its cluster is accepted.
    let deletion = azure.delete(&cluster("c")).await.expect(202);
    let (status, body) = azure.status_of(&work).await;
    assert_eq!((&*status, &body["error"]["code"]), ("Failed", &json!("NotLatestOperation")));
    azure.put(&pool("c", "more"), &user_pool(1)).await.assert_error(
        409,
        "OperationNotAllowed",
        &busy("operation (Deleting)"),
    );
    azure.finish(&deletion).await;
    // This seeded cluster remains in the state `Creating`.
    let seeded = with_location(small(), "westeurope");
    azure.put(&cluster("on-its-way"), &seeded).await.assert_error(
        409,
        "OperationNotAllowed",
        &busy("operation (Creating)"),
    );
}

fn with_location(body: Value, region: &str) -> Value {
    super::with(body, "/location", json!(region))
}

#[tokio::test]
async fn immutable_properties_and_last_system_pool_are_protected() {
    let azure = Azure::start().await;
    azure.create_cluster("c", &small()).await;
    for (key, value) in [
        ("vmSize", json!("Standard_D4s_v3")),
        ("osDiskSizeGB", json!(256)),
        ("osDiskType", json!("Ephemeral")),
        ("osType", json!("Windows")),
        ("maxPods", json!(50)),
        ("availabilityZones", json!(["1"])),
        ("vnetSubnetID", json!("/x")),
    ] {
        let body = json!({"properties": {key: value}});
        let response = azure.put(&pool("c", "system"), &body).await;
        response.assert_error(
            400,
            "PropertyChangeNotAllowed",
            &format!("Changing property 'properties.{key}' is not allowed."),
        );
        assert_eq!(response.at("/target"), format!("properties.{key}"));
    }
    azure.delete(&pool("c", "system")).await.assert_error(
        409,
        "OperationNotAllowed",
        "at least one agent pool",
    );
    let work = azure.put(&pool("c", "work"), &user_pool(1)).await.expect(201);
    azure.finish(&work).await;
    azure.delete(&pool("c", "system")).await.assert_error(
        400,
        "MustDefineAtLeastOneSystemPool",
        "system pool",
    );
    let user_mode = json!({"properties": {"mode": "User"}});
    azure.put(&pool("c", "system"), &user_mode).await.assert_error(400, "MustDefineAtLeastOneSystemPool", "");
    let system = azure.put(&pool("c", "work"), &json!({"properties": {"mode": "System"}})).await.expect(200);
    azure.finish(&system).await;
    let deletion = azure.delete(&pool("c", "system")).await.expect(202);
    azure.finish(&deletion).await;
    azure.put(&pool("missing", "p"), &user_pool(1)).await.assert_error(
        404,
        "ParentResourceNotFound",
        "'missing'",
    );
    azure.get(&pool("missing", "p")).await.expect(404);
}
