//! `/k8s/clusters/<id>/…`: the Kubernetes API of a cluster, through this server. Refusals are those of Kubernetes
//! (`status`), because its clients read nothing else.
//!
//! A bearer token only: neither a cookie nor a password counts, so a page of another site can do nothing here. Bodies pass
//! in both directions as they come. What the door limits for others (places, time) is limited here in another way:
//! watches and logs have no end.

mod asked;
mod attributes;
mod body;
mod framing;
mod status;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use aks::mask::mask;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::header::{AUTHORIZATION, CONTENT_SECURITY_POLICY, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use secrecy::SecretString;

use self::asked::Asked;
use self::body::{MAX_BODY_LEN, RequestBody};
pub(super) use self::status::failure;
use self::status::{SANDBOX, Status};
use super::auth::{mark_connection, note_outcome};
use super::request::RequestId;
use super::state::AppState;
use super::unsupported::STEVE;
use crate::service::Caller;
use crate::service::events::{Action, Event, Events, Outcome};
use crate::service::kubernetes::{Refusal, Way};
use crate::service::tokens::AuthError;

/// Kubernetes gives up on its own requests after a minute.
const HEAD_LIMIT: Duration = Duration::from_secs(65);

/// Sessions, and answers of what runs inside, may begin late.
const LATE_HEAD_LIMIT: Duration = Duration::from_mins(10);

/// `/version` is how clients find out whether a cluster can be reached, and Terraform waits without a limit
/// (`docs/contract/terraform.md#kubeconfig`).
const VERSION_LIMIT: Duration = Duration::from_millis(4_500);

/// More than any version.
const VERSION_SIZE: usize = 64 * 1024;

/// The kind of object in the audit.
const OBJECT: &str = "cluster";

/// The id under which a request is known in the audit of the cluster.
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

pub(super) fn router() -> Router<AppState> {
    ["/k8s/clusters/{id}", "/k8s/clusters/{id}/", "/k8s/clusters/{id}/{*rest}"]
        .into_iter()
        .fold(Router::new(), |router, path| router.route(path, any(serve)))
}

/// Whether a path is served here.
pub(super) fn is_here(path: &str) -> bool {
    path.starts_with("/k8s/")
}

async fn serve(State(state): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = RequestBody::new(body, &parts.headers);
    let mut response = match Asked::of(&parts.method, &parts.uri) {
        Ok(asked) if asked.kind == asked::Kind::Version => {
            let whole = async { whole(pass(&state, &asked, parts, body).await?).await };
            let answered = tokio::time::timeout(VERSION_LIMIT, whole).await;
            answered.unwrap_or_else(|_| Err(Status::timed_out("the cluster did not answer within 4.5 s")))
        }
        // What a change did is written down, also when the client does not wait for it.
        Ok(asked) if changes(&parts.method) && !asked.kind.is_endless() => {
            let passing = async move { pass(&state, &asked, parts, body).await };
            let done = tokio::spawn(RequestId::current().scope(passing)).await;
            done.unwrap_or_else(|error| {
                let RequestId(request_id) = RequestId::current();
                tracing::error!(%request_id, error = &error as &dyn std::error::Error, "a request ended in a panic");
                Err(Status::failed())
            })
        }
        Ok(asked) => pass(&state, &asked, parts, body).await,
        Err(refused) => Err(refused),
    }
    .unwrap_or_else(Status::into_response);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, SANDBOX);
    response
}

async fn pass(state: &AppState, asked: &Asked, parts: Parts, body: RequestBody) -> Result<Response, Status> {
    let (caller, presented) = caller(state, &parts).await?;
    if asked.is_steve() {
        return Err(Status::not_implemented(STEVE));
    }
    if content_length(&parts.headers).is_some_and(|length| length > MAX_BODY_LEN) {
        return Err(Refusal::TooLarge.into());
    }
    let RequestId(request_id) = RequestId::of(&parts);
    let visit = state
        .kubernetes()
        .enter(Arc::clone(&caller), presented, &asked.cluster_id, asked.kind.is_endless())
        .await?;
    let remote = state.origin().client(&parts);
    let way = Way {
        limit: if asked.kind.is_endless() { LATE_HEAD_LIMIT } else { HEAD_LIMIT },
        leads_inside: asked.kind == asked::Kind::Inside,
    };
    let mut entry = Entry {
        unwritten: asked.audit.as_ref().map(|audit| {
            let event = Event::new(&caller, Action::Call("kubernetes"), OBJECT, &asked.cluster_id);
            let event = if audit.is_counted { event.counted() } else { event };
            (event.request(&request_id, Some(remote)), audit.detail.clone())
        }),
        events: state.events().clone(),
    };
    let request = inner(parts, body, asked, &request_id)?;
    let passed = visit.forward(request, way).await;
    entry
        .write(passed.as_ref().map_or(Outcome::Failed, |(answer, _)| outcome(answer.response.status())))
        .await;
    let (answer, pass) = passed?;
    let mut response = answer.response.map(Body::new);
    lead_back(response.headers_mut(), &asked.cluster_id);
    let is_watch = asked.kind == asked::Kind::Watch;
    if let Some(tunnel) = answer.tunnel {
        state.kubernetes().run_session(stream::join(tunnel, pass, is_watch));
        return Ok(response);
    }
    // Every body, because no reading of an address tells for sure which ones have an end.
    let kind = stream::Kind::new(is_watch && response.status() == StatusCode::OK, response.headers());
    Ok(response.map(|body| stream::until(body, kind, async move { pass.ended().await })))
}

/// The row of the audit about a request that changes something, gets into what runs in the cluster, or reads secrets.
struct Entry {
    /// None when there is none, or it is written.
    unwritten: Option<(Event, String)>,
    events: Events,
}

impl Entry {
    async fn write(&mut self, outcome: Outcome) {
        if let Some(event) = self.finished(outcome) {
            self.events.record(event).await;
        }
    }

    fn finished(&mut self, outcome: Outcome) -> Option<Event> {
        let (event, detail) = self.unwritten.take()?;
        // What the cluster does not know may be a secret in the wrong place.
        let detail = if outcome == Outcome::Done { detail.into() } else { mask(&detail) };
        Some(event.outcome(outcome).detail(&detail))
    }
}

impl Drop for Entry {
    /// The client went away, and nobody knows what the cluster did.
    fn drop(&mut self) {
        if let Some(event) = self.finished(Outcome::Failed) {
            let events = self.events.clone();
            tokio::spawn(async move { events.record(event).await });
        }
    }
}

/// An answer that has come to its end.
async fn whole(response: Response) -> Result<Response, Status> {
    let (head, body) = response.into_parts();
    let read = Limited::new(body, VERSION_SIZE).collect().await;
    let body = read.map_err(|_| Status::unavailable("the answer of the cluster broke off"))?;
    Ok(Response::from_parts(head, Body::from(body.to_bytes())))
}

/// Who asks, by the token of the header alone.
async fn caller(state: &AppState, parts: &Parts) -> Result<(Arc<Caller>, SecretString), Status> {
    let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = token else { return Err(Status::unauthorized()) };
    let token = token.trim();
    match state.tokens().authenticate(token).await {
        Ok(caller) => {
            mark_connection(parts);
            note_outcome(parts, true);
            Ok((caller, token.into()))
        }
        Err(AuthError::Store(cause)) => {
            let RequestId(request_id) = RequestId::of(parts);
            tracing::error!(%request_id, error = &cause as &dyn std::error::Error, "a token cannot be looked up");
            Err(Status::unavailable(
                "the token cannot be checked, because the server's database does not answer",
            ))
        }
        Err(_) => {
            note_outcome(parts, false);
            state.attempts().failed(state.origin().client(parts)).await;
            Err(Status::unauthorized())
        }
    }
}

/// The request as it is inside the cluster.
fn inner(
    mut parts: Parts,
    body: RequestBody,
    asked: &Asked,
    request_id: &str,
) -> Result<http::Request<RequestBody>, Status> {
    parts.uri = asked.inner.parse().map_err(|_| Status::bad_request("the path cannot be passed on"))?;
    if let Ok(id) = HeaderValue::from_str(request_id) {
        parts.headers.insert(AUDIT_ID, id);
    }
    Ok(http::Request::from_parts(parts, body))
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn outcome(status: StatusCode) -> Outcome {
    match status.as_u16() {
        ..400 => Outcome::Done,
        400..500 => Outcome::Refused,
        _ => Outcome::Failed,
    }
}

/// A cluster leads to paths of its own only.
fn lead_back(headers: &mut HeaderMap, cluster_id: &str) {
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
    fn what_became_of_a_change_is_told_by_the_status() {
        assert_eq!(outcome(StatusCode::SWITCHING_PROTOCOLS), Outcome::Done);
        assert_eq!(outcome(StatusCode::CREATED), Outcome::Done);
        assert_eq!(outcome(StatusCode::FORBIDDEN), Outcome::Refused);
        assert_eq!(outcome(StatusCode::BAD_GATEWAY), Outcome::Failed);
    }
}
