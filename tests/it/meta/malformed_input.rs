//! Hundreds of invalid inputs: every request gets a response, every error has a message, nothing panics.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::LISTINGS;
use crate::support::app::{TestApp, TestResponse};

fn assert_no_server_error(response: &TestResponse, input: &str) {
    let status = response.status.as_u16();
    assert!(status < 500, "{input}: {status} {}", response.text());
    if status >= 400 && status != 401 {
        assert!(!response.error().is_empty(), "{input}: {}", response.text());
    }
}

/// Runs a property that sends requests to the server.
fn run_property<S: Strategy>(
    cases: u32,
    strategy: &S,
    property: impl Fn(&tokio::runtime::Runtime, &TestApp, S::Value),
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = runtime.block_on(TestApp::start());
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(strategy, |value| {
        property(&runtime, &app, value);
        Ok(())
    });
    runtime.block_on(async { drop(app) });
    outcome.unwrap();
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let keys = prop_oneof![
            "[a-zA-Z]{1,12}",
            Just("value".to_owned()),
            Just("name".to_owned()),
            Just("properties".to_owned()),
            Just("subnets".to_owned()),
            Just("id".to_owned()),
            Just("patchVersions".to_owned()),
            Just("capabilities".to_owned()),
            Just("supportPlan".to_owned()),
            Just("locationInfo".to_owned()),
            Just("zones".to_owned()),
            Just("resourceType".to_owned()),
            Just("values".to_owned()),
            Just("nextLink".to_owned()),
            Just("location".to_owned())
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(keys, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn arbitrary_bytes_are_rejected() {
    let bodies = (prop::collection::vec(any::<u8>(), 0..200), 0..LISTINGS.len());
    run_property(300, &bodies, |runtime, app, (body, action)| {
        let path = format!("/meta/{}", LISTINGS[action]);
        let response = runtime.block_on(app.post(&path).body(body).send());
        assert_eq!(response.status, 400);
        assert_no_server_error(&response, &path);
    });
}

#[test]
fn arbitrary_credentials_cause_no_server_error() {
    let fields = prop::collection::btree_map(
        prop::sample::select(vec![
            "tenantId",
            "subscriptionId",
            "clientId",
            "clientSecret",
            "region",
            "environment",
            "clusterId",
        ]),
        prop_oneof![3 => ".{0,40}".prop_map(Value::from), 1 => any_json()],
        0..7,
    );
    let actions = prop::sample::select(vec![
        "aksVersions",
        "aksVMSizesV2",
        "aksVirtualNetworks",
        "aksUpgrades",
        "aksCheckCredentials",
    ]);
    run_property(200, &(fields, actions), |runtime, app, (fields, action)| {
        let mut body = app.credential(&Value::Null);
        body.as_object_mut().unwrap().extend(fields.into_iter().map(|(key, value)| (key.to_owned(), value)));
        let response = runtime.block_on(app.post(&format!("/meta/{action}")).json(&body).send());
        assert_no_server_error(&response, &body.to_string());
    });
}

#[test]
fn arbitrary_queries_cause_no_server_error() {
    let queries = (
        "[a-zA-Z0-9%&=;+:._~-]{0,60}",
        "[!-~]{0,30}".prop_filter("characters of a URI", |id| {
            !id.contains(['#', '<', '>', '"', '{', '}', '|', '\\', '^', '`'])
        }),
    );
    run_property(300, &queries, |runtime, app, (query, id)| {
        for path in [
            format!("/meta/aksVersions?{query}"),
            format!("/meta/aksUpgrades?cloudCredentialId={id}&{query}"),
        ] {
            assert_no_server_error(&runtime.block_on(app.get(&path).send()), &path);
        }
    });
}

#[test]
fn arbitrary_actions_cause_no_server_error() {
    run_property(200, &"aks[a-zA-Z0-9%._~-]{0,20}", |runtime, app, name| {
        // A name is sent only if it is valid in a URI: two hexadecimal digits follow each percent sign.
        if name.split('%').skip(1).all(|after_percent| {
            after_percent.len() >= 2 && after_percent.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit)
        }) {
            let response = runtime.block_on(app.get(&format!("/meta/{name}")).send());
            assert_no_server_error(&response, &name);
        }
    });
}

#[test]
fn malformed_azure_lists_cause_no_server_error() {
    let routes = prop::sample::select(vec![
        ("kubernetesVersions", "aksVersions"),
        ("virtualNetworks", "aksVirtualNetworks"),
        ("vmSizes", "aksVMSizes"),
        ("skus", "aksVMSizesV2"),
        ("locations", "aksRegions"),
        ("managedClusters", "aksClusters"),
    ]);
    let values = (any_json(), any::<bool>());
    run_property(400, &(routes, values), |runtime, app, ((route, action), (value, is_in_list))| {
        let list_key = if route == "kubernetesVersions" { "values" } else { "value" };
        let body = if is_in_list { json!({list_key: [value]}) } else { value };
        let page = serde_json::from_value(json!({"body": body})).unwrap();
        app.control.play(app.seed.subscription_id, route, vec![page]).unwrap();
        let call = app.post(&format!("/meta/{action}")).header("cache-control", "no-cache");
        let response = runtime.block_on(call.json(&app.credential(&json!({"region": "eastus"}))).send());
        assert_no_server_error(&response, &body.to_string());
    });
}

#[tokio::test]
async fn utf_8_bom_is_accepted_and_utf_16_is_rejected() {
    let app = TestApp::start().await;
    let body = app.credential(&serde_json::Value::Null).to_string();
    let utf_16 = |has_bom: bool, big_endian: bool| -> Vec<u8> {
        let units = has_bom.then_some(0xfeff).into_iter().chain(body.encode_utf16());
        units.flat_map(|unit| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    let with_bom = [b"\xef\xbb\xbf", body.as_bytes()].concat();
    app.post("/meta/aksCheckCredentials").body(with_bom).send().await.expect(200);
    let credential = serde_json::json!({"azurecredentialConfig": {"clientId": "c"}}).to_string();
    let response =
        app.post("/v3/cloudcredentials").body([b"\xef\xbb\xbf", credential.as_bytes()].concat()).send().await;
    assert_eq!(response.status, 201, "{}", response.text());
    for (has_bom, big_endian) in [(true, false), (true, true), (false, false), (false, true)] {
        for (path, status) in
            [("/meta/aksCheckCredentials", 400), ("/meta/aksLocations", 400), ("/v3/cloudcredentials", 422)]
        {
            let response = app.post(path).body(utf_16(has_bom, big_endian)).send().await;
            assert_eq!(response.status, status, "{path}: {}", response.text());
            assert!(response.text().contains("the body is UTF-16; send it as UTF-8"), "{}", response.text());
        }
    }
}
