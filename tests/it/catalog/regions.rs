//! `GET /api/v1/regions`.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use super::test_catalog::TestCatalog;

/// The time after which the server returns an incomplete list.
const LIST_TIMEOUT: Duration = Duration::from_secs(45);

/// Some regions, with and without zones. The sizes of all regions take long to generate.
const SIX_REGIONS: &str = "eastus,westus,westeurope,northeurope,uksouth,japaneast";

fn codes(region: &Value) -> Vec<&str> {
    region["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap()).collect()
}

impl TestCatalog {
    /// Offers AKS only in these regions, and advances the clock past the lifetime of cached lists.
    fn offer_aks_only_in(&self, locations: &[&str]) {
        let body = json!({"namespace": "Microsoft.ContainerService", "registrationState": "Registered",
            "resourceTypes": [{"resourceType": "managedClusters", "locations": locations}]});
        let page = serde_json::from_value(json!({"body": body})).unwrap();
        self.app.control.play(self.app.seed.subscription_id, "provider", vec![page]).unwrap();
        self.app.clock.advance(Duration::from_hours(49));
    }

    async fn regions(&self, query: &str) -> Vec<Value> {
        let path = format!("/api/v1/regions?cloudCredentialId={}&{query}", self.credential);
        for _ in 0..10 {
            let started = Instant::now();
            let response = self.app.get(&path).send().await;
            assert_eq!(response.status, StatusCode::OK, "{query}: {}", response.text());
            let list = response.json();
            let regions = list["data"].as_array().unwrap().clone();
            assert_eq!(list["progress"]["done"], regions.len());
            if list["progress"]["total"] == regions.len() {
                return regions;
            }
            // On a busy machine, the search can reach its time limit; the next request finds more lists in the cache.
            assert!(started.elapsed() > LIST_TIMEOUT / 2, "{query}: {}", list["progress"]);
        }
        panic!("{query}: the list stays incomplete");
    }
}

#[tokio::test]
async fn physical_regions_are_listed_best_first() {
    let catalog = TestCatalog::start().await;
    let all = catalog.regions("").await;
    assert!(all.len() > 30 && all.iter().all(|region| region["verdict"] == "usable"), "{all:?}");
    let east = json!({"name": "eastus", "displayName": "East US", "zones": ["1", "2", "3"], "nodes": null, "verdict": "usable", "reasons": []});
    assert!(all.contains(&east));
    // A logical region cannot have clusters.
    assert!(!all.iter().any(|region| region["name"] == "europe"));
    let demand = "vmSize=standard_d2s_v3&kubernetesVersion=1.33&zones=3&count=3";
    let regions = catalog.regions(&format!("region={SIX_REGIONS}&{demand}")).await;
    assert_eq!(regions.len(), 6);
    let rank = |region: &Value| {
        ["usable", "limited", "unusable"].iter().position(|verdict| region["verdict"] == *verdict)
    };
    assert!(regions.iter().map(|region| (rank(region), region["name"].to_string())).is_sorted());
    let east = regions.iter().find(|region| region["name"] == "eastus").unwrap();
    assert_eq!((&east["verdict"], &east["nodes"]), (&json!("usable"), &json!(50)), "{east}");
    let west = regions.iter().find(|region| region["name"] == "westus").unwrap();
    assert_eq!((&west["verdict"], codes(west)), (&json!("unusable"), vec!["tooFewZones"]), "{west}");
}

#[tokio::test]
async fn each_reason_is_given_and_can_be_absent() {
    let catalog = TestCatalog::start().await;
    for (query, verdict, expected) in [
        ("", "usable", &[][..]),
        ("zones=4", "unusable", &["tooFewZones"]),
        ("kubernetesVersion=1.33.6", "usable", &[]),
        ("kubernetesVersion=1.20", "unusable", &["versionNotOffered"]),
        ("vmSize=Standard_D2s_v3&count=51", "unusable", &["quotaShort"]),
        ("vmSize=Standard_None", "unusable", &["notInRegion"]),
        (
            "vmSize=Standard_None&kubernetesVersion=1.20&zones=1",
            "unusable",
            &["notInRegion", "versionNotOffered", "tooFewZones"],
        ),
    ] {
        let regions = catalog.regions(&format!("region=eastus&{query}")).await;
        assert_eq!(regions.len(), 1);
        assert_eq!(
            (regions[0]["verdict"].as_str(), codes(&regions[0]).as_slice()),
            (Some(verdict), expected),
            "{query}"
        );
    }
    catalog.offer_aks_only_in(&["West US"]);
    let regions = catalog.regions("region=eastus,westus").await;
    assert_eq!(codes(&regions[1]), ["aksNotInRegion"], "{regions:?}");
    catalog.set_error("kubernetesVersions", 500, "InternalServerError");
    catalog.set_error("skus", 403, "AuthorizationFailed");
    let regions = catalog.regions("region=westeurope&vmSize=Standard_D2s_v3&kubernetesVersion=1.33").await;
    assert_eq!(
        (&regions[0]["verdict"], codes(&regions[0])),
        (&json!("unusable"), vec!["aksNotInRegion", "sizesUnknown", "versionsUnknown"])
    );
}

#[tokio::test]
async fn regions_are_streamed_as_lines_with_progress() {
    let catalog = TestCatalog::start().await;
    let path = format!(
        "/api/v1/regions?cloudCredentialId={}&region=eastus,westus,westeurope&vmSize=Standard_D2s_v3",
        catalog.credential
    );
    let response = catalog.app.get(&path).header("accept", "application/x-ndjson").send().await;
    assert_eq!((response.status, response.header("content-type")), (StatusCode::OK, "application/x-ndjson"));
    let lines: Vec<Value> = response.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let done: Vec<_> = lines.iter().map(|line| line["progress"].clone()).collect();
    assert_eq!(done, [1, 2, 3].map(|done| json!({"done": done, "total": 3})));
    let mut names: Vec<_> = lines.iter().map(|line| line["region"]["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["eastus", "westeurope", "westus"]);
    // Generated clients accept all types, and get JSON.
    let both = catalog.app.get(&path).header("accept", "application/json, application/x-ndjson").send().await;
    assert_eq!(both.header("content-type"), "application/json", "{}", both.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_has_at_most_four_requests_to_azure_at_once() {
    let catalog = TestCatalog::start().await;
    for operation in ["skus", "usages"] {
        let fault = json!({"operation": operation, "latency_ms": 30});
        catalog.app.control.add_fault(serde_json::from_value(fault).unwrap());
    }
    // Twelve regions: more than the two requests may read at once.
    let path = format!(
        "/api/v1/regions?cloudCredentialId={}&vmSize=Standard_D2s_v3&region={SIX_REGIONS},eastus2,centralus,westus2,westus3,ukwest,japanwest",
        catalog.credential
    );
    let (mut first, mut second) =
        (std::pin::pin!(catalog.app.get(&path).send()), std::pin::pin!(catalog.app.get(&path).send()));
    let mut pending = Vec::new();
    let responses = async { tokio::join!(&mut first, &mut second) };
    let mut responses = std::pin::pin!(responses);
    let (first, second) = loop {
        tokio::select! {
            responses = &mut responses => break responses,
            () = tokio::time::sleep(Duration::from_millis(2)) => {
                let requests = catalog.app.control.requests();
                pending.push(requests.iter().filter(|request| request.status.is_none()).count());
            }
        }
    };
    assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(pending.iter().max(), Some(&4), "{pending:?}");
    // Both requests share what was read.
    let skus =
        catalog.app.control.requests().iter().filter(|request| request.path.ends_with("/skus")).count();
    assert_eq!((skus, first.json()["data"].as_array().unwrap().len()), (12, 12));
}

#[tokio::test]
async fn invalid_parameters_are_named() {
    let catalog = TestCatalog::start().await;
    for (query, field) in [
        ("region=nowhere", "region"),
        ("zones=1,2", "zones"),
        ("count=2", "count"),
        ("mode=System", "mode"),
        ("vmSize=Standard_D2s_v3&count=0", "count"),
        ("size=Standard_D2s_v3", "size"),
    ] {
        let path = format!("/api/v1/regions?cloudCredentialId={}&{query}", catalog.credential);
        let response = catalog.app.get(&path).send().await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {}", response.text());
        assert_eq!(response.json()["fieldName"], field, "{query}");
    }
}
