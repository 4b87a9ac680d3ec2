//! The responses of the listing actions: in all three clouds, with a stored credential and with one in the body.

use serde_json::{Value, json};

use super::account_body;
use crate::support::app::TestApp;

/// The keys of the first element, in order: the order is part of the wire.
fn keys(response: &str) -> Vec<String> {
    let (_, inside) = response.split_once('{').unwrap();
    let (object, _) = inside.split_once('}').unwrap();
    let mut depth = 0;
    let mut keys = Vec::new();
    for part in object.split(',') {
        if depth == 0
            && let Some((key, _)) = part.split_once(':')
        {
            keys.push(key.trim_matches('"').to_owned());
        }
        depth += part.matches('[').count();
        depth -= part.matches(']').count().min(depth);
    }
    keys
}

#[tokio::test]
async fn listings_have_ranchers_keys_in_order() {
    let (app, id) = TestApp::builder().start_with_credential().await;
    let location = app.seed.location;
    for (action, expected) in [
        ("aksLocations", vec!["name", "displayName"]),
        ("aksRegions", vec!["name", "displayName", "availabilityZones"]),
        ("aksClusters", vec!["resourceGroup", "clusterName", "rbacEnabled", "location"]),
        ("aksVMSizesV2", vec!["Name", "AcceleratedNetworkingSupported", "AvailabilityZones"]),
    ] {
        let path = format!("/meta/{action}?cloudCredentialId={id}&region={location}");
        let response = app.get(&path).send().await;
        assert_eq!(
            (response.status.as_u16(), response.header("content-type")),
            (200, "application/json"),
            "{action}"
        );
        assert_eq!(keys(&response.text()), expected, "{action}");
        assert!(!response.text().ends_with('\n'), "{action}");
        let with_credential =
            app.post(&format!("/meta/{action}")).json(&app.credential(&json!({"region": location})));
        assert_eq!(with_credential.send().await.text(), response.text(), "{action}");
    }
    let networks = app.get(&format!("/meta/aksVirtualNetworks?cloudCredentialId={id}")).send().await;
    assert!(networks.text().starts_with("[{\"name\":\""), "{}", networks.text());
    let list = networks.json();
    let network =
        list.as_array().unwrap().iter().find(|network| network["name"] == app.seed.virtual_network).unwrap();
    assert!(network["subnets"].as_array().unwrap().iter().any(|subnet| subnet["name"] == app.seed.subnet));
    assert!(
        list.as_array().unwrap().iter().any(|network| network["subnets"].is_null()),
        "one network has no subnets"
    );
}

#[tokio::test]
async fn versions_ascend() {
    let app = TestApp::start().await;
    let versions =
        app.post("/meta/aksVersions").json(&app.credential(&json!({"region": "East US"}))).send().await;
    let versions: Vec<String> = serde_json::from_value(versions.json()).unwrap();
    assert!(versions.contains(&app.seed.kubernetes_version.to_owned()));
    let parts =
        |version: &String| version.split('.').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
    assert!(versions.is_sorted_by_key(parts), "{versions:?}");
}

#[tokio::test]
async fn regions_are_accepted_in_any_spelling() {
    let app = TestApp::start().await;
    let sizes_and_networks = async |region: &str| {
        let body = app.credential(&json!({"region": region}));
        let sizes = app.post("/meta/aksVMSizesV2").json(&body).send().await.text();
        let networks = app.post("/meta/aksVirtualNetworks").json(&body).send().await.text();
        (sizes, networks)
    };
    let expected = sizes_and_networks("eastus").await;
    assert!(expected.0.len() > 1000 && expected.1.len() > 100, "{expected:?}");
    assert!(!app.take_azure_requests().is_empty());
    for spelling in ["EastUS", "East US", "EAST US"] {
        assert_eq!(sizes_and_networks(spelling).await, expected, "{spelling}");
    }
    assert_eq!(app.take_azure_requests(), Vec::<String>::new(), "all spellings share the cached lists");
}

#[tokio::test]
async fn invalid_region_is_rejected() {
    let app = TestApp::start().await;
    for region in ["eastus' or location eq 'westus", "a/b", "../x", "östlich"] {
        for action in ["aksVMSizesV2", "aksVMSizes", "aksVersions"] {
            let body = app.credential(&json!({"region": region}));
            let response = app.post(&format!("/meta/{action}")).json(&body).send().await;
            assert_eq!(response.status, 400, "{action} {region}");
            assert!(response.error().starts_with("invalid region"), "{}", response.error());
        }
    }
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
}

#[tokio::test]
async fn clouds_have_own_endpoints() {
    let app = TestApp::start().await;
    for (name, arm, login) in [
        ("ready", "management.azure.com", "login.microsoftonline.com"),
        ("china", "management.chinacloudapi.cn", "login.chinacloudapi.cn"),
        ("us-government", "management.usgovcloudapi.net", "login.microsoftonline.us"),
    ] {
        app.control.clear_requests();
        let response =
            app.post("/meta/aksLocations").json(&account_body(&app, name, &Value::Null)).send().await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        let hosts: Vec<String> = app.control.requests().into_iter().map(|request| request.host).collect();
        assert_eq!(hosts, [login, arm], "{name}");
    }
}

#[tokio::test]
async fn lists_are_read_to_their_last_page() {
    let app = TestApp::start().await;
    let whole = app.post("/meta/aksVirtualNetworks").json(&app.credential(&Value::Null)).send().await.text();
    app.control.set_page_size(Some(2));
    let mut other_secret = app.credential(&Value::Null);
    other_secret["clientSecret"] = app.seed.client_secret_2.into();
    let in_pages = app.post("/meta/aksVirtualNetworks").json(&other_secret).send().await.text();
    assert_eq!(in_pages, whole);
    let pages =
        app.take_azure_requests().iter().filter(|request| request.contains("virtualNetworks")).count();
    assert!(pages > 3, "{pages}");
}

#[tokio::test]
async fn empty_subscription_has_empty_lists() {
    let app = TestApp::start().await;
    for action in ["aksClusters", "aksVirtualNetworks"] {
        let body = account_body(&app, "empty", &json!({"region": "eastus"}));
        assert_eq!(app.post(&format!("/meta/{action}")).json(&body).send().await.text(), "[]", "{action}");
    }
}

#[tokio::test]
async fn html_characters_are_escaped_as_in_go() {
    let app = TestApp::start().await;
    let page = json!({"body": {"value": [{"name": "a<b>&\u{2028}", "displayName": "é\u{7f}\t"}]}});
    app.control
        .play(app.seed.subscription_id, "locations", vec![serde_json::from_value(page).unwrap()])
        .unwrap();
    let response = app.post("/meta/aksLocations").json(&app.credential(&Value::Null)).send().await;
    let expected = "[{\"name\":\"a\\u003cb\\u003e\\u0026\\u2028\",\"displayName\":\"é\u{7f}\\t\"}]";
    assert_eq!(response.text(), expected);
}
