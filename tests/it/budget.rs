//! A low budget of requests to Azure: which requests are still sent, and which responses callers get.

use std::time::Duration;

use azure_sandbox::{Bucket, Effect, ErrorResponse, Fault, Operation, RequestBudget};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::app::{TestApp, TestResponse};
use crate::support::fault;
use crate::support::test_clusters;

/// The refill of the bucket for reads, as Azure documents it.
const REFILL_PER_MINUTE: u32 = 25 * 60;

/// Ages at which lists are stale: versions are fresh for 15 minutes, networks for 30 s.
const STALE_VERSIONS_AGE: Duration = Duration::from_mins(16);
const STALE_NETWORKS_AGE: Duration = Duration::from_secs(31);

fn set_read_budget(app: &TestApp, size: u32) {
    let reads = Some(Bucket { size, refill_per_minute: REFILL_PER_MINUTE });
    app.control.set_budget(app.seed.subscription_id, RequestBudget { reads, ..RequestBudget::default() });
}

/// Calls an action with the credential of the seed account in its body, as the user of `token`.
async fn call_action(app: &TestApp, token: &str, action: &str, region: &str) -> TestResponse {
    let body = app.credential(&json!({ "region": region }));
    app.post(&format!("/meta/{action}")).token(token).json(&body).send().await
}

async fn versions(app: &TestApp, region: &str) -> TestResponse {
    call_action(app, &app.admin, "aksVersions", region).await
}

/// Lists the locations without the cache, so that the server learns from Azure's response how many requests are left.
async fn fresh_locations(app: &TestApp) -> TestResponse {
    let body = app.credential(&json!({}));
    app.post("/meta/aksLocations").header("cache-control", "no-cache").json(&body).send().await
}

fn status_and_cache(response: &TestResponse) -> (u16, &str) {
    (response.status.as_u16(), response.header("x-norman-aks-cache"))
}

fn status_and_retry(response: &TestResponse) -> (u16, &str) {
    (response.status.as_u16(), response.header("retry-after"))
}

#[tokio::test]
async fn low_budget_stops_background_refreshes() {
    let app = TestApp::with_advisory_review().await;
    versions(&app, "eastus").await;
    app.clock.advance(STALE_VERSIONS_AGE);
    set_read_budget(&app, 8);
    assert_eq!(fresh_locations(&app).await.status, 200);
    app.take_azure_requests();
    for _ in 0..3 {
        assert_eq!(status_and_cache(&versions(&app, "eastus").await), (200, "stale"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
    // A caller that requests a new list gets one.
    let body = app.credential(&json!({"region": "eastus"}));
    let fresh = app.post("/meta/aksVersions").header("cache-control", "no-cache").json(&body).send().await;
    assert_eq!(status_and_cache(&fresh), (200, "miss"));
}

#[tokio::test]
async fn background_refresh_resumes_after_the_refill() {
    let app = TestApp::with_advisory_review().await;
    versions(&app, "eastus").await;
    app.clock.advance(STALE_VERSIONS_AGE);
    set_read_budget(&app, 8);
    fresh_locations(&app).await;
    assert_eq!(status_and_cache(&versions(&app, "eastus").await), (200, "stale"));
    // The refill of 2 s is more than a fifth of the 249 requests that Azure reported as left at first.
    app.clock.advance(Duration::from_secs(2));
    for _ in 0..200 {
        if versions(&app, "eastus").await.header("x-norman-aks-cache") == "hit" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the list was not refreshed");
}

#[tokio::test]
async fn caller_without_a_cached_list_gets_429_until_the_refill() {
    let app = TestApp::with_advisory_review().await;
    set_read_budget(&app, 1);
    assert_eq!(fresh_locations(&app).await.status, 200);
    app.take_azure_requests();
    let rejected = versions(&app, "eastus").await;
    assert_eq!(status_and_retry(&rejected), (429, "1"), "{}", rejected.text());
    assert!(rejected.error().contains("used up"), "{}", rejected.text());
    assert!(rejected.json()["hint"].as_str().unwrap().contains("Retry-After"), "{}", rejected.text());
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(status_and_cache(&versions(&app, "eastus").await), (200, "miss"));
}

#[tokio::test]
async fn stale_list_is_served_if_nothing_is_left() {
    let app = TestApp::with_advisory_review().await;
    let cached = call_action(&app, &app.admin, "aksVirtualNetworks", "").await;
    app.clock.advance(STALE_NETWORKS_AGE);
    set_read_budget(&app, 1);
    fresh_locations(&app).await;
    app.take_azure_requests();
    let served = call_action(&app, &app.admin, "aksVirtualNetworks", "").await;
    assert_eq!(status_and_cache(&served), (200, "stale"));
    assert_eq!(served.body, cached.body);
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
}

fn throttled(operation: Operation, code: &str) -> Fault {
    let response = ErrorResponse {
        status: Some(429),
        code: Some(code.to_owned()),
        retry_after: Some("100".to_owned()),
        ..ErrorResponse::default()
    };
    fault::once(fault::for_operation(operation, Effect::Status(response)))
}

#[tokio::test]
async fn throttled_subscription_gets_no_request_until_the_delay_ends() {
    let app = TestApp::with_advisory_review().await;
    app.control.add_fault(throttled(Operation::KubernetesVersions, "SubscriptionRequestsThrottled"));
    assert_eq!(status_and_retry(&versions(&app, "eastus").await), (429, "100"));
    app.take_azure_requests();
    app.clock.advance(Duration::from_secs(40));
    for response in [versions(&app, "westus").await, fresh_locations(&app).await] {
        assert_eq!(status_and_retry(&response), (429, "60"), "{}", response.text());
        assert!(!response.text().contains("eastus"), "the request of another caller: {}", response.text());
    }
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(versions(&app, "westus").await.status, 200);
}

#[tokio::test]
async fn throttled_list_does_not_affect_other_lists() {
    let app = TestApp::with_advisory_review().await;
    app.control.add_fault(throttled(Operation::VmSizes, "OperationNotAllowed"));
    let sizes = async |region| call_action(&app, &app.admin, "aksVMSizes", region).await;
    assert_eq!(status_and_retry(&sizes("eastus").await), (429, "100"));
    app.take_azure_requests();
    assert_eq!(status_and_retry(&sizes("eastus").await), (429, "100"));
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
    assert_eq!(sizes("westus").await.status, 200);
    assert_eq!(versions(&app, "eastus").await.status, 200);
}

#[tokio::test]
async fn compute_limit_does_not_affect_other_lists() {
    let app = TestApp::with_advisory_review().await;
    let compute = Some(Bucket { size: 1, refill_per_minute: 0 });
    app.control.set_budget(app.seed.subscription_id, RequestBudget { compute, ..RequestBudget::default() });
    let sizes = async || {
        let body = app.credential(&json!({"region": "eastus"}));
        app.post("/meta/aksVMSizes").header("cache-control", "no-cache").json(&body).send().await
    };
    assert_eq!(sizes().await.status, 200);
    app.take_azure_requests();
    assert_eq!(status_and_retry(&sizes().await), (429, "60"));
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
    assert_eq!(versions(&app, "eastus").await.status, 200);
}

#[tokio::test]
async fn caller_gets_half_of_what_is_left_while_another_waits() {
    let app = TestApp::with_advisory_review().await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    set_read_budget(&app, 9);
    assert_eq!(call_action(&app, &ann, "aksLocations", "").await.status, 200);
    app.control.add_fault(fault::delay(Operation::VirtualNetworks, 60_000));
    let waiting = call_action(&app, &bob, "aksVirtualNetworks", "");
    let ann_requests = async {
        while !app.take_azure_requests().iter().any(|request| request.ends_with("virtualNetworks")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut served = 0;
        for region in ["eastus", "eastus2", "westus", "westus2", "westus3"] {
            let response = call_action(&app, &ann, "aksVersions", region).await;
            if response.status == 429 {
                assert!(response.error().contains("reserved for other callers"), "{}", response.text());
                break;
            }
            assert_eq!(response.status, 200, "{}", response.text());
            served += 1;
        }
        app.control.clear_faults();
        served
    };
    let (waited, served) = tokio::join!(waiting, ann_requests);
    assert_eq!(waited.status, 200);
    // Ann may send 4 of the 9 requests, including her first one.
    assert_eq!(served, 3);
    assert_eq!(
        call_action(&app, &ann, "aksVersions", "westus3").await.status,
        200,
        "no other caller waits now"
    );
}

#[tokio::test]
async fn check_of_a_credential_is_always_sent() {
    let app = TestApp::with_advisory_review().await;
    set_read_budget(&app, 1);
    fresh_locations(&app).await;
    app.take_azure_requests();
    let checked = app.post("/meta/aksCheckCredentials").json(&app.credential(&json!({}))).send().await;
    assert_eq!(status_and_retry(&checked), (429, "1"), "{}", checked.text());
    assert!(app.take_azure_requests().iter().any(|request| request.starts_with("GET /subscriptions/")));
}

#[tokio::test]
async fn low_budget_defers_the_refresh_of_a_cluster() {
    let app = TestApp::with_advisory_review().await;
    let (id, _) = test_clusters::create_active(&app, &app.admin, "one").await;
    let stop = CancellationToken::new();
    let take_cluster_reads = || {
        app.take_azure_requests().iter().filter(|request| request.ends_with("/managedClusters/one")).count()
    };
    take_cluster_reads();
    app.clock.advance(Duration::from_mins(6));
    set_read_budget(&app, 4);
    assert_eq!(fresh_locations(&app).await.status, 200);
    while app.server.worker.run_due(&stop).await.unwrap() > 0 {}
    assert_eq!(take_cluster_reads(), 0);
    let cluster = app.get(&format!("/v3/clusters/{id}")).send().await.json();
    assert!(!cluster.to_string().contains("Syncing error"), "{cluster}");
    app.clock.advance(Duration::from_secs(6));
    while app.server.worker.run_due(&stop).await.unwrap() > 0 {}
    assert!(take_cluster_reads() > 0);
}
