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

use super::auth::{AuthOutcome, is_presented};
use super::cors::OtherOrigin;
use super::impersonation;
use super::k8s;
use super::meta;
use super::norman::error::ErrorBody;
use super::norman::json;
use super::norman::reply::Marks;
use super::request::RequestId;
use super::shown_path::shown;
use super::state::AppState;

/// Longer than any action may take, so that their own limits speak first.
const TIME_LIMIT: Duration = Duration::from_mins(1);
/// For those that have limits of their own: sessions in clusters may begin late.
const NO_LIMIT: Duration = Duration::MAX;
/// How long a request waits for a place before it is sent away.
const PATIENCE: Duration = Duration::from_secs(2);
/// Need no place: whoever asks here would restart a server that is only busy.
const SIGNS_OF_LIFE: [&str; 4] = ["/livez", "/readyz", "/healthz", "/ping"];
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Whether the token of the request is good; the dashboard takes `false` for "logged out".
const CATTLE_AUTH: HeaderName = HeaderName::from_static("x-api-cattle-auth");

/// What the door keeps: the places, and the numbers.
pub(crate) struct Edge {
    places: Arc<Semaphore>,
    in_flight: Gauge,
    routes: RwLock<HashMap<String, Vec<Numbers>>>,
}

/// The numbers of a route's answers with one status to one method.
struct Numbers {
    method: &'static str,
    status: u16,
    requests: Counter,
    seconds: Histogram,
}

impl Edge {
    /// A door for `places` requests at once.
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS))),
            in_flight: metrics::gauge!("norman_aks_http_requests_in_flight"),
            routes: RwLock::default(),
        }
    }

    fn count(&self, method: &Method, route: &str, status: u16, took: Duration) {
        let method = name_of(method);
        let is_it = |numbers: &&Numbers| numbers.status == status && numbers.method == method;
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = routes.get(route).and_then(|known| known.iter().find(is_it)) {
            return known.count(took);
        }
        drop(routes);
        let numbers = Numbers {
            method,
            status,
            seconds: metrics::histogram!("norman_aks_http_request_seconds", "method" => method, "route" => route.to_owned()),
            requests: metrics::counter!("norman_aks_http_requests_total", "method" => method, "route" => route.to_owned(), "status" => status.to_string()),
        };
        numbers.count(took);
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let known = routes.entry(route.to_owned()).or_default();
        // Another request may have been faster.
        if known.iter().all(|known| !is_it(&known)) {
            known.push(numbers);
        }
    }
}

impl Numbers {
    fn count(&self, took: Duration) {
        self.requests.increment(1);
        self.seconds.record(took);
    }
}

/// The method as the metrics name it. Clients may invent methods, and every label is kept for ever.
fn name_of(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// A request on its way through. Its log line and its number are written when it is dropped, so that a client that
/// went away in the middle leaves a line too.
struct Passage {
    state: AppState,
    request_id: Arc<str>,
    method: Method,
    path: String,
    /// None when there is no such route.
    route: Option<MatchedPath>,
    started: Instant,
    /// None until there is an answer.
    status: Option<StatusCode>,
}

/// As nginx counts requests whose client did not wait for the answer.
const CLIENT_GONE: u16 = 499;

impl Drop for Passage {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let status = self.status.map_or(CLIENT_GONE, |status| status.as_u16());
        // The query is left out: people put secrets there.
        tracing::info!(
            target: "norman_aks::request",
            request_id = %self.request_id,
            method = %self.method,
            path = &*shown(&self.path),
            status,
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "{}", if self.status.is_some() { "answered" } else { "the client went away" }
        );
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        self.state.edge().in_flight.decrement(1.0);
        self.state.edge().count(&self.method, route, status, took);
    }
}

/// The layer itself.
pub(crate) async fn serve(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (mut request, marks) = Marks::of(&state, request);
    let other_origin = OtherOrigin::of(&state, &request);
    let request_id = id_of(&request);
    state.edge().in_flight.increment(1.0);
    let mut passage = Passage {
        state,
        request_id: Arc::clone(&request_id),
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        route: request.extensions().get::<MatchedPath>().cloned(),
        started: Instant::now(),
        status: None,
    };
    request.extensions_mut().insert(RequestId(Arc::clone(&request_id)));
    let (auth, presented) = (AuthOutcome::default(), is_presented(request.headers()));
    request.extensions_mut().insert(auth.clone());

    let mut response = answered(&passage, other_origin.as_ref(), request, next).await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(marks) = marks {
        marks.put(headers);
    }
    // Nobody is logged in without a token; what nobody looked at is not told.
    if let Some(authenticated) = auth.get().or((!presented).then_some(false)) {
        headers.insert(CATTLE_AUTH, HeaderValue::from_static(if authenticated { "true" } else { "false" }));
    }
    if let Some(other_origin) = other_origin {
        other_origin.put(headers);
    }
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, id);
    }
    passage.status = Some(response.status());
    response
}

/// The answer, whatever happens on the way to it.
async fn answered(
    passage: &Passage,
    other_origin: Option<&OtherOrigin>,
    request: Request,
    next: Next,
) -> Response {
    let Passage { state, request_id, path, .. } = passage;
    if let Some(answer) = other_origin.and_then(OtherOrigin::preflight) {
        return answer;
    }
    if impersonation::is_requested(request.headers()) {
        return failure(path, request_id, StatusCode::FORBIDDEN);
    }
    let places = &state.edge().places;
    let place = if SIGNS_OF_LIFE.contains(&path.as_str()) || k8s::is_here(path) {
        None
    } else if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        // Those who wait already have come before: what is free is theirs, and nothing is free here then.
        Some(place)
    } else {
        match tokio::time::timeout(PATIENCE, Arc::clone(places).acquire_owned()).await {
            Ok(Ok(place)) => Some(place),
            _ => return failure(path, request_id, StatusCode::SERVICE_UNAVAILABLE),
        }
    };
    let to_its_end = is_change(&passage.method) && !path.starts_with("/meta/") && !k8s::is_here(path);
    let limit = if k8s::is_here(path) { NO_LIMIT } else { TIME_LIMIT };
    let answering = RequestId(Arc::clone(request_id)).scope(next.run(request));
    let answering = AssertUnwindSafe(answering).catch_unwind();
    let answering = async move {
        let answer = tokio::time::timeout(limit, answering).await;
        drop(place);
        answer
    };
    let answer = if to_its_end {
        // Half a change, or one without its row in the audit, is nothing that a client may bring about by going away.
        tokio::spawn(answering).await.unwrap_or_else(|error| Ok(Err(Box::new(error))))
    } else {
        answering.await
    };
    match answer {
        Ok(Ok(response)) => meta::finished(response, request_id),
        Ok(Err(_)) => {
            // The panic itself is reported where all panics are; this line ties it to the request.
            tracing::error!(%request_id, path = &*shown(path), "a request ended in a panic");
            failure(path, request_id, StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(_) => {
            let path = &*shown(path);
            tracing::error!(%request_id, path, "a request took longer than {} s", TIME_LIMIT.as_secs());
            failure(path, request_id, StatusCode::GATEWAY_TIMEOUT)
        }
    }
}

/// Whether a request may change something.
fn is_change(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE)
}

/// The id that a proxy gave, when it looks like one, else a new one. Always a new one for a request into a cluster: there
/// it is the id in the cluster's own audit log, where nobody may choose it.
fn id_of(request: &Request) -> Arc<str> {
    let sane = |id: &&str| {
        (8..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let given = request.headers().get(REQUEST_ID).filter(|_| !k8s::is_here(request.uri().path()));
    let given = given.and_then(|id| id.to_str().ok()).filter(sane);
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

/// An answer that no handler gave, in the form that the path's clients read.
fn failure(path: &str, request_id: &str, status: StatusCode) -> Response {
    let (code, message) = match status {
        StatusCode::FORBIDDEN => ("PermissionDenied", impersonation::MESSAGE),
        StatusCode::SERVICE_UNAVAILABLE => {
            ("ServerError", "too many requests at once; try again in a moment")
        }
        StatusCode::GATEWAY_TIMEOUT => ("ServerError", "the request took longer than 60 s and was given up"),
        _ => ("ServerError", "the server failed; its log has the cause under the id of this request"),
    };
    if k8s::is_here(path) {
        return k8s::failure(status, message);
    }
    let body = if path.starts_with("/meta/") {
        json::to_bytes(&MetaBody { error: message, request_id })
    } else {
        let status = status.as_u16();
        json::to_bytes_line(&ErrorBody {
            base_type: "error",
            code,
            field_name: None,
            message,
            request_id: Some(request_id),
            status,
            r#type: "error",
        })
    };
    let mut response = (status, [(CONTENT_TYPE, "application/json")], body).into_response();
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}
