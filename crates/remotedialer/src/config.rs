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
    /// The name of the client in `connection not found <name>/<session>/<connection>`, which the peer logs.
    pub client_key: String,
    /// The interval between pings. The original agent ends the session after 60 s without a pong, and pings every 5 s itself.
    pub ping_interval: Duration,
    /// The session ends after this time without a frame from the peer.
    pub peer_timeout: Duration,
    /// The time within which the peer must accept bytes if there are any to send.
    pub write_timeout: Duration,
    /// The time to wait for the peer's close frame after sending one.
    pub close_timeout: Duration,
    /// The interval of SyncConnections messages. Only clients send them.
    pub sync_interval: Option<Duration>,
    /// The time after Connect during which a connection that has received no data survives a SyncConnections message that does
    /// not list it, because the two messages may have crossed. The original ends such connections.
    pub sync_grace: Duration,
    /// The time after the first byte written to a dialed connection within which the peer must send data. `None` by default,
    /// because an upload may have no response until its end. Set it to about 10 s for connections with TLS, where the target
    /// responds immediately. The protocol does not confirm dials, so a peer that ignores them is not detected otherwise.
    pub response_timeout: Option<Duration>,
    /// The time for which the peer may pause a connection while data is waiting to be sent.
    pub stall_timeout: Option<Duration>,
    /// The time for which a dropped connection may have unsent data.
    pub linger: Duration,
    /// The time limit of a client's dialer.
    pub dial_timeout: Duration,
    /// The maximum length of an accepted message, in bytes. Longer ones end the session with close code 1009.
    pub max_message_len: u64,
    /// The maximum number of open connections. Further dials fail.
    pub max_connections: usize,
    /// The number of unread bytes of a connection above which a Pause is sent to the peer.
    pub pause_threshold: usize,
    /// The number of unread bytes of a paused connection below which a Resume is sent to the peer.
    pub resume_threshold: usize,
    /// The number of unread bytes of a connection above which it fails, because the peer ignores Pause.
    pub max_connection_buffer: usize,
    /// The number of unread bytes of all connections above which the connection with the largest buffer fails. Above half of this
    /// number, a Pause is sent above `resume_threshold` instead of `pause_threshold`.
    pub max_session_buffer: usize,
    /// The number of unsent bytes of a connection above which writes wait.
    pub send_buffer: usize,
    /// The number of unsent bytes of all connections above which each connection may queue only one Data message.
    pub session_send_buffer: usize,
    /// Additional counters for totals over many sessions.
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
