//! Reads the server's certificate authorities.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde::Deserialize;

use crate::connection;
use crate::event::Event;
use crate::network::Network;
use crate::settings::Settings;
use crate::trust::{start_tls, with_causes};

/// The maximum length of the response in bytes, four times that of a bundle of all public authorities.
const MAX_BODY_LEN: usize = 1024 * 1024;

/// The server's setting `cacerts`; other fields are ignored.
#[derive(Deserialize)]
struct Setting {
    value: Option<String>,
}

/// Reads the server's certificate authorities, in PEM, and checks that their SHA-256 is `checksum`.
pub(crate) async fn fetch_authorities(
    settings: &Settings,
    network: &Network,
    unverified_tls: Arc<ClientConfig>,
    checksum: &str,
) -> Result<String, Event> {
    let stream = connection::open(settings, network).await?;
    let stream = start_tls(stream, &settings.server, unverified_tls).await?;
    let unavailable = |reason| Event::AuthoritiesUnavailable { reason };
    let io = TokioIo::new(stream);
    let body = request_cacerts(io, &settings.host_and_port()).await.map_err(unavailable)?;
    let setting: Setting = serde_json::from_slice(&body)
        .map_err(|error| unavailable(format!("the response is not the JSON of a setting: {error}")))?;
    let value = setting.value.unwrap_or_default();
    let value = value.trim();
    if value.is_empty() {
        return Err(Event::ChecksumMismatch { expected: checksum.to_owned(), actual: None });
    }
    // Rancher's agent hashes the output of jq, which ends with a line break.
    let value = format!("{value}\n");
    let actual = to_hex(digest(&SHA256, value.as_bytes()).as_ref());
    if actual == checksum {
        return Ok(value);
    }
    Err(Event::ChecksumMismatch { expected: checksum.to_owned(), actual: Some(actual) })
}

async fn request_cacerts<I>(io: I, host: &str) -> Result<Bytes, String>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let to_reason = |error: hyper::Error| with_causes(&error);
    let request = Request::get("/v3/settings/cacerts")
        .header(HOST, host)
        .header(USER_AGENT, concat!("norman-aks-agent/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(to_reason)?;
    // Ends when the sender is dropped.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(to_reason)?;
    if response.status() != StatusCode::OK {
        return Err(format!("the response has the status {}", response.status()));
    }
    let body = Limited::new(response.into_body(), MAX_BODY_LEN).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| with_causes(&*error))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
