//! Sessions: the handle and the constructors of both sides.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::channel::{Channel, Timeouts};
use crate::close::CloseCode;
use crate::config::SessionConfig;
use crate::connection::Connection;
use crate::dialer::Dialer;
use crate::driver::SessionDriver;
use crate::error::{DialError, SessionError};
use crate::forward;
use crate::message::{MAX_TARGET_LEN, Target};
use crate::shared::Shared;
use crate::stats::StatsSnapshot;
use crate::websocket::Role;

/// A handle of a session. Clones refer to the same session. Dropping it does not end the session.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

/// Options of a dial.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DialOptions {
    /// Overrides [`SessionConfig::response_timeout`].
    pub response_timeout: Option<Duration>,
    /// Overrides [`SessionConfig::stall_timeout`].
    pub stall_timeout: Option<Duration>,
}

impl Session {
    /// The side that accepts the session and dials. `stream` is what the HTTP upgrade returned; the
    /// [`upgrade`](crate::upgrade) module has what the upgrade needs.
    ///
    /// Nothing happens until the driver is polled: spawn it, or await it to learn why the session ended.
    pub fn server<S>(stream: S, config: SessionConfig) -> (Self, SessionDriver<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shared = Arc::new(Shared::new(config, Role::Server));
        (Self { shared: Arc::clone(&shared) }, SessionDriver::new(stream, shared, None, Bytes::new()))
    }

    /// The side that dials on behalf of the server, over a WebSocket whose handshake is done. `dialer` decides
    /// what may be dialed. [`connect`](crate::connect) does the handshake as well.
    pub fn client<S, D>(stream: S, config: SessionConfig, dialer: D) -> (Self, SessionDriver<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        D: Dialer,
    {
        Self::client_with_prefix(stream, Bytes::new(), config, dialer)
    }

    /// Like [`Session::client`], with bytes that were read together with the handshake.
    pub(crate) fn client_with_prefix<S, D>(
        stream: S,
        prefix: Bytes,
        config: SessionConfig,
        dialer: D,
    ) -> (Self, SessionDriver<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        D: Dialer,
    {
        let accept = forward::acceptor(dialer, config.dial_timeout);
        let shared = Arc::new(Shared::new(config, Role::Client));
        (Self { shared: Arc::clone(&shared) }, SessionDriver::new(stream, shared, Some(accept), prefix))
    }

    /// Opens a connection: the peer is asked to dial `address` in `network`, such as `tcp` and `10.0.0.1:443`.
    ///
    /// It returns at once and without knowing whether the target is reachable, since the protocol does not
    /// confirm dials. Put time limits around the first response instead, such as the TLS handshake. The original
    /// agent ends the whole session when it is asked for a network other than `tcp`.
    pub fn dial(&self, network: &str, address: &str) -> Result<Connection, DialError> {
        self.dial_with(network, address, self.dial_options())
    }

    /// Like [`Session::dial`], with other timeouts.
    pub fn dial_with(
        &self,
        network: &str,
        address: &str,
        options: DialOptions,
    ) -> Result<Connection, DialError> {
        let target = Target { network: network.to_owned(), address: address.to_owned() };
        let is_valid = !network.is_empty()
            && !network.contains('/')
            && !address.is_empty()
            && target.encoded_len() <= MAX_TARGET_LEN;
        let text = format!("{network}/{address}");
        if !is_valid {
            return Err(DialError::InvalidTarget(text));
        }
        let timeouts = Timeouts { response: options.response_timeout, stall: options.stall_timeout };
        let channel = Arc::new(Channel::new(self.shared.next_connection(), timeouts));
        self.shared.open(&channel, Bytes::from(text))?;
        Ok(Connection::new(Arc::clone(&self.shared), channel))
    }

    /// The timeouts of dials that set none, from the session's configuration.
    pub fn dial_options(&self) -> DialOptions {
        let config = &self.shared.config;
        DialOptions { response_timeout: config.response_timeout, stall_timeout: config.stall_timeout }
    }

    /// Asks the driver to end the session: open connections fail with `tunnel disconnect`, then a close frame with
    /// `code` and `reason` is sent. [`Session::closed`] waits for the end.
    pub fn close(&self, code: CloseCode, reason: &str) {
        let mut state = self.shared.lock();
        state.close.get_or_insert_with(|| (code, reason.to_owned()));
        drop(state);
        self.shared.driver.wake();
    }

    /// Waits until the session has ended and returns why.
    pub async fn closed(&self) -> SessionError {
        let mut end = self.shared.end.subscribe();
        let reason = end.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason.unwrap_or(SessionError::DriverDropped)
    }

    /// Whether the session has ended or was asked to.
    pub fn is_closed(&self) -> bool {
        let state = self.shared.lock();
        state.ended || state.close.is_some()
    }

    /// When the last frame of the peer arrived, or the start of the session if none has.
    pub fn last_heard(&self) -> Instant {
        self.shared.last_heard()
    }

    /// When the session started.
    pub fn started(&self) -> Instant {
        self.shared.started
    }

    /// Number of open connections.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections.len()
    }

    /// Received bytes that wait for readers.
    pub fn buffered(&self) -> usize {
        self.shared.received()
    }

    /// Bytes that wait to be sent, for instance because the peer has paused its connection.
    pub fn queued(&self) -> usize {
        self.shared.outgoing()
    }

    /// Counters of the session.
    pub fn stats(&self) -> StatsSnapshot {
        self.shared.stats.snapshot()
    }

    /// Whether both handles refer to the same session.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("client_key", &self.shared.config.client_key)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
