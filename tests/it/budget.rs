//! Few requests are left in Azure: what is still sent, what is served meanwhile, and what callers get.

use std::time::Duration;

use azure_sandbox::{Bucket, Effect, ErrorResponse, Fault, Operation, RequestBudget};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::app::{Answer, TestApp};
use crate::support::fault;
use crate::support::test_clusters;

/// As many reads each minute as Azure documents.
const REFILL_PER_MINUTE: u32 = 25 * 60;

fn set_reads(app: &TestApp, size: u32) {
    let reads = Some(Bucket { size, refill_per_minute: REFILL_PER_MINUTE });
    app.control.set_budget(app.seed.subscription_id, RequestBudget { reads, ..RequestBudget::default() });
}

/// An action with the credential of the seed account in its body, as the user of `token`.
async fn list(app: &TestApp, token: &str, action: &str, region: &str) -> Answer {
    let body = app.credential(&json!({ "region": region }));
    app.post(&format!("/meta/{action}")).token(token).json(&body).send().await
}

async fn versions(app: &TestApp, region: &str) -> Answer {
    list(app, &app.admin, "aksVersions", region).await
}

/// A list that Azure is always asked for, which shows the server what is left.
async fn fresh_locations(app: &TestApp) -> Answer {
    let body = app.credential(&json!({}));
    app.post("/meta/aksLocations").header("cache-control", "no-cache").json(&body).send().await
}

fn status_and_cache(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.header("x-norman-aks-cache"))
}

fn status_and_retry(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.header("retry-after"))
}

#[tokio::test]
async fn low_budget_stops_background_refreshes() {
    let app = TestApp::with_advisory_review().await;
    versions(&app, "eastus").await;
    app.clock.advance(Duration::from_mins(16));
    set_reads(&app, 8);
    assert_eq!(fresh_locations(&app).await.status, 200);
    app.take_azure_requests();
    for _ in 0..3 {
        assert_eq!(status_and_cache(&versions(&app, "eastus").await), (200, "stale"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
    // A caller who wants a new list gets one.
    let body = app.credential(&json!({"region": "eastus"}));
    let fresh = app.post("/meta/aksVersions").header("cache-control", "no-cache").json(&body).send().await;
    assert_eq!(status_and_cache(&fresh), (200, "miss"));
}

#[tokio::test]
async fn background_refresh_resumes_after_the_refill() {
    let app = TestApp::with_advisory_review().await;
    versions(&app, "eastus").await;
    app.clock.advance(Duration::from_mins(16));
    set_reads(&app, 8);
    fresh_locations(&app).await;
    assert_eq!(status_and_cache(&versions(&app, "eastus").await), (200, "stale"));
    // A fifth of the 249 that were seen first.
    app.clock.advance(Duration::from_secs(2));
    for _ in 0..200 {
        if versions(&app, "eastus").await.header("x-norman-aks-cache") == "hit" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the list was not loaded anew");
}

#[tokio::test]
async fn caller_without_a_cached_list_gets_429_until_the_refill() {
    let app = TestApp::with_advisory_review().await;
    set_reads(&app, 1);
    assert_eq!(fresh_locations(&app).await.status, 200);
    app.take_azure_requests();
    let refused = versions(&app, "eastus").await;
    assert_eq!(status_and_retry(&refused), (429, "1"), "{}", refused.text());
    assert!(refused.error().contains("used up"), "{}", refused.text());
    assert!(refused.json()["hint"].as_str().unwrap().contains("Retry-After"), "{}", refused.text());
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(status_and_cache(&versions(&app, "eastus").await), (200, "miss"));
}

#[tokio::test]
async fn stale_list_is_served_if_nothing_is_left() {
    let app = TestApp::with_advisory_review().await;
    let cached = list(&app, &app.admin, "aksVirtualNetworks", "").await;
    app.clock.advance(Duration::from_secs(31));
    set_reads(&app, 1);
    fresh_locations(&app).await;
    app.take_azure_requests();
    let served = list(&app, &app.admin, "aksVirtualNetworks", "").await;
    assert_eq!(status_and_cache(&served), (200, "stale"));
    assert_eq!(served.body, cached.body);
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
}

fn throttled(operation: Operation, code: &str) -> Fault {
    let refusal = ErrorResponse {
        status: Some(429),
        code: Some(code.to_owned()),
        retry_after: Some("100".to_owned()),
        ..ErrorResponse::default()
    };
    fault::once(fault::for_operation(operation, Effect::Status(refusal)))
}

#[tokio::test]
async fn throttled_subscription_is_left_alone_for_the_requested_time() {
    let app = TestApp::with_advisory_review().await;
    app.control.add_fault(throttled(Operation::KubernetesVersions, "SubscriptionRequestsThrottled"));
    assert_eq!(status_and_retry(&versions(&app, "eastus").await), (429, "100"));
    app.take_azure_requests();
    app.clock.advance(Duration::from_secs(40));
    for answer in [versions(&app, "westus").await, fresh_locations(&app).await] {
        assert_eq!(status_and_retry(&answer), (429, "60"), "{}", answer.text());
        assert!(!answer.text().contains("eastus"), "the request of another caller: {}", answer.text());
    }
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(versions(&app, "westus").await.status, 200);
}

#[tokio::test]
async fn throttled_provider_is_asked_for_other_lists() {
    let app = TestApp::with_advisory_review().await;
    app.control.add_fault(throttled(Operation::VmSizes, "OperationNotAllowed"));
    let sizes = async |region| list(&app, &app.admin, "aksVMSizes", region).await;
    assert_eq!(status_and_retry(&sizes("eastus").await), (429, "100"));
    app.take_azure_requests();
    assert_eq!(status_and_retry(&sizes("eastus").await), (429, "100"));
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
    assert_eq!(sizes("westus").await.status, 200);
    assert_eq!(versions(&app, "eastus").await.status, 200);
}

#[tokio::test]
async fn limit_of_compute_leaves_other_lists_alone() {
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
    set_reads(&app, 9);
    assert_eq!(list(&app, &ann, "aksLocations", "").await.status, 200);
    app.control.add_fault(fault::delay(Operation::VirtualNetworks, 60_000));
    let waiting = list(&app, &bob, "aksVirtualNetworks", "");
    let anns = async {
        while !app.take_azure_requests().iter().any(|seen| seen.ends_with("virtualNetworks")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut served = 0;
        for region in ["eastus", "eastus2", "westus", "westus2", "westus3"] {
            let answer = list(&app, &ann, "aksVersions", region).await;
            if answer.status == 429 {
                assert!(answer.error().contains("others who wait"), "{}", answer.text());
                break;
            }
            assert_eq!(answer.status, 200, "{}", answer.text());
            served += 1;
        }
        app.control.clear_faults();
        served
    };
    let (waited, served) = tokio::join!(waiting, anns);
    assert_eq!(waited.status, 200);
    // Of 9, the first request of each is gone: Ann may have 4 in all.
    assert_eq!(served, 3);
    assert_eq!(list(&app, &ann, "aksVersions", "westus3").await.status, 200, "no other caller waits now");
}

#[tokio::test]
async fn check_of_a_credential_is_always_sent() {
    let app = TestApp::with_advisory_review().await;
    set_reads(&app, 1);
    fresh_locations(&app).await;
    app.take_azure_requests();
    let checked = app.post("/meta/aksCheckCredentials").json(&app.credential(&json!({}))).send().await;
    assert_eq!(status_and_retry(&checked), (429, "1"), "{}", checked.text());
    assert!(app.take_azure_requests().iter().any(|seen| seen.starts_with("GET /subscriptions/")));
}

#[tokio::test]
async fn low_budget_defers_the_refresh_of_a_cluster() {
    let app = TestApp::with_advisory_review().await;
    let (id, _) = test_clusters::create_active(&app, &app.admin, "one").await;
    let stop = CancellationToken::new();
    let reads =
        || app.take_azure_requests().iter().filter(|seen| seen.ends_with("/managedClusters/one")).count();
    reads();
    app.clock.advance(Duration::from_mins(6));
    set_reads(&app, 4);
    assert_eq!(fresh_locations(&app).await.status, 200);
    while app.server.worker.run_due(&stop).await.unwrap() > 0 {}
    assert_eq!(reads(), 0);
    let cluster = app.get(&format!("/v3/clusters/{id}")).send().await.json();
    assert!(!cluster.to_string().contains("Syncing error"), "{cluster}");
    app.clock.advance(Duration::from_secs(6));
    while app.server.worker.run_due(&stop).await.unwrap() > 0 {}
    assert!(reads() > 0);
}
