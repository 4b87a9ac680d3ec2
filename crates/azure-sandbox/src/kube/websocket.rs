//! Watches over WebSocket, as in the API server of Kubernetes: each event is one text message, messages of the client are
//! ignored, and a handshake without an origin is rejected with an empty 403. Every origin is accepted.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::StreamExt as _;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::{StatusCode, Uri};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, copy, sink, split};

/// The suffix that RFC 6455 appends to the client's key.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The first byte of a text message in one frame.
const TEXT_START: u8 = 0x81;
/// A complete frame of normal closure (1000).
const CLOSE_FRAME: [u8; 4] = [0x88, 2, 0x03, 0xe8];

/// A WebSocket handshake.
pub(crate) struct Handshake {
    upgrade: OnUpgrade,
    key: HeaderValue,
    has_origin: bool,
}

impl Handshake {
    /// The handshake in a request, if it has one.
    pub(crate) fn take(request: &mut Request) -> Option<Self> {
        let headers = request.headers();
        let has = |name: &HeaderName, token: &str| has_token(headers, name, token);
        if !has(&CONNECTION, "upgrade") || !has(&UPGRADE, "websocket") {
            return None;
        }
        let key = headers.get(SEC_WEBSOCKET_KEY)?.clone();
        let origin = headers.get(ORIGIN).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let has_origin = !origin.is_empty() && origin.parse::<Uri>().is_ok();
        let upgrade = request.extensions_mut().remove::<OnUpgrade>()?;
        Some(Self { upgrade, key, has_origin })
    }

    /// Switches protocols and sends each line of `body` as a message.
    pub(crate) fn serve(self, body: Body) -> Response {
        if !self.has_origin {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::FORBIDDEN;
            return response;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::try_from(accept_value(self.key.as_bytes())) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        tokio::spawn(async move {
            let Ok(connection) = self.upgrade.await else { return };
            let (mut reader, mut writer) = split(TokioIo::new(connection));
            let sending = async {
                let mut pieces = body.into_data_stream();
                while let Some(Ok(piece)) = pieces.next().await {
                    for line in piece.split_inclusive(|byte| *byte == b'\n') {
                        writer.write_all(&text_frame(line)).await?;
                    }
                    writer.flush().await?;
                }
                writer.write_all(&CLOSE_FRAME).await?;
                writer.shutdown().await
            };
            let mut ignored = sink();
            tokio::select! {
                _ = sending => {}
                _ = copy(&mut reader, &mut ignored) => {}
            }
        });
        response
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
}

/// The `Sec-WebSocket-Accept` for a key.
fn accept_value(key: &[u8]) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

    BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, KEY_SUFFIX.as_bytes()].concat()))
}

/// A frame with a text message.
fn text_frame(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![TEXT_START];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..126), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend(text);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_header_matches_the_rfc() {
        assert_eq!(accept_value(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn frames_start_with_their_length() {
        assert_eq!(text_frame(b"hi"), [TEXT_START, 2, b'h', b'i']);
        assert_eq!(text_frame(&[0; 300])[..4], [TEXT_START, 126, 1, 44]);
        assert_eq!(text_frame(&vec![0; 70_000])[..10], [TEXT_START, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
