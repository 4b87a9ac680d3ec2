//! Sessions: the handle, and the constructors of both sides.

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

/// A handle to a session. Clones refer to the same session. Dropping it does not end the session.
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
    /// Creates the side that accepts the session and dials. `stream` is the result of the HTTP upgrade; see
    /// [`upgrade`](crate::upgrade).
    ///
    /// The session does nothing until the driver is polled: spawn it, or await it to get the reason for the end of the session.
    pub fn server<S>(stream: S, config: SessionConfig) -> (Self, SessionDriver<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shared = Arc::new(Shared::new(config, Role::Server));
        (Self { shared: Arc::clone(&shared) }, SessionDriver::new(stream, shared, None, Bytes::new()))
    }

    /// Creates the side that dials for the server, over a WebSocket after its handshake. `dialer` decides which targets may be
    /// dialed. [`connect`](crate::connect) also does the handshake.
    pub fn client<S, D>(stream: S, config: SessionConfig, dialer: D) -> (Self, SessionDriver<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        D: Dialer,
    {
        Self::client_with_prefix(stream, Bytes::new(), config, dialer)
    }

    /// As [`Session::client`], with bytes that were read together with the handshake.
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
        let acceptor = forward::acceptor(dialer, config.dial_timeout);
        let shared = Arc::new(Shared::new(config, Role::Client));
        (Self { shared: Arc::clone(&shared) }, SessionDriver::new(stream, shared, Some(acceptor), prefix))
    }

    /// Opens a connection: requests that the peer dial `address` in `network`, such as `tcp` and `10.0.0.1:443`.
    ///
    /// Returns immediately, before it is known whether the target is reachable, because the protocol does not confirm dials.
    /// Put a time limit on the first response instead, such as the TLS handshake. The original agent ends the whole session if
    /// the network is not `tcp`.
    pub fn dial(&self, network: &str, address: &str) -> Result<Connection, DialError> {
        self.dial_with(network, address, self.dial_options())
    }

    /// As [`Session::dial`], with other timeouts.
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
        let channel = Arc::new(Channel::new(self.shared.next_connection_id(), timeouts));
        self.shared.open(&channel, Bytes::from(text))?;
        Ok(Connection::new(Arc::clone(&self.shared), channel))
    }

    /// The default timeouts of dials, from the session's configuration.
    pub fn dial_options(&self) -> DialOptions {
        let config = &self.shared.config;
        DialOptions { response_timeout: config.response_timeout, stall_timeout: config.stall_timeout }
    }

    /// Requests that the driver end the session: open connections fail with `tunnel disconnect`, then a close frame with
    /// `code` and `reason` is sent. [`Session::closed`] waits for the end.
    pub fn close(&self, code: CloseCode, reason: &str) {
        let mut state = self.shared.lock();
        state.close_request.get_or_insert_with(|| (code, reason.to_owned()));
        drop(state);
        self.shared.driver_waker.wake();
    }

    /// Waits until the session has ended, and returns the reason.
    pub async fn closed(&self) -> SessionError {
        let mut end_reason = self.shared.end_reason.subscribe();
        let reason = end_reason.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason.unwrap_or(SessionError::DriverDropped)
    }

    /// Whether the session has ended or is closing.
    pub fn is_closed(&self) -> bool {
        let state = self.shared.lock();
        state.has_ended || state.close_request.is_some()
    }

    /// The time at which the last frame of the peer arrived; the start of the session if there was none.
    pub fn last_heard(&self) -> Instant {
        self.shared.last_heard()
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections.len()
    }

    /// The number of received bytes that were not read yet.
    pub fn buffered(&self) -> usize {
        self.shared.received()
    }

    /// The number of bytes that are queued for sending, for example because the peer has paused its connection.
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
