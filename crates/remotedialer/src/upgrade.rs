//! The server side of the HTTP upgrade, for any HTTP server.
//!
//! Agents send `GET /v3/connect/register` (the first session of a process) or `GET /v3/connect` with the token in
//! [`TOKEN_HEADER`]. Check the token, return [`response`], and pass the result of the HTTP server's upgrade to
//! [`Session::server`](crate::Session::server). Allow at least 64 kB of request headers, because the parameters contain
//! certificates.

use http::header::{
    CONNECTION, HeaderMap, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Response, StatusCode};
use thiserror::Error;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The header with the token that identifies the client. Its value is secret.
pub const TOKEN_HEADER: &str = "x-api-tunnel-token";

/// The header with the client's parameters: base64 of JSON. For agents of Rancher, it contains a service account token.
pub const PARAMS_HEADER: &str = "x-api-tunnel-params";

/// The reason why a request cannot be upgraded. The messages are sent in responses with status 400; agents log them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The `Connection` header does not request an upgrade. The message is that of the original server.
    #[error(
        "websocket: the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header"
    )]
    NoConnectionUpgrade,
    /// The `Upgrade` header does not contain `websocket`.
    #[error(
        "websocket: the client is not using the websocket protocol: 'websocket' token not found in 'Upgrade' header"
    )]
    NoWebSocket,
    /// The method is not GET.
    #[error("websocket: the request method is not GET")]
    Method,
    /// The WebSocket version is not 13.
    #[error("websocket: the protocol version is not 13")]
    Version,
    /// The key is not 16 bytes in base64.
    #[error("websocket: the Sec-WebSocket-Key header is not 16 bytes in base64")]
    Key,
    /// The request comes from a browser. Agents send no `Origin`.
    #[error("websocket: requests with an Origin header are not accepted")]
    Origin,
}

/// The value of `Sec-WebSocket-Accept` for the value of `Sec-WebSocket-Key` (RFC 6455, section 4.2.2).
pub fn accept_key(key: &[u8]) -> String {
    derive_accept_key(key)
}

/// Checks a request, and returns the response that accepts it: 101 without extensions and subprotocols.
///
/// ```
/// use http::{HeaderMap, Method, StatusCode};
/// use remotedialer::upgrade;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("connection", "Upgrade".parse()?);
/// headers.insert("upgrade", "websocket".parse()?);
/// headers.insert("sec-websocket-version", "13".parse()?);
/// headers.insert("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".parse()?);
/// let response = upgrade::response(&Method::GET, &headers)?;
/// assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
/// assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn response(method: &Method, headers: &HeaderMap) -> Result<Response<()>, UpgradeError> {
    let key = check(method, headers)?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept_value = HeaderValue::try_from(accept_key(key.as_bytes())).map_err(|_| UpgradeError::Key)?;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept_value);
    Ok(response)
}

/// Checks a request without creating a response. Returns the value of `Sec-WebSocket-Key`.
pub fn check<'a>(method: &Method, headers: &'a HeaderMap) -> Result<&'a HeaderValue, UpgradeError> {
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(UpgradeError::NoConnectionUpgrade);
    }
    if !has_token(headers, &UPGRADE, "websocket") {
        return Err(UpgradeError::NoWebSocket);
    }
    if method != Method::GET {
        return Err(UpgradeError::Method);
    }
    if !has_token(headers, &SEC_WEBSOCKET_VERSION, "13") {
        return Err(UpgradeError::Version);
    }
    if headers.contains_key(ORIGIN) {
        return Err(UpgradeError::Origin);
    }
    headers.get(SEC_WEBSOCKET_KEY).filter(|key| is_valid_key(key.as_bytes())).ok_or(UpgradeError::Key)
}

/// Whether a comma-separated header contains `token` in any letter case.
fn has_token(headers: &HeaderMap, name: &http::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Whether `key` is 16 bytes in base64: 22 characters and two padding characters.
fn is_valid_key(key: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key.iter().take(22).all(is_base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respond_to(change: impl FnOnce(&mut HeaderMap)) -> Result<Response<()>, UpgradeError> {
        response(&Method::GET, &valid_headers(change))
    }

    fn valid_headers(change: impl FnOnce(&mut HeaderMap)) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("G/5Az4ZPD0Erub+Nn6jS8Q=="));
        change(&mut headers);
        headers
    }

    #[test]
    fn recorded_key_gives_recorded_accept_value() {
        let response = respond_to(|_| {}).unwrap();
        assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], "cmWKEYCaiRhFFUStS6neCNmdSGk=");
        assert_eq!(response.headers().len(), 3);
    }

    #[test]
    fn extensions_and_subprotocols_are_not_accepted() {
        let response = respond_to(|headers| {
            headers.insert("sec-websocket-extensions", HeaderValue::from_static("permessage-deflate"));
            headers.insert("sec-websocket-protocol", HeaderValue::from_static("chat"));
        });
        assert_eq!(response.unwrap().headers().len(), 3);
    }

    #[test]
    fn invalid_upgrade_requests_are_rejected() {
        type Change = fn(&mut HeaderMap);
        let cases: [(Change, UpgradeError); 5] = [
            (|headers| drop(headers.remove(CONNECTION)), UpgradeError::NoConnectionUpgrade),
            (|headers| drop(headers.remove(UPGRADE)), UpgradeError::NoWebSocket),
            (|headers| drop(headers.remove(SEC_WEBSOCKET_VERSION)), UpgradeError::Version),
            (
                |headers| drop(headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("short"))),
                UpgradeError::Key,
            ),
            (
                |headers| drop(headers.insert(ORIGIN, HeaderValue::from_static("https://evil.invalid"))),
                UpgradeError::Origin,
            ),
        ];
        for (change, error) in cases {
            assert_eq!(respond_to(change).unwrap_err(), error);
        }
        let posted = response(&Method::POST, &valid_headers(|_| {}));
        assert_eq!(posted.unwrap_err(), UpgradeError::Method);
        let without_headers = response(&Method::POST, &HeaderMap::new());
        assert_eq!(without_headers.unwrap_err(), UpgradeError::NoConnectionUpgrade);
    }
}
