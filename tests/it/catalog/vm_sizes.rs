//! `GET /api/v1/vm-sizes`.

use http::StatusCode;
use serde_json::{Value, json};

use super::test_catalog::{TestCatalog, sku, usage};
use crate::support::app::TestApp;

fn names(list: &[Value]) -> Vec<&str> {
    list.iter().map(|size| size["name"].as_str().unwrap()).collect()
}

fn codes(size: &Value) -> Vec<&str> {
    size["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn size_is_listed_with_its_properties_and_quota() {
    let catalog = TestCatalog::start().await;
    let list = catalog.list("vm-sizes", "q=Standard_D4ds_v5&count=3").await;
    let expected = json!({
        "name": "Standard_D4ds_v5", "family": "standardDDSv5Family", "vcpus": 4, "memoryGiB": 16, "architecture": "x64",
        "gpus": 0, "dataDisks": 8, "temporaryDiskGiB": 150, "ephemeralOsDiskGiB": 150, "zones": ["1", "2", "3"],
        "acceleratedNetworking": true, "premiumStorage": true, "encryptionAtHost": true, "spot": true, "confidential": null,
        "retirement": null, "verdict": "usable", "reasons": [],
        "quota": {
            "family": {"name": "Standard DDSv5 Family vCPUs", "limit": 100, "used": 0, "left": 100},
            "regional": {"name": "Total Regional vCPUs", "limit": 350, "used": list[0]["quota"]["regional"]["used"],
                "left": list[0]["quota"]["regional"]["left"]},
            "nodes": 25,
        },
    });
    assert_eq!(list, [expected]);
}

/// A unit test covers all reasons: `verdicts_follow_from_the_demand`.
#[tokio::test]
async fn verdict_follows_from_the_parameters() {
    let catalog = TestCatalog::start().await;
    let zone = json!([{"type": "Zone", "restrictionInfo": {"zones": ["3"]}}]);
    let none = json!([]);
    let zones = ["3", "1", "2"];
    catalog.set_list(
        "skus",
        &[
            sku("Standard_Fine", &[], &zones, &none),
            sku("Standard_Zonal", &[], &zones, &zone),
            sku("Standard_Small", &[("MemoryGB", "2")], &zones, &none),
            sku("Standard_Arm", &[("CpuArchitectureType", "Arm64")], &zones, &none),
        ],
    );
    catalog.set_list("usages", &[usage("cores", 0, 100), usage("standardDSv3Family", 88, 100)]);
    for (query, name, verdict, expected) in [
        ("", "Fine", "usable", &[][..]),
        ("zones=1,3", "Zonal", "unusable", &["zonesRestricted"]),
        ("mode=system", "Small", "unusable", &["tooSmallForSystemPool"]),
        ("mode=User", "Small", "usable", &[]),
        ("osType=Windows", "Arm", "unusable", &["architectureMismatch", "windowsNotSupported"]),
        ("osType=Linux", "Fine", "usable", &[]),
        ("ephemeralOsDiskGiB=101", "Fine", "unusable", &["ephemeralDiskTooLarge"]),
        ("count=4", "Fine", "unusable", &["quotaShort"]),
    ] {
        let list = catalog.list("vm-sizes", &format!("{query}&q=Standard_{name}")).await;
        assert_eq!(list.len(), 1, "{name}");
        assert_eq!(
            (list[0]["verdict"].as_str(), codes(&list[0]).as_slice()),
            (Some(verdict), expected),
            "{query} {name}"
        );
    }
}

#[tokio::test]
async fn unreadable_quotas_are_unknown_and_the_list_is_complete() {
    let catalog = TestCatalog::start().await;
    let complete = catalog.list("vm-sizes", "").await.len();
    catalog.set_error("usages", 403, "AuthorizationFailed");
    catalog.app.clock.advance(std::time::Duration::from_secs(61));
    let list = catalog.list("vm-sizes", "").await;
    assert_eq!(list.len(), complete);
    assert!(list.iter().all(|size| codes(size).contains(&"quotaUnknown") && size["verdict"] != "usable"));
    let size = list.iter().find(|size| size["name"] == "Standard_D2s_v3").unwrap();
    assert_eq!(size["quota"], json!({"family": null, "regional": null, "nodes": null}));
    let message = size["reasons"][0]["message"].as_str().unwrap();
    assert!(message.contains("AuthorizationFailed"), "{message}");
}

#[tokio::test]
async fn sizes_are_filtered_and_sorted() {
    let catalog = TestCatalog::start().await;
    let all = catalog.list("vm-sizes", "").await;
    assert!(all.len() > 1_000, "{}", all.len());
    for (query, matches) in [
        (
            "minVcpus=8&maxVcpus=16",
            (|size| (8..=16).contains(&size["vcpus"].as_i64().unwrap())) as fn(&Value) -> bool,
        ),
        ("minMemoryGiB=64", |size| size["memoryGiB"].as_f64().unwrap() >= 64.0),
        ("arch=arm64", |size| size["architecture"] == "Arm64"),
        ("arch=x64", |size| size["architecture"] == "x64"),
        ("gpu=true", |size| size["gpus"].as_i64().unwrap() > 0),
        ("gpu=false", |size| size["gpus"] == 0),
        ("family=STANDARDDSv5FAMILY", |size| size["family"] == "standardDSv5Family"),
        ("q=d2s", |size| size["name"].as_str().unwrap().to_lowercase().contains("d2s")),
        ("verdict=unusable", |size| size["verdict"] == "unusable"),
        ("verdict=usable,limited", |size| size["verdict"] != "unusable"),
    ] {
        let list = catalog.list("vm-sizes", query).await;
        assert!(!list.is_empty(), "{query}");
        let expected: Vec<&Value> = all.iter().filter(|size| matches(size)).collect();
        assert_eq!(list.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    assert!(names(&all).is_sorted());
    assert!(names(&catalog.list("vm-sizes", "sort=-name").await).is_sorted_by(|a, b| a >= b));
    let vcpus = |list: &[Value]| list.iter().map(|size| size["vcpus"].as_i64().unwrap()).collect::<Vec<_>>();
    assert!(vcpus(&catalog.list("vm-sizes", "sort=vcpus").await).is_sorted());
    assert!(vcpus(&catalog.list("vm-sizes", "sort=-vcpus").await).is_sorted_by(|a, b| a >= b));
    let usable_first = catalog.list("vm-sizes", "sort=verdict").await;
    assert_eq!(
        (&usable_first[0]["verdict"], &usable_first[usable_first.len() - 1]["verdict"]),
        (&json!("usable"), &json!("unusable"))
    );
}

#[tokio::test]
async fn pages_contain_the_whole_list() {
    let catalog = TestCatalog::start().await;
    let all = catalog.list("vm-sizes", "q=standard_e&sort=-nodes").await;
    let mut sizes = Vec::new();
    let mut next = Some(format!(
        "/api/v1/vm-sizes?cloudCredentialId={}&region=eastus&q=standard_e&sort=-nodes&limit=50",
        catalog.credential
    ));
    while let Some(path) = next {
        let page = catalog.app.get(&path).send().await.expect(200).json();
        sizes.extend(page["data"].as_array().unwrap().clone());
        assert!(sizes.len() <= all.len());
        let url = page["next"].as_str().map(|url| url.split_once("norman.test").unwrap().1.to_owned());
        next = url;
    }
    assert_eq!(names(&sizes), names(&all));
}

#[tokio::test]
async fn second_request_is_served_from_the_cache() {
    let catalog = TestCatalog::start().await;
    let first = catalog.get("vm-sizes", "q=d2s").await;
    assert_eq!(first.header("x-norman-aks-cache"), "miss");
    catalog.app.take_azure_requests();
    catalog.app.clock.advance(std::time::Duration::from_secs(50));
    let second = catalog.get("vm-sizes", "q=d4s&count=2").await;
    assert_eq!((second.header("x-norman-aks-cache"), second.header("age")), ("hit", "50"));
    assert_eq!(second.header("cache-control"), "private, no-cache");
    assert_eq!(catalog.app.take_azure_requests(), [""; 0]);
    // The action of /meta lists the same sizes.
    let path = format!("/meta/aksVMSizesV2?cloudCredentialId={}&region=eastus", catalog.credential);
    assert_eq!(catalog.app.get(&path).send().await.header("x-norman-aks-cache"), "hit");
    // Quotas are read again after a minute, sizes are not.
    catalog.app.clock.advance(std::time::Duration::from_secs(11));
    catalog.get("vm-sizes", "").await;
    let requests = catalog.app.take_azure_requests();
    assert!(requests.len() == 1 && requests[0].contains("/usages"), "{requests:?}");
}

#[tokio::test]
async fn page_has_an_entity_tag_until_its_lists_change() {
    let catalog = TestCatalog::start().await;
    let first = catalog.get("vm-sizes", "q=d2s").await;
    let etag = first.header("etag").to_owned();
    assert!(etag.starts_with('"'), "{etag}");
    let path = format!("/api/v1/vm-sizes?cloudCredentialId={}&region=eastus&q=d2s", catalog.credential);
    let again = catalog.app.get(&path).header("if-none-match", &etag).send().await;
    assert_eq!(
        (again.status, again.body.len(), again.header("etag")),
        (StatusCode::NOT_MODIFIED, 0, etag.as_str())
    );
    assert_eq!(again.header("content-length"), first.body.len().to_string());
    assert_ne!(catalog.get("vm-sizes", "q=d4s").await.header("etag"), etag);
    let zipped = catalog.app.get(&path).header("accept-encoding", "gzip").send().await;
    assert_eq!(
        (zipped.header("content-encoding"), zipped.header("vary")),
        ("gzip", "Authorization, Cookie, Accept-Encoding")
    );
    assert!(zipped.body.len() < first.body.len() / 2);
    // The quotas are read again, so the page changes.
    catalog.set_list("usages", &[usage("cores", 0, 1)]);
    catalog.app.clock.advance(std::time::Duration::from_secs(61));
    let changed = catalog.app.get(&path).header("if-none-match", &etag).send().await.expect(200);
    assert!(changed.text().contains("quotaShort"));
}

#[tokio::test]
async fn invalid_parameters_are_named() {
    let catalog = TestCatalog::start().await;
    for (query, field) in [
        ("count=0", "count"),
        ("count=1001", "count"),
        ("count=some", "count"),
        ("mode=Master", "mode"),
        ("osType=BSD", "osType"),
        ("zones=eastus-1", "zones"),
        ("ephemeralOsDiskGiB=1", "ephemeralOsDiskGiB"),
        ("gpu=yes", "gpu"),
        ("arch=mips", "arch"),
        ("verdict=good", "verdict"),
        ("sort=price", "sort"),
        ("limit=0", "limit"),
        ("marker=Standard_None", "marker"),
        ("minVCPUs=2", "minVCPUs"),
    ] {
        let response = catalog.get("vm-sizes", query).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {}", response.text());
        assert_eq!(response.json()["fieldName"], field, "{query}");
    }
    let path = |query: &str| format!("/api/v1/vm-sizes?{query}");
    for (query, status, field) in [
        ("region=eastus".to_owned(), 422, json!("cloudCredentialId")),
        (format!("cloudCredentialId={}", catalog.credential), 422, json!("region")),
        ("region=eastus&cloudCredentialId=nonsense".to_owned(), 422, json!("cloudCredentialId")),
        ("region=eastus&cloudCredentialId=cattle-global-data:cc-none".to_owned(), 404, Value::Null),
        (format!("cloudCredentialId={}&region=not/a/region", catalog.credential), 422, Value::Null),
        (format!("cloudCredentialId={}&region=nowhere", catalog.credential), 422, Value::Null),
    ] {
        let response = catalog.app.get(&path(&query)).send().await;
        assert_eq!(
            (response.status.as_u16(), &response.json()["fieldName"]),
            (status, &field),
            "{query}: {}",
            response.text()
        );
    }
}

#[tokio::test]
async fn throttled_azure_is_429() {
    let catalog = TestCatalog::start().await;
    catalog.set_error("skus", 429, "TooManyRequests");
    let response = catalog.get("vm-sizes", "").await.expect(429);
    assert!(!response.header("retry-after").is_empty());
}

#[tokio::test]
async fn cross_site_request_is_rejected() {
    let catalog = TestCatalog::start().await;
    let path = format!("/api/v1/vm-sizes?cloudCredentialId={}&region=eastus", catalog.credential);
    let cookie = format!("R_SESS={}", catalog.app.admin);
    let response =
        catalog.app.get(&path).anonymous().header("cookie", &cookie).header("sec-fetch-site", "cross-site");
    assert_eq!(response.send().await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn credential_of_another_user_does_not_exist() {
    let catalog = TestCatalog::start().await;
    let bob = catalog.app.token("bob").await;
    let path = format!("/api/v1/vm-sizes?cloudCredentialId={}&region=eastus", catalog.credential);
    assert_eq!(catalog.app.get(&path).token(&bob).send().await.status, StatusCode::NOT_FOUND);
    assert_eq!(catalog.app.get(&path).anonymous().send().await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(catalog.app.post(&path).send().await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn use_of_the_credential_is_audited() {
    let catalog = TestCatalog::start().await;
    catalog.list("vm-sizes", "").await;
    catalog.app.server.audit_log.flush().await;
    let records = TestApp::get(&catalog.app, "/api/v1/audit?action=catalog").send().await.json();
    assert_eq!(records["data"][0]["objectId"], catalog.credential, "{records}");
}
