//! The door: every request gets an id, a place, a time limit, a log line and a number in the metrics here, pages of
//! other origins are told what they may, failures of actions get their bodies, and every panic ends as a clean 500. One
//! layer, because each further one costs every request.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use super::cors::OtherOrigin;
use super::meta;
use super::norman::json;
use super::norman::reply::Marks;
use super::request::RequestId;
use super::state::AppState;

/// Longer than any action may take, so that their own limits speak first.
const TIME_LIMIT: Duration = Duration::from_mins(1);
/// How long a request waits for a place before it is sent away.
const PATIENCE: Duration = Duration::from_secs(2);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the door keeps: the places, and the numbers.
#[derive(Clone)]
pub(crate) struct Edge {
    places: Arc<Semaphore>,
    in_flight: Gauge,
    routes: Arc<RwLock<HashMap<RouteKey, Numbers>>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct RouteKey {
    method: Method,
    route: Arc<str>,
    status: u16,
}

#[derive(Clone)]
struct Numbers {
    requests: Counter,
    seconds: Histogram,
}

impl Edge {
    /// A door for `places` requests at once.
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS))),
            in_flight: metrics::gauge!("norman_aks_http_requests_in_flight"),
            routes: Arc::default(),
        }
    }

    fn count(&self, method: Method, route: Arc<str>, status: StatusCode, took: Duration) {
        let key = RouteKey { method, route, status: status.as_u16() };
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let numbers = known.unwrap_or_else(|| {
            let (method, route) = (key.method.to_string(), key.route.to_string());
            let status = key.status.to_string();
            let numbers = Numbers {
                seconds: metrics::histogram!("norman_aks_http_request_seconds", "method" => method.clone(), "route" => route.clone()),
                requests: metrics::counter!("norman_aks_http_requests_total", "method" => method, "route" => route, "status" => status),
            };
            self.routes.write().unwrap_or_else(PoisonError::into_inner).insert(key, numbers.clone());
            numbers
        });
        numbers.requests.increment(1);
        numbers.seconds.record(took);
    }
}

/// The layer itself.
pub(crate) async fn serve(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (mut request, marks) = Marks::of(&state, request);
    let other_origin = OtherOrigin::of(&state, &request);
    let edge = state.edge().clone();
    let request_id = id_of(&request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route =
        request.extensions().get::<MatchedPath>().map_or("unmatched".into(), |path| path.as_str().into());
    request.extensions_mut().insert(RequestId(Arc::clone(&request_id)));

    edge.in_flight.increment(1.0);
    let mut response = match tokio::time::timeout(PATIENCE, edge.places.acquire()).await {
        Ok(Ok(_place)) => {
            let answering = async {
                match other_origin.as_ref().and_then(OtherOrigin::preflight) {
                    Some(answer) => answer,
                    None => next.run(request).await,
                }
            };
            let answering = RequestId(Arc::clone(&request_id)).scope(answering);
            let answering = AssertUnwindSafe(answering).catch_unwind();
            match tokio::time::timeout(TIME_LIMIT, answering).await {
                Ok(Ok(response)) => meta::finished(response, &request_id),
                Ok(Err(_)) => failure(&path, &request_id, StatusCode::INTERNAL_SERVER_ERROR),
                Err(_) => failure(&path, &request_id, StatusCode::GATEWAY_TIMEOUT),
            }
        }
        _ => failure(&path, &request_id, StatusCode::SERVICE_UNAVAILABLE),
    };
    edge.in_flight.decrement(1.0);

    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(marks) = marks {
        marks.put(headers);
    }
    if let Some(other_origin) = other_origin {
        other_origin.put(headers);
    }
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, id);
    }
    let (status, took) = (response.status(), started.elapsed());
    // The query is left out: people put secrets there.
    tracing::info!(
        target: "norman_aks::request",
        %request_id,
        %method,
        path,
        status = status.as_u16(),
        duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
    edge.count(method, route, status, took);
    response
}

/// The id that a proxy gave, when it looks like one, else a new one.
fn id_of(request: &Request) -> Arc<str> {
    let sane = |id: &&str| {
        (8..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(sane);
    given.map_or_else(
        || Uuid::now_v7().hyphenated().encode_lower(&mut Uuid::encode_buffer()).into(),
        Arc::from,
    )
}

#[derive(Serialize)]
struct MetaBody<'a> {
    error: &'a str,
    #[serde(rename = "requestId")]
    request_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NormanBody<'a> {
    base_type: &'static str,
    code: &'static str,
    message: &'a str,
    request_id: &'a str,
    status: u16,
    r#type: &'static str,
}

/// An answer that no handler gave, in the form that the path's clients read.
fn failure(path: &str, request_id: &str, status: StatusCode) -> Response {
    let message = match status {
        StatusCode::SERVICE_UNAVAILABLE => "too many requests at once; try again in a moment",
        StatusCode::GATEWAY_TIMEOUT => "the request took longer than 60 s and was given up",
        _ => "the server failed; its log has the cause under the id of this request",
    };
    let body = if path.starts_with("/meta/") {
        json::to_bytes(&MetaBody { error: message, request_id })
    } else {
        let status = status.as_u16();
        json::to_bytes_line(&NormanBody {
            base_type: "error",
            code: "ServerError",
            message,
            request_id,
            status,
            r#type: "error",
        })
    };
    let mut response = (status, [(CONTENT_TYPE, "application/json")], body).into_response();
    if status != StatusCode::INTERNAL_SERVER_ERROR {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}
