//! `/k8s/clusters/<id>/…`: the kubectl proxy. Errors are Kubernetes `Status` objects, the only format that its clients parse.
//!
//! Only Bearer tokens are accepted, so pages of other sites cannot use a browser's cookie. Bodies are streamed in both
//! directions. The proxy has its own limits instead of the middleware's, because watches and logs have no end.

mod attributes;
mod body;
mod framing;
mod status;
mod stream;
mod target;

use std::sync::Arc;
use std::time::Duration;

use aks::mask::mask;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::header::{CONTENT_SECURITY_POLICY, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use secrecy::SecretString;

use self::body::{MAX_BODY_LEN, RequestBody};
use self::status::{CSP_SANDBOX, Status};
use self::target::Target;
use super::auth::{self, AuthError};
use super::redacted_path::redact_tokens;
use super::request::{RequestContext, current_id, with_current_id};
use super::state::AppState;
use super::surface::{CrossSite, Impersonation, Surface};
use super::unsupported::STEVE;
use crate::service::Caller;
use crate::service::audit::{Action, AuditEvent, AuditLog, Outcome};
use crate::service::clusters;
use crate::service::kubernetes::{ForwardOptions, ProxyError};

/// The time limit for the head of a response. Kubernetes itself ends ordinary requests after a minute.
const HEAD_TIMEOUT: Duration = Duration::from_secs(65);

/// The time limit for the head of a response that may be endless or start late.
const ENDLESS_HEAD_TIMEOUT: Duration = Duration::from_mins(10);

/// The time limit for a response to `/version`: clients use it to check whether a cluster is reachable, and Terraform waits
/// without a limit (`docs/contract/terraform.md#kubeconfig`).
const VERSION_TIMEOUT: Duration = Duration::from_millis(4_500);

/// The maximum length of a response to `/version`.
const MAX_VERSION_LEN: usize = 64 * 1024;

/// The ID of a request in the cluster's audit log.
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// The rules for the proxy. Clients cannot choose the request ID, because it is also the ID in the cluster's audit log.
pub(super) static SURFACE: Surface = Surface {
    needs_permit: false,
    timeout: None,
    completes_changes: false,
    accepts_request_ids: false,
    cross_site: CrossSite::RejectChanges,
    impersonation: Impersonation::Rejected,
    format_error: status::format,
    redact_path: redact_tokens,
};

pub(super) fn router() -> Router<AppState> {
    ["/k8s/clusters/{id}", "/k8s/clusters/{id}/", "/k8s/clusters/{id}/{*rest}"]
        .into_iter()
        .fold(Router::new(), |router, path| router.route(path, any(serve)))
}

async fn serve(State(state): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = RequestBody::new(body, &parts.headers);
    let mut response = match Target::parse(&parts.method, &parts.uri) {
        Ok(target) if target.kind == target::Kind::Version => {
            let buffered = async { buffer(forward(&state, &target, parts, body).await?).await };
            let result = tokio::time::timeout(VERSION_TIMEOUT, buffered).await;
            result.unwrap_or_else(|_| Err(Status::timed_out("the cluster did not respond within 4.5 s")))
        }
        // The audit record of a change is written even if the client disconnects.
        Ok(target) if is_change(&parts.method) && !target.kind.is_endless() => {
            let forwarding = async move { forward(&state, &target, parts, body).await };
            let result = tokio::spawn(with_current_id(current_id(), forwarding)).await;
            result.unwrap_or_else(|error| {
                let request_id = current_id();
                tracing::error!(%request_id, error = &error as &dyn std::error::Error, "request panicked");
                Err(Status::internal_error())
            })
        }
        Ok(target) => forward(&state, &target, parts, body).await,
        Err(status) => Err(status),
    }
    .unwrap_or_else(Status::into_response);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, CSP_SANDBOX);
    response
}

/// Authorizes a request and forwards it to its cluster.
async fn forward(
    state: &AppState,
    target: &Target,
    parts: Parts,
    body: RequestBody,
) -> Result<Response, Status> {
    let (caller, token) = authenticate(state, &parts).await?;
    if target.is_steve() {
        return Err(Status::not_implemented(STEVE));
    }
    if content_length(&parts.headers).is_some_and(|length| length > MAX_BODY_LEN) {
        return Err(ProxyError::TooLarge.into());
    }
    let RequestContext { id: request_id, client_ip, .. } =
        RequestContext::from_parts(&parts).map_err(|_| Status::internal_error())?.clone();
    let call = state
        .kubernetes
        .authorize(Arc::clone(&caller), token, &target.cluster_id, target.kind.is_endless())
        .await?;
    let options = ForwardOptions {
        limit: if target.kind.is_endless() { ENDLESS_HEAD_TIMEOUT } else { HEAD_TIMEOUT },
        is_application: target.kind == target::Kind::Application,
    };
    let mut record = PendingRecord {
        unwritten: target.audit.as_ref().map(|audit| {
            let event = AuditEvent::new(
                &caller,
                Action::Call("kubernetes"),
                clusters::OBJECT_TYPE,
                &target.cluster_id,
            );
            let event = if audit.is_counted { event.counted() } else { event };
            (event.request(&request_id, Some(client_ip)), audit.detail.clone())
        }),
        audit_log: state.audit_log.clone(),
    };
    let request = cluster_request(parts, body, target, &request_id)?;
    let result = call.forward(request, options).await;
    let outcome =
        result.as_ref().map_or(Outcome::Failed, |(proxied, _)| outcome_of(proxied.response.status()));
    record.write(outcome).await;
    let (proxied, guard) = result?;
    let mut response = proxied.response.map(Body::new);
    rewrite_location(response.headers_mut(), &target.cluster_id);
    let is_watch = target.kind == target::Kind::Watch;
    if let Some(connections) = proxied.upgraded {
        state.kubernetes.run_upgraded_connection(stream::join(connections, guard, is_watch));
        return Ok(response);
    }
    // Every body can be ended, because the path does not prove that a response ends by itself.
    let body_kind =
        stream::BodyKind::new(is_watch && response.status() == StatusCode::OK, response.headers());
    Ok(response.map(|body| stream::end_when(body, body_kind, async move { guard.ended().await })))
}

/// The audit record of a proxied request. It is written with the outcome, or as failed when the request is dropped.
struct PendingRecord {
    /// The event and its detail; `None` if the request is not audited, or once the record is written.
    unwritten: Option<(AuditEvent, String)>,
    audit_log: AuditLog,
}

impl PendingRecord {
    async fn write(&mut self, outcome: Outcome) {
        if let Some(event) = self.take_event(outcome) {
            self.audit_log.record(event).await;
        }
    }

    /// The event with its outcome; `None` if there is nothing to write.
    fn take_event(&mut self, outcome: Outcome) -> Option<AuditEvent> {
        let (event, detail) = self.unwritten.take()?;
        // If the request did not succeed, a name in it may be a secret in the wrong place.
        let detail = if outcome == Outcome::Done { detail.into() } else { mask(&detail) };
        Some(event.outcome(outcome).detail(&detail))
    }
}

impl Drop for PendingRecord {
    /// Records a request that ended early, for example because its client disconnected; its outcome in the cluster is unknown.
    fn drop(&mut self) {
        if let Some(event) = self.take_event(Outcome::Failed) {
            let audit_log = self.audit_log.clone();
            tokio::spawn(async move { audit_log.record(event).await });
        }
    }
}

/// Reads a response into memory.
async fn buffer(response: Response) -> Result<Response, Status> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_VERSION_LEN).collect().await;
    let body = body.map_err(|_| {
        Status::unavailable("the cluster's response to /version is incomplete or larger than 64 KiB")
    })?;
    Ok(Response::from_parts(head, Body::from(body.to_bytes())))
}

/// Authenticates the caller, with a Bearer token only.
async fn authenticate(state: &AppState, parts: &Parts) -> Result<(Arc<Caller>, SecretString), Status> {
    let token = auth::bearer_token(&parts.headers).ok_or_else(Status::unauthorized)?;
    match auth::authenticate(parts, state, token).await {
        Ok(caller) => {
            RequestContext::from_parts(parts).map_err(|_| Status::internal_error())?.auth_outcome.set(true);
            Ok((caller, token.into()))
        }
        Err(AuthError::Unavailable(_)) => Err(Status::unavailable(auth::TOKEN_CHECK_UNAVAILABLE)),
        Err(AuthError::MissingContext) => Err(Status::internal_error()),
        Err(_) => Err(Status::unauthorized()),
    }
}

/// The request to the cluster, with the request ID for the cluster's audit log.
fn cluster_request(
    mut parts: Parts,
    body: RequestBody,
    target: &Target,
    request_id: &str,
) -> Result<http::Request<RequestBody>, Status> {
    parts.uri = target
        .path_and_query
        .parse()
        .map_err(|_| Status::bad_request("the path and query are not a valid URI"))?;
    if let Ok(id) = HeaderValue::from_str(request_id) {
        parts.headers.insert(AUDIT_ID, id);
    }
    Ok(http::Request::from_parts(parts, body))
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn outcome_of(status: StatusCode) -> Outcome {
    match status.as_u16() {
        ..400 => Outcome::Done,
        400..500 => Outcome::Refused,
        _ => Outcome::Failed,
    }
}

/// Rewrites `Location` to a path below that of the cluster.
fn rewrite_location(headers: &mut HeaderMap, cluster_id: &str) {
    let Some(location) = headers.remove(LOCATION) else { return };
    let path =
        location.to_str().map(|path| HeaderValue::try_from(format!("/k8s/clusters/{cluster_id}{path}")));
    if let Ok(Ok(path)) = path {
        headers.insert(LOCATION, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_follows_the_status() {
        assert_eq!(outcome_of(StatusCode::SWITCHING_PROTOCOLS), Outcome::Done);
        assert_eq!(outcome_of(StatusCode::CREATED), Outcome::Done);
        assert_eq!(outcome_of(StatusCode::FORBIDDEN), Outcome::Refused);
        assert_eq!(outcome_of(StatusCode::BAD_GATEWAY), Outcome::Failed);
    }
}
