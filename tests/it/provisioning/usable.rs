//! Clusters that cannot be used although the specification is valid: stopped, deleted, in another region, or not reachable from
//! this server; and the status while a step is retried.

use azure_sandbox::{Effect, Fault, OperationKind};
use http::Method;
use serde_json::{Value, json};

use super::{AKS, ClusterSetup, azure_cluster_body, cluster, lines};
use crate::support::fault;

const START: &str = "is stopped in Azure; start it: az aks start --resource-group rancher --name ";

fn condition(shown: &Value, kind: &str) -> (String, String) {
    let conditions = shown["conditions"].as_array().unwrap();
    let found =
        conditions.iter().find(|condition| condition["type"] == kind).unwrap_or_else(|| panic!("{shown:#}"));
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("status"), text("message"))
}

/// Starts or stops the cluster in the portal.
async fn power(setup: &ClusterSetup, name: &str, action: &str) {
    setup.change_in_azure(Method::POST, &format!("{}/{action}", cluster(name)), None).await;
    setup.azure(Method::GET, &cluster(name), None).await;
}

#[tokio::test]
async fn stopped_import_names_the_start_command() {
    let setup = ClusterSetup::start().await;
    setup
        .change_in_azure(Method::PUT, &cluster("asleep"), Some(&azure_cluster_body("asleep", json!({}))))
        .await;
    power(&setup, "asleep", "stop").await;
    let id = setup.post_and_settle(&setup.import("asleep", json!({}))).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert_eq!(message, format!("the cluster asleep {START}asleep"));
    let shown = setup.get(&id).await;
    assert_eq!(
        shown["aksStatus"]["upstreamSpec"]["kubernetesVersion"], "1.32.7",
        "Azure's state is shown nevertheless"
    );
    power(&setup, "asleep", "start").await;
    setup.advance_refreshes(2).await;
    setup.settle_active(&id).await;
}

#[tokio::test]
async fn stopped_cluster_shows_the_start_command() {
    let (setup, id) = ClusterSetup::start_active().await;
    power(&setup, "one", "stop").await;
    setup.advance_refreshes(1).await;
    let shown = setup.get(&id).await;
    let message = format!("the cluster one {START}one");
    assert_eq!(condition(&shown, "Ready"), ("False".to_owned(), message.clone()));
    assert_eq!(condition(&shown, "Connected").0, "False");
    assert_eq!(condition(&shown, "Updated"), ("True".to_owned(), String::new()), "nothing is to be done");
    assert_eq!(
        (&shown["state"], &shown["transitioning"], &shown["transitioningMessage"]),
        (&json!("active"), &json!("error"), &json!(message))
    );
    // A change waits for the start and does not fail with Azure's message.
    assert_eq!(setup.update(&id, json!({"kubernetesVersion": "1.32.9"})).await.status.as_u16(), 200);
    setup.app.settle().await;
    assert_eq!(setup.expect_failure(&id, "updating").await, message);
    assert_eq!(lines(&setup.take_writes()), Vec::<String>::new());
    power(&setup, "one", "start").await;
    setup.advance_refreshes(2).await;
    setup.settle_active(&id).await;
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
    let id = setup.post_and_settle(&setup.import("asleep", json!({"resourceGroup": "my(own)group"}))).await;
    let message = setup.expect_failure(&id, "provisioning").await;
    assert!(message.ends_with("az aks start --resource-group 'my(own)group' --name asleep"), "{message}");
}

#[tokio::test]
async fn deleted_cluster_is_not_ready() {
    let (setup, own) = ClusterSetup::start_active().await;
    setup
        .change_in_azure(Method::PUT, &cluster("theirs"), Some(&azure_cluster_body("theirs", json!({}))))
        .await;
    let import = setup.create_active(&setup.import("theirs", json!({}))).await;
    for (id, name) in [(&own, "one"), (&import, "theirs")] {
        setup.change_in_azure(Method::DELETE, &cluster(name), None).await;
        setup.advance_refreshes(2).await;
        let shown = setup.get(id).await;
        let gone = format!("{name} no longer exists in Azure: remove the object, or restore the cluster");
        assert_eq!(condition(&shown, "Ready"), ("False".to_owned(), gone.clone()), "{name}");
        assert_eq!(condition(&shown, "Connected").0, "False", "{name}");
        assert_eq!(
            (&shown["state"], &shown["transitioningMessage"]),
            (&json!("active"), &json!(gone)),
            "{name}"
        );
    }
    // A cluster that is created again in the same region is usable again.
    setup
        .change_in_azure(Method::PUT, &cluster("theirs"), Some(&azure_cluster_body("theirs", json!({}))))
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
            &cluster("elsewhere"),
            Some(&azure_cluster_body("elsewhere", json!({}))),
        )
        .await;
    let body = setup.import("elsewhere", json!({"resourceLocation": "westeurope"}));
    let response = setup.app.post("/v3/clusters").json(&body).send().await;
    assert_eq!(response.status.as_u16(), 201, "{}", response.text());
    let warning = |shown: &Value| {
        let findings = shown["aksStatus"]["review"]["findings"].as_array().unwrap().clone();
        let found: Vec<_> =
            findings.into_iter().filter(|finding| finding["rule"] == "region-matches").collect();
        assert_eq!(found.len(), 1, "{shown:#}");
        assert_eq!(
            (&found[0]["severity"], &found[0]["field"]),
            (&json!("warning"), &json!("aksConfig.resourceLocation"))
        );
        assert!(found[0]["message"].as_str().unwrap().contains("eastus"), "{found:?}");
        let remedy = "set resourceLocation to eastus; once the cluster is active, eastus is used in any case";
        assert_eq!(found[0]["remedy"], remedy);
    };
    warning(&response.json());
    let id = response.id();
    setup.settle_active(&id).await;
    let shown = setup.get(&id).await;
    warning(&shown);
    assert_eq!(shown["aksConfig"]["resourceLocation"], "westeurope");
    assert_eq!(shown["aksStatus"]["upstreamSpec"]["resourceLocation"], "eastus");
    let credential = &setup.credential;
    for more in ["", "&region=westeurope", "&region=West%20Europe"] {
        setup.app.control.clear_requests();
        let path = format!("/meta/aksUpgrades?cloudCredentialId={credential}&clusterId={id}{more}");
        let response = setup.app.get(&path).header("cache-control", "no-cache").send().await;
        assert_eq!(response.status.as_u16(), 200, "{}", response.text());
        let paths: Vec<String> = setup.app.control.requests().into_iter().map(|seen| seen.path).collect();
        assert!(paths.iter().any(|path| path.contains("/locations/eastus/")), "{paths:?}");
        assert!(!paths.iter().any(|path| path.contains("westeurope")), "{paths:?}");
    }
    // A change is reviewed with the offers of the cluster's own region.
    setup.app.control.clear_requests();
    setup.writes_of_update(&id, json!({"kubernetesVersion": "1.32.9"})).await;
    let paths: Vec<String> = setup.app.control.requests().into_iter().map(|seen| seen.path).collect();
    assert!(!paths.iter().any(|path| path.contains("westeurope")), "{paths:?}");
    setup.expect_no_writes(&id).await;
    // The wrong region can be corrected, and only to the right one.
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
            &cluster("elsewhere"),
            Some(&azure_cluster_body("elsewhere", json!({}))),
        )
        .await;
    setup.app.control.add_fault(fault::for_path("/elsewhere?", fault::status(403)));
    let body = setup.import("elsewhere", json!({"resourceLocation": "westeurope"}));
    let id = setup.post(&body).await;
    let shown = setup.get(&id).await.to_string();
    assert!(!shown.contains("region-matches"), "{shown}");
    setup.app.control.clear_faults();
    setup.advance_refreshes(2).await;
    setup.settle_active(&id).await;
    assert!(setup.get(&id).await.to_string().contains("region-matches"));
}

#[tokio::test]
async fn import_region_ignores_spelling() {
    let setup = ClusterSetup::start().await;
    setup.change_in_azure(Method::PUT, &cluster("here"), Some(&azure_cluster_body("here", json!({})))).await;
    let id = setup.create_active(&setup.import("here", json!({"resourceLocation": "East US"}))).await;
    let shown = setup.get(&id).await;
    assert!(!shown.to_string().contains("region-matches"), "{shown:#}");
    assert_eq!(shown["aksStatus"]["upstreamSpec"]["resourceLocation"], "eastus");
    assert_eq!(shown["aksConfig"]["resourceLocation"], "East US");
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
    for shown in [response.json(), setup.get(&id).await] {
        assert_eq!(
            (&shown["state"], &shown["transitioning"]),
            (&json!("updating"), &json!("yes")),
            "{shown:#}"
        );
        assert!(!shown.to_string().contains("Pod Disruption Budget"), "{shown:#}");
        assert_eq!(condition(&shown, "Updated").0, "Unknown");
    }
    setup.settle_active(&id).await;
}

#[tokio::test]
async fn removal_response_has_no_old_error() {
    let setup = ClusterSetup::start().await;
    let id = setup.post_with_advisory_review_and_settle(&setup.import("nowhere", json!({}))).await;
    setup.expect_failure(&id, "provisioning").await;
    let response = setup.app.delete(&format!("/v3/clusters/{id}")).send().await;
    let mut shown = response.json();
    assert_eq!((&shown["state"], &shown["transitioning"]), (&json!("removing"), &json!("yes")));
    // The review of the specification remains, because it is not an error of the worker.
    shown["aksStatus"].as_object_mut().unwrap().remove("review");
    assert!(!shown.to_string().contains("cannot be imported"), "{shown:#}");
}

#[tokio::test]
async fn attempt_on_an_unresponsive_api_names_the_ranges() {
    let setup = ClusterSetup::start().await;
    let ranges = json!({"authorizedIpRanges": ["203.0.113.0/24"]});
    let id = setup.post(&setup.small_with(ranges)).await;
    // Runs everything up to the first attempt to reach the cluster's API, which is then delayed.
    setup.app.control.add_kubernetes_fault(Fault { latency_ms: 600_000, ..Fault::default() });
    let worker = setup.app.server.worker.clone();
    let stop = tokio_util::sync::CancellationToken::new();
    let waiting = "waiting for the Kubernetes API of the cluster to respond; authorizedIpRanges allows only 203.0.113.0/24";
    let steps = tokio::spawn({
        let (clock, stop) = (setup.app.clock.clone(), stop.clone());
        async move {
            loop {
                while worker.run_due(&stop).await.unwrap() > 0 {}
                clock.advance(std::time::Duration::from_secs(2));
            }
        }
    });
    let limit = std::time::Duration::from_mins(2);
    let seen = tokio::time::timeout(limit, async {
        loop {
            let status = setup.status(&id).await;
            if status.message == waiting {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let seen = seen.await.expect("the message is shown while the API is tried");
    assert_eq!((&*seen.state, &*seen.transitioning), ("provisioning", "yes"));
    steps.abort();
}

#[tokio::test]
async fn unreachable_api_names_existing_ranges() {
    for (ranges, expected) in [
        (json!({"authorizedIpRanges": ["203.0.113.0/24"]}), true),
        (json!({"authorizedIpRanges": []}), false),
        (json!({}), false),
    ] {
        let setup = ClusterSetup::start().await;
        setup.app.control.add_kubernetes_fault(fault::for_all(Effect::RefuseConnections));
        let id = setup.post_and_settle(&setup.small_with(ranges.clone())).await;
        let message = setup.expect_failure(&id, "provisioning").await;
        assert!(message.starts_with("failed to communicate with cluster: "), "{message}");
        let remedy =
            "; if the address of this server is not in authorizedIpRanges (203.0.113.0/24), add it there";
        assert_eq!(message.ends_with(remedy), expected, "{ranges}: {message}");
        assert_eq!(message.contains("authorizedIpRanges"), expected, "{message}");
        let (status, message) = condition(&setup.get(&id).await, "Ready");
        assert_eq!((status.as_str(), message.contains("authorizedIpRanges")), ("False", expected));
    }
}

#[tokio::test]
async fn removing_the_credential_is_rejected() {
    let setup = ClusterSetup::start().await;
    setup
        .change_in_azure(Method::PUT, &cluster("theirs"), Some(&azure_cluster_body("theirs", json!({}))))
        .await;
    let own = setup.create_active(&setup.small()).await;
    let import = setup.create_active(&setup.import("theirs", json!({}))).await;
    for id in [&own, &import] {
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
        assert!(setup.is_deleted(id).await, "the credential still exists");
    }
    for imported in [true, false] {
        let body = if imported {
            setup.import("other", json!({}))
        } else {
            setup.small_with(json!({"clusterName": "other"}))
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
                "{imported} {value:?}: {}",
                response.text()
            );
        }
    }
}
