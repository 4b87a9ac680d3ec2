//! `/api/v1/clusters/<id>/events`: stored events, the stream, access to it, and its end.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::future::join_all;
use http::StatusCode;
use http_body_util::BodyExt as _;
use norman_aks::store::{NewClusterEvent, cluster_events, members};
use serde_json::{Value, json};

use crate::norman::{NormanError, norman_error};
use crate::support::app::TestApp;
use crate::support::audit_row;
use crate::support::connected::{CLUSTER_ID, ConnectedCluster};
use crate::support::databases;
use crate::support::test_clusters;
use crate::support::while_time_passes;

/// An open event stream.
struct EventStream {
    body: Body,
    text: String,
}

impl EventStream {
    async fn open(app: &TestApp, id: &str, token: &str, last_event_id: Option<&str>) -> Self {
        let response = request_events(app, id, token, last_event_id).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mut stream = Self { body: response.into_body(), text: String::new() };
        assert_eq!(stream.next_block().await.unwrap(), format!("retry: 2000\n: the events of {id}"));
        stream
    }

    /// The lines up to the next empty line; `None` at the end.
    async fn next_block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let frame = tokio::time::timeout(Duration::from_mins(1), self.body.frame()).await;
            let Some(frame) = frame.expect("a frame before the timeout") else {
                assert_eq!(self.text, "", "the stream ends after a complete event");
                return None;
            };
            self.text += std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
        }
    }

    /// The next event; `None` at the end.
    async fn next_event(&mut self) -> Option<Value> {
        loop {
            let block = self.next_block().await?;
            if block.starts_with(": ") {
                continue;
            }
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let event: Value = serde_json::from_str(field("data").unwrap()).unwrap();
            assert_eq!((field("id"), field("event")), (event["id"].as_str(), event["kind"].as_str()));
            return Some(event);
        }
    }

    async fn next_events(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.next_event().await.expect("another event"));
        }
        events
    }

    async fn read_to_end(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next_event().await {
            events.push(event);
        }
        events
    }
}

fn path(id: &str) -> String {
    format!("/api/v1/clusters/{id}/events")
}

async fn request_events(app: &TestApp, id: &str, token: &str, last_event_id: Option<&str>) -> Response {
    let call = app.get(&path(id)).token(token);
    let call = match last_event_id {
        Some(last_event_id) => call.header("last-event-id", last_event_id),
        None => call,
    };
    call.response().await
}

/// The events of a cluster as a list, not as a stream.
async fn stored_events(app: &TestApp, id: &str, query: &str) -> Vec<Value> {
    let response = app.get(&format!("{}{query}", path(id))).header("accept", "application/json").send().await;
    assert_eq!((response.status, response.header("content-type")), (StatusCode::OK, "application/json"));
    response.json()["events"].as_array().unwrap().clone()
}

/// Adds events to the cluster.
async fn add_events(connected: &ConnectedCluster, count: i64) {
    for number in 0..count {
        let event = NewClusterEvent {
            at_ms: number,
            kind: "step".to_owned(),
            message: format!("number {number}"),
            data: "{}".to_owned(),
        };
        assert!(cluster_events::append(&connected.store, CLUSTER_ID, &[event]).await.unwrap());
    }
}

#[tokio::test]
async fn stream_sends_stored_events_then_new_ones_in_order() {
    let app = TestApp::with_advisory_review().await;
    let id = test_clusters::import(&app, &app.admin, "one").await;
    app.settle().await;
    let before = stored_events(&app, &id, "").await;
    assert_eq!(before[0]["message"], "the cluster object was created");
    let active = before.last().unwrap();
    assert_eq!(
        (&active["kind"], &active["state"], &active["phase"], &active["generation"], &active["clusterId"]),
        (&json!("active"), &json!("active"), &json!("active"), &json!(1), &json!(id))
    );
    // A few minutes after the start of the test's clock.
    assert!(active["time"].as_str().unwrap().starts_with("2026-11-22T12:0"), "{active}");

    let mut stream = EventStream::open(&app, &id, &app.admin, None).await;
    assert_eq!(stream.next_events(before.len()).await, before);
    app.delete(&format!("/v3/clusters/{id}")).send().await;
    app.settle().await;
    let after = stream.read_to_end().await;
    let kinds: Vec<_> = after.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["step", "removed"], "{after:?}");
    assert_eq!(after[1]["state"], "removing");
    let all: Vec<_> = before.iter().chain(&after).map(|event| event["id"].as_str().unwrap()).collect();
    assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
    // The cluster does not exist any more.
    assert_eq!(request_events(&app, &id, &app.admin, None).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn stream_and_list_start_after_an_event_id() {
    let connected = ConnectedCluster::start().await;
    add_events(&connected, 5).await;
    let all = stored_events(&connected.app, CLUSTER_ID, "").await;
    let id = |index: usize| all[index]["id"].as_str().unwrap();
    let query = |index: usize| format!("?after={}", id(index));
    assert_eq!(stored_events(&connected.app, CLUSTER_ID, &query(1)).await, all[2..]);
    assert_eq!(stored_events(&connected.app, CLUSTER_ID, &query(4)).await, Vec::<Value>::new());
    assert_eq!(stored_events(&connected.app, CLUSTER_ID, "?after=").await, all);
    let mut stream = EventStream::open(&connected.app, CLUSTER_ID, &connected.owner_token, Some(id(3))).await;
    assert_eq!(stream.next_events(1).await, all[4..]);
    add_events(&connected, 1).await;
    let next = stream.next_event().await.unwrap();
    assert_eq!(next, *stored_events(&connected.app, CLUSTER_ID, &query(4)).await.first().unwrap());
    // A browser reconnects with the same URL, so the header takes precedence over `after`. IDs are UUIDs in any letter case.
    let request =
        connected.app.get(&format!("{}{}", path(CLUSTER_ID), query(0))).header("accept", "application/json");
    let listed = request.header("last-event-id", &id(3).to_uppercase()).send().await.json();
    assert_eq!(listed["events"], json!([all[4], next]));
    for (header, query) in [("7", ""), ("", "?after=latest"), ("\u{e9}", "")] {
        let call = connected.app.get(&format!("{}{query}", path(CLUSTER_ID)));
        let call = if header.is_empty() { call } else { call.header("last-event-id", header) };
        let rejected = call.send().await;
        let NormanError { code, field, .. } = norman_error(&rejected);
        assert_eq!(
            (rejected.status.as_u16(), code.as_str(), field.as_str()),
            (422, "InvalidFormat", "after")
        );
    }
}

#[tokio::test]
async fn only_users_who_see_the_cluster_may_subscribe() {
    let connected = ConnectedCluster::start().await;
    add_events(&connected, 1).await;
    let tokens = [
        connected.owner_token.clone(),
        connected.app.admin.clone(),
        connected.add_member("ben", "cluster-owner").await,
        connected.add_member("cid", "cluster-member").await,
        connected.add_member("dan", "read-only").await,
    ];
    for token in &tokens {
        let mut stream = EventStream::open(&connected.app, CLUSTER_ID, token, None).await;
        assert_eq!(stream.next_event().await.unwrap()["message"], "number 0");
    }
    let eve = connected.app.token("eve").await;
    for accept in ["text/event-stream", "application/json"] {
        let stranger = connected.app.get(&path(CLUSTER_ID)).token(&eve).header("accept", accept).send().await;
        let missing = connected
            .app
            .get(&path("c-none"))
            .token(&connected.owner_token)
            .header("accept", accept)
            .send()
            .await;
        let anonymous =
            connected.app.get(&path(CLUSTER_ID)).anonymous().header("accept", accept).send().await;
        assert_eq!(
            (stranger.status.as_u16(), missing.status.as_u16(), anonymous.status.as_u16()),
            (404, 404, 401)
        );
        assert_eq!(norman_error(&stranger).message, format!("{CLUSTER_ID} not found"));
    }
}

#[tokio::test]
async fn streams_end_if_access_is_revoked_and_at_shutdown() {
    let connected = ConnectedCluster::start().await;
    add_events(&connected, 1).await;
    let dan = connected.add_member("dan", "read-only").await;
    let second_token_of_owner = connected.app.token("ann").await;
    let mut streams = Vec::new();
    for token in [&dan, &second_token_of_owner, &connected.owner_token] {
        let mut stream = EventStream::open(&connected.app, CLUSTER_ID, token, None).await;
        stream.next_events(1).await;
        streams.push(stream);
    }
    assert!(members::delete(&connected.store, "crtb-dan", &audit_row()).await.unwrap());
    assert!(
        connected.app.server.tokens.revoke(second_token_of_owner.split(':').next().unwrap()).await.unwrap()
    );
    let mut stream_of_owner = streams.pop().unwrap();
    for stream in streams {
        assert_eq!(stream.read_to_end().await, Vec::<Value>::new());
    }
    add_events(&connected, 1).await;
    assert_eq!(stream_of_owner.next_event().await.unwrap()["message"], "number 0");
    connected.app.server.end_streams();
    assert_eq!(stream_of_owner.read_to_end().await, Vec::<Value>::new());
    // A stream that is opened after the start of the shutdown ends immediately.
    assert_eq!(
        EventStream::open(&connected.app, CLUSTER_ID, &connected.owner_token, None).await.read_to_end().await,
        Vec::<Value>::new()
    );
}

#[tokio::test]
async fn streams_per_user_are_limited() {
    const MAX_PER_USER: usize = 32;
    let connected = ConnectedCluster::start().await;
    let open_streams = join_all(
        (0..MAX_PER_USER)
            .map(|_| EventStream::open(&connected.app, CLUSTER_ID, &connected.owner_token, None)),
    )
    .await;
    let rejected = connected.app.get(&path(CLUSTER_ID)).token(&connected.owner_token).send().await;
    assert_eq!((rejected.status.as_u16(), rejected.header("retry-after")), (429, "5"));
    assert!(norman_error(&rejected).message.contains("too many"), "{}", rejected.text());
    // Lists and other users are not affected.
    assert!(stored_events(&connected.app, CLUSTER_ID, "").await.is_empty());
    EventStream::open(&connected.app, CLUSTER_ID, &connected.app.admin, None).await;
    drop(open_streams);
    EventStream::open(&connected.app, CLUSTER_ID, &connected.owner_token, None).await;
}

#[tokio::test]
async fn stream_sends_events_of_other_servers() {
    let Some(db) = databases::postgres().await else { return };
    let first = TestApp::builder().advisory_review().database(&db).start().await;
    let second = TestApp::builder().advisory_review().database(&db).clock(&first.clock).start().await;
    let id = test_clusters::import(&first, &first.admin, "one").await;
    let mut stream = EventStream::open(&second, &id, &second.admin, None).await;
    first.settle().await;
    let stored = stored_events(&first, &id, "").await;
    assert!(stored.len() > 1, "{stored:?}");
    assert_eq!(stream.next_events(stored.len()).await, stored);
    first.delete(&format!("/v3/clusters/{id}")).send().await;
    first.settle().await;
    let end = stream.read_to_end().await;
    assert_eq!(end.last().unwrap()["kind"], "removed");
}

#[tokio::test]
async fn old_and_excess_events_are_removed() {
    const MAX_EVENTS: i64 = 1_000;
    let connected = ConnectedCluster::start().await;
    let now = connected.app.clock.now_ms();
    let event = |number: i64| NewClusterEvent {
        at_ms: if number < 20 { 1 } else { now },
        kind: "step".to_owned(),
        message: number.to_string(),
        data: "{}".to_owned(),
    };
    let events: Vec<_> = (0..MAX_EVENTS + 10).map(event).collect();
    assert!(cluster_events::append(&connected.store, CLUSTER_ID, &events).await.unwrap());
    connected.app.server.cluster_events.prune().await.unwrap();
    let remaining = stored_events(&connected.app, CLUSTER_ID, "").await;
    // 20 events are too old, and only 10 exceed the maximum.
    assert_eq!((remaining.len(), &remaining[0]["message"]), (990, &json!("20")));
    assert!(cluster_events::append(&connected.store, CLUSTER_ID, &events[20..40]).await.unwrap());
    connected.app.server.cluster_events.prune().await.unwrap();
    let remaining = stored_events(&connected.app, CLUSTER_ID, "").await;
    assert_eq!((remaining.len(), &remaining[0]["message"]), (1_000, &json!("30")));
    // Events are kept for 30 days.
    connected.app.clock.advance(Duration::from_hours(31 * 24));
    assert_eq!(connected.app.server.cluster_events.prune().await.unwrap(), 1_000);
    assert!(stored_events(&connected.app, CLUSTER_ID, "").await.is_empty());
}

#[tokio::test]
async fn idle_stream_sends_keep_alive_comments() {
    let connected = ConnectedCluster::start().await;
    let mut stream = EventStream::open(&connected.app, CLUSTER_ID, &connected.owner_token, None).await;
    let block = while_time_passes(Duration::from_secs(5), stream.next_block()).await;
    assert_eq!(block.unwrap(), ": nothing new");
}
