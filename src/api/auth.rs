//! Authentication of requests, with a token as Bearer, Basic or the cookie `R_SESS`, and protection against cross-site
//! requests.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

use super::norman::error::Error;
use super::request::{MissingContext, RequestContext};
use super::state::AppState;
use super::surface::{CrossSite, Surface, SurfaceError};
use crate::service::Caller;
use crate::service::actor::Actor;
use crate::service::rancher_access::Session;
use crate::service::tokens;

/// The authenticated caller.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Arc<Caller>);

/// The body of a 401 below `/meta` and `/v3` (`docs/contract/meta-actions.md#unauthenticated-requests`).
const UNAUTHORIZED_BODY: &str =
    "{\"type\":\"error\",\"status\":\"401\",\"message\":\"Unauthorized 401: must authenticate\"}\n";

/// The reason why a request is not authenticated.
#[derive(Debug)]
pub enum AuthError {
    /// The token is missing, unknown or expired.
    Unauthorized,
    /// The token is valid only for the cluster with this ID.
    OtherCluster(String),
    /// A browser session sent a change without a CSRF token.
    MissingCsrfToken,
    /// A page of another site sent the request.
    CrossSite(&'static Surface),
    /// The database is unavailable.
    Unavailable(&'static Surface),
    MissingContext,
}

impl From<MissingContext> for AuthError {
    fn from(MissingContext: MissingContext) -> Self {
        Self::MissingContext
    }
}

impl FromRequestParts<AppState> for Authenticated {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, AuthError> {
        let Some(token) = token(&parts.headers) else {
            RequestContext::from_parts(parts)?.auth_outcome.set(false);
            return Err(AuthError::Unauthorized);
        };
        let caller = authenticate(parts, state, token.as_str()).await?;
        // A token for one cluster does not authenticate its holder on this surface.
        RequestContext::from_parts(parts)?.auth_outcome.set(caller.cluster_id.is_none());
        if let Some(cluster_id) = &caller.cluster_id {
            return Err(AuthError::OtherCluster(cluster_id.clone()));
        }
        reject_other_sites(parts, state, &token)?;
        Ok(Self(caller))
    }
}

impl FromRequestParts<AppState> for Actor {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, AuthError> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        let context = RequestContext::from_parts(parts)?;
        Ok(Self { caller, request_id: Arc::clone(&context.id), remote: Some(context.client_ip) })
    }
}

/// Looks up a token. Sets `auth_outcome` only if the token is invalid. For a valid token, the calling function sets it, because
/// a surface may still reject the token.
pub(super) async fn authenticate(
    parts: &Parts,
    state: &AppState,
    token: &str,
) -> Result<Arc<Caller>, AuthError> {
    let context = RequestContext::from_parts(parts)?;
    match state.tokens.authenticate(token).await {
        Ok(caller) => {
            mark_authenticated(parts);
            Ok(caller)
        }
        Err(tokens::AuthError::Store(cause)) => {
            let error = &cause as &dyn std::error::Error;
            tracing::error!(request_id = %context.id, error, "cannot look up token");
            Err(AuthError::Unavailable(context.surface))
        }
        Err(_) => {
            context.auth_outcome.set(false);
            state.login_failures().record(context.client_ip).await;
            Err(AuthError::Unauthorized)
        }
    }
}

/// Records whether the token of a request is valid.
pub(super) fn record_token_validity(parts: &Parts, context: &RequestContext, is_valid: bool) {
    context.auth_outcome.set(is_valid);
    if is_valid {
        mark_authenticated(parts);
    }
}

/// Marks the connection as authenticated, so that it is not closed in favor of others.
pub(super) fn mark_authenticated(parts: &Parts) {
    if let Some(connection) = parts.extensions.get::<serve::Connection>() {
        connection.mark_authenticated();
    }
}

/// Whether the request has a token in any form, valid or not.
pub(super) fn has_token(headers: &HeaderMap) -> bool {
    headers.get(AUTHORIZATION).is_some_and(|value| !value.is_empty()) || cookie(headers, "R_SESS").is_some()
}

/// Whether the token of a request is the cookie of a browser session.
pub(super) fn is_browser_session(headers: &HeaderMap) -> bool {
    matches!(token(headers), Some(Token::Cookie(_)))
}

/// The token of a request, by the way in which it was sent.
enum Token<'a> {
    Bearer(&'a str),
    Basic(String),
    Cookie(&'a str),
}

impl Token<'_> {
    /// Whether browsers add the token automatically to requests of any page. A page has to set a Bearer token itself, which
    /// requires a preflight.
    fn is_ambient(&self) -> bool {
        matches!(self, Self::Basic(_) | Self::Cookie(_))
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Bearer(token) | Self::Cookie(token) => token,
            Self::Basic(token) => token,
        }
    }
}

/// The token of the request. The header `Authorization` takes precedence over the cookie.
fn token(headers: &HeaderMap) -> Option<Token<'_>> {
    // As in Rancher, an empty header is ignored.
    let Some(authorization) = headers.get(AUTHORIZATION).filter(|value| !value.is_empty()) else {
        return cookie(headers, "R_SESS").map(Token::Cookie);
    };
    let (scheme, value) = authorization.to_str().ok()?.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Token::Bearer(value));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
        return Some(Token::Basic(String::from_utf8(decoded).ok()?));
    }
    None
}

/// The caller's credentials for the Rancher beside this server.
pub(super) fn session(headers: &HeaderMap) -> Session {
    let token = token(headers);
    Session::new(headers.get(AUTHORIZATION), cookie(headers, "R_SESS"), token.as_ref().map(Token::as_str))
}

/// The Bearer token of a request; other forms are ignored.
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    match token(headers) {
        Some(Token::Bearer(token)) => Some(token),
        _ => None,
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|b| *b == b';'));
    // Other cookies may contain any bytes.
    let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Rejects requests that a page of another site may have caused a browser to send.
fn reject_other_sites(parts: &Parts, state: &AppState, token: &Token<'_>) -> Result<(), AuthError> {
    const X_API_CSRF: HeaderName = HeaderName::from_static("x-api-csrf");
    let surface = RequestContext::from_parts(parts)?.surface;
    let rejects_all = surface.cross_site == CrossSite::RejectAll;
    let is_change = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if (rejects_all || is_change) && is_cross_site(parts, state, token, rejects_all) {
        count_rejection("origin");
        return Err(AuthError::CrossSite(surface));
    }
    if is_change && !rejects_all && matches!(token, Token::Cookie(_)) {
        let sent = parts.headers.get(X_API_CSRF).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let expected = cookie(&parts.headers, "CSRF").unwrap_or_default();
        if expected.is_empty() || sent != expected {
            count_rejection("csrf");
            return Err(AuthError::MissingCsrfToken);
        }
    }
    Ok(())
}

/// Whether the request is from a page whose origin is neither this server nor in `cors-origins`. Unless `is_strict`, only
/// requests whose token browsers add automatically are cross-site.
fn is_cross_site(parts: &Parts, state: &AppState, token: &Token<'_>, is_strict: bool) -> bool {
    const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let origins = || parts.headers.get_all(ORIGIN).iter();
    if parts.headers.contains_key(ORIGIN) && origins().all(|origin| state.http().allows_origin(origin)) {
        return false;
    }
    match parts.headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") => false,
        // Another port or scheme of the same host is same-site, but may belong to another program.
        Some(b"cross-site" | b"same-site") => is_strict || token.is_ambient(),
        // Browsers omit the header if the server is reached over plain HTTP.
        _ => {
            token.is_ambient()
                && origins().any(|origin| {
                    !state.http().allows_origin(origin)
                        && !state.http().forwarded.is_own_origin(parts, origin)
                })
        }
    }
}

fn count_rejection(reason: &'static str) {
    metrics::counter!("norman_aks_rejected_requests_total", "reason" => reason).increment(1);
}

const CROSS_SITE_REJECTED: &str = "requests from pages of other sites are rejected; the server's setting cors-origins lists the origins that are allowed";

/// The message if the token cannot be looked up.
pub(super) const TOKEN_CHECK_UNAVAILABLE: &str =
    "the token cannot be checked, because the server's database does not respond; try again in a few seconds";

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        let unauthorized = |body: String| {
            (StatusCode::UNAUTHORIZED, [(CONTENT_TYPE, "application/json")], body).into_response()
        };
        match self {
            Self::Unauthorized => unauthorized(UNAUTHORIZED_BODY.to_owned()),
            // 401 as in Rancher: after a 403, Terraform would assume that its objects were deleted.
            Self::OtherCluster(cluster_id) => unauthorized(format!(
                "{{\"type\":\"error\",\"status\":\"401\",\"message\":\"Unauthorized 401: this token is valid for \
                 cluster {cluster_id} only\"}}\n"
            )),
            Self::MissingCsrfToken => Error::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "InvalidCSRFToken",
                "send the value of the cookie CSRF in the header X-API-CSRF too, or use a token instead of the cookie",
            )
            .into_response(),
            Self::CrossSite(surface) => (surface.format_error)(&SurfaceError {
                status: StatusCode::FORBIDDEN,
                code: "PermissionDenied",
                message: CROSS_SITE_REJECTED,
                request_id: None,
                retry_seconds: None,
            }),
            Self::Unavailable(surface) => (surface.format_error)(&SurfaceError {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "ServerError",
                message: TOKEN_CHECK_UNAVAILABLE,
                request_id: None,
                retry_seconds: Some(2),
            }),
            Self::MissingContext => MissingContext.into_response(),
        }
    }
}
