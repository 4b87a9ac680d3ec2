//! A managed cluster from its creation to its deletion.

use std::time::Duration;

use serde_json::json;

use super::{ClusterSetup, StatusSnapshot, cluster_path, lines, without_azure_values};

fn status(state: &str, transitioning: &str, message: &str, step: &str, conditions: &str) -> StatusSnapshot {
    StatusSnapshot {
        state: state.to_owned(),
        transitioning: transitioning.to_owned(),
        message: message.to_owned(),
        step: step.to_owned(),
        conditions: conditions.to_owned(),
    }
}

#[tokio::test]
async fn all_steps_to_active_are_shown() {
    let setup = ClusterSetup::start().await;
    let id = setup.post(&setup.small_cluster()).await;
    assert_eq!(setup.status(&id).await, status("provisioning", "yes", "", "", ""));
    let start_time = "2026-11-22T12:00:00Z";
    let statuses = setup.record_statuses(&id, 30).await;
    let all_true = "Provisioned=True SystemAccountCreated=True Connected=True Ready=True Updated=True";
    assert_eq!(
        statuses,
        [
            status(
                "provisioning",
                "yes",
                "Azure: creating cluster one",
                "azure running",
                "Provisioned=Unknown"
            ),
            status("active", "no", "", "active done", all_true),
        ]
    );
    let cluster = setup.get(&id).await;
    let steps: Vec<(&str, &str)> = cluster["aksStatus"]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["name"].as_str().unwrap(), step["state"].as_str().unwrap()))
        .collect();
    let names = ["cluster", "credentials", "azure", "status", "connection", "active"];
    assert_eq!(steps, names.map(|name| (name, "done")));
    let start_times: Vec<&str> = cluster["aksStatus"]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["since"].as_str().unwrap())
        .collect();
    assert_eq!(start_times[0], start_time);
    assert!(start_times[5] > start_time && start_times.is_sorted(), "{start_times:?}");
    for condition_type in
        ["BackingNamespaceCreated", "DefaultProjectCreated", "InitialRolesPopulated", "CreatorMadeOwner"]
    {
        let conditions = cluster["conditions"].as_array().unwrap();
        assert!(
            conditions
                .iter()
                .any(|condition| condition["type"] == condition_type && condition["status"] == "True"),
            "{condition_type}"
        );
    }
}

#[tokio::test]
async fn waiting_shows_its_start() {
    let setup = ClusterSetup::start().await;
    let id = setup.post(&setup.small_cluster()).await;
    setup.app.advance(Duration::from_secs(4)).await;
    let status = setup.get(&id).await["aksStatus"].clone();
    assert_eq!(
        status["upstreamSpec"]["nodePools"][0]["name"], "system",
        "the part that Azure already reports"
    );
    assert_eq!(
        (&status["waiting"]["what"], &status["waiting"]["since"]),
        (&json!("Azure: creating cluster one"), &json!("2026-11-22T12:00:00Z"))
    );
    setup.app.settle().await;
    assert!(setup.get(&id).await["aksStatus"].get("waiting").is_none());
}

#[tokio::test]
async fn creation_is_one_put_without_a_secret() {
    let setup = ClusterSetup::start().await;
    let id = setup
        .post_and_settle(
            &setup.small_cluster_with(json!({"tags": {"team": "a"}, "nodeResourceGroup": "machines"})),
        )
        .await;
    let writes = setup.take_writes();
    assert_eq!(lines(&writes), ["PUT rancher/one", "POST rancher/one/listClusterAdminCredential"]);
    let put = &writes[0];
    assert_eq!(put.at("/identity"), json!({"type": "SystemAssigned"}));
    let owner = put.at("/tags/norman-aks-owner");
    assert!(owner.as_str().unwrap().ends_with(&format!("/{id}")), "{owner}");
    assert_eq!(put.at("/tags"), json!({"team": "a", "norman-aks-owner": owner}));
    assert_eq!(put.at("/location"), "eastus");
    assert_eq!(
        put.at("/properties"),
        json!({
            "kubernetesVersion": "1.32.7",
            "dnsPrefix": "one",
            "nodeResourceGroup": "machines",
            "networkProfile": {"networkPlugin": "kubenet", "outboundType": "loadBalancer", "loadBalancerSku": "Standard"},
            "agentPoolProfiles": [{
                "name": "system", "count": 1, "maxPods": 110, "vmSize": "Standard_DS2_v2", "osDiskSizeGB": 128,
                "osDiskType": "Managed", "osType": "Linux", "mode": "System", "nodeTaints": [], "orchestratorVersion": "1.32.7",
            }],
        })
    );
    assert!(!put.body.to_string().contains(&setup.account.secrets[0]));
}

#[tokio::test]
async fn active_cluster_shows_azures_state() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.small_cluster_with(json!({"tags": {"team": "a"}}))).await;
    let cluster = setup.get(&id).await;
    let status = &cluster["aksStatus"];
    assert_eq!(status["rbacEnabled"], true);
    assert!(status.get("privateRequiresTunnel").is_none(), "only for private clusters");
    let upstream = &status["upstreamSpec"];
    let value = |key: &str| upstream[key].clone();
    assert_eq!(
        json!({
            "tags": value("tags"), "version": value("kubernetesVersion"), "plugin": value("networkPlugin"), "out": value("outboundType"),
            "sku": value("loadBalancerSku"), "private": value("privateCluster"), "ranges": value("authorizedIpRanges"),
            "identity": value("managedIdentity"), "name": value("clusterName"), "secret": value("azureCredentialSecret"),
        }),
        json!({
            "tags": {"team": "a"}, "version": "1.32.7", "plugin": "kubenet", "out": "loadBalancer", "sku": "standard",
            "private": false, "ranges": [], "identity": true, "name": "one", "secret": setup.credential,
        })
    );
    let pools = upstream["nodePools"].as_array().unwrap();
    assert_eq!(pools.len(), 1);
    assert_eq!(
        (&pools[0]["name"], &pools[0]["count"], &pools[0]["maxSurge"]),
        (&json!("system"), &json!(1), &json!("10%"))
    );
    assert_eq!((&cluster["provider"], &cluster["nodeCount"]), (&json!("aks"), &json!(1)));
    assert_eq!(cluster["version"]["gitVersion"], "v1.32.7");
    let fqdn = setup.aks_cluster("one").await.unwrap()["properties"]["fqdn"].as_str().unwrap().to_owned();
    assert!(cluster["apiEndpoint"].as_str().unwrap().starts_with(&format!("https://{fqdn}")), "{cluster}");
    assert!(cluster["caCert"].is_string());
    let applied = &cluster["appliedSpec"]["aksConfig"];
    assert_eq!(*applied, without_azure_values(&cluster["aksConfig"], applied));
    assert!(!applied.to_string().contains("norman-aks-owner"));
}

#[tokio::test]
async fn removal_deletes_the_cluster_but_not_its_group() {
    let (setup, id) = ClusterSetup::start_active().await;
    setup.delete(&id).await;
    let statuses = setup.record_statuses(&id, 60).await;
    assert!(setup.is_deleted(&id).await);
    let progress: Vec<(&str, &str, &str)> =
        statuses.iter().map(|status| (&*status.state, &*status.transitioning, &*status.message)).collect();
    assert_eq!(progress, [("removing", "yes", "Azure: the cluster one is being deleted")]);
    assert_eq!(lines(&setup.take_writes()), ["DELETE rancher/one"]);
    assert_eq!(setup.aks_cluster("one").await, None);
    assert_eq!(setup.azure(http::Method::HEAD, "/resourceGroups/rancher", None).await.0, 204);
}

#[tokio::test]
async fn removal_waits_for_a_running_deletion() {
    let (setup, id) = ClusterSetup::start_active().await;
    assert_eq!(setup.azure(http::Method::DELETE, &cluster_path("one"), None).await.0, 202);
    setup.delete(&id).await;
    let statuses = setup.record_statuses(&id, 60).await;
    let messages: Vec<&str> = statuses.iter().map(|status| &*status.message).collect();
    assert_eq!(messages, ["Azure: the cluster is in state Deleting"]);
    assert!(setup.is_deleted(&id).await);
    assert_eq!(lines(&setup.take_writes()), Vec::<String>::new());
}

#[tokio::test]
async fn cluster_without_its_group_can_be_removed() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.small_cluster_with(json!({"resourceGroup": "temporary"}))).await;
    setup.change_in_azure(http::Method::DELETE, "/resourceGroups/temporary", None).await;
    setup.advance_refreshes(1).await;
    setup.delete_and_settle(&id).await;
    assert_eq!(lines(&setup.take_writes()), Vec::<String>::new());
}

#[tokio::test]
async fn clusters_are_created_concurrently() {
    let setup = ClusterSetup::start().await;
    let first = setup.post(&setup.small_cluster()).await;
    let mut second_body = setup.small_cluster_with(json!({"clusterName": "two", "dnsPrefix": "two"}));
    second_body["name"] = json!("two");
    let second = setup.post(&second_body).await;
    setup.run_due_steps().await;
    let mut writes = lines(&setup.take_writes());
    writes.sort();
    assert_eq!(writes, ["PUT rancher/one", "PUT rancher/two"]);
    setup.app.settle().await;
    for id in [&first, &second] {
        setup.expect_active(id).await;
    }
    setup.delete(&first).await;
    setup.app.settle().await;
    assert!(setup.is_deleted(&first).await && setup.aks_cluster("two").await.is_some());
    setup.expect_active(&second).await;
}
