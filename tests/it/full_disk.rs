//! A full disk of the database: named in responses and in `/readyz`, and over as soon as there is space again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp};

/// Longer than anything takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// Pages of 4 KiB.
const MAX_PAGES: u32 = 400;

/// A credential that needs pages of its own.
fn large_credential() -> Value {
    json!({"name": "large", "description": "d".repeat(40_000), "azurecredentialConfig": {"clientId": "c"}})
}

fn assert_full(answer: &Answer) {
    assert_eq!(answer.status, 507, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["code"], "InsufficientStorage", "{body}");
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("disk") && message.contains("free space"), "{message}");
    assert_eq!(answer.header("retry-after"), "30");
}

fn check<'a>(ready: &'a Value, name: &str) -> &'a Value {
    ready["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

#[tokio::test]
async fn full_disk_is_reported_and_recovers_by_itself() {
    let app = TestApp::with().advise().max_pages(MAX_PAGES).start().await;
    let id = app.stored_credential(&app.admin).await;
    let path = format!("/v3/cloudcredentials/{id}");
    assert_eq!(app.get("/readyz").send().await.status, 200);
    // Another program fills the disk.
    app.execute("create table filler (bytes blob)").await;
    app.execute("insert into filler values (zeroblob(2000000))").await;

    assert_full(&app.post("/v3/cloudcredentials").json(&large_credential()).send().await);
    assert_full(&app.put(&path).json(&large_credential()).send().await);
    let ready = app.get("/readyz").send().await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    let body = ready.json();
    assert_eq!(body["ready"], false);
    assert_eq!(check(&body, "disk")["ok"], false, "{body}");
    assert!(check(&body, "disk")["message"].as_str().unwrap().contains("free space"), "{body}");
    assert_eq!(check(&body, "database"), &json!({"name": "database", "ok": true}), "{body}");
    assert_eq!(app.get("/livez").send().await.status, 200);
    assert_eq!(app.get(&path).send().await.json()["name"], "azure", "reading goes on");
    let listing = app.get(&format!("/meta/aksLocations?cloudCredentialId={id}")).send().await;
    assert_eq!(listing.status, 200, "{}", listing.text());

    app.execute("drop table filler").await;
    let answer = app.post("/v3/cloudcredentials").json(&large_credential()).send().await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let started = Instant::now();
    loop {
        let ready = app.get("/readyz").send().await;
        if ready.status == 200 {
            assert_eq!(check(&ready.json(), "disk"), &json!({"name": "disk", "ok": true}));
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{}", ready.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn full_disk_does_not_let_half_a_change_through() {
    let app = TestApp::with().advise().max_pages(MAX_PAGES).start().await;
    app.execute("create table filler (bytes blob)").await;
    app.execute("insert into filler values (zeroblob(2000000))").await;
    let before = app.get("/v3/cloudcredentials").send().await.json()["data"].clone();
    for _ in 0..3 {
        assert_full(&app.post("/v3/cloudcredentials").json(&large_credential()).send().await);
    }
    assert_eq!(app.get("/v3/cloudcredentials").send().await.json()["data"], before);
}
