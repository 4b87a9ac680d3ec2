//! Connects through an HTTP proxy with CONNECT.

use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{Method, Request};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use remotedialer::ClientStream;

use crate::event::Event;
use crate::network::{Network, connect_tcp};
use crate::settings::{Endpoint, Settings};
use crate::trust::{self, start_tls};

const UNTRUSTED_PROXY_REMEDY: &str = "a proxy is verified with the certificate authorities of the system: mount the authority \
    of the proxy and set SSL_CERT_FILE, or use its http:// address";

/// Connects to the server through `proxy`. TLS with the server runs inside the connection.
pub(crate) async fn open(
    settings: &Settings,
    proxy: &Intercept,
    network: &Network,
) -> Result<ClientStream, Event> {
    let proxy_failed =
        |status, reason| Event::ProxyFailed { proxy: settings.proxy().unwrap_or_default(), status, reason };
    let is_tls = proxy.uri().scheme_str() == Some("https");
    let host = proxy.uri().host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = proxy.uri().port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let address = Endpoint { host, port };
    let mut stream = connect_tcp(network, &address).await.map_err(|event| match event {
        Event::Unreachable { address, reason } => {
            proxy_failed(None, format!("cannot connect to {address}: {reason}"))
        }
        event => event,
    })?;
    if is_tls {
        // The checksum covers only the server's own authorities; a proxy is verified with those of the system.
        let config = trust::system_tls_config().map_err(|reason| proxy_failed(None, reason))?;
        stream = start_tls(stream, &address, config).await.map_err(|event| match event {
            Event::NotTrusted { address, reason, .. } => {
                Event::NotTrusted { address, reason, remedy: UNTRUSTED_PROXY_REMEDY }
            }
            event => event,
        })?;
    }
    request_connection(stream, settings, proxy).await.map_err(|(status, reason)| proxy_failed(status, reason))
}

/// Sends the CONNECT request. Returns the stream after the response; the error has the status, if any, and the reason.
async fn request_connection(
    stream: ClientStream,
    settings: &Settings,
    proxy: &Intercept,
) -> Result<ClientStream, (Option<u16>, String)> {
    let without_status = |error: hyper::Error| (None, trust::with_causes(&error));
    let target = settings.server.to_string();
    let mut request = Request::builder().method(Method::CONNECT).uri(&target).header(HOST, &target);
    if let Some(credential) = proxy.basic_auth() {
        let mut credential = credential.clone();
        credential.set_sensitive(true);
        request = request.header(PROXY_AUTHORIZATION, credential);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| (None, error.to_string()))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(without_status)?;
    // Ends with the upgrade, or when the sender is dropped.
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(request).await.map_err(without_status)?;
    let status = response.status();
    if !status.is_success() {
        return Err((Some(status.as_u16()), format!("the proxy responded with status {status}")));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(without_status)?;
    Ok(Box::new(TokioIo::new(upgraded)))
}
