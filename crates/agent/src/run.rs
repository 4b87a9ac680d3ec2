//! Connecting, reconnecting and stopping.

mod backoff;
mod drain;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use remotedialer::{
    ClientRequest, ClientStream, CloseCode, ConnectError, Session, SessionConfig, SessionDriver,
    SessionError, connect_over, upgrade,
};
use rustls::ClientConfig;
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::backoff::Backoff;
use crate::dialer::ApiServerDialer;
use crate::event::{Event, Observer, shorten};
use crate::network::Network;
use crate::settings::Settings;
use crate::{connection, fetch, params, trust};

/// The time limit of each part of an attempt: reading the certificate authorities, connecting (through the proxy), and the TLS
/// and WebSocket handshakes, which `remotedialer` limits to the same time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The reason why an agent cannot run with its settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The settings result in a request that cannot be sent.
    #[error("cannot build the agent's request to {server}; check CATTLE_SERVER and CATTLE_TOKEN")]
    Request {
        /// The server, `https://host[:port]`.
        server: String,
    },
}

/// Connects to the server, and again after each failure or disconnect, until `stop` is cancelled. Then new connections are
/// denied, active ones have some seconds to finish ([`Settings::with_drain`]), and the session is closed.
///
/// # Errors
/// The settings result in a request that cannot be sent.
pub async fn run(
    settings: Settings,
    network: Network,
    observer: Observer,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let dialer = ApiServerDialer::new(&settings, network.clone(), Arc::clone(&observer));
    let mut agent = Agent { settings, network, observer, dialer, has_connected: false, tls_config: None };
    agent.check_request()?;
    let mut backoff = Backoff::default();
    while let Some(outcome) = stop.run_until_cancelled(agent.connect()).await {
        match outcome {
            Ok((session, driver)) => {
                agent.has_connected = true;
                agent.report(&Event::Connected { server: agent.settings.server() });
                let started = Instant::now();
                agent.run_session(session, driver, &stop).await;
                backoff.record_session(started.elapsed());
            }
            Err(event) => {
                if matches!(event, Event::NotTrusted { .. }) {
                    // The authorities may have been replaced: read them again.
                    agent.tls_config = None;
                }
                agent.report(&event);
            }
        }
        if stop.run_until_cancelled(sleep(backoff.next_delay())).await.is_none() {
            break;
        }
    }
    agent.report(&Event::Stopped);
    Ok(())
}

struct Agent {
    settings: Settings,
    network: Network,
    observer: Observer,
    dialer: ApiServerDialer,
    /// Whether this process has been connected before.
    has_connected: bool,
    /// The TLS configuration for the trusted authorities, once they are read.
    tls_config: Option<Arc<ClientConfig>>,
}

impl Agent {
    fn report(&self, event: &Event) {
        (self.observer)(event);
    }

    fn check_request(&self) -> Result<(), RunError> {
        let request = self.build_request();
        request.map(|_| ()).ok_or_else(|| RunError::Request { server: self.settings.server() })
    }

    /// Makes one attempt to connect. The error is the event to report.
    async fn connect(&mut self) -> Result<(Session, SessionDriver<ClientStream>), Event> {
        let (server, proxy) = (self.settings.server(), self.settings.proxy());
        self.report(&Event::Connecting { server, proxy });
        let tls_config = match &self.tls_config {
            Some(tls_config) => Arc::clone(tls_config),
            None => Arc::clone(self.tls_config.insert(self.load_tls_config().await?)),
        };
        let Some(request) = self.build_request() else {
            return Err(Event::HandshakeFailed { reason: "the request cannot be built".to_owned() });
        };
        let stream = with_timeout(connection::open(&self.settings, &self.network)).await?;
        let outcome =
            connect_over(stream, &request, tls_config, SessionConfig::client(), self.dialer.clone()).await;
        outcome.map_err(|error| self.connect_error_event(&error))
    }

    /// Creates the TLS configuration. With a checksum, reads the trusted authorities from the server.
    async fn load_tls_config(&self) -> Result<Arc<ClientConfig>, Event> {
        let unavailable = |reason| Event::AuthoritiesUnavailable { reason };
        let Some(checksum) = &self.settings.checksum else {
            return trust::system_tls_config().map_err(|reason| Event::NotTrusted {
                address: self.settings.server.to_string(),
                reason,
                remedy: "apply the cluster's import manifest again, which sets CATTLE_CA_CHECKSUM, or set SSL_CERT_FILE",
            });
        };
        let unverified_tls = trust::unverified_tls_config().map_err(unavailable)?;
        let pem = fetch::fetch_authorities(&self.settings, &self.network, unverified_tls, checksum);
        trust::pinned_tls_config(&with_timeout(pem).await?).map_err(unavailable)
    }

    /// Builds the upgrade request, with the token.
    fn build_request(&self) -> Option<ClientRequest> {
        let path = if self.has_connected { "/v3/connect" } else { "/v3/connect/register" };
        let url = format!("wss://{}{path}", self.settings.host_and_port());
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (upgrade::TOKEN_HEADER, self.settings.token.expose_secret().to_owned()),
            (upgrade::PARAMS_HEADER, params::header_value(&self.settings.api_server)),
        ] {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Some(ClientRequest::new(&url).ok()?.with_headers(headers))
    }

    /// Runs a session until it ends, or until `stop` is cancelled and the session is drained and closed.
    async fn run_session(
        &self,
        session: Session,
        driver: SessionDriver<ClientStream>,
        stop: &CancellationToken,
    ) {
        let mut driver = pin!(driver);
        tokio::select! {
            reason = driver.as_mut() => return self.report(&self.disconnected_event(&reason)),
            () = stop.cancelled() => {}
        }
        self.dialer.drain();
        self.report(&Event::Draining { connections: session.connections() });
        let idle = drain::wait_until_idle(&session, self.settings.drain_idle_time);
        let drained = timeout(self.settings.drain_timeout, idle);
        tokio::select! {
            reason = driver.as_mut() => return self.report(&self.disconnected_event(&reason)),
            // After the time limit, the remaining connections are closed with the session.
            _ = drained => {}
        }
        session.close(CloseCode::GOING_AWAY, "the agent is stopping");
        driver.await;
    }

    fn disconnected_event(&self, reason: &SessionError) -> Event {
        Event::Disconnected { reason: self.sanitize(&reason.to_string()) }
    }

    fn connect_error_event(&self, error: &ConnectError) -> Event {
        match error {
            ConnectError::Tls { source, .. } => {
                trust::tls_event(&self.settings.server, source, self.settings.checksum.is_some())
            }
            ConnectError::Rejected { status, body } => {
                Event::Rejected { status: status.as_u16(), text: self.sanitize(body) }
            }
            ConnectError::Timeout => Event::TimedOut { after: CONNECT_TIMEOUT },
            error => Event::HandshakeFailed { reason: self.sanitize(&trust::with_causes(error)) },
        }
    }

    /// The start of a text that may come from the server, without the token.
    fn sanitize(&self, text: &str) -> String {
        shorten(&self.settings.redact(text))
    }
}

/// Limits the duration of one part of an attempt.
async fn with_timeout<T>(attempt: impl Future<Output = Result<T, Event>>) -> Result<T, Event> {
    let after = CONNECT_TIMEOUT;
    timeout(after, attempt).await.unwrap_or(Err(Event::TimedOut { after }))
}
