//! Clusters that cannot be used although the specification is valid: stopped, deleted, in another region, or not reachable from
//! this server; and the status while a step is retried.

use azure_sandbox::{Effect, Fault, OperationKind};
use http::Method;
use serde_json::{Value, json};

use super::{AKS, Case, azure_cluster_body, cluster, lines};
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
async fn power(case: &Case, name: &str, action: &str) {
    case.change_in_azure(Method::POST, &format!("{}/{action}", cluster(name)), None).await;
    case.azure(Method::GET, &cluster(name), None).await;
}

#[tokio::test]
async fn stopped_import_names_the_start_command() {
    let case = Case::start().await;
    case.change_in_azure(Method::PUT, &cluster("asleep"), Some(&azure_cluster_body("asleep", json!({}))))
        .await;
    power(&case, "asleep", "stop").await;
    let id = case.post_and_settle(&case.import("asleep", json!({}))).await;
    let message = case.expect_failure(&id, "provisioning").await;
    assert_eq!(message, format!("the cluster asleep {START}asleep"));
    let shown = case.get(&id).await;
    assert_eq!(
        shown["aksStatus"]["upstreamSpec"]["kubernetesVersion"], "1.32.7",
        "Azure's state is shown nevertheless"
    );
    power(&case, "asleep", "start").await;
    case.advance_refreshes(2).await;
    case.settle_active(&id).await;
}

#[tokio::test]
async fn stopped_cluster_shows_the_start_command() {
    let (case, id) = Case::start_active().await;
    power(&case, "one", "stop").await;
    case.advance_refreshes(1).await;
    let shown = case.get(&id).await;
    let message = format!("the cluster one {START}one");
    assert_eq!(condition(&shown, "Ready"), ("False".to_owned(), message.clone()));
    assert_eq!(condition(&shown, "Connected").0, "False");
    assert_eq!(condition(&shown, "Updated"), ("True".to_owned(), String::new()), "nothing is to be done");
    assert_eq!(
        (&shown["state"], &shown["transitioning"], &shown["transitioningMessage"]),
        (&json!("active"), &json!("error"), &json!(message))
    );
    // A change waits for the start and does not fail with Azure's message.
    assert_eq!(case.update(&id, json!({"kubernetesVersion": "1.32.9"})).await.status.as_u16(), 200);
    case.app.settle().await;
    assert_eq!(case.expect_failure(&id, "updating").await, message);
    assert_eq!(lines(&case.take_writes()), Vec::<String>::new());
    power(&case, "one", "start").await;
    case.advance_refreshes(2).await;
    case.settle_active(&id).await;
    assert_eq!(condition(&case.get(&id).await, "Ready"), ("True".to_owned(), String::new()));
}

#[tokio::test]
async fn start_command_quotes_the_resource_group() {
    let case = Case::start().await;
    let group = "/resourceGroups/my(own)group";
    case.change_in_azure(Method::PUT, group, Some(&json!({"location": "eastus"}))).await;
    let path = format!("{group}/providers/{AKS}/asleep");
    case.change_in_azure(Method::PUT, &path, Some(&azure_cluster_body("asleep", json!({})))).await;
    case.change_in_azure(Method::POST, &format!("{path}/stop"), None).await;
    let id = case.post_and_settle(&case.import("asleep", json!({"resourceGroup": "my(own)group"}))).await;
    let message = case.expect_failure(&id, "provisioning").await;
    assert!(message.ends_with("az aks start --resource-group 'my(own)group' --name asleep"), "{message}");
}

#[tokio::test]
async fn deleted_cluster_is_not_ready() {
    let (case, own) = Case::start_active().await;
    case.change_in_azure(Method::PUT, &cluster("theirs"), Some(&azure_cluster_body("theirs", json!({}))))
        .await;
    let import = case.create_active(&case.import("theirs", json!({}))).await;
    for (id, name) in [(&own, "one"), (&import, "theirs")] {
        case.change_in_azure(Method::DELETE, &cluster(name), None).await;
        case.advance_refreshes(2).await;
        let shown = case.get(id).await;
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
    case.change_in_azure(Method::PUT, &cluster("theirs"), Some(&azure_cluster_body("theirs", json!({}))))
        .await;
    case.advance_refreshes(2).await;
    case.expect_active(&import).await;
    assert_eq!(condition(&case.get(&import).await, "Ready").0, "True");
}

#[tokio::test]
async fn import_with_the_wrong_region_warns() {
    let case = Case::start().await;
    case.change_in_azure(
        Method::PUT,
        &cluster("elsewhere"),
        Some(&azure_cluster_body("elsewhere", json!({}))),
    )
    .await;
    let body = case.import("elsewhere", json!({"resourceLocation": "westeurope"}));
    let answer = case.app.post("/v3/clusters").json(&body).send().await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
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
    warning(&answer.json());
    let id = answer.id();
    case.settle_active(&id).await;
    let shown = case.get(&id).await;
    warning(&shown);
    assert_eq!(shown["aksConfig"]["resourceLocation"], "westeurope");
    assert_eq!(shown["aksStatus"]["upstreamSpec"]["resourceLocation"], "eastus");
    let credential = &case.credential;
    for more in ["", "&region=westeurope", "&region=West%20Europe"] {
        case.app.control.clear_requests();
        let path = format!("/meta/aksUpgrades?cloudCredentialId={credential}&clusterId={id}{more}");
        let answer = case.app.get(&path).header("cache-control", "no-cache").send().await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        let paths: Vec<String> = case.app.control.requests().into_iter().map(|seen| seen.path).collect();
        assert!(paths.iter().any(|path| path.contains("/locations/eastus/")), "{paths:?}");
        assert!(!paths.iter().any(|path| path.contains("westeurope")), "{paths:?}");
    }
    // A change is reviewed with the offers of the cluster's own region.
    case.app.control.clear_requests();
    case.writes_of_update(&id, json!({"kubernetesVersion": "1.32.9"})).await;
    let paths: Vec<String> = case.app.control.requests().into_iter().map(|seen| seen.path).collect();
    assert!(!paths.iter().any(|path| path.contains("westeurope")), "{paths:?}");
    case.expect_no_writes(&id).await;
    // The wrong region can be corrected, and only to the right one.
    let answer = case.update(&id, json!({"resourceLocation": "westus2"})).await.expect(422);
    assert_eq!(answer.json()["fieldName"], "aksConfig.resourceLocation", "{}", answer.text());
    let answer = case.update(&id, json!({"resourceLocation": "East US"})).await.expect(200).json();
    let findings = answer["aksStatus"]["review"]["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["rule"] != "region-matches"), "{answer:#}");
}

#[tokio::test]
async fn import_warning_appears_once_azure_can_be_read() {
    let case = Case::start().await;
    case.change_in_azure(
        Method::PUT,
        &cluster("elsewhere"),
        Some(&azure_cluster_body("elsewhere", json!({}))),
    )
    .await;
    case.app.control.add_fault(fault::for_path("/elsewhere?", fault::status(403)));
    let body = case.import("elsewhere", json!({"resourceLocation": "westeurope"}));
    let id = case.post(&body).await;
    let shown = case.get(&id).await.to_string();
    assert!(!shown.contains("region-matches"), "{shown}");
    case.app.control.clear_faults();
    case.advance_refreshes(2).await;
    case.settle_active(&id).await;
    assert!(case.get(&id).await.to_string().contains("region-matches"));
}

#[tokio::test]
async fn import_region_ignores_spelling() {
    let case = Case::start().await;
    case.change_in_azure(Method::PUT, &cluster("here"), Some(&azure_cluster_body("here", json!({})))).await;
    let id = case.create_active(&case.import("here", json!({"resourceLocation": "East US"}))).await;
    let shown = case.get(&id).await;
    assert!(!shown.to_string().contains("region-matches"), "{shown:#}");
    assert_eq!(shown["aksStatus"]["upstreamSpec"]["resourceLocation"], "eastus");
    assert_eq!(shown["aksConfig"]["resourceLocation"], "East US");
}

#[tokio::test]
async fn retry_response_has_no_old_error() {
    let (case, id) = Case::start_active().await;
    let message = "Drain node x: Pod Disruption Budget";
    case.app.control.add_outcome(fault::outcome(OperationKind::UpgradeCluster, "UpgradeFailed", message));
    assert_eq!(case.update(&id, json!({"kubernetesVersion": "1.32.9"})).await.status.as_u16(), 200);
    case.app.settle().await;
    assert!(case.expect_failure(&id, "updating").await.contains("Pod Disruption Budget"));
    let answer = case.update(&id, json!({"kubernetesVersion": "1.32.9"})).await;
    for shown in [answer.json(), case.get(&id).await] {
        assert_eq!(
            (&shown["state"], &shown["transitioning"]),
            (&json!("updating"), &json!("yes")),
            "{shown:#}"
        );
        assert!(!shown.to_string().contains("Pod Disruption Budget"), "{shown:#}");
        assert_eq!(condition(&shown, "Updated").0, "Unknown");
    }
    case.settle_active(&id).await;
}

#[tokio::test]
async fn removal_response_has_no_old_error() {
    let case = Case::start().await;
    let id = case.post_with_advisory_review_and_settle(&case.import("nowhere", json!({}))).await;
    case.expect_failure(&id, "provisioning").await;
    let answer = case.app.delete(&format!("/v3/clusters/{id}")).send().await;
    let mut shown = answer.json();
    assert_eq!((&shown["state"], &shown["transitioning"]), (&json!("removing"), &json!("yes")));
    // The review of the specification remains, because it is not an error of the worker.
    shown["aksStatus"].as_object_mut().unwrap().remove("review");
    assert!(!shown.to_string().contains("cannot be imported"), "{shown:#}");
}

#[tokio::test]
async fn attempt_on_an_unresponsive_api_names_the_ranges() {
    let case = Case::start().await;
    let ranges = json!({"authorizedIpRanges": ["203.0.113.0/24"]});
    let id = case.post(&case.small_with(ranges)).await;
    // Runs everything up to the first attempt to reach the cluster's API, which is then delayed.
    case.app.control.add_kubernetes_fault(Fault { latency_ms: 600_000, ..Fault::default() });
    let worker = case.app.server.worker.clone();
    let stop = tokio_util::sync::CancellationToken::new();
    let waiting = "waiting for the Kubernetes API of the cluster to respond; authorizedIpRanges allows only 203.0.113.0/24";
    let steps = tokio::spawn({
        let (clock, stop) = (case.app.clock.clone(), stop.clone());
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
            let status = case.status(&id).await;
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
        let case = Case::start().await;
        case.app.control.add_kubernetes_fault(fault::for_all(Effect::RefuseConnections));
        let id = case.post_and_settle(&case.small_with(ranges.clone())).await;
        let message = case.expect_failure(&id, "provisioning").await;
        assert!(message.starts_with("failed to communicate with cluster: "), "{message}");
        let remedy =
            "; if the address of this server is not in authorizedIpRanges (203.0.113.0/24), add it there";
        assert_eq!(message.ends_with(remedy), expected, "{ranges}: {message}");
        assert_eq!(message.contains("authorizedIpRanges"), expected, "{message}");
        let (status, message) = condition(&case.get(&id).await, "Ready");
        assert_eq!((status.as_str(), message.contains("authorizedIpRanges")), ("False", expected));
    }
}

#[tokio::test]
async fn removing_the_credential_is_rejected() {
    let case = Case::start().await;
    case.change_in_azure(Method::PUT, &cluster("theirs"), Some(&azure_cluster_body("theirs", json!({}))))
        .await;
    let own = case.create_active(&case.small()).await;
    let import = case.create_active(&case.import("theirs", json!({}))).await;
    for id in [&own, &import] {
        let before = case.get(id).await;
        for value in [json!(null), json!(""), json!("  "), json!([""])] {
            let answer = case.update(id, json!({"azureCredentialSecret": value})).await;
            assert_eq!(answer.status.as_u16(), 422, "{value}: {}", answer.text());
            assert_eq!(answer.json()["fieldName"], "aksConfig.azureCredentialSecret", "{}", answer.text());
            let is_empty = value == json!(null) || value == json!("");
            assert!(!is_empty || answer.text().contains("set azureCredentialSecret"), "{}", answer.text());
        }
        let mut config = before["aksConfig"].clone();
        config.as_object_mut().unwrap().remove("azureCredentialSecret");
        let body = json!({"name": before["name"], "aksConfig": config});
        let answer = case.app.put(&format!("/v3/clusters/{id}?_replace=true")).json(&body).send().await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["fieldName"]),
            (422, &json!("aksConfig.azureCredentialSecret"))
        );
        assert_eq!(case.get(id).await, before, "nothing was changed");
        case.writes_of_update(id, json!({"tags": {"still": "managed"}})).await;
        case.delete(id).await;
        case.app.settle().await;
        assert!(case.is_deleted(id).await, "the credential still exists");
    }
    for imported in [true, false] {
        let body = if imported {
            case.import("other", json!({}))
        } else {
            case.small_with(json!({"clusterName": "other"}))
        };
        for value in [None, Some(json!(null)), Some(json!("")), Some(json!(" "))] {
            let mut body = body.clone();
            let config = body["aksConfig"].as_object_mut().unwrap();
            config.remove("azureCredentialSecret");
            config.extend(value.clone().map(|value| ("azureCredentialSecret".to_owned(), value)));
            let answer = case.app.post("/v3/clusters").json(&body).send().await;
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["fieldName"]),
                (422, &json!("aksConfig.azureCredentialSecret")),
                "{imported} {value:?}: {}",
                answer.text()
            );
        }
    }
}
