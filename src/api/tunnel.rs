//! `/v3/connect` and `/v3/connect/register`: the endpoints for the tunnels of agents (`docs/contract/registration.md#tunnel`).
//! Errors are plain text, which agents log. The token and the parameters are secret; they are in headers, so that no log contains
//! them.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderName, Request, StatusCode};
use hyper_util::rt::TokioIo;
use remotedialer::upgrade;
use secrecy::SecretString;

use super::request::RequestContext;
use super::state::AppState;
use super::surface::{CrossSite, Surface, SurfaceError};
use super::{auth, norman};
use crate::service::agents::AgentRefusal;

/// Without TLS, the token would be sent in the clear.
const NOT_TLS: &str = "agents connect only over https: use the https URL of this server, or configure the proxy in \
     front of it to send X-Forwarded-Proto";

/// The prefix of the registration token in the header `Authorization` of an embedded Rancher.
const EMBEDDED_PREFIX: &str = "Bearer stv-cluster-";

/// The rules for tunnels. Tunnels need no permit, because they have their own limits.
pub(super) static SURFACE: Surface = Surface {
    needs_permit: false,
    completes_changes: false,
    accepts_request_ids: false,
    cross_site: CrossSite::RejectAll,
    format_error: format,
    ..norman::RULES
};

pub(super) fn router() -> Router<AppState> {
    let connect = any(connect);
    Router::new().route("/v3/connect", connect.clone()).route("/v3/connect/register", connect)
}

async fn connect(
    State(state): State<AppState>,
    context: RequestContext,
    request: axum::extract::Request,
) -> Response {
    let (parts, _) = request.into_parts();
    if !context.client_ip.is_loopback() && !state.http().forwarded.is_https(&parts) {
        return plain_text(StatusCode::BAD_REQUEST, NOT_TLS);
    }
    let header = |name: &'static str| parts.headers.get(HeaderName::from_static(name));
    let token = header(upgrade::TOKEN_HEADER).and_then(|token| token.to_str().ok()).map(SecretString::from);
    let params = header(upgrade::PARAMS_HEADER).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let result = match embedded_token(&parts.headers).filter(|_| token.is_none()) {
        Some(token) => state.agents.admit_embedded(&token, context.client_ip).await,
        None => state.agents.admit(token.as_ref(), params, context.client_ip).await,
    };
    let admission = match result {
        Ok(admission) => admission,
        Err(refusal) => {
            if matches!(refusal, AgentRefusal::Unknown | AgentRefusal::UnknownBearer) {
                state.login_failures().record(context.client_ip).await;
            }
            return plain_text(status(&refusal), &refusal.to_string());
        }
    };
    let response = match upgrade::response(&parts.method, &parts.headers) {
        Ok(response) => response,
        Err(error) => {
            // Rancher sends the error twice.
            let text = format!("{error}Error during upgrade for host [{}]: {error}", admission.cluster_id());
            return plain_text(StatusCode::BAD_REQUEST, &text);
        }
    };
    auth::mark_authenticated(&parts);
    let upgraded = hyper::upgrade::on(Request::from_parts(parts, ()));
    state.agents.run(admission, async { Ok(TokioIo::new(upgraded.await?)) });
    response.map(|()| axum::body::Body::empty())
}

/// The registration token with which a Rancher embedded in an agent opens a session.
fn embedded_token(headers: &http::HeaderMap) -> Option<SecretString> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix(EMBEDDED_PREFIX).filter(|token| !token.is_empty()).map(SecretString::from)
}

fn status(refusal: &AgentRefusal) -> StatusCode {
    match refusal {
        AgentRefusal::NoToken | AgentRefusal::UnknownBearer => StatusCode::UNAUTHORIZED,
        AgentRefusal::Unknown | AgentRefusal::Params(_) => StatusCode::BAD_REQUEST,
        AgentRefusal::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        AgentRefusal::Stopping | AgentRefusal::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn format(error: &SurfaceError<'_>) -> Response {
    plain_text(error.status, error.message)
}

fn plain_text(status: StatusCode, text: &str) -> Response {
    (status, text.to_owned()).into_response()
}
