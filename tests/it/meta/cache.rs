//! The number of requests to Azure, as docs/api.md describes it under "Caching", counted by the sandbox.

use std::time::Duration;

use azure_sandbox::{Effect, ErrorResponse, Fault, Operation, Page};
use serde_json::{Value, json};

use crate::support::advance_time;
use crate::support::app::{TestApp, TestResponse};
use crate::support::fault;

async fn versions(app: &TestApp) -> TestResponse {
    app.post("/meta/aksVersions").json(&app.credential(&json!({"region": "eastus"}))).send().await
}

async fn fresh_versions(app: &TestApp) -> TestResponse {
    let body = app.credential(&json!({"region": "eastus"}));
    app.post("/meta/aksVersions").header("cache-control", "max-age=0, No-Cache").json(&body).send().await
}

fn status_fault(status: u16) -> Fault {
    fault::for_operation(Operation::KubernetesVersions, fault::status(status))
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn cache_hit_sends_no_request() {
    let app = TestApp::with_advisory_review().await;
    let cold = versions(&app).await;
    assert_eq!((cold.header("x-norman-aks-cache"), cold.header("age")), ("miss", "0"));
    assert_eq!(app.take_azure_requests().len(), 2, "a token and the list");
    let body = app.credential(&json!({"region": "eastus"}));
    assert_eq!(app.post("/meta/aksLocations").json(&body).send().await.status, 200);
    assert_eq!(app.take_azure_requests().len(), 1, "the list");
    app.clock.advance(Duration::from_secs(90));
    let warm = versions(&app).await;
    assert_eq!((warm.header("x-norman-aks-cache"), warm.header("age")), ("hit", "90"));
    assert_eq!(warm.header("cache-control"), "private, no-cache");
    assert_eq!(warm.header("vary"), "Authorization, Cookie, Accept-Encoding");
    assert_eq!(warm.body, cold.body);
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
}

#[tokio::test]
async fn concurrent_cold_requests_share_login_and_list() {
    let app = TestApp::with_advisory_review().await;
    app.control.add_fault(Fault { latency_ms: 50, ..Fault::default() });
    let calls = (0..100).map(|_| versions(&app));
    for response in futures_util::future::join_all(calls).await {
        assert_eq!(response.status, 200);
    }
    let mut requests = app.take_azure_requests();
    requests.sort();
    assert_eq!(requests.len(), 2, "{requests:?}");
}

#[tokio::test]
async fn concurrent_failed_logins_share_one_request() {
    let app = TestApp::with_advisory_review().await;
    let mut body = app.credential(&json!({"region": "eastus"}));
    body["clientSecret"] = "wrong".into();
    app.control.add_fault(Fault { latency_ms: 50, ..Fault::default() });
    let actions = ["aksVersions", "aksLocations", "aksVMSizes", "aksClusters"];
    let calls = (0..100).map(|n| app.post(&format!("/meta/{}", actions[n % 4])).json(&body).send());
    for response in futures_util::future::join_all(calls).await {
        assert_eq!(response.status, 400);
        assert_eq!(response.json()["code"], "AADSTS7000215");
    }
    assert_eq!(app.take_azure_requests().len(), 1);
}

#[tokio::test]
async fn stale_list_is_served_while_it_reloads() {
    let app = TestApp::with_advisory_review().await;
    versions(&app).await;
    app.take_azure_requests();
    app.clock.advance(Duration::from_secs(15 * 60 + 1));
    let stale = versions(&app).await;
    assert_eq!((stale.header("x-norman-aks-cache"), stale.header("age")), ("stale", "901"));
    for _ in 0..200 {
        if versions(&app).await.header("x-norman-aks-cache") == "hit" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the list was not reloaded");
}

#[tokio::test]
async fn networks_and_clusters_expire_after_30_s() {
    let app = TestApp::with_advisory_review().await;
    for action in ["aksVirtualNetworks", "aksClusters"] {
        let request =
            async || app.post(&format!("/meta/{action}")).json(&app.credential(&json!({}))).send().await;
        request().await;
        app.clock.advance(Duration::from_secs(30));
        assert_eq!(request().await.header("x-norman-aks-cache"), "hit", "{action}");
        app.clock.advance(Duration::from_secs(1));
        assert_eq!(request().await.header("x-norman-aks-cache"), "miss", "{action}");
    }
}

#[tokio::test]
async fn stale_list_is_served_for_a_day_if_azure_fails() {
    let app = TestApp::with_advisory_review().await;
    let cached = versions(&app).await;
    for fault in [
        status_fault(503),
        status_fault(429),
        status_fault(408),
        Fault { effect: Some(Effect::CutBeforeAnswer), ..status_fault(500) },
    ] {
        app.control.clear_faults();
        app.control.add_fault(fault);
        app.clock.advance(HOUR);
        let served = versions(&app).await;
        assert_eq!((served.status.as_u16(), served.header("x-norman-aks-cache")), (200, "stale"));
        assert_eq!(served.body, cached.body);
        // A `no-cache` request gets an error.
        assert_ne!(fresh_versions(&app).await.status, 200);
    }
    app.clock.advance(HOUR * 24);
    let too_old = versions(&app).await.expect(503);
    assert!(too_old.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn denied_list_is_evicted() {
    let app = TestApp::with_advisory_review().await;
    for status in [403, 404] {
        assert_eq!(fresh_versions(&app).await.status, 200);
        app.control.add_fault(status_fault(status));
        assert_eq!(fresh_versions(&app).await.status, 400);
        app.control.clear_faults();
        assert_eq!(versions(&app).await.header("x-norman-aks-cache"), "miss", "{status}");
    }
}

#[tokio::test]
async fn rejected_login_evicts_all_lists_of_the_credential() {
    let app = TestApp::with_advisory_review().await;
    let body = app.credential(&json!({"region": "eastus"}));
    versions(&app).await;
    app.post("/meta/aksLocations").json(&body).send().await;
    app.control.forget_tokens();
    app.control.add_fault(fault::for_operation(Operation::Token, fault::status(401)));
    assert_eq!(fresh_versions(&app).await.status, 400);
    for action in ["aksVersions", "aksLocations"] {
        let response = app.post(&format!("/meta/{action}")).json(&body).send().await;
        assert_eq!(response.status, 400, "{action}: {}", response.header("x-norman-aks-cache"));
    }
}

#[tokio::test]
async fn secrets_of_one_application_have_separate_caches() {
    let app = TestApp::with_advisory_review().await;
    versions(&app).await;
    let mut other_secret = app.credential(&json!({"region": "eastus"}));
    other_secret["clientSecret"] = app.seed.client_secret_2.into();
    app.take_azure_requests();
    let response = app.post("/meta/aksVersions").json(&other_secret).send().await;
    assert_eq!(response.header("x-norman-aks-cache"), "miss");
    assert_eq!(app.take_azure_requests().len(), 2);
    other_secret["clientSecret"] = "guessed".into();
    assert_eq!(app.post("/meta/aksVersions").json(&other_secret).send().await.status, 400);
}

#[tokio::test]
async fn disconnected_client_does_not_cancel_a_shared_load() {
    let app = TestApp::with_advisory_review().await;
    app.control.add_fault(Fault { latency_ms: 200, ..Fault::default() });
    let disconnected = tokio::time::timeout(Duration::from_millis(50), versions(&app)).await;
    assert!(disconnected.is_err());
    assert_eq!(versions(&app).await.status, 200);
    assert_eq!(app.take_azure_requests().len(), 2, "the load continued");
}

#[tokio::test]
async fn versions_and_upgrades_share_one_list() {
    let (app, credential) = TestApp::builder().advisory_review().start_with_credential().await;
    let cluster = json!({"name": "c", "aksConfig": {"clusterName": "c", "resourceGroup": "g", "resourceLocation": "eastus",
        "imported": true, "azureCredentialSecret": credential, "kubernetesVersion": app.seed.kubernetes_version}});
    let id = app.post("/v3/clusters").json(&cluster).send().await.id();
    app.get(&format!("/meta/aksVersions?cloudCredentialId={credential}&region=eastus")).send().await;
    app.take_azure_requests();
    let upgrades =
        app.get(&format!("/meta/aksUpgrades?cloudCredentialId={credential}&clusterId={id}")).send().await;
    assert_eq!(upgrades.header("x-norman-aks-cache"), "hit", "{}", upgrades.text());
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
}

/// The sandbox's operations that return lists, the actions that use them, and the key of the list in Azure's response.
const LISTS: [(Operation, &str, &str); 7] = [
    (Operation::Locations, "aksLocations", "value"),
    (Operation::Locations, "aksRegions", "value"),
    (Operation::VmSizes, "aksVMSizes", "value"),
    (Operation::Skus, "aksVMSizesV2", "value"),
    (Operation::KubernetesVersions, "aksVersions", "values"),
    (Operation::VirtualNetworks, "aksVirtualNetworks", "value"),
    (Operation::ManagedClusters, "aksClusters", "value"),
];

async fn list(app: &TestApp, action: &str, headers: &[(&str, &str)]) -> TestResponse {
    let body = app.credential(&json!({"region": "eastus"}));
    let call = app.post(&format!("/meta/{action}"));
    let call = headers.iter().fold(call, |call, (name, value)| call.header(name, value));
    call.json(&body).send().await
}

/// The duration of a load after which callers get a stale list, if there is one.
const STALE_AFTER: Duration = Duration::from_secs(3);

const NO_CACHE: &[(&str, &str)] = &[("cache-control", "no-cache")];

fn hang(operation: Operation) -> Fault {
    fault::delay(operation, 3_600_000)
}

#[tokio::test]
async fn hanging_load_serves_stale_and_keeps_its_result() {
    let app = TestApp::with_advisory_review().await;
    for (operation, action, _) in LISTS {
        let cached = list(&app, action, &[]).await;
        app.clock.advance(HOUR * 24 + Duration::from_secs(1));
        app.control.add_fault(hang(operation));
        app.take_azure_requests();
        // The list is too old to be returned at once, so the first caller waits for the load until `STALE_AFTER`.
        let time_passes = async {
            app.wait_until_azure_hangs().await;
            advance_time(STALE_AFTER).await;
        };
        let (first, ()) = tokio::join!(list(&app, action, &[]), time_passes);
        for served in [first, list(&app, action, &[]).await] {
            assert_eq!((served.status.as_u16(), served.header("x-norman-aks-cache")), (200, "stale"));
            assert_eq!((served.header("age"), &served.body), ("86401", &cached.body), "{action}");
        }
        // The load continues and its result is cached: no caller starts another one.
        app.control.clear_faults();
        while list(&app, action, &[]).await.header("x-norman-aks-cache") != "hit" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let path = format!("/{}", operation_name(operation));
        let requests = app.take_azure_requests();
        let lists = requests.iter().filter(|request| request.ends_with(&path)).count();
        assert_eq!(lists, 1, "{action}: requests that end with {path}: {requests:?}");
    }
}

/// The name of a list operation in the sandbox, which is also the last segment of the list's path.
fn operation_name(operation: Operation) -> String {
    serde_json::to_value(operation).unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn no_cache_waits_for_a_hanging_load() {
    let app = TestApp::with_advisory_review().await;
    list(&app, "aksVirtualNetworks", &[]).await;
    app.clock.advance(Duration::from_secs(31));
    app.control.add_fault(hang(Operation::VirtualNetworks));
    let other_caller = async {
        let served = list(&app, "aksVirtualNetworks", &[]).await;
        app.control.clear_faults();
        served
    };
    let (fresh, served) = tokio::join!(list(&app, "aksVirtualNetworks", NO_CACHE), other_caller);
    assert_eq!((served.header("x-norman-aks-cache"), served.header("age")), ("stale", "31"));
    assert_eq!((fresh.header("x-norman-aks-cache"), fresh.header("age")), ("miss", "0"));
}

#[tokio::test]
async fn unresponsive_azure_is_not_awaited_again() {
    let app = TestApp::builder().advisory_review().read_timeout(Duration::from_millis(100)).start().await;
    list(&app, "aksClusters", &[]).await;
    app.clock.advance(Duration::from_secs(31));
    app.control.add_fault(hang(Operation::ManagedClusters));
    let served = list(&app, "aksClusters", &[]).await;
    assert_eq!((served.status.as_u16(), served.header("x-norman-aks-cache")), (200, "stale"));
    assert!(list(&app, "aksClusters", NO_CACHE).await.status.is_server_error());
    app.control.clear_faults();
    // The next caller gets the stale list immediately, and the load runs in the background, although Azure responds again.
    assert_eq!(list(&app, "aksClusters", &[]).await.header("x-norman-aks-cache"), "stale");
    while list(&app, "aksClusters", &[]).await.header("x-norman-aks-cache") != "hit" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn unusable_responses_serve_the_cached_list() {
    let app = TestApp::with_advisory_review().await;
    let portal = "<html><title>Sign in</title></html>";
    for (operation, action, key) in LISTS {
        let cached = list(&app, action, NO_CACHE).await;
        assert_eq!(cached.status, 200, "{action}");
        let shapes = [
            json!({}),
            json!([]),
            json!({key: null}),
            json!({key: {}}),
            json!({key: [[[]]]}),
            json!({key: [null]}),
            json!({key: [{"name": "a"}, "b"]}),
            json!({"error": {"code": "Odd", "message": "with 200"}}),
            Value::from(portal),
        ];
        for shape in shapes {
            let page = Page::new(200, &shape).unwrap();
            app.control.play(app.seed.subscription_id, &operation_name(operation), vec![page]).unwrap();
            assert_cached_is_served(&app, action, &cached, &shape.to_string()).await;
        }
        app.control.play(app.seed.subscription_id, &operation_name(operation), vec![]).unwrap();
        for effect in [Effect::TruncatedBody, Effect::CutInBody, Effect::InvalidJson] {
            let what = format!("{effect:?}");
            app.control.add_fault(fault::for_operation(operation, effect));
            assert_cached_is_served(&app, action, &cached, &what).await;
            app.control.clear_faults();
        }
    }
}

/// Asserts that, after an unusable response of Azure, a `no-cache` request fails and any other request gets the cached list.
async fn assert_cached_is_served(app: &TestApp, action: &str, cached: &TestResponse, what: &str) {
    let fresh = list(app, action, NO_CACHE).await;
    assert!(fresh.status.as_u16() >= 400, "{action}, {what}: {}", fresh.text());
    app.clock.advance(Duration::from_secs(31));
    let served = list(app, action, &[]).await;
    assert_eq!((served.status.as_u16(), &served.body), (200, &cached.body), "{action}, {what}");
    assert_ne!(served.header("x-norman-aks-cache"), "miss", "{action}, {what}");
}

#[tokio::test]
async fn empty_azure_list_is_an_empty_list() {
    let app = TestApp::with_advisory_review().await;
    for (operation, action, key) in LISTS.into_iter().filter(|(_, action, _)| *action != "aksVersions") {
        list(&app, action, NO_CACHE).await;
        let page = Page::new(200, &json!({key: []})).unwrap();
        app.control.play(app.seed.subscription_id, &operation_name(operation), vec![page]).unwrap();
        let empty = list(&app, action, NO_CACHE).await;
        assert_eq!((empty.status.as_u16(), empty.text().as_str()), (200, "[]"), "{action}");
        assert_eq!(list(&app, action, &[]).await.text(), "[]", "{action}");
        app.control.play(app.seed.subscription_id, &operation_name(operation), vec![]).unwrap();
    }
}

#[tokio::test]
async fn retry_after_is_at_most_an_hour() {
    let app = TestApp::with_advisory_review().await;
    for (wait, expected) in [
        ("315360000", "3600"),
        ("99999999999999999999999", "3600"),
        ("Sun, 06 Nov 2044 08:49:37 GMT", "3600"),
        ("3601", "3600"),
        ("1800", "1800"),
    ] {
        for operation in [Operation::KubernetesVersions, Operation::Token] {
            app.control.forget_tokens();
            let throttled = ErrorResponse {
                status: Some(429),
                retry_after: Some(wait.to_owned()),
                ..ErrorResponse::default()
            };
            app.control.add_fault(fault::for_operation(operation, Effect::Status(throttled)));
            let response = fresh_versions(&app).await;
            assert_eq!((response.status.as_u16(), response.header("retry-after")), (429, expected), "{wait}");
            app.control.clear_faults();
            // No such request is sent until `retry-after` has passed; a failed login is cached for at most a minute.
            app.clock.advance(HOUR);
        }
    }
}

#[tokio::test]
async fn captive_portal_is_not_a_valid_credential() {
    let app = TestApp::with_advisory_review().await;
    let body = app.credential(&json!({}));
    let check = async || app.post("/meta/aksCheckCredentials").json(&body).send().await;
    assert_eq!(check().await.status, 200);
    for operation in [Operation::Subscription, Operation::Token] {
        app.control.add_fault(fault::for_operation(operation, Effect::InvalidJson));
        let response = check().await;
        assert_eq!(response.status, 400, "{operation:?}: neither valid nor rejected: {}", response.text());
        assert!(response.json()["hint"].as_str().unwrap().contains("proxy"), "{}", response.text());
        app.control.clear_faults();
    }
}
