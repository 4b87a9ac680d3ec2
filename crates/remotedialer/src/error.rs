//! Errors of the protocol, of sessions, of dials and of connections.

use std::io;

use thiserror::Error;

use crate::close::CloseCode;

/// A violation of the protocol by the peer. Each one ends the session.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The message is empty or ends within its header.
    #[error("message ends within its header")]
    TruncatedHeader,
    /// A varint is longer than ten bytes or exceeds 64 bits.
    #[error("varint exceeds 64 bits")]
    VarintTooLong,
    /// A Connect message has no `/` between network and address.
    #[error("Connect has no \"/\" between network and address")]
    MalformedConnect,
    /// The body of an AddClient or RemoveClient message is not `<client>/<number>`.
    #[error("client announcement has no session key")]
    MalformedClient,
    /// The length of the list of a SyncConnections message is not a multiple of eight bytes.
    #[error("connection list of {0} bytes is not a multiple of 8")]
    MalformedSync(usize),
    /// The peer sent Connect to a side that does not dial.
    #[error("connect not allowed")]
    ConnectNotAllowed,
    /// The WebSocket message is text. Tunnel messages are binary.
    #[error("text message received; only binary messages are supported")]
    TextMessage,
    /// A WebSocket frame sets a reserved bit although no extension was negotiated.
    #[error("frame sets a reserved bit")]
    ReservedBits,
    /// The opcode of a WebSocket frame is not defined by RFC 6455.
    #[error("opcode {0} is not defined")]
    UnknownOpcode(u8),
    /// A frame from a client is not masked.
    #[error("frame of the client is not masked")]
    UnmaskedFrame,
    /// A frame from a server is masked.
    #[error("frame of the server is masked")]
    MaskedFrame,
    /// A control frame is fragmented or longer than 125 bytes.
    #[error("control frame is fragmented or longer than 125 bytes")]
    MalformedControlFrame,
    /// A continuation frame belongs to no message.
    #[error("continuation frame without a message")]
    UnexpectedContinuation,
    /// A message starts before the previous one is complete.
    #[error("message starts within another message")]
    ExpectedContinuation,
    /// A message is longer than the configured limit, in bytes.
    #[error("message exceeds {0} bytes")]
    MessageTooLong(u64),
}

impl ProtocolError {
    /// The WebSocket close code that reports this violation to the peer.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::TextMessage => CloseCode::UNSUPPORTED,
            Self::ConnectNotAllowed => CloseCode::POLICY,
            Self::MessageTooLong(_) => CloseCode::TOO_BIG,
            _ => CloseCode::PROTOCOL,
        }
    }
}

/// The reason for the end of a session.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// This side closed the session with [`Session::close`](crate::Session::close).
    #[error("closed by this side: {code} {reason}")]
    ClosedLocally {
        /// The close code sent to the peer.
        code: CloseCode,
        /// The reason sent to the peer.
        reason: String,
    },
    /// The peer sent a close frame.
    #[error("closed by the peer: {code} {reason:?}")]
    ClosedByPeer {
        /// The close code of the peer.
        code: CloseCode,
        /// The reason of the peer, with control characters replaced.
        reason: String,
    },
    /// The peer closed the socket without a close frame, as agents of Rancher always do.
    #[error("peer disconnected")]
    Disconnected,
    /// Reading from or writing to the stream failed.
    #[error("stream failed: {message}")]
    Io {
        /// The kind of the error.
        kind: io::ErrorKind,
        /// The message of the error.
        message: String,
    },
    /// No frame arrived within [`SessionConfig::peer_timeout`](crate::SessionConfig::peer_timeout).
    #[error("peer timed out")]
    PeerTimeout,
    /// The peer accepted no bytes within [`SessionConfig::write_timeout`](crate::SessionConfig::write_timeout).
    #[error("peer stopped reading")]
    WriteTimeout,
    /// The peer requests responses but does not read them.
    #[error("too many unsent control messages")]
    ControlQueueFull,
    /// The peer violated the protocol.
    #[error("protocol violation: {0}")]
    Protocol(#[from] ProtocolError),
    /// The driver of the session was dropped before the session ended.
    #[error("session driver was dropped")]
    DriverDropped,
}

impl From<io::Error> for SessionError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Self::Disconnected,
            kind => Self::Io { kind, message: error.to_string() },
        }
    }
}

/// The reason why a dial failed before anything was sent to the peer.
///
/// The protocol does not confirm dials, so an unreachable target is not a `DialError`, but a [`ConnectionError::Peer`] of the
/// first read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The network or the address is empty, the network contains a `/`, or the target is too long.
    #[error("invalid target {0:?}; use a network such as \"tcp\" and \"host:port\"")]
    InvalidTarget(String),
    /// The session has ended.
    #[error("session has ended")]
    SessionEnded,
    /// The session has reached [`SessionConfig::max_connections`](crate::SessionConfig::max_connections).
    #[error("session has reached its limit of {0} connections")]
    TooManyConnections(usize),
    /// The peer does not read, so unsent control messages accumulate.
    #[error("peer is not reading; try again later")]
    Congested,
}

impl From<DialError> for io::Error {
    fn from(error: DialError) -> Self {
        let kind = match &error {
            DialError::InvalidTarget(_) => io::ErrorKind::InvalidInput,
            DialError::SessionEnded => io::ErrorKind::NotConnected,
            DialError::TooManyConnections(_) | DialError::Congested => io::ErrorKind::ResourceBusy,
        };
        Self::new(kind, error)
    }
}

/// The reason why a connection failed. Reads and writes return it in an [`io::Error`], see [`ConnectionError::from_io`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer ended the connection with this text; control characters are replaced. The text comes from the peer's network
    /// and is not trusted.
    #[error("{0}")]
    Peer(String),
    /// The connection is closed for writing.
    #[error("connection is closed")]
    Closed,
    /// The session ended. The message is the same as in Rancher.
    #[error("tunnel disconnect")]
    SessionEnded,
    /// The peer no longer lists the connection. The message is the same as in Rancher.
    #[error("sync from client")]
    Forgotten,
    /// The peer sent neither data nor an error in time.
    #[error("no response from the target")]
    ResponseTimeout,
    /// The peer paused the connection and did not resume it in time.
    #[error("peer paused the connection for too long")]
    Stalled,
    /// The peer ignored Pause and filled the receive buffer.
    #[error("receive buffer limit exceeded")]
    BufferLimit,
    /// The peer opened another connection with the same ID.
    #[error("connection ID was reused")]
    Replaced,
}

impl ConnectionError {
    /// The connection error in `error`, if there is one.
    pub fn from_io(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Peer(text) => io_kind_from_text(text),
            Self::Closed => io::ErrorKind::BrokenPipe,
            Self::SessionEnded | Self::Forgotten | Self::Replaced => io::ErrorKind::ConnectionReset,
            Self::ResponseTimeout | Self::Stalled => io::ErrorKind::TimedOut,
            Self::BufferLimit => io::ErrorKind::ConnectionAborted,
        }
    }
}

impl From<ConnectionError> for io::Error {
    fn from(error: ConnectionError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// The I/O error kind for a message of Go's `net` package, with which agents report failed dials.
fn io_kind_from_text(text: &str) -> io::ErrorKind {
    const KINDS: [(&str, io::ErrorKind); 6] = [
        ("connection refused", io::ErrorKind::ConnectionRefused),
        ("i/o timeout", io::ErrorKind::TimedOut),
        ("no route to host", io::ErrorKind::HostUnreachable),
        ("network is unreachable", io::ErrorKind::NetworkUnreachable),
        ("no such host", io::ErrorKind::NotFound),
        ("not allowed", io::ErrorKind::PermissionDenied),
    ];
    let known_kind = KINDS.iter().find(|(part, _)| text.contains(part));
    known_kind.map_or(io::ErrorKind::ConnectionReset, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_texts_map_to_io_kinds() {
        let error: io::Error =
            ConnectionError::Peer("dial tcp 10.0.0.1:443: connect: connection refused".to_owned()).into();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(matches!(ConnectionError::from_io(&error), Some(ConnectionError::Peer(_))));
        let error: io::Error = ConnectionError::Peer("anything else".to_owned()).into();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
