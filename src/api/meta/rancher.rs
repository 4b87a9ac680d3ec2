//! Requests of Rancher's users to a server alongside Rancher (`docs/contract/beside-rancher.md`). If this server cannot
//! decide about a request exactly as Rancher would, it forwards the request, and returns Rancher's response.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

use super::call::{self, AuditContext, AzureCall, Parameters, Sender};
use super::error::Error;
use crate::api::auth::{self, AuthError};
use crate::api::forwarded::{FORWARDED_FOR, FORWARDED_HOST};
use crate::api::impersonation;
use crate::api::rejection::Rejection;
use crate::api::request::RequestContext;
use crate::api::source::RancherState;
use crate::service::Caller;
use crate::service::audit::Outcome;
use crate::service::azure_access::AccessError;
use crate::service::rancher_access::{
    Access, Failure, LOOP_REMEDY, RancherAccess, RancherError, Session, has_own_via,
};

/// Response header: `rancher` if Rancher wrote the response, `loop` if this server detected a loop.
const RESPONSE_SOURCE: HeaderName = HeaderName::from_static("x-norman-aks-via");
/// The message if Rancher does not respond.
pub(in crate::api) const RANCHER_UNAVAILABLE: &str =
    "Rancher does not respond, so the request cannot be authorized; try again";
/// The time limit of the body of a forwarded request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_TOO_SLOW: &str = "the body did not arrive within 10 s";

/// A request that this server has neither responded to nor forwarded yet.
pub(super) struct PendingRequest {
    pub(super) parts: Parts,
    pub(super) body: Body,
    session: Session,
    context: RequestContext,
}

/// Authenticates a request and resolves its credential, or forwards the request.
pub(super) async fn authorize(
    request: Request,
    state: &RancherState,
    action: &'static str,
) -> Result<AzureCall, Rejection> {
    let pending = PendingRequest::new(request, state).await?;
    pending.require_token()?;
    let audit = AuditContext::new(action, &pending.context);
    let bypasses_cache = call::must_bypass_cache(&pending.parts.headers);
    let uri = pending.parts.uri.clone();
    let Parameters { credential_id, access_cluster_id, cluster_id, region } = Parameters::from_uri(&uri);
    if credential_id.is_empty() {
        let (caller, pending) = pending.authenticate(state).await?;
        let PendingRequest { parts, body, session, .. } = pending;
        let body = call::read_inline_credential(&parts.method, body, state.http.body_limit).await?;
        let sender = Sender::Rancher(caller, session);
        return AzureCall::from_inline_credential(
            body,
            state.access.resolver(),
            sender,
            bypasses_cache,
            audit,
        )
        .await;
    }
    let (caller, access) = match state.access.authorize_stored(&pending.session, &credential_id).await {
        Ok(Access::Allowed(caller, access)) => (caller, access),
        // Rancher may allow the use of the credential because of the cluster.
        Ok(Access::Denied) if !access_cluster_id.is_empty() => return Err(pending.forward(state).await),
        Ok(Access::Denied) => {
            pending.record_token_validity(true);
            let error = credential_denied();
            let caller = RancherAccess::caller(&pending.session);
            audit.record(&state.audit_log, &caller, &credential_id, Some(&error)).await;
            return Err(error.into());
        }
        decision => {
            if let Err(Failure::Credential(_)) = &decision {
                let caller = RancherAccess::caller(&pending.session);
                audit.record_outcome(&state.audit_log, &caller, &credential_id, Outcome::Failed).await;
            }
            return Err(pending.reject_or_forward(decision, state).await);
        }
    };
    pending.record_token_validity(true);
    let cluster_id = if cluster_id.is_empty() { access_cluster_id } else { cluster_id };
    Ok(AzureCall {
        sender: Sender::Rancher(caller, pending.session),
        access,
        region: region.into_owned(),
        cluster_id: cluster_id.into_owned(),
        bypasses_cache,
        audit,
    })
}

/// Responds to a request that is not for one of the nine actions. Paths below `/meta` are forwarded, even without a token.
pub(super) async fn fallback(request: Request, state: &RancherState) -> Rejection {
    if !request.uri().path().starts_with("/meta/") {
        // A request with this server's `Via` is its own lookup, which came back through the ingress.
        let is_loop = has_own_via(request.headers());
        return if is_loop { Rejection::new(loop_response()) } else { misrouted_path_error().into() };
    }
    match PendingRequest::new(request, state).await {
        Ok(pending) => pending.forward(state).await,
        Err(rejection) => rejection,
    }
}

impl PendingRequest {
    /// Runs the checks that precede authentication, and forwards requests that only Rancher can authenticate.
    pub(super) async fn new(request: Request, state: &RancherState) -> Result<Self, Rejection> {
        let (parts, body) = request.into_parts();
        let context = RequestContext::from_parts(&parts).map_err(AuthError::from)?.clone();
        if has_own_via(&parts.headers) {
            return Err(Rejection::new(loop_response()));
        }
        if state.http.forwarded.is_plaintext_at_proxy(&parts) {
            return Err(Rejection::new(https_redirect(&parts, state)));
        }
        let session = auth::session(&parts.headers);
        let needs_rancher = impersonation::is_requested(&parts.headers)
            || parts.headers.get_all(AUTHORIZATION).iter().nth(1).is_some()
            || session.is_jwt();
        let pending = Self { parts, body, session, context };
        if needs_rancher {
            return Err(pending.forward(state).await);
        }
        Ok(pending)
    }

    /// Rejects a request without a token, which needs no lookup.
    fn require_token(&self) -> Result<(), Rejection> {
        if self.session.is_empty() { Err(AuthError::Unauthorized.into()) } else { Ok(()) }
    }

    /// Authenticates the caller, or forwards the request.
    pub(super) async fn authenticate(self, state: &RancherState) -> Result<(Arc<Caller>, Self), Rejection> {
        self.require_token()?;
        match state.access.authenticate(&self.session).await {
            Ok(Access::Authenticated(caller)) => {
                self.record_token_validity(true);
                Ok((caller, self))
            }
            other => Err(self.reject_or_forward(other, state).await),
        }
    }

    /// Rejects a request that is not authenticated or could not be checked, and forwards any other.
    async fn reject_or_forward(self, access: Result<Access, Failure>, state: &RancherState) -> Rejection {
        match access {
            Ok(Access::Unauthenticated) => {
                self.record_token_validity(false);
                AuthError::Unauthorized.into()
            }
            Err(Failure::Rancher(error)) => unavailable(error).into(),
            Err(Failure::Credential(error)) => {
                self.record_token_validity(true);
                Error::from(error).into()
            }
            Ok(_) => self.forward(state).await,
        }
    }

    /// Forwards the request to Rancher, and returns the response, as a [`Rejection`] because no handler runs after it.
    pub(super) async fn forward(self, state: &RancherState) -> Rejection {
        let Self { parts, body, context, .. } = self;
        let headers = forwarded_headers(&parts, &context, state);
        // Read before a permit for Rancher is acquired, so that slow clients do not hold permits.
        let body = tokio::time::timeout(BODY_TIMEOUT, call::read_body(body, state.http.body_limit)).await;
        let body = match body {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return error.into(),
            Err(_) => return Error::new(StatusCode::REQUEST_TIMEOUT, BODY_TOO_SLOW).into(),
        };
        // The future is boxed, because it is large and rarely used: otherwise it would enlarge the future of every request.
        match Box::pin(state.access.forward(&parts, headers, body)).await {
            Ok(response) => {
                let (mut head, body) = response.into_parts();
                head.headers.insert(RESPONSE_SOURCE, HeaderValue::from_static("rancher"));
                Rejection::new(Response::from_parts(head, Body::new(body)))
            }
            Err(RancherError::Loop) => Rejection::new(loop_response()),
            Err(error @ RancherError::AmbiguousPath) => {
                Error::new(StatusCode::NOT_FOUND, error.to_string()).into()
            }
            Err(error) => unavailable(Arc::new(error)).into(),
        }
    }

    /// Records whether Rancher accepts the token.
    fn record_token_validity(&self, is_valid: bool) {
        auth::record_token_validity(&self.parts, &self.context, is_valid);
    }
}

/// The `X-Forwarded-*` headers for Rancher. Those of the request are used only if it came from a trusted proxy.
fn forwarded_headers(parts: &Parts, context: &RequestContext, state: &RancherState) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(client) = HeaderValue::try_from(context.client_ip.to_string()) {
        headers.insert(FORWARDED_FOR, client);
    }
    let url = state.http.forwarded.base_url(parts);
    let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
    if let Ok(host) = HeaderValue::try_from(host) {
        headers.insert(FORWARDED_HOST, host);
    }
    headers
}

fn loop_error() -> Error {
    Error::new(StatusCode::LOOP_DETECTED, "the request came back to norman-aks").with_hint(LOOP_REMEDY)
}

/// The response to a request that this server itself has sent.
fn loop_response() -> Response {
    let mut response = loop_error().into_response();
    response.headers_mut().insert(RESPONSE_SOURCE, HeaderValue::from_static("loop"));
    response
}

/// Rancher's response to a request without TLS: a redirect, or 400 for methods other than GET and HEAD.
fn https_redirect(parts: &Parts, state: &RancherState) -> Response {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return (StatusCode::BAD_REQUEST, "Use HTTPS\n").into_response();
    }
    let base = state.http.forwarded.base_url(parts);
    let host = base.split_once("://").map_or(base.as_str(), |(_, host)| host);
    let host = https_host(host);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let location = format!("https://{host}{path}");
    // Rancher's listener writes this body with Go's net/http, which escapes the URL like this.
    let escapes = [('&', "&amp;"), ('"', "&#34;"), ('\'', "&#39;"), ('<', "&lt;"), ('>', "&gt;")];
    let link = escapes.iter().fold(location.clone(), |link, (from, to)| link.replace(*from, to));
    let body = format!("<a href=\"{link}\">Found</a>.\n\n");
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (LOCATION, location.as_str())];
    (StatusCode::FOUND, headers, body).into_response()
}

/// The host with the port to which Rancher's listener redirects: the thousands of the port in `host` plus 443, for example 8443
/// for 8080.
fn https_host(host: &str) -> String {
    let name_and_port =
        host.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)));
    match name_and_port.map(|(name, port)| (name, port / 1_000 * 1_000 + 443)) {
        Some((name, 443)) => name.to_owned(),
        Some((name, port)) => format!("{name}:{port}"),
        None => host.to_owned(),
    }
}

fn credential_denied() -> Error {
    Error::from(AccessError::NotFound).with_hint(
        "the credential does not exist, or Rancher does not let you read it: use one of your own, or add clusterID \
         with the ID of a cluster that you may update",
    )
}

/// The error for a path that the ingress should send to Rancher.
fn misrouted_path_error() -> Error {
    Error::new(StatusCode::NOT_FOUND, "alongside Rancher, norman-aks serves only the actions /meta/aks…")
        .with_hint("send all other paths to Rancher; docs/rancher.md has the paths of the ingress")
}

/// The error if Rancher is unavailable. Never 401, which would log the dashboard's user out.
pub(super) fn unavailable(error: Arc<RancherError>) -> Error {
    if matches!(*error, RancherError::Loop) {
        return loop_error();
    }
    Error::unavailable(RANCHER_UNAVAILABLE).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_use_the_https_port_of_ranchers_listener() {
        for (host, expected) in [
            ("r.example", "r.example"),
            ("r.example:80", "r.example"),
            ("r.example:8080", "r.example:8443"),
            ("127.0.0.1:18080", "127.0.0.1:18443"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]:8443"),
        ] {
            assert_eq!(https_host(host), expected, "{host}");
        }
    }
}
