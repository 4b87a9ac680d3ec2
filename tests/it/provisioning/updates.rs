//! Every kind of update of an active cluster: the writes, their order, and the rejected changes.

use azure_sandbox::{Operation, Timing};
use serde_json::{Value, json};

use super::{ClusterSetup, cluster_path, lines, pool, pool_with};
use crate::support::fault;

const NO_WRITES: [&str; 0] = [];

#[tokio::test]
async fn pool_is_scaled_with_one_write() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let pools = json!([pool("system", "System"), pool_with("work", "User", json!({"count": 3}))]);
    let writes = setup.writes_of_update(&id, json!({"nodePools": pools})).await;
    assert_eq!(lines(&writes), ["PUT rancher/one/work"]);
    assert_eq!(writes[0].at("/properties/count"), 3);
    assert_eq!(writes[0].at("/properties/osSKU"), "Ubuntu", "fields that Azure added are kept");
    assert_eq!(setup.pool_in_azure("one", "work").await.unwrap()["count"], 3);
    assert_eq!(setup.get(&id).await["nodeCount"], 4);
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn cluster_is_updating_until_the_change_is_complete() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let pools = json!([
        pool_with("system", "System", json!({"count": 2})),
        pool_with("work", "User", json!({"count": 3}))
    ]);
    let response = setup.update(&id, json!({"nodePools": pools})).await.json();
    assert_eq!((&response["state"], &response["transitioning"]), (&json!("updating"), &json!("yes")));
    let statuses = setup.record_statuses(&id, 60).await;
    let progress: Vec<(&str, &str, &str, bool)> = statuses
        .iter()
        .map(|status| {
            (
                &*status.state,
                &*status.transitioning,
                &*status.message,
                status.conditions.contains("Updated=Unknown"),
            )
        })
        .collect();
    assert_eq!(
        progress,
        [
            ("updating", "yes", "Azure: the node pool system is being changed", true),
            ("updating", "yes", "Azure: the node pool work is being changed", true),
            ("active", "no", "", false),
        ]
    );
    assert!(statuses.iter().all(|status| status.conditions.contains("Provisioned=True")), "{statuses:?}");
}

#[tokio::test]
async fn autoscaler_can_be_enabled_changed_and_disabled() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let pools =
        |work: Value| json!({"nodePools": [pool("system", "System"), pool_with("work", "User", work)]});
    let enabled = pools(json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 4}));
    let writes = setup.writes_of_update(&id, enabled).await;
    assert_eq!(lines(&writes), ["PUT rancher/one/work"]);
    let sent = |key: &str| writes[0].at(&format!("/properties/{key}"));
    assert_eq!(
        (sent("enableAutoScaling"), sent("minCount"), sent("maxCount")),
        (json!(true), json!(1), json!(4))
    );
    // The autoscaler changes the count, which is not reverted.
    setup
        .put_pool_in_azure(
            "one",
            "work",
            json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 4, "count": 3}),
        )
        .await;
    setup.expect_no_writes(&id).await;
    assert_eq!(setup.get(&id).await["aksConfig"]["nodePools"][1]["count"], 1, "the user's value");
    let writes = setup
        .writes_of_update(&id, pools(json!({"enableAutoScaling": true, "minCount": 2, "maxCount": 4})))
        .await;
    assert_eq!(lines(&writes), ["PUT rancher/one/work"]);
    assert_eq!(writes[0].at("/properties/count"), 3, "the autoscaler's value");
    let writes = setup.writes_of_update(&id, pools(json!({"enableAutoScaling": false, "count": 2}))).await;
    assert_eq!(lines(&writes), ["PUT rancher/one/work"]);
    let azure_pool = setup.pool_in_azure("one", "work").await.unwrap();
    assert_eq!(
        (&azure_pool["count"], &azure_pool["enableAutoScaling"], azure_pool.get("minCount")),
        (&json!(2), &json!(false), None)
    );
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn upgrade_starts_with_the_control_plane() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let writes = setup.writes_of_update(&id, json!({"kubernetesVersion": "1.33.3"})).await;
    assert_eq!(lines(&writes), ["PUT rancher/one"]);
    assert_eq!(writes[0].at("/properties/kubernetesVersion"), "1.33.3");
    assert_eq!(
        writes[0].at("/properties/agentPoolProfiles/0/orchestratorVersion"),
        "1.32.7",
        "pools are unchanged"
    );
    assert_eq!(setup.aks_cluster("one").await.unwrap()["properties"]["currentKubernetesVersion"], "1.33.3");
    assert_eq!(setup.get(&id).await["version"]["gitVersion"], "v1.33.3");
    let with_version = |version: &str| json!({"orchestratorVersion": version});
    let pools = json!([
        pool_with("work", "User", with_version("1.34.1")),
        pool_with("system", "System", with_version("1.34.1"))
    ]);
    let writes =
        setup.writes_of_update(&id, json!({"kubernetesVersion": "1.34.1", "nodePools": pools})).await;
    assert_eq!(lines(&writes), ["PUT rancher/one", "PUT rancher/one/system", "PUT rancher/one/work"]);
    for name in ["system", "work"] {
        assert_eq!(setup.pool_in_azure("one", name).await.unwrap()["currentOrchestratorVersion"], "1.34.1");
    }
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn pools_missing_from_the_list_are_deleted() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let settings = json!({"nodeLabels": {"a": "b"}, "nodeTaints": ["c=d:NoSchedule"], "availabilityZones": ["2", "1"], "maxSurge": "33%"});
    let pools = json!([pool("system", "System"), pool("work", "User"), pool_with("more", "User", settings)]);
    let writes = setup.writes_of_update(&id, json!({"nodePools": pools})).await;
    assert_eq!(lines(&writes), ["PUT rancher/one/more"]);
    assert_eq!(
        writes[0].body,
        json!({"properties": {
            "count": 1, "maxPods": 110, "vmSize": "Standard_DS2_v2", "osDiskSizeGB": 128, "osDiskType": "Managed", "osType": "Linux",
            "mode": "User", "type": "VirtualMachineScaleSets", "nodeLabels": {"a": "b"}, "nodeTaints": ["c=d:NoSchedule"],
            "availabilityZones": ["2", "1"], "upgradeSettings": {"maxSurge": "33%"},
        }})
    );
    setup.expect_no_writes(&id).await;
    let writes =
        setup.writes_of_update(&id, json!({"nodePools": [pool("system", "System"), pools[2]]})).await;
    assert_eq!(lines(&writes), ["DELETE rancher/one/work"]);
    assert_eq!(setup.pool_in_azure("one", "work").await, None);
    // A request without `nodePools` deletes nothing.
    let writes = setup.writes_of_update(&id, json!({"tags": {"a": "b"}})).await;
    assert_eq!(lines(&writes), ["PATCH rancher/one"]);
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn system_pool_is_created_before_its_predecessor_is_deleted() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let pools =
        json!([pool_with("fresh", "System", json!({"vmSize": "Standard_D4s_v3"})), pool("work", "User")]);
    let writes = setup.writes_of_update(&id, json!({"nodePools": pools})).await;
    assert_eq!(lines(&writes), ["PUT rancher/one/fresh", "DELETE rancher/one/system"]);
    // Two pools can swap their modes.
    let pools =
        json!([pool_with("fresh", "User", json!({"vmSize": "Standard_D4s_v3"})), pool("work", "System")]);
    let writes = setup.writes_of_update(&id, json!({"nodePools": pools})).await;
    assert_eq!(lines(&writes), ["PUT rancher/one/work", "PUT rancher/one/fresh"]);
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn labels_taints_and_surge_can_be_changed_and_cleared() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let pools =
        |work: Value| json!({"nodePools": [pool("system", "System"), pool_with("work", "User", work)]});
    for (work, labels, taints) in [
        (json!({"nodeLabels": {"a": "b", "c": "d"}}), json!({"a": "b", "c": "d"}), Value::Null),
        (
            json!({"nodeLabels": {"a": "b"}, "nodeTaints": ["x=y:NoExecute"]}),
            json!({"a": "b"}),
            json!(["x=y:NoExecute"]),
        ),
        (json!({"nodeLabels": {}, "nodeTaints": []}), Value::Null, Value::Null),
    ] {
        let writes = setup.writes_of_update(&id, pools(work.clone())).await;
        assert_eq!(lines(&writes), ["PUT rancher/one/work"], "{work}");
        let azure_pool = setup.pool_in_azure("one", "work").await.unwrap();
        let azure_labels =
            azure_pool.get("nodeLabels").filter(|labels| **labels != json!({})).cloned().unwrap_or_default();
        assert_eq!(
            (azure_labels, azure_pool.get("nodeTaints").cloned().unwrap_or_default()),
            (labels, taints),
            "{work}"
        );
    }
    setup
        .put_pool_in_azure(
            "one",
            "work",
            json!({"upgradeSettings": {"maxSurge": "10%", "drainTimeoutInMinutes": 7}}),
        )
        .await;
    let writes = setup.writes_of_update(&id, pools(json!({"maxSurge": "50%"}))).await;
    assert_eq!(lines(&writes), ["PUT rancher/one/work"]);
    let settings = setup.pool_in_azure("one", "work").await.unwrap()["upgradeSettings"].clone();
    assert_eq!(
        (&settings["maxSurge"], &settings["drainTimeoutInMinutes"]),
        (&json!("50%"), &json!(7)),
        "{settings}"
    );
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn unset_keys_keep_azures_values() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    setup
        .put_pool_in_azure(
            "one",
            "work",
            json!({"nodeTaints": ["x=y:NoSchedule"], "nodeLabels": {"of": "azure"}, "tags": {"p": "q"}}),
        )
        .await;
    setup
        .set_in_azure(
            "one",
            "/properties/autoUpgradeProfile",
            json!({"upgradeChannel": "patch", "nodeOSUpgradeChannel": "None"}),
        )
        .await;
    setup.advance_refreshes(2).await;
    let pools = json!([pool("system", "System"), pool_with("work", "User", json!({"count": 2}))]);
    let writes =
        setup.writes_of_update(&id, json!({"nodePools": pools, "httpApplicationRouting": true})).await;
    assert_eq!(lines(&writes), ["PUT rancher/one", "PUT rancher/one/work"]);
    let work = setup.pool_in_azure("one", "work").await.unwrap();
    assert_eq!(
        (&work["nodeTaints"], &work["nodeLabels"], &work["tags"], &work["count"]),
        (&json!(["x=y:NoSchedule"]), &json!({"of": "azure"}), &json!({"p": "q"}), &json!(2))
    );
    let cluster = setup.aks_cluster("one").await.unwrap();
    assert_eq!(cluster["properties"]["autoUpgradeProfile"]["upgradeChannel"], "patch");
    assert_eq!(cluster["properties"]["addonProfiles"]["httpApplicationRouting"]["enabled"], true);
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn tags_are_replaced_but_the_owner_tag_is_kept() {
    let setup = ClusterSetup::start().await;
    let id = setup.create_active(&setup.small_cluster_with(json!({"tags": {"a": "1", "b": "2"}}))).await;
    for tags in [json!({"b": "3", "c": "4"}), json!({})] {
        let writes = setup.writes_of_update(&id, json!({"tags": tags})).await;
        assert_eq!(lines(&writes), ["PATCH rancher/one"]);
        let owner_tag = writes[0].at("/tags/norman-aks-owner");
        assert!(owner_tag.as_str().unwrap().ends_with(&id), "{owner_tag}");
        let mut expected = tags.clone();
        expected["norman-aks-owner"] = owner_tag;
        assert_eq!(writes[0].body, json!({"tags": expected}));
        let cluster = setup.get(&id).await;
        assert_eq!(
            (&cluster["aksConfig"]["tags"], &cluster["aksStatus"]["upstreamSpec"]["tags"]),
            (&tags, &tags)
        );
    }
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn authorized_ranges_can_be_set_changed_and_removed() {
    let (setup, id) = ClusterSetup::start_active().await;
    for ranges in [json!(["20.1.0.0/16", "20.2.3.4"]), json!(["20.1.0.0/16"]), json!([])] {
        let writes = setup.writes_of_update(&id, json!({"authorizedIpRanges": ranges})).await;
        assert_eq!(lines(&writes), ["PUT rancher/one"], "{ranges}");
        let cluster = setup.aks_cluster("one").await.unwrap();
        assert_eq!(cluster["properties"]["apiServerAccessProfile"]["authorizedIPRanges"], ranges);
        assert_eq!(cluster["properties"]["kubernetesVersion"], "1.32.7");
    }
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn monitoring_and_routing_can_be_toggled() {
    let (setup, id) = ClusterSetup::start_active().await;
    let writes =
        setup.writes_of_update(&id, json!({"monitoring": true, "httpApplicationRouting": true})).await;
    assert_eq!(lines(&writes), ["PUT rancher/workspaces/rancher-EUS", "PUT rancher/one"]);
    let addons = setup.aks_cluster("one").await.unwrap()["properties"]["addonProfiles"].clone();
    assert_eq!(
        (&addons["omsAgent"]["enabled"], &addons["httpApplicationRouting"]["enabled"]),
        (&json!(true), &json!(true))
    );
    setup.expect_no_writes(&id).await;
    let writes = setup.writes_of_update(&id, json!({"monitoring": false})).await;
    assert_eq!(lines(&writes), ["PUT rancher/one"]);
    let addons = setup.aks_cluster("one").await.unwrap()["properties"]["addonProfiles"].clone();
    assert_eq!(
        (&addons["omsAgent"]["enabled"], &addons["httpApplicationRouting"]["enabled"]),
        (&json!(false), &json!(true))
    );
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn combined_changes_are_ordered() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let pools = json!([pool_with("system", "System", json!({"count": 2})), pool("fresh", "User")]);
    let change = json!({"tags": {"a": "b"}, "kubernetesVersion": "1.33.3", "authorizedIpRanges": ["20.1.0.0/16"], "nodePools": pools});
    let writes = setup.writes_of_update(&id, change).await;
    assert_eq!(
        lines(&writes),
        [
            "PATCH rancher/one",
            "PUT rancher/one",
            "PUT rancher/one/system",
            "PUT rancher/one/fresh",
            "DELETE rancher/one/work"
        ]
    );
    assert_eq!(
        writes[1].at("/properties/agentPoolProfiles").as_array().unwrap().len(),
        2,
        "pools are not part of the cluster's body"
    );
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn put_without_a_change_writes_nothing() {
    let setup = ClusterSetup::start().await;
    let body = setup.small_cluster_with(json!({"tags": {"a": "b"}, "authorizedIpRanges": ["20.1.0.0/16"], "monitoring": false, "httpApplicationRouting": false}));
    let id = setup.create_active(&body).await;
    let returned = setup.get(&id).await["aksConfig"].clone();
    for config in [json!({}), returned, json!({"subnet": "", "networkPolicy": null})] {
        let response = setup.update(&id, config.clone()).await;
        assert_eq!(
            (response.status.as_u16(), &response.json()["state"]),
            (200, &json!("active")),
            "{config}"
        );
        setup.settle_and_expect_active(&id).await;
        assert_eq!(lines(&setup.take_writes()), NO_WRITES, "{config}");
    }
    let other_spelling = json!({"nodePools": [pool("system", "system")], "tags": {"A": "b"}});
    assert_eq!(lines(&setup.writes_of_update(&id, other_spelling).await), NO_WRITES);
}

#[tokio::test]
async fn change_waits_for_running_operations() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let labelled = json!({"properties": {"nodeLabels": {"of": "azure"}}});
    let (status, _) = setup
        .azure(http::Method::PUT, &format!("{}/agentPools/work", cluster_path("one")), Some(&labelled))
        .await;
    assert_eq!(status, 200);
    assert_eq!(setup.update(&id, json!({"tags": {"a": "b"}})).await.status.as_u16(), 200);
    let statuses = setup.record_statuses(&id, 60).await;
    let messages: Vec<&str> = statuses.iter().map(|status| &*status.message).collect();
    assert_eq!(
        messages,
        ["Azure: node pool work is in state Updating", "Azure: the tags are being changed", ""]
    );
    assert_eq!(lines(&setup.take_writes()), ["PATCH rancher/one"]);
    // Another client's operation started first: Azure reports a conflict, which is not a failure.
    setup.app.control.add_fault(fault::once(fault::for_request(
        Operation::ManagedCluster,
        "PATCH",
        fault::error(
            409,
            "OperationNotAllowed",
            "Another operation (Upgrading) is in progress, please wait for it to finish",
        ),
    )));
    assert_eq!(setup.update(&id, json!({"tags": {"a": "c"}})).await.status.as_u16(), 200);
    let statuses = setup.record_statuses(&id, 60).await;
    assert!(statuses.iter().all(|status| status.transitioning != "error"), "{statuses:?}");
    assert!(statuses[0].message.contains("Another operation (Upgrading) is in progress"), "{statuses:?}");
    setup.expect_active(&id).await;
}

#[tokio::test]
async fn stopped_cluster_is_changed_after_its_start() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let timing = setup.app.control.timing();
    let immediate = Timing { scale: 0.0, ..timing.clone() };
    setup.app.control.set_timing(immediate.clone()).unwrap();
    assert_eq!(setup.azure(http::Method::POST, &format!("{}/stop", cluster_path("one")), None).await.0, 202);
    setup.advance_refreshes(1).await;
    let pools = json!([pool("system", "System"), pool_with("work", "User", json!({"count": 2}))]);
    assert_eq!(setup.update(&id, json!({"nodePools": pools})).await.status.as_u16(), 200);
    setup.app.settle().await;
    let message = setup.expect_failure(&id, "updating").await;
    assert_eq!(
        message,
        "the cluster one is stopped in Azure; start it: az aks start --resource-group rancher --name one"
    );
    assert_eq!(setup.azure(http::Method::POST, &format!("{}/start", cluster_path("one")), None).await.0, 202);
    setup.app.control.set_timing(timing).unwrap();
    setup.advance_refreshes(2).await;
    setup.settle_and_expect_active(&id).await;
    assert_eq!(setup.pool_in_azure("one", "work").await.unwrap()["count"], 2);
}

#[tokio::test]
async fn last_of_several_changes_is_applied() {
    let (setup, id) = ClusterSetup::start_with_two_pools().await;
    let scaled = |count: u32| json!({"nodePools": [pool("system", "System"), pool_with("work", "User", json!({"count": count}))]});
    assert_eq!(setup.update(&id, scaled(2)).await.status.as_u16(), 200);
    setup.run_due_steps().await;
    assert_eq!(setup.update(&id, scaled(3)).await.status.as_u16(), 200);
    assert_eq!(setup.update(&id, scaled(4)).await.status.as_u16(), 200);
    let statuses = setup.record_statuses(&id, 40).await;
    let active = statuses.iter().position(|status| status.state == "active").unwrap();
    assert_eq!(active, statuses.len() - 1, "never active in between: {statuses:?}");
    let counts: Vec<Value> = setup.take_writes().iter().map(|write| write.at("/properties/count")).collect();
    assert_eq!(counts, [2, 4]);
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn credential_change_writes_nothing_to_azure() {
    let (setup, id) = ClusterSetup::start_active().await;
    let other_credential = setup.app.store_credential(&setup.app.admin).await;
    assert_ne!(other_credential, setup.credential);
    assert_eq!(
        lines(&setup.writes_of_update(&id, json!({"azureCredentialSecret": other_credential})).await),
        NO_WRITES
    );
    setup.expect_no_writes(&id).await;
}

#[tokio::test]
async fn immutable_and_unsupported_changes_are_rejected() {
    let setup = ClusterSetup::start().await;
    let body = setup.small_cluster_with(json!({
        "networkPolicy": "calico", "serviceCidr": "10.0.0.0/16", "dnsServiceIp": "10.0.0.10", "podCidr": "10.244.0.0/16",
        "nodeResourceGroup": "machines", "loadBalancerSku": "Standard", "outboundType": "loadBalancer",
        "linuxAdminUsername": "azureuser",
        "nodePools": [pool_with("system", "System", json!({"availabilityZones": ["1"]}))],
    }));
    let id = setup.create_active(&body).await;
    let immutable = "because Azure cannot change it";
    let pools = |more: Value| json!({"nodePools": [pool_with("system", "System", more)]});
    for (change, expected) in [
        (json!({"dnsPrefix": "two"}), immutable),
        (pools(json!({"vmSize": "Standard_D4s_v3"})), immutable),
        (pools(json!({"availabilityZones": ["2"]})), "changing availability zones for node pool [system]"),
        (json!({"outboundType": "managedNATGateway"}), "changing it is not supported by this server"),
    ] {
        let response = setup.update(&id, change.clone()).await;
        let body = response.json();
        assert_eq!(response.status.as_u16(), 422, "{change} {body}");
        assert!(body["message"].as_str().unwrap().contains(expected), "{change} {body}");
        assert!(body["fieldName"].as_str().is_some_and(|field| field.starts_with("aksConfig.")), "{body}");
    }
    setup.expect_active(&id).await;
    // Another spelling of a value is not a change.
    let other_spelling = json!({"dnsPrefix": "ONE", "loadBalancerSku": "STANDARD", "outboundType": "LoadBalancer", "networkPolicy": "calico"});
    let response = setup.update(&id, other_spelling).await;
    assert_eq!(response.status.as_u16(), 200, "{}", response.text());
    setup.settle_and_expect_active(&id).await;
    assert_eq!(lines(&setup.take_writes()), NO_WRITES);
}

#[tokio::test]
async fn older_pool_is_upgraded_alone() {
    let setup = ClusterSetup::start().await;
    let pools_with_version = |version: &str| {
        json!([pool("system", "System"), pool_with("work", "User", json!({"orchestratorVersion": version}))])
    };
    let id = setup
        .create_active(&setup.small_cluster_with(
            json!({"kubernetesVersion": "1.33.3", "nodePools": pools_with_version("1.32.7")}),
        ))
        .await;
    let before = setup.pool_in_azure("one", "work").await.unwrap();
    assert_eq!(before["currentOrchestratorVersion"], "1.32.7");
    let writes = setup.writes_of_update(&id, json!({"nodePools": pools_with_version("1.33.3")})).await;
    assert_eq!(lines(&writes), ["PUT rancher/one/work"]);
    assert_eq!(setup.pool_in_azure("one", "work").await.unwrap()["currentOrchestratorVersion"], "1.33.3");
    setup.expect_no_writes(&id).await;
}
