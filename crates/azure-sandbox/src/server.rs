//! The server of Entra and Resource Manager: it logs each request, applies the first matching fault, and passes the request
//! to the service that the host name selects.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};
use serve::Cut;
use tokio::time::{sleep, timeout};
use tower_http::compression::{CompressionLayer, CompressionLevel};

use crate::clouds::{HOSTS, Service};
use crate::faults::Effect;
use crate::log::{MAX_RECORDED_BODY, RecordedRequest};
use crate::recordings::with_next_link;
use crate::request::AzureRequest;
use crate::response::SandboxResponse;
use crate::state::SandboxState;
use crate::{arm, entra};

/// The maximum size of a body.
const BODY_LIMIT: usize = 1 << 20;
/// The number of pieces in which a slow body is sent.
const SLOW_BODY_PIECES: usize = 10;
/// The delay before a connection is cut, so that the first half of the body is sent.
const CUT_DELAY: Duration = Duration::from_millis(30);

pub(crate) fn router(sandbox: Arc<SandboxState>) -> Router {
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest);
    Router::new().fallback(serve).layer(compression).with_state(sandbox)
}

async fn serve(State(sandbox): State<Arc<SandboxState>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let request = match AzureRequest::new(parts) {
        Ok(request) => request,
        Err(host) => return unknown_host(&host).into_response(Body::from),
    };
    let mut faults_cleared = sandbox.faults_cleared.subscribe();
    let (request_number, fault) = {
        let mut state = sandbox.state();
        let record = new_record(&sandbox, &request);
        let fault = state.faults.match_request(&record);
        (state.log.push(record), fault)
    };
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        let response = SandboxResponse::empty(StatusCode::PAYLOAD_TOO_LARGE);
        sandbox.state().log.set_status(request_number, response.status.as_u16());
        return response.into_response(Body::from);
    };
    if request.service == Service::Management
        && request.is_write()
        && (1..=MAX_RECORDED_BODY).contains(&body.len())
    {
        let text = String::from_utf8_lossy(&body).into_owned();
        sandbox.state().log.set_body(request_number, text);
    }
    // Clearing the faults ends the delay.
    drop(timeout(fault.latency, faults_cleared.changed()).await);
    if matches!(fault.effect, Some(Effect::CutBeforeAnswer | Effect::RefuseConnections)) {
        return cut();
    }
    let response = match (&fault.effect, request.service) {
        (Some(Effect::Status(error_response)), service) => error_response.to_response(service),
        (_, Service::Management) => arm::respond(&sandbox, &request, &body),
        (_, Service::Login) => entra::respond(&sandbox, &request, &body),
    };
    let response = match request.service {
        Service::Management => arm::with_common_headers(&sandbox, &request, response),
        Service::Login => entra::with_common_headers(response),
    };
    if fault.effect == Some(Effect::CutAfterTaken) {
        return cut();
    }
    sleep(response.delay).await;
    sandbox.state().log.set_status(request_number, response.status.as_u16());
    apply_effect(response, fault.effect)
}

fn new_record(sandbox: &SandboxState, request: &AzureRequest) -> RecordedRequest {
    let operation = match request.service {
        Service::Login => entra::operation(&request.segments),
        Service::Management => arm::route::operation(&request.segments),
    };
    RecordedRequest {
        operation,
        method: request.method.to_string(),
        host: request.host.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        client_request_id: request.header("x-ms-client-request-id").map(str::to_owned),
        at_ms: sandbox.clock.now_ms(),
        ..RecordedRequest::default()
    }
}

fn unknown_host(host: &str) -> SandboxResponse {
    let text = format!("The sandbox does not serve '{host}'; it serves: {}.", HOSTS.join(", "));
    SandboxResponse::arm_error(StatusCode::MISDIRECTED_REQUEST, "UnknownHost", &text)
}

/// A response that makes the server cut the connection instead.
pub(crate) fn cut() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Cut);
    response
}

/// The response, with the effect of a fault on its body.
pub(crate) fn apply_effect(mut response: SandboxResponse, effect: Option<Effect>) -> Response {
    let half = response.body.len() / 2;
    match effect {
        Some(Effect::TruncatedBody) => response.body.truncate(half),
        Some(Effect::InvalidJson) => response.body = Bytes::from_static(b"{\"value\": [}"),
        Some(Effect::ForeignNextLink(link)) => {
            let text = String::from_utf8_lossy(&response.body);
            response.body = with_next_link(&text, Some(&link)).map_or(response.body.clone(), Bytes::from);
        }
        Some(Effect::SlowBody(milliseconds)) => {
            return uncompressed(
                response.into_response(|body| slow_body(body, Duration::from_millis(milliseconds))),
            );
        }
        Some(Effect::CutInBody) => {
            let length = response.body.len().max(1);
            let mut cut_response = uncompressed(response.into_response(|body| cut_body(body.slice(..half))));
            cut_response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            return cut_response;
        }
        Some(
            Effect::Status(_) | Effect::CutBeforeAnswer | Effect::CutAfterTaken | Effect::RefuseConnections,
        )
        | None => {}
    }
    response.into_response(Body::from)
}

/// Disables the compression, which would buffer parts of the body.
fn uncompressed(mut response: Response) -> Response {
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
    response
}

fn slow_body(body: Bytes, total: Duration) -> Body {
    let size = body.len().div_ceil(SLOW_BODY_PIECES).max(1);
    let interval = total / u32::try_from(SLOW_BODY_PIECES).unwrap_or(1);
    Body::from_stream(stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        sleep(interval).await;
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok::<_, io::Error>(piece), rest))
    }))
}

/// A body that ends with an aborted connection.
fn cut_body(first: Bytes) -> Body {
    Body::from_stream(stream::unfold(Some(first), |first| async move {
        if let Some(piece) = first {
            return Some((Ok(piece), None));
        }
        sleep(CUT_DELAY).await;
        Some((Err(io::Error::other(Cut)), None))
    }))
}
