//! The server of all clusters: it logs each request, applies the first matching fault, and passes the request to the cluster
//! that the TLS handshake names.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use http::Method;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serve::{Cut, TlsPeer};
use tokio::time::timeout;
use uuid::Uuid;

use super::api::{self, Call, KubeResponse};
use super::authn::{self, Credentials};
use super::cluster::Cluster;
use super::clusters::KubeClusters;
use super::impersonate;
use super::request::KubeRequest;
use super::status::StatusError;
use super::user::EntraLookup;
use super::websocket::Handshake;
use crate::faults::{Effect, ErrorResponse, MatchedFault};
use crate::log::{MAX_RECORDED_BODY, RecordedRequest};
use crate::recordings::Operation;
use crate::response::SandboxResponse;
use crate::server::{apply_effect, cut};

/// The maximum size of a body, as in Kubernetes.
const BODY_LIMIT: usize = 3 << 20;

#[derive(Clone)]
struct KubeServer {
    kube: KubeClusters,
    entra: EntraLookup,
}

pub(crate) fn router(kube: KubeClusters, entra: EntraLookup) -> Router {
    Router::new().fallback(serve).with_state(KubeServer { kube, entra })
}

async fn serve(State(server): State<KubeServer>, mut request: Request) -> Response {
    let handshake = Handshake::take(&mut request);
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Arc<TlsPeer>>().cloned().unwrap_or_default();
    // The server name of the TLS handshake selected the certificate. The `Host` header may contain an address instead.
    let host = peer.server_name.clone().unwrap_or_default().to_ascii_lowercase();
    let kube = &server.kube;
    let Some(cluster) = kube.cluster(&host).filter(|cluster| cluster.state().declared.running) else {
        return cut();
    };
    let mut faults_cleared = kube.traffic().faults_cleared.subscribe();
    let (request_number, fault) = record_request(kube, &host, &parts);
    let request = KubeRequest::new(parts);
    let body = axum::body::to_bytes(body, BODY_LIMIT).await;
    if let Ok(body) = &body {
        record_body(kube, request_number, &request, body);
    }
    // Clearing the faults ends the delay.
    drop(timeout(fault.latency, faults_cleared.changed()).await);
    let response = match (&fault.effect, body) {
        (Some(Effect::CutBeforeAnswer | Effect::RefuseConnections), _) => return cut(),
        (Some(Effect::Status(error_response)), _) => KubeResponse::Full(scripted_error(error_response)),
        (_, Err(_)) => {
            let text = format!("Request entity too large: limit is {BODY_LIMIT}");
            KubeResponse::Full(StatusError::new(413, "RequestEntityTooLarge", text).to_response())
        }
        (_, Ok(body)) => {
            let response = respond(&server, &cluster, &peer, &request, &body);
            response.unwrap_or_else(|error| KubeResponse::Full(error.to_response()))
        }
    };
    if request.method != Method::GET {
        kube.saved().await;
    }
    let mut response = match response {
        KubeResponse::Full(response) => apply_effect(response, fault.effect),
        KubeResponse::Stream(kind, body) => match handshake.filter(|_| request.verb == "watch") {
            Some(handshake) => handshake.serve(body),
            None => stream_response(kind, body, fault.effect.as_ref()),
        },
    };
    kube.traffic().log.set_status(request_number, response.status().as_u16());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if let Ok(id) = HeaderValue::try_from(Uuid::new_v4().to_string()) {
        headers.insert("audit-id", id);
    }
    response
}

/// Records a request. Returns its number in the log and the fault that is injected.
pub(crate) fn record_request(
    kube: &KubeClusters,
    host: &str,
    parts: &http::request::Parts,
) -> (u64, MatchedFault) {
    let record = RecordedRequest {
        operation: Operation::Kubernetes,
        method: parts.method.to_string(),
        host: host.to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        at_ms: kube.now().ms,
        ..RecordedRequest::default()
    };
    let mut traffic = kube.traffic();
    let fault = traffic.faults.match_request(&record);
    (traffic.log.push(record), fault)
}

/// Adds the body of a write to its record.
pub(crate) fn record_body(kube: &KubeClusters, request_number: u64, request: &KubeRequest, body: &[u8]) {
    if request.method != Method::GET && (1..=MAX_RECORDED_BODY).contains(&body.len()) {
        kube.traffic().log.set_body(request_number, String::from_utf8_lossy(body).into_owned());
    }
}

/// Authenticates the caller and responds to the request.
fn respond(
    server: &KubeServer,
    cluster: &Arc<Cluster>,
    peer: &TlsPeer,
    request: &KubeRequest,
    body: &[u8],
) -> Result<KubeResponse, StatusError> {
    let credentials =
        Credentials { certificates: &peer.certificates, authorization: request.header("authorization") };
    let user = authn::authenticate(cluster, &credentials, &*server.entra)?;
    let user = impersonate::effective_user(&cluster.state(), user, request)?;
    api::respond(&Call { kube: &server.kube, cluster, user: &user, request, body })
}

/// The error response of a fault, as a `Status` of Kubernetes unless the fault has a body.
pub(crate) fn scripted_error(error_response: &ErrorResponse) -> SandboxResponse {
    let code = error_response.status.unwrap_or(500);
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let message =
        error_response.message.as_deref().unwrap_or("A fault of the sandbox rejected this request.");
    let response = StatusError::new(code, reason, message).to_response();
    error_response.with_headers(match &error_response.body {
        Some(body) => SandboxResponse::new(response.status, body.clone()),
        None => response,
    })
}

/// A streamed response; a fault may end it after the first piece.
fn stream_response(content_type: &'static str, body: Body, effect: Option<&Effect>) -> Response {
    let body = match effect {
        Some(Effect::CutInBody | Effect::TruncatedBody) => {
            let cuts_connection = matches!(effect, Some(Effect::CutInBody));
            let first = body.into_data_stream().take(1).map(|piece| piece.map_err(io::Error::other));
            let abort = stream::iter(cuts_connection.then(|| Err(io::Error::other(Cut))));
            Body::from_stream(first.chain(abort))
        }
        _ => body,
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
