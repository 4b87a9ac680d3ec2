//! The caller of a request: a token as Bearer, as user name and password of Basic, or in the cookie `R_SESS`,
//! and the rules that keep other sites from using somebody's browser.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderName, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

use super::request::RequestId;
use super::state::AppState;
use super::{meta, norman};
use crate::service::Caller;
use crate::service::tokens::AuthError;

/// The authenticated caller; a handler that takes it cannot forget to ask.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Arc<Caller>);

/// What `Unauthorized` looks like anywhere under `/meta` and `/v3` (contract, section 1).
const UNAUTHORIZED: &str =
    "{\"type\":\"error\",\"status\":\"401\",\"message\":\"Unauthorized 401: must authenticate\"}\n";

/// Why a request is not let in.
#[derive(Debug)]
pub enum Refused {
    /// No token, an unknown one, or one that expired.
    Unauthorized,
    /// The token is good for one cluster, which this address is not; holds the cluster.
    Scoped(String),
    /// A browser session changes something without the proof that our own page asked for it.
    MissingCsrfToken,
    /// A page of another site asks.
    CrossSite,
    /// The token cannot be looked up now; holds whether an action was asked for, whose failures have their own form.
    Unavailable { meta: bool },
}

impl FromRequestParts<AppState> for Authenticated {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refused> {
        let Some(presented) = presented(&parts.headers) else { return Err(Refused::Unauthorized) };
        let caller = match state.tokens().authenticate(presented.token()).await {
            Ok(caller) => caller,
            Err(AuthError::Store(cause)) => {
                let RequestId(request_id) = RequestId::of(parts);
                tracing::error!(%request_id, error = &cause as &dyn std::error::Error, "a token cannot be looked up");
                return Err(Refused::Unavailable { meta: is_meta(parts) });
            }
            Err(_) => {
                state.attempts().failed(state.origin().client(parts)).await;
                return Err(Refused::Unauthorized);
            }
        };
        if let Some(cluster_id) = &caller.cluster_id {
            return Err(Refused::Scoped(cluster_id.clone()));
        }
        refuse_other_sites(parts, state, &presented)?;
        Ok(Self(caller))
    }
}

/// A token as it came, and whether a browser sent it by itself.
enum Presented<'a> {
    Header(&'a str),
    Basic(String),
    Cookie(&'a str),
}

impl Presented<'_> {
    fn token(&self) -> &str {
        match self {
            Self::Header(token) | Self::Cookie(token) => token,
            Self::Basic(token) => token,
        }
    }
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

/// On `/meta`, whose GETs reach Azure with stored secrets, nothing is taken from another site; elsewhere a cookie
/// alone changes nothing: the header `X-API-CSRF` must repeat the cookie `CSRF`.
fn refuse_other_sites(parts: &Parts, state: &AppState, presented: &Presented<'_>) -> Result<(), Refused> {
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    const CSRF: HeaderName = HeaderName::from_static("x-api-csrf");
    if is_meta(parts) {
        let cross = parts.headers.get(SITE).is_some_and(|site| site == "cross-site");
        let allowed = parts.headers.get(ORIGIN).is_some_and(|origin| state.allows_origin(origin));
        return if cross && !allowed { Err(Refused::CrossSite) } else { Ok(()) };
    }
    let changes = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && matches!(presented, Presented::Cookie(_)) {
        let sent = parts.headers.get(CSRF).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let expected = cookie(&parts.headers, "CSRF").unwrap_or_default();
        if expected.is_empty() || sent != expected {
            return Err(Refused::MissingCsrfToken);
        }
    }
    Ok(())
}

/// Why nobody can be let in now.
const AWAY: &str = "the token cannot be checked, because the server's database does not answer; try again";

fn is_meta(parts: &Parts) -> bool {
    parts.uri.path().starts_with("/meta/")
}

impl IntoResponse for Refused {
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
            Self::CrossSite => meta::Error::new(
                StatusCode::FORBIDDEN,
                "requests from pages of other sites are refused; the server's setting cors-origins names those that may ask",
            )
            .into_response(),
            Self::Unavailable { meta: true } => meta::Error::unavailable(AWAY).into_response(),
            Self::Unavailable { meta: false } => {
                norman::error::Error::passing(StatusCode::SERVICE_UNAVAILABLE, "ServerError", AWAY, 2).into_response()
            }
        }
    }
}
