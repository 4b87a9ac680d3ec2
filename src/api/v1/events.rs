//! `GET /api/v1/clusters/{id}/events`: the events of a cluster, as a stream of server-sent events, or as a list of the stored
//! events. The middleware limits only the time until the head of a response; `service::cluster_events` limits streams.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use clock::rfc3339;
use futures_util::stream::{self, Stream, StreamExt as _};
use http::header::{ACCEPT, CACHE_CONTROL};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::api::auth::Authenticated;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::json;
use crate::api::norman::openapi::{Form, documented};
use crate::api::openapi::failures::FollowFailures;
use crate::api::state::AppState;
use crate::api::v3::schemas::LEFT_BEHIND;
use crate::service::cluster_events::{self, StreamItem, Subscription};

/// The header with the ID of the last event that a reconnecting client has read.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Turns off buffering in nginx and similar proxies.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The delay before clients reconnect.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// An event of a cluster.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClusterEvent {
    /// The ID. IDs of later events are greater, compared as strings.
    id: String,
    /// The ID of the cluster.
    #[schema(example = "c-x7k9z")]
    cluster_id: String,
    /// The time.
    #[schema(format = DateTime)]
    time: String,
    /// `step` (a change was made), `waiting`, `failure`, `refreshed` (Azure's values were adopted), `active`, `access` (rights in
    /// the cluster changed), `removed` (the last event); more kinds may be added.
    #[schema(example = "step")]
    kind: String,
    /// The message for users.
    message: String,
    /// The `state` of the cluster after the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "updating")]
    state: Option<String>,
    /// The phase: `new`, `creating`, `active` or `removing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "active")]
    phase: Option<String>,
    /// The generation of the specification, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 2)]
    generation: Option<i64>,
    /// The objects that remain in Azure; only in the last event of a cluster of which only the object was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<LeftBehind>)]
    left_behind: Option<Value>,
}

documented!(LeftBehind, &LEFT_BEHIND, Form::Nested);

/// The stored events of a cluster.
#[derive(Serialize, ToSchema)]
struct ClusterEventList {
    /// The events, oldest first.
    events: Vec<ClusterEvent>,
}

impl ClusterEvent {
    fn new(event: cluster_events::ClusterEvent, cluster_id: &str) -> Self {
        let string_at = |key: &str| event.data.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        Self {
            state: string_at("state"),
            phase: string_at("phase"),
            generation: event.data.get("generation").and_then(Value::as_i64),
            left_behind: event.data.get("leftBehind").cloned(),
            cluster_id: cluster_id.to_owned(),
            time: rfc3339(event.at_ms),
            id: event.id,
            kind: event.kind,
            message: event.message,
        }
    }
}

/// The start of the list or stream.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which the handler reads")]
struct EventsQuery {
    /// Only events after the one with this ID. The header `Last-Event-ID` takes precedence.
    #[param(example = "01a209ff-44e3-774a-94cd-94100ad0b89b")]
    after: Option<String>,
}

/// Streams the events of a cluster, first the stored and then the new ones, as server-sent events.
///
/// `id` is the ID of the event, `event` its kind, and `data` the same object as in the list. After 15 s without an event, a
/// comment is sent. The stream ends when the caller loses access to the cluster, when the cluster is deleted (the last event is
/// then `removed`), or when the server stops; with `Last-Event-ID` or `after`, the next stream continues after that event. With
/// `Accept: application/json`, the response is the list of the stored events.
#[utoipa::path(
    get,
    path = "/api/v1/clusters/{id}/events",
    operation_id = "listClusterEvents",
    tag = "Clusters",
    params(
        ("id" = String, Path, description = "The ID", example = "c-x7k9z"),
        EventsQuery,
        (
            "Last-Event-ID" = Option<String>,
            Header,
            description = "The last event that the client has",
            example = "01a209ff-44e3-774a-94cd-94100ad0b89b"
        ),
    ),
    responses(
        (
            status = 200,
            description = "The events",
            content((ClusterEventList = "application/json"), (String = "text/event-stream"))
        ),
        FollowFailures,
    ),
)]
pub(super) async fn list_cluster_events(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Error> {
    // `?` is not a valid ID, so that an unreadable header is rejected and not ignored.
    let last_event_id = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?"));
    let after = last_event_id.or_else(|| query.first("after")).unwrap_or_default();
    if wants_list(&headers) {
        let events = state.cluster_events.list(&caller, &id, after).await?;
        let events = events.into_iter().map(|event| ClusterEvent::new(event, &id)).collect();
        return Ok(json::respond(StatusCode::OK, &ClusterEventList { events }));
    }
    let subscription = state.cluster_events.subscribe(&caller, &id, after).await?;
    let mut response = Sse::new(event_stream(subscription, id)).into_response();
    for (name, value) in [(CACHE_CONTROL, "no-store"), (ACCEL_BUFFERING, "no")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Whether the client accepts JSON but no event stream.
fn wants_list(headers: &HeaderMap) -> bool {
    let accepted: Vec<_> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let accepts = |media_type: &str| {
        accepted
            .iter()
            .filter_map(|element| element.split(';').next())
            .any(|name| name.trim().eq_ignore_ascii_case(media_type))
    };
    accepts("application/json") && !accepts("text/event-stream")
}

fn event_stream(
    subscription: Subscription,
    cluster_id: String,
) -> impl Stream<Item = Result<Event, Infallible>> {
    // Sent immediately, so that the client can tell that it is connected.
    let greeting = Event::default().retry(RETRY_DELAY).comment(format!("the events of {cluster_id}"));
    let events = stream::unfold(subscription, move |mut subscription| {
        let cluster_id = cluster_id.clone();
        async move {
            let item = subscription.next().await?;
            Some((Ok(to_sse_event(item, &cluster_id)), subscription))
        }
    });
    stream::once(std::future::ready(Ok(greeting))).chain(events)
}

fn to_sse_event(item: StreamItem, cluster_id: &str) -> Event {
    let event = match item {
        StreamItem::KeepAlive => return Event::default().comment("nothing new"),
        StreamItem::Event(event) => ClusterEvent::new(event, cluster_id),
    };
    // A line break would end the `id` or `event` field.
    let one_line = |text: &str| text.chars().filter(char::is_ascii_graphic).collect::<String>();
    let data = json::to_bytes(&event);
    Event::default().id(one_line(&event.id)).event(one_line(&event.kind)).data(String::from_utf8_lossy(&data))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn event_with_line_breaks_is_one_sse_block() {
        let data = json!({"state": "active", "phase": "active", "generation": 2, "secret": "x"});
        let event = cluster_events::ClusterEvent {
            id: "01a209ff-44e3-774a-94cd-94100ad0b89b".to_owned(),
            at_ms: 1_795_348_800_000,
            kind: "st\nep".to_owned(),
            message: "one\n\ndata: two\u{2028}".to_owned(),
            data: data.as_object().unwrap().clone(),
        };
        let event = to_sse_event(StreamItem::Event(event), "c-1");
        let response = Sse::new(stream::iter([Ok::<_, Infallible>(event)])).into_response();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&body).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["id: 01a209ff-44e3-774a-94cd-94100ad0b89b", "event: step"]);
        let sent: serde_json::Value = serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(
            sent,
            json!({
                "id": "01a209ff-44e3-774a-94cd-94100ad0b89b", "clusterId": "c-1", "time": "2026-11-22T12:00:00Z",
                "kind": "st\nep", "message": "one\n\ndata: two\u{2028}", "state": "active", "phase": "active",
                "generation": 2,
            })
        );
        assert_eq!((lines.len(), text.ends_with("\n\n")), (4, true));
    }

    #[test]
    fn list_needs_json_and_no_event_stream_in_accept() {
        for (accept, expected) in [
            ("application/json", true),
            ("Application/JSON; q=0.9, */*", true),
            ("text/event-stream, application/json", false),
            ("text/event-stream", false),
            ("*/*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(wants_list(&headers), expected, "{accept}");
        }
        assert!(!wants_list(&HeaderMap::new()));
    }
}
