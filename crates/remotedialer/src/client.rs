//! Connects to a server: TCP, TLS and the WebSocket handshake.

mod head;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite;
use tungstenite::client::IntoClientRequest;

use crate::config::SessionConfig;
use crate::dialer::Dialer;
use crate::driver::SessionDriver;
use crate::message::clean_text;
use crate::session::Session;
use crate::socket::tune_socket;
use head::HeadStream;

/// The time limit for TCP, TLS and the WebSocket handshake together, as in the original.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum length of an error response's body, in bytes; longer ones are truncated.
const MAX_BODY_LEN: usize = 1024;

/// A stream to a server.
pub trait ClientIo: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ClientIo for T {}

/// A stream to a server, with or without TLS.
pub type ClientStream = Box<dyn ClientIo>;

/// The server's URL and the headers that identify the client.
#[derive(Debug, Clone)]
pub struct ClientRequest {
    url: Uri,
    headers: HeaderMap,
}

/// Errors of connecting to a server.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not `ws://host[:port]/path` or `wss://…`.
    #[error("invalid server URL {0:?}; use wss://host[:port]/path")]
    InvalidUrl(String),
    /// The server cannot be reached.
    #[error("cannot connect to {host}")]
    Tcp {
        /// The host and port.
        host: String,
        /// The cause.
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("TLS handshake with {host} failed")]
    Tls {
        /// The verified host name.
        host: String,
        /// The cause.
        source: io::Error,
    },
    /// The server responded with a status other than 101.
    #[error("server rejected the connection: {status}: {body}")]
    Rejected {
        /// The status.
        status: StatusCode,
        /// The first 1,024 bytes of the body, with control characters replaced.
        body: String,
    },
    /// The WebSocket handshake failed.
    #[error("WebSocket handshake failed")]
    Handshake(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// TCP, TLS and the WebSocket handshake together took longer than 10 s.
    #[error("connection attempt timed out after 10 s")]
    Timeout,
}

impl ClientRequest {
    /// Creates a request to `url`, which is `wss://host[:port]/path`, or `ws://…` for connections without TLS.
    pub fn new(url: &str) -> Result<Self, ConnectError> {
        let invalid = || ConnectError::InvalidUrl(url.to_owned());
        let url: Uri = url.parse().map_err(|_| invalid())?;
        let is_supported = matches!(url.scheme_str(), Some("ws" | "wss"));
        if !is_supported || url.host().is_none_or(str::is_empty) {
            return Err(invalid());
        }
        Ok(Self { url, headers: HeaderMap::new() })
    }

    /// Adds headers, such as the token.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    /// The host name or address, without brackets.
    pub fn host(&self) -> &str {
        self.url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port of the URL; 80 or 443 by default.
    pub fn port(&self) -> u16 {
        self.url.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    fn is_tls(&self) -> bool {
        self.url.scheme_str() == Some("wss")
    }

    fn to_http_request(&self) -> Result<Request<()>, tungstenite::Error> {
        let mut request = self.url.clone().into_client_request()?;
        let protected = request.headers().clone();
        request.headers_mut().extend(self.headers.clone());
        // The handshake's own headers cannot be replaced.
        request.headers_mut().extend(protected);
        request.headers_mut().entry("user-agent").or_insert(HeaderValue::from_static("remotedialer-rs"));
        Ok(request)
    }
}

/// Connects to a server over TCP and creates a session. `dialer` decides which targets the server may reach.
///
/// `tls` verifies the server; it is not used for `ws` URLs. Its ALPN protocols must be empty, as Rancher's servers expect. The
/// session does nothing until the driver is polled.
pub async fn connect<D: Dialer>(
    request: &ClientRequest,
    tls: Arc<ClientConfig>,
    config: SessionConfig,
    dialer: D,
) -> Result<(Session, SessionDriver<ClientStream>), ConnectError> {
    let attempt = async {
        let stream = TcpStream::connect((request.host(), request.port()))
            .await
            .and_then(|stream| tune_socket(&stream).map(|()| stream))
            .map_err(|source| ConnectError::Tcp {
                host: format!("{}:{}", request.host(), request.port()),
                source,
            })?;
        handshake(stream, request, tls).await
    };
    let (stream, prefix) = with_timeout(attempt).await?;
    Ok(Session::client_with_prefix(stream, prefix, config, dialer))
}

/// As [`connect`], over an open stream to the server, such as a tunnel through an HTTP proxy.
pub async fn connect_over<S, D>(
    stream: S,
    request: &ClientRequest,
    tls: Arc<ClientConfig>,
    config: SessionConfig,
    dialer: D,
) -> Result<(Session, SessionDriver<ClientStream>), ConnectError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    D: Dialer,
{
    let (stream, prefix) = with_timeout(handshake(stream, request, tls)).await?;
    Ok(Session::client_with_prefix(stream, prefix, config, dialer))
}

async fn with_timeout<T>(attempt: impl Future<Output = Result<T, ConnectError>>) -> Result<T, ConnectError> {
    tokio::time::timeout(CONNECT_TIMEOUT, attempt).await.unwrap_or(Err(ConnectError::Timeout))
}

/// Performs the TLS and WebSocket handshakes. Returns the stream, and the bytes received after the response's head.
async fn handshake<S: ClientIo + 'static>(
    stream: S,
    request: &ClientRequest,
    tls: Arc<ClientConfig>,
) -> Result<(ClientStream, bytes::Bytes), ConnectError> {
    let stream: ClientStream = if request.is_tls() {
        let host = request.host().to_owned();
        let server_name = ServerName::try_from(host.clone())
            .map_err(|_| ConnectError::InvalidUrl(request.url.to_string()))?;
        let stream = TlsConnector::from(tls).connect(server_name, stream).await;
        Box::new(stream.map_err(|source| ConnectError::Tls { host, source })?)
    } else {
        Box::new(stream)
    };
    let mut head_stream = HeadStream::new(stream);
    let http_request = request.to_http_request().map_err(|error| ConnectError::Handshake(Box::new(error)))?;
    match tokio_tungstenite::client_async(http_request, &mut head_stream).await {
        // tungstenite does only the handshake; `websocket` reads and writes the frames.
        Ok(_) => {
            let (stream, prefix) = head_stream.into_parts();
            Ok((stream, prefix.freeze()))
        }
        Err(tungstenite::Error::Http(response)) => {
            Err(rejection_error(response.status(), response.headers(), head_stream).await)
        }
        Err(error) => Err(ConnectError::Handshake(Box::new(error))),
    }
}

/// The error for a response other than 101, with the start of its body.
async fn rejection_error(
    status: StatusCode,
    headers: &HeaderMap,
    head_stream: HeadStream<ClientStream>,
) -> ConnectError {
    let content_length = headers.get("content-length").and_then(|len| len.to_str().ok()?.parse().ok());
    let limit = content_length.unwrap_or(MAX_BODY_LEN).min(MAX_BODY_LEN);
    let (stream, body_start) = head_stream.into_parts();
    let mut body = Vec::new();
    let mut reader = io::Cursor::new(body_start).chain(stream).take(limit as u64);
    // If the connection breaks off, show the received part of the body.
    let _ = reader.read_to_end(&mut body).await;
    ConnectError::Rejected { status, body: clean_text(&body) }
}
