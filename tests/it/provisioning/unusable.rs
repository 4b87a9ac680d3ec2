//! Clusters that cannot be used although the specification is valid: stopped, deleted, in another region, or unreachable from
//! this server; and the status while a step is retried.

use azure_sandbox::{Effect, Fault, OperationKind};
use http::Method;
use serde_json::{Value, json};

use super::{AKS, ClusterSetup, azure_cluster_body, cluster_path, lines};
use crate::support::fault;

const STOPPED_MESSAGE: &str = "is stopped in Azure; start it: az aks start --resource-group rancher --name ";

fn condition(object: &Value, condition_type: &str) -> (String, String) {
    let conditions = object["conditions"].as_array().unwrap();
    let condition = conditions
        .iter()
        .find(|condition| condition["type"] == condition_type)
        .unwrap_or_else(|| panic!("{object:#}"));
    let string = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    (string("status"), string("message"))
}

/// Starts or stops the cluster in the portal.
async fn start_or_stop(setup: &ClusterSetup, name: &str, action: &str) {
    setup.change_in_azure(Method::POST, &format!("{}/{action}", cluster_path(name)), None).await;
    setup.azure(Method::GET, &cluster_path(name), None).await;
}

#[tokio::test]
async fn stopped_import_names_the_start_command() {
    let setup = ClusterSetup::start().await;
    setup
        .change_in_azure(Method::PUT, &cluster_path("asleep"), Some(&azure_cluster_body("asleep", json!({}))))
        .await;
    start_or_stop(&setup, "asleep", "stop").await;
    let id = setup.post_and_settle(&setup.import_body("asleep", json!({}))).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert_eq!(message, format!("the cluster asleep {STOPPED_MESSAGE}asleep"));
    let object = setup.get(&id).await;
    assert_eq!(
        object["aksStatus"]["upstreamSpec"]["kubernetesVersion"], "1.32.7",
        "Azure's state is shown nevertheless"
    );
    start_or_stop(&setup, "asleep", "start").await;
    setup.advance_refreshes(2).await;
    setup.settle_and_expect_active(&id).await;
}

#[tokio::test]
async fn stopped_cluster_shows_the_start_command() {
    let (setup, id) = ClusterSetup::start_active().await;
    start_or_stop(&setup, "one", "stop").await;
    setup.advance_refreshes(1).await;
    let object = setup.get(&id).await;
    let message = format!("the cluster one {STOPPED_MESSAGE}one");
    assert_eq!(condition(&object, "Ready"), ("False".to_owned(), message.clone()));
    assert_eq!(condition(&object, "Connected").0, "False");
    assert_eq!(condition(&object, "Updated"), ("True".to_owned(), String::new()), "no change is pending");
    assert_eq!(
        (&object["state"], &object["transitioning"], &object["transitioningMessage"]),
        (&json!("active"), &json!("error"), &json!(message))
    );
    // A change waits for the start and does not fail with Azure's message.
    assert_eq!(setup.update(&id, json!({"kubernetesVersion": "1.32.9"})).await.status.as_u16(), 200);
    setup.app.settle().await;
    assert_eq!(setup.expect_failure(&id, "updating").await, message);
    assert_eq!(lines(&setup.take_writes()), Vec::<String>::new());
    start_or_stop(&setup, "one", "start").await;
    setup.advance_refreshes(2).await;
    setup.settle_and_expect_active(&id).await;
    assert_eq!(condition(&setup.get(&id).await, "Ready"), ("True".to_owned(), String::new()));
}

#[tokio::test]
async fn start_command_quotes_the_resource_group() {
    let setup = ClusterSetup::start().await;
    let group = "/resourceGroups/my(own)group";
    setup.change_in_azure(Method::PUT, group, Some(&json!({"location": "eastus"}))).await;
    let path = format!("{group}/providers/{AKS}/asleep");
    setup.change_in_azure(Method::PUT, &path, Some(&azure_cluster_body("asleep", json!({})))).await;
    setup.change_in_azure(Method::POST, &format!("{path}/stop"), None).await;
    let id =
        setup.post_and_settle(&setup.import_body("asleep", json!({"resourceGroup": "my(own)group"}))).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert!(message.ends_with("az aks start --resource-group 'my(own)group' --name asleep"), "{message}");
}

#[tokio::test]
async fn deleted_cluster_is_not_ready() {
    let (setup, created) = ClusterSetup::start_active().await;
    setup
        .change_in_azure(Method::PUT, &cluster_path("theirs"), Some(&azure_cluster_body("theirs", json!({}))))
        .await;
    let import = setup.create_active(&setup.import_body("theirs", json!({}))).await;
    for (id, name) in [(&created, "one"), (&import, "theirs")] {
        setup.change_in_azure(Method::DELETE, &cluster_path(name), None).await;
        setup.advance_refreshes(2).await;
        let object = setup.get(id).await;
        let message = format!("{name} no longer exists in Azure: remove the object, or restore the cluster");
        assert_eq!(condition(&object, "Ready"), ("False".to_owned(), message.clone()), "{name}");
        assert_eq!(condition(&object, "Connected").0, "False", "{name}");
        assert_eq!(
            (&object["state"], &object["transitioningMessage"]),
            (&json!("active"), &json!(message)),
            "{name}"
        );
    }
    // A cluster that is created again in the same region is usable again.
    setup
        .change_in_azure(Method::PUT, &cluster_path("theirs"), Some(&azure_cluster_body("theirs", json!({}))))
        .await;
    setup.advance_refreshes(2).await;
    setup.expect_active(&import).await;
    assert_eq!(condition(&setup.get(&import).await, "Ready").0, "True");
}

#[tokio::test]
async fn import_with_the_wrong_region_warns() {
    let setup = ClusterSetup::start().await;
    setup
        .change_in_azure(
            Method::PUT,
            &cluster_path("elsewhere"),
            Some(&azure_cluster_body("elsewhere", json!({}))),
        )
        .await;
    let body = setup.import_body("elsewhere", json!({"resourceLocation": "westeurope"}));
    let response = setup.app.post("/v3/clusters").json(&body).send().await;
    assert_eq!(response.status.as_u16(), 201, "{}", response.text());
    let assert_warning = |object: &Value| {
        let findings = object["aksStatus"]["review"]["findings"].as_array().unwrap().clone();
        let warnings: Vec<_> =
            findings.into_iter().filter(|finding| finding["rule"] == "region-matches").collect();
        assert_eq!(warnings.len(), 1, "{object:#}");
        assert_eq!(
            (&warnings[0]["severity"], &warnings[0]["field"]),
            (&json!("warning"), &json!("aksConfig.resourceLocation"))
        );
        assert!(warnings[0]["message"].as_str().unwrap().contains("eastus"), "{warnings:?}");
        let remedy = "set resourceLocation to eastus; once the cluster is active, eastus is used in any case";
        assert_eq!(warnings[0]["remedy"], remedy);
    };
    assert_warning(&response.json());
    let id = response.id();
    setup.settle_and_expect_active(&id).await;
    let object = setup.get(&id).await;
    assert_warning(&object);
    assert_eq!(object["aksConfig"]["resourceLocation"], "westeurope");
    assert_eq!(object["aksStatus"]["upstreamSpec"]["resourceLocation"], "eastus");
    let credential = &setup.credential;
    for region_parameter in ["", "&region=westeurope", "&region=West%20Europe"] {
        setup.app.control.clear_requests();
        let path =
            format!("/meta/aksUpgrades?cloudCredentialId={credential}&clusterId={id}{region_parameter}");
        let response = setup.app.get(&path).header("cache-control", "no-cache").send().await;
        assert_eq!(response.status.as_u16(), 200, "{}", response.text());
        let paths: Vec<String> =
            setup.app.control.requests().into_iter().map(|request| request.path).collect();
        assert!(paths.iter().any(|path| path.contains("/locations/eastus/")), "{paths:?}");
        assert!(!paths.iter().any(|path| path.contains("westeurope")), "{paths:?}");
    }
    // The review of a change uses what Azure offers in the region of the cluster.
    setup.app.control.clear_requests();
    setup.writes_of_update(&id, json!({"kubernetesVersion": "1.32.9"})).await;
    let paths: Vec<String> = setup.app.control.requests().into_iter().map(|request| request.path).collect();
    assert!(!paths.iter().any(|path| path.contains("westeurope")), "{paths:?}");
    setup.expect_no_writes(&id).await;
    // The wrong region can be corrected, but only to the region of the cluster.
    let response = setup.update(&id, json!({"resourceLocation": "westus2"})).await.expect(422);
    assert_eq!(response.json()["fieldName"], "aksConfig.resourceLocation", "{}", response.text());
    let response = setup.update(&id, json!({"resourceLocation": "East US"})).await.expect(200).json();
    let findings = response["aksStatus"]["review"]["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["rule"] != "region-matches"), "{response:#}");
}

#[tokio::test]
async fn import_warning_appears_once_azure_can_be_read() {
    let setup = ClusterSetup::start().await;
    setup
        .change_in_azure(
            Method::PUT,
            &cluster_path("elsewhere"),
            Some(&azure_cluster_body("elsewhere", json!({}))),
        )
        .await;
    setup.app.control.add_fault(fault::for_path("/elsewhere?", fault::status(403)));
    let body = setup.import_body("elsewhere", json!({"resourceLocation": "westeurope"}));
    let id = setup.post(&body).await;
    let object = setup.get(&id).await.to_string();
    assert!(!object.contains("region-matches"), "{object}");
    setup.app.control.clear_faults();
    setup.advance_refreshes(2).await;
    setup.settle_and_expect_active(&id).await;
    assert!(setup.get(&id).await.to_string().contains("region-matches"));
}

#[tokio::test]
async fn import_region_ignores_spelling() {
    let setup = ClusterSetup::start().await;
    setup
        .change_in_azure(Method::PUT, &cluster_path("here"), Some(&azure_cluster_body("here", json!({}))))
        .await;
    let id = setup.create_active(&setup.import_body("here", json!({"resourceLocation": "East US"}))).await;
    let object = setup.get(&id).await;
    assert!(!object.to_string().contains("region-matches"), "{object:#}");
    assert_eq!(object["aksStatus"]["upstreamSpec"]["resourceLocation"], "eastus");
    assert_eq!(object["aksConfig"]["resourceLocation"], "East US");
}

#[tokio::test]
async fn retry_response_has_no_old_error() {
    let (setup, id) = ClusterSetup::start_active().await;
    let message = "Drain node x: Pod Disruption Budget";
    setup.app.control.add_outcome(fault::outcome(OperationKind::UpgradeCluster, "UpgradeFailed", message));
    assert_eq!(setup.update(&id, json!({"kubernetesVersion": "1.32.9"})).await.status.as_u16(), 200);
    setup.app.settle().await;
    assert!(setup.expect_failure(&id, "updating").await.contains("Pod Disruption Budget"));
    let response = setup.update(&id, json!({"kubernetesVersion": "1.32.9"})).await;
    for object in [response.json(), setup.get(&id).await] {
        assert_eq!(
            (&object["state"], &object["transitioning"]),
            (&json!("updating"), &json!("yes")),
            "{object:#}"
        );
        assert!(!object.to_string().contains("Pod Disruption Budget"), "{object:#}");
        assert_eq!(condition(&object, "Updated").0, "Unknown");
    }
    setup.settle_and_expect_active(&id).await;
}

#[tokio::test]
async fn removal_response_has_no_old_error() {
    let setup = ClusterSetup::start().await;
    let id = setup.post_with_advisory_review_and_settle(&setup.import_body("nowhere", json!({}))).await;
    setup.expect_failure(&id, "provisioning").await;
    let response = setup.app.delete(&format!("/v3/clusters/{id}")).send().await;
    let mut object = response.json();
    assert_eq!((&object["state"], &object["transitioning"]), (&json!("removing"), &json!("yes")));
    // The review of the specification remains, because it is not an error of the worker.
    object["aksStatus"].as_object_mut().unwrap().remove("review");
    assert!(!object.to_string().contains("cannot be imported"), "{object:#}");
}

#[tokio::test]
async fn attempt_on_an_unresponsive_api_names_the_ranges() {
    let setup = ClusterSetup::start().await;
    let ranges = json!({"authorizedIpRanges": ["203.0.113.0/24"]});
    let id = setup.post(&setup.small_cluster_with(ranges)).await;
    // Delays the responses of the cluster's API, so that the step that first calls it keeps waiting.
    setup.app.control.add_kubernetes_fault(Fault { latency_ms: 600_000, ..Fault::default() });
    let worker = setup.app.server.worker.clone();
    let stop = tokio_util::sync::CancellationToken::new();
    let expected = "waiting for the Kubernetes API of the cluster to respond; authorizedIpRanges allows only 203.0.113.0/24";
    let worker_loop = tokio::spawn({
        let (clock, stop) = (setup.app.clock.clone(), stop.clone());
        async move {
            loop {
                while worker.run_due(&stop).await.unwrap() > 0 {}
                clock.advance(std::time::Duration::from_secs(2));
            }
        }
    });
    let limit = std::time::Duration::from_mins(2);
    let status = tokio::time::timeout(limit, async {
        loop {
            let status = setup.status(&id).await;
            if status.message == expected {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let status = status.await.expect("the message is shown while the API is tried");
    assert_eq!((&*status.state, &*status.transitioning), ("provisioning", "yes"));
    worker_loop.abort();
}

#[tokio::test]
async fn unreachable_api_names_existing_ranges() {
    for (ranges, has_ranges) in [
        (json!({"authorizedIpRanges": ["203.0.113.0/24"]}), true),
        (json!({"authorizedIpRanges": []}), false),
        (json!({}), false),
    ] {
        let setup = ClusterSetup::start().await;
        setup.app.control.add_kubernetes_fault(fault::for_all(Effect::RefuseConnections));
        let id = setup.post_and_settle(&setup.small_cluster_with(ranges.clone())).await;
        let message = setup.expect_failure(&id, "provisioning").await;
        assert!(message.starts_with("failed to communicate with cluster: "), "{message}");
        let remedy =
            "; if the address of this server is not in authorizedIpRanges (203.0.113.0/24), add it there";
        assert_eq!(message.ends_with(remedy), has_ranges, "{ranges}: {message}");
        assert_eq!(message.contains("authorizedIpRanges"), has_ranges, "{message}");
        let (status, message) = condition(&setup.get(&id).await, "Ready");
        assert_eq!((status.as_str(), message.contains("authorizedIpRanges")), ("False", has_ranges));
    }
}

#[tokio::test]
async fn removing_the_credential_is_rejected() {
    let setup = ClusterSetup::start().await;
    setup
        .change_in_azure(Method::PUT, &cluster_path("theirs"), Some(&azure_cluster_body("theirs", json!({}))))
        .await;
    let created = setup.create_active(&setup.small_cluster()).await;
    let import = setup.create_active(&setup.import_body("theirs", json!({}))).await;
    for id in [&created, &import] {
        let before = setup.get(id).await;
        for value in [json!(null), json!(""), json!("  "), json!([""])] {
            let response = setup.update(id, json!({"azureCredentialSecret": value})).await;
            assert_eq!(response.status.as_u16(), 422, "{value}: {}", response.text());
            assert_eq!(
                response.json()["fieldName"],
                "aksConfig.azureCredentialSecret",
                "{}",
                response.text()
            );
            let is_empty = value == json!(null) || value == json!("");
            assert!(
                !is_empty || response.text().contains("set azureCredentialSecret"),
                "{}",
                response.text()
            );
        }
        let mut config = before["aksConfig"].clone();
        config.as_object_mut().unwrap().remove("azureCredentialSecret");
        let body = json!({"name": before["name"], "aksConfig": config});
        let response = setup.app.put(&format!("/v3/clusters/{id}?_replace=true")).json(&body).send().await;
        assert_eq!(
            (response.status.as_u16(), &response.json()["fieldName"]),
            (422, &json!("aksConfig.azureCredentialSecret"))
        );
        assert_eq!(setup.get(id).await, before, "nothing was changed");
        setup.writes_of_update(id, json!({"tags": {"still": "managed"}})).await;
        setup.delete(id).await;
        setup.app.settle().await;
        assert!(setup.is_deleted(id).await, "deleted with the unchanged credential");
    }
    for is_import in [true, false] {
        let body = if is_import {
            setup.import_body("other", json!({}))
        } else {
            setup.small_cluster_with(json!({"clusterName": "other"}))
        };
        for value in [None, Some(json!(null)), Some(json!("")), Some(json!(" "))] {
            let mut body = body.clone();
            let config = body["aksConfig"].as_object_mut().unwrap();
            config.remove("azureCredentialSecret");
            config.extend(value.clone().map(|value| ("azureCredentialSecret".to_owned(), value)));
            let response = setup.app.post("/v3/clusters").json(&body).send().await;
            assert_eq!(
                (response.status.as_u16(), &response.json()["fieldName"]),
                (422, &json!("aksConfig.azureCredentialSecret")),
                "{is_import} {value:?}: {}",
                response.text()
            );
        }
    }
}
