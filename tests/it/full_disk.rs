//! A full database disk: reported in responses and `/readyz` until there is space again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::{TestApp, TestResponse};

/// A timeout that no step reaches, even on a busy machine.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A server whose database is at most 400 pages of 4 KiB.
async fn start() -> TestApp {
    TestApp::builder().advisory_review().max_pages(400).start().await
}

/// Fills the disk over a connection without the page limit, as another program would.
async fn fill_disk(app: &TestApp) {
    app.execute("create table filler (bytes blob)").await;
    app.execute("insert into filler values (zeroblob(2000000))").await;
}

/// The body of a credential that needs new database pages.
fn large_credential() -> Value {
    json!({"name": "large", "description": "d".repeat(40_000), "azurecredentialConfig": {"clientId": "c"}})
}

fn assert_disk_full(response: &TestResponse) {
    assert_eq!(response.status, 507, "{}", response.text());
    let body = response.json();
    assert_eq!(body["code"], "InsufficientStorage", "{body}");
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("disk") && message.contains("free space"), "{message}");
    assert_eq!(response.header("retry-after"), "30");
}

fn find_check<'a>(readiness: &'a Value, name: &str) -> &'a Value {
    readiness["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

#[tokio::test]
async fn full_disk_is_reported_until_space_is_free() {
    let app = start().await;
    let id = app.store_credential(&app.admin).await;
    let path = format!("/v3/cloudcredentials/{id}");
    assert_eq!(app.get("/readyz").send().await.status, 200);
    fill_disk(&app).await;

    assert_disk_full(&app.post("/v3/cloudcredentials").json(&large_credential()).send().await);
    assert_disk_full(&app.put(&path).json(&large_credential()).send().await);
    let ready = app.get("/readyz").send().await.expect(503);
    let body = ready.json();
    assert_eq!(body["ready"], false);
    assert_eq!(find_check(&body, "disk")["ok"], false, "{body}");
    assert!(find_check(&body, "disk")["message"].as_str().unwrap().contains("free space"), "{body}");
    assert_eq!(find_check(&body, "database"), &json!({"name": "database", "ok": true}), "{body}");
    assert_eq!(app.get("/livez").send().await.status, 200);
    assert_eq!(app.get(&path).send().await.json()["name"], "azure", "reads succeed");
    app.get(&format!("/meta/aksLocations?cloudCredentialId={id}")).send().await.expect(200);

    app.execute("drop table filler").await;
    app.post("/v3/cloudcredentials").json(&large_credential()).send().await.expect(201);
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let ready = app.get("/readyz").send().await;
        if ready.status == 200 {
            assert_eq!(find_check(&ready.json(), "disk"), &json!({"name": "disk", "ok": true}));
            break;
        }
        assert!(Instant::now() < deadline, "{}", ready.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn full_disk_leaves_no_partial_change() {
    let app = start().await;
    fill_disk(&app).await;
    let before = app.get("/v3/cloudcredentials").send().await.json()["data"].clone();
    for _ in 0..3 {
        assert_disk_full(&app.post("/v3/cloudcredentials").json(&large_credential()).send().await);
    }
    assert_eq!(app.get("/v3/cloudcredentials").send().await.json()["data"], before);
}
