//! Tunnel messages and their encoding.
//!
//! A binary WebSocket message contains one tunnel message: `varint id · varint connection · varint type`, a varint deadline (only
//! for Data and Connect), and the body up to the end of the WebSocket message. The numbers and limits are those of
//! `github.com/rancher/remotedialer` v0.6.1.

use bytes::Bytes;

use crate::error::ProtocolError;
use crate::varint;

/// The maximum length of a message header in bytes: two full varints, a one-byte type and the deadline.
pub(crate) const MAX_HEADER_LEN: usize = 2 * varint::MAX_LEN + 1 + 3;

/// The maximum length of a target that the original reads from a Connect message, in bytes.
pub const MAX_TARGET_LEN: usize = 266;

/// The maximum length of a text that the original reads from an Error message, in bytes.
pub const MAX_ERROR_LEN: usize = 100;

/// The maximum length of `client/session` that the original reads from an announcement, in bytes.
pub(crate) const MAX_CLIENT_LEN: usize = 100;

/// The text of an Error message that ends a connection normally.
pub(crate) const EOF: &str = "EOF";

/// The text of an Error message for connections of a session that ends.
pub(crate) const DISCONNECT: &str = "tunnel disconnect";

/// The deadline in milliseconds, which the original sends and receivers ignore.
const DEADLINE_MS: i64 = 15_000;

/// Numbers of the message types.
pub(crate) mod kind {
    pub(crate) const DATA: i64 = 1;
    pub(crate) const CONNECT: i64 = 2;
    pub(crate) const ERROR: i64 = 3;
    pub(crate) const ADD_CLIENT: i64 = 4;
    pub(crate) const REMOVE_CLIENT: i64 = 5;
    pub(crate) const PAUSE: i64 = 6;
    pub(crate) const RESUME: i64 = 7;
    pub(crate) const SYNC_CONNECTIONS: i64 = 8;
}

/// Whether messages of this type have a deadline in the header.
pub(crate) fn has_deadline(kind: i64) -> bool {
    matches!(kind, kind::DATA | kind::CONNECT)
}

/// The network and address in a Connect message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The network, such as `tcp`.
    pub network: String,
    /// The address, such as `10.0.0.1:443`.
    pub address: String,
}

impl Target {
    /// Splits `network/address` at the first `/`.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ProtocolError> {
        let text = String::from_utf8_lossy(body);
        let (network, address) = text.split_once('/').ok_or(ProtocolError::MalformedConnect)?;
        Ok(Self { network: network.to_owned(), address: address.to_owned() })
    }

    /// The length of the encoded target in bytes.
    pub(crate) fn encoded_len(&self) -> usize {
        self.network.len() + 1 + self.address.len()
    }
}

/// One tunnel message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// A counter of the sender. Receivers ignore it.
    pub id: i64,
    /// The connection within the session; 0 for messages about the session.
    pub connection: i64,
    /// The type and body.
    pub payload: Payload,
}

/// The type and body of a [`Message`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Bytes of the connection.
    Data(Bytes),
    /// Requests that the peer dial.
    Connect(Target),
    /// Ends the connection in both directions. The text `EOF` is a normal end.
    Error(Bytes),
    /// Announces a client of a peer server, as `client/session`.
    AddClient(Bytes),
    /// Withdraws the announcement of a client.
    RemoveClient(Bytes),
    /// Requests that the peer stop sending Data on the connection.
    Pause,
    /// Ends a Pause.
    Resume,
    /// The open connections of the sender. All others have ended.
    SyncConnections(Vec<i64>),
    /// An undefined type, by its number. Receivers ignore it.
    Unknown(i64),
}

impl Payload {
    fn kind(&self) -> i64 {
        match self {
            Self::Data(_) => kind::DATA,
            Self::Connect(_) => kind::CONNECT,
            Self::Error(_) => kind::ERROR,
            Self::AddClient(_) => kind::ADD_CLIENT,
            Self::RemoveClient(_) => kind::REMOVE_CLIENT,
            Self::Pause => kind::PAUSE,
            Self::Resume => kind::RESUME,
            Self::SyncConnections(_) => kind::SYNC_CONNECTIONS,
            Self::Unknown(kind) => *kind,
        }
    }
}

impl Message {
    /// Appends the encoded message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_header(out, self.id, self.connection, self.payload.kind());
        match &self.payload {
            Payload::Data(body)
            | Payload::Error(body)
            | Payload::AddClient(body)
            | Payload::RemoveClient(body) => out.extend_from_slice(body),
            Payload::Connect(target) => {
                out.extend_from_slice(target.network.as_bytes());
                out.push(b'/');
                out.extend_from_slice(target.address.as_bytes());
            }
            Payload::Pause | Payload::Resume | Payload::Unknown(_) => {}
            Payload::SyncConnections(ids) => out.extend(ids.iter().flat_map(|id| id.to_le_bytes())),
        }
    }
}

/// Writes the header of a message of any type.
pub(crate) fn write_header(out: &mut impl Extend<u8>, id: i64, connection: i64, kind: i64) {
    varint::write(out, id);
    varint::write(out, connection);
    varint::write(out, kind);
    if has_deadline(kind) {
        varint::write(out, DEADLINE_MS);
    }
}

/// Converts a text from the peer to valid UTF-8 without control characters, for users and logs.
pub(crate) fn clean_text(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_text_is_cleaned() {
        assert_eq!(clean_text(b"a\r\nb\x00\xff"), "a  b \u{fffd}");
    }

    #[test]
    fn data_header_has_deadline() {
        let message = Message { id: 0, connection: 2, payload: Payload::Data(Bytes::from_static(b"x")) };
        let mut out = Vec::new();
        message.encode(&mut out);
        assert_eq!(out, [0, 4, 2, 0xb0, 0xea, 0x01, b'x']);
        assert_eq!(Message::decode(&out), Ok(message));
    }

    #[test]
    fn malformed_messages_are_rejected() {
        let cases: [(&[u8], ProtocolError); 6] = [
            (&[], ProtocolError::TruncatedHeader),
            (&[0, 4], ProtocolError::TruncatedHeader),
            (&[0, 4, 2, 0xb0], ProtocolError::TruncatedHeader),
            (&[0, 4, 4, 0, b't', b'c', b'p'], ProtocolError::MalformedConnect),
            (&[0, 0, 8, b'c', b'/', b'x'], ProtocolError::MalformedClient),
            (&[0, 0, 16, 1, 2, 3, 4, 5, 6, 7], ProtocolError::MalformedSync(7)),
        ];
        for (bytes, error) in cases {
            assert_eq!(Message::decode(bytes), Err(error));
        }
    }
}
