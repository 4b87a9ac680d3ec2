//! The caller of a request: a token as Bearer, as user name and password of Basic, or in the cookie `R_SESS`,
//! and the rules that keep other sites from using somebody's browser.

use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

use super::request::RequestId;
use super::state::AppState;
use super::{meta, norman};
use crate::service::Caller;
use crate::service::actor::Actor;
use crate::service::tokens;

/// The authenticated caller; a handler that takes it cannot forget to ask.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Arc<Caller>);

/// The body of a 401 below `/meta` and `/v3` (`docs/contract/meta-actions.md#unauthenticated-requests`).
const UNAUTHORIZED: &str =
    "{\"type\":\"error\",\"status\":\"401\",\"message\":\"Unauthorized 401: must authenticate\"}\n";

/// Why a request is not let in.
#[derive(Debug)]
pub enum AuthError {
    /// No token, an unknown one, or one that expired.
    Unauthorized,
    /// The token is good for one cluster, which this address is not; holds the cluster.
    Scoped(String),
    /// A browser session changes something without the proof that our own page asked for it.
    MissingCsrfToken,
    /// A page of another site asks; holds whether an action was asked for, whose failures have their own form.
    CrossSite { meta: bool },
    /// The token cannot be looked up now; holds whether an action was asked for, whose failures have their own form.
    Unavailable { meta: bool },
}

impl FromRequestParts<AppState> for Authenticated {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, AuthError> {
        let Some(presented) = presented(&parts.headers) else { return Err(AuthError::Unauthorized) };
        let caller = match state.tokens().authenticate(presented.token()).await {
            Ok(caller) => caller,
            Err(tokens::AuthError::Store(cause)) => {
                let RequestId(request_id) = RequestId::of(parts);
                tracing::error!(%request_id, error = &cause as &dyn std::error::Error, "a token cannot be looked up");
                return Err(AuthError::Unavailable { meta: is_meta(parts) });
            }
            Err(_) => {
                note_outcome(parts, false);
                state.attempts().failed(state.origin().client(parts)).await;
                return Err(AuthError::Unauthorized);
            }
        };
        mark_connection(parts);
        // A token for one cluster makes nobody of its holder here.
        note_outcome(parts, caller.cluster_id.is_none());
        if let Some(cluster_id) = &caller.cluster_id {
            return Err(AuthError::Scoped(cluster_id.clone()));
        }
        refuse_other_sites(parts, state, &presented)?;
        Ok(Self(caller))
    }
}

impl FromRequestParts<AppState> for Actor {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, AuthError> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        let RequestId(request_id) = RequestId::of(parts);
        Ok(Self { caller, request_id, remote: Some(state.origin().client(parts)) })
    }
}

/// Whether the token of a request was good, as the extractor found out; carried by the request.
#[derive(Clone, Debug, Default)]
pub(super) struct AuthOutcome(Arc<OnceLock<bool>>);

impl AuthOutcome {
    fn set(&self, authenticated: bool) {
        // The first finding is the one: a request has one token.
        let _ = self.0.set(authenticated);
    }

    /// `None` when nobody looked at the token, or it could not be looked up.
    pub(super) fn get(&self) -> Option<bool> {
        self.0.get().copied()
    }
}

/// Notes whether the token of a request was good.
pub(super) fn note_outcome(parts: &Parts, authenticated: bool) {
    if let Some(outcome) = parts.extensions.get::<AuthOutcome>() {
        outcome.set(authenticated);
    }
}

/// Whether the request presents a token in any form.
pub(super) fn is_presented(headers: &HeaderMap) -> bool {
    presented(headers).is_some()
}

/// Notes that the connection of a request belongs to a known caller.
pub(super) fn mark_connection(parts: &Parts) {
    if let Some(connection) = parts.extensions.get::<serve::Connection>() {
        connection.mark_authenticated();
    }
}

/// A token as it came, and whether a browser sent it by itself.
enum Presented<'a> {
    Header(&'a str),
    Basic(String),
    Cookie(&'a str),
}

impl Presented<'_> {
    /// Whether browsers add it to requests of any page by themselves. Another header needs a preflight.
    fn is_ambient(&self) -> bool {
        matches!(self, Self::Basic(_) | Self::Cookie(_))
    }

    fn token(&self) -> &str {
        match self {
            Self::Header(token) | Self::Cookie(token) => token,
            Self::Basic(token) => token,
        }
    }
}

/// Whether the token of a request is the cookie of a browser session.
pub(super) fn is_browser_session(headers: &HeaderMap) -> bool {
    matches!(presented(headers), Some(Presented::Cookie(_)))
}

/// The token of the request; the `Authorization` header wins over the cookie.
fn presented(headers: &HeaderMap) -> Option<Presented<'_>> {
    let Some(authorization) = headers.get(AUTHORIZATION) else {
        return cookie(headers, "R_SESS").map(Presented::Cookie);
    };
    let (scheme, value) = authorization.to_str().ok()?.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Presented::Header(value));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
        return Some(Presented::Basic(String::from_utf8(decoded).ok()?));
    }
    None
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs =
        headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Refuses what a page of another site may have made a browser send. On `/meta`, where a GET reaches Azure with stored
/// secrets, that goes for every method; elsewhere for changes, which need the header `X-API-CSRF` as well when a cookie
/// authenticates them.
fn refuse_other_sites(parts: &Parts, state: &AppState, presented: &Presented<'_>) -> Result<(), AuthError> {
    const CSRF: HeaderName = HeaderName::from_static("x-api-csrf");
    let meta = is_meta(parts);
    let changes = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if (meta || changes) && is_foreign(parts, state, presented) {
        count_rejected("origin");
        return Err(AuthError::CrossSite { meta });
    }
    if changes && !meta && matches!(presented, Presented::Cookie(_)) {
        let sent = parts.headers.get(CSRF).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let expected = cookie(&parts.headers, "CSRF").unwrap_or_default();
        if expected.is_empty() || sent != expected {
            count_rejected("csrf");
            return Err(AuthError::MissingCsrfToken);
        }
    }
    Ok(())
}

/// Whether a page of an origin asks that is neither the server's own nor in `cors-origins`.
fn is_foreign(parts: &Parts, state: &AppState, presented: &Presented<'_>) -> bool {
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let origins = || parts.headers.get_all(ORIGIN).iter();
    if parts.headers.contains_key(ORIGIN) && origins().all(|origin| state.allows_origin(origin)) {
        return false;
    }
    match parts.headers.get(SITE).map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") => false,
        // Another port or scheme of the same host is same-site, and another program all the same.
        Some(b"cross-site" | b"same-site") => is_meta(parts) || presented.is_ambient(),
        // Browsers leave the header out where the server is reached over plain HTTP.
        _ => {
            presented.is_ambient()
                && origins()
                    .any(|origin| !state.allows_origin(origin) && !state.origin().is_own(parts, origin))
        }
    }
}

fn count_rejected(reason: &'static str) {
    metrics::counter!("norman_aks_rejected_requests_total", "reason" => reason).increment(1);
}

/// Why a page of another site is refused.
const FOREIGN: &str = "requests from pages of other sites are refused; the server's setting cors-origins names those that may ask";

/// Why nobody can be let in now.
const AWAY: &str = "the token cannot be checked, because the server's database does not answer; try again";

fn is_meta(parts: &Parts) -> bool {
    parts.uri.path().starts_with("/meta/")
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, [(CONTENT_TYPE, "application/json")], UNAUTHORIZED).into_response()
            },
            Self::Scoped(cluster_id) => {
                // As Rancher: not 403, which would tell Terraform that its objects are gone.
                let body = format!(
                    "{{\"type\":\"error\",\"status\":\"401\",\"message\":\"Unauthorized 401: this token is good for \
                     cluster {cluster_id} only\"}}\n"
                );
                (StatusCode::UNAUTHORIZED, [(CONTENT_TYPE, "application/json")], body).into_response()
            }
            Self::MissingCsrfToken => norman::error::Error::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "InvalidCSRFToken",
                "send the value of the cookie CSRF in the header X-API-CSRF too, or use a token instead of the cookie",
            )
            .into_response(),
            Self::CrossSite { meta: true } => meta::Error::new(StatusCode::FORBIDDEN, FOREIGN).into_response(),
            Self::CrossSite { meta: false } => {
                norman::error::Error::new(StatusCode::FORBIDDEN, "PermissionDenied", FOREIGN).into_response()
            }
            Self::Unavailable { meta: true } => meta::Error::unavailable(AWAY).into_response(),
            Self::Unavailable { meta: false } => {
                norman::error::Error::passing(StatusCode::SERVICE_UNAVAILABLE, "ServerError", AWAY, 2).into_response()
            }
        }
    }
}
