//! The internal listener. Another server of this installation requests a connection to a cluster through the session of an agent
//! that is connected to this server. The other server proves in TLS, and with its token, that it has the encryption keys.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{AUTHORIZATION, CONNECTION, UPGRADE};
use http::{HeaderValue, StatusCode};
use hyper_util::rt::TokioIo;

use super::state::AppState;
use crate::service::agents::RelayError;

/// The protocol after the upgrade: the raw bytes of the connection.
pub(crate) const PROTOCOL: &str = "norman-aks-relay";

/// The routes of the internal listener.
pub(super) fn router() -> Router<AppState> {
    Router::new().route("/internal/clusters/{id}/connect", get(connect))
}

async fn connect(
    State(state): State<AppState>,
    Path(cluster_id): Path<String>,
    mut request: Request,
) -> Response {
    let token = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    if !state.agents.is_relay_token(token.strip_prefix(b"Bearer ").unwrap_or_default()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let requests_upgrade = request.headers().get(UPGRADE).is_some_and(|protocol| protocol == PROTOCOL);
    if !requests_upgrade {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let connection = match state.agents.dial(&cluster_id).await {
        Ok(connection) => connection,
        Err(error) => {
            let status = match error {
                RelayError::NoSession(_) => StatusCode::NOT_FOUND,
                RelayError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            return (status, error.to_string()).into_response();
        }
    };
    let upgraded = hyper::upgrade::on(&mut request);
    state.agents.relay(connection, async { Ok(TokioIo::new(upgraded.await?)) });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}
