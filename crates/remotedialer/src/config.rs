//! Limits and timing of sessions.

use std::sync::Arc;
use std::time::Duration;

use crate::stats::Stats;

/// Limits and timing of a session. Start from [`SessionConfig::server`] or [`SessionConfig::client`].
///
/// ```
/// let config = remotedialer::SessionConfig { max_connections: 100, ..remotedialer::SessionConfig::server() };
/// ```
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Name of the client in `connection not found <name>/<session>/<connection>`, which the peer logs.
    pub client_key: String,
    /// Interval between pings. The original agent gives up without a pong for 60 s and pings every 5 s itself.
    pub ping_interval: Duration,
    /// Time without any frame of the peer after which the session ends.
    pub peer_timeout: Duration,
    /// Time in which the peer must accept bytes when there are some to send.
    pub write_timeout: Duration,
    /// Time to wait for the peer's close frame after sending one.
    pub close_timeout: Duration,
    /// Interval of SyncConnections messages. Only clients send them.
    pub sync_interval: Option<Duration>,
    /// Time after its Connect during which an unanswered connection survives a SyncConnections message that does not
    /// list it: the two may have crossed. The original ends such connections.
    pub sync_grace: Duration,
    /// Time from the first byte written to a dialed connection within which the peer must send data. `None` by
    /// default, because an upload may have no response until its end. Set it to about 10 s for connections with TLS
    /// inside, where the target answers at once: the protocol does not confirm dials, so that a peer that ignores
    /// them goes unnoticed otherwise.
    pub response_timeout: Option<Duration>,
    /// Time for which the peer may keep a connection paused while data waits to be sent.
    pub stall_timeout: Option<Duration>,
    /// Time for which a dropped connection may keep unsent data.
    pub linger: Duration,
    /// Time that a client's dialer has.
    pub dial_timeout: Duration,
    /// Longest message accepted, in bytes. Longer ones end the session with close code 1009.
    pub max_message_len: u64,
    /// Connections open at the same time. Further dials fail.
    pub max_connections: usize,
    /// Received bytes of a connection above which the peer is asked to pause.
    pub pause_threshold: usize,
    /// Received bytes of a paused connection below which the peer is asked to resume.
    pub resume_threshold: usize,
    /// Received bytes of a connection above which it fails, because the peer ignores Pause.
    pub max_connection_buffer: usize,
    /// Received bytes of all connections above which the one with the largest buffer fails.
    pub max_session_buffer: usize,
    /// Bytes of a connection that wait to be sent, above which writes wait.
    pub send_buffer: usize,
    /// Bytes of all connections that wait to be sent, above which each connection may queue one Data message only.
    pub session_send_buffer: usize,
    /// Counters to which the session adds beside its own, for totals over many sessions.
    pub totals: Option<Arc<Stats>>,
}

impl SessionConfig {
    /// Values for the side that accepts sessions and dials.
    pub fn server() -> Self {
        Self {
            client_key: String::new(),
            ping_interval: Duration::from_secs(10),
            peer_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(2),
            sync_interval: None,
            sync_grace: Duration::from_secs(10),
            response_timeout: None,
            stall_timeout: Some(Duration::from_mins(5)),
            linger: Duration::from_secs(30),
            dial_timeout: Duration::from_mins(1),
            max_message_len: 1024 * 1024,
            max_connections: 4096,
            pause_threshold: 1024 * 1024,
            resume_threshold: 256 * 1024,
            max_connection_buffer: 12 * 1024 * 1024,
            max_session_buffer: 64 * 1024 * 1024,
            send_buffer: 128 * 1024,
            session_send_buffer: 4 * 1024 * 1024,
            totals: None,
        }
    }

    /// Values for the side that connects to a server and dials on its behalf.
    pub fn client() -> Self {
        Self {
            client_key: "client".to_owned(),
            ping_interval: Duration::from_secs(5),
            sync_interval: Some(Duration::from_mins(1)),
            ..Self::server()
        }
    }
}
