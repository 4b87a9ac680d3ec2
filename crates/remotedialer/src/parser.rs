//! Incremental decoding of tunnel messages, so that the body of Data needs no separate buffer.

use bytes::Bytes;

use crate::error::ProtocolError;
use crate::message::{self, MAX_CLIENT_LEN, MAX_ERROR_LEN, MAX_TARGET_LEN, Message, Payload, Target, kind};
use crate::varint;

/// The maximum length of an incomplete header, in bytes: four varints.
const MAX_PARTIAL_HEADER_LEN: usize = 4 * varint::MAX_LEN;

/// A part of the body of a Data message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DataPiece<'a> {
    pub(crate) connection: i64,
    pub(crate) bytes: &'a [u8],
    /// Whether this is the first piece of its message.
    pub(crate) is_first: bool,
}

/// Decodes one message at a time from the pieces in which it arrives.
#[derive(Debug)]
pub(crate) struct MessageParser {
    partial_header: [u8; MAX_PARTIAL_HEADER_LEN],
    partial_header_len: usize,
    header: Option<Header>,
    body: Vec<u8>,
    data_started: bool,
}

impl Default for MessageParser {
    fn default() -> Self {
        Self {
            partial_header: [0; MAX_PARTIAL_HEADER_LEN],
            partial_header_len: 0,
            header: None,
            body: Vec::new(),
            data_started: false,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Header {
    id: i64,
    connection: i64,
    kind: i64,
}

impl Header {
    /// Reads a header from the start of `input`. Returns it with its length, or `None` if `input` ends first.
    fn read(input: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let mut position = 0;
        let mut next_varint = || {
            let value = varint::read(input.get(position..).unwrap_or_default())?;
            position += value.map_or(0, |(_, len)| len);
            Ok(value.map(|(value, _)| value))
        };
        let (Some(id), Some(connection), Some(kind)) = (next_varint()?, next_varint()?, next_varint()?)
        else {
            return Ok(None);
        };
        if message::has_deadline(kind) && next_varint()?.is_none() {
            return Ok(None);
        }
        Ok(Some((Self { id, connection, kind }, position)))
    }
}

impl MessageParser {
    /// ID of the current message, 0 before its header is complete.
    pub(crate) fn id(&self) -> i64 {
        self.header.map_or(0, |header| header.id)
    }

    /// Takes the next bytes of the message. Returns those that belong to a Data body.
    pub(crate) fn push<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<DataPiece<'a>>, ProtocolError> {
        let (header, body) = match self.header {
            Some(header) => (header, bytes),
            None => match self.read_header(bytes)? {
                Some((header, body)) => (header, body),
                None => return Ok(None),
            },
        };
        if header.kind == kind::DATA {
            let is_first = !self.data_started;
            self.data_started = true;
            return Ok(Some(DataPiece { connection: header.connection, bytes: body, is_first }));
        }
        let max_body_len = match header.kind {
            kind::CONNECT => MAX_TARGET_LEN,
            kind::ERROR => MAX_ERROR_LEN,
            kind::ADD_CLIENT | kind::REMOVE_CLIENT => MAX_CLIENT_LEN,
            // The WebSocket layer limits the length of the whole message.
            kind::SYNC_CONNECTIONS => usize::MAX,
            _ => 0,
        };
        let taken = max_body_len.saturating_sub(self.body.len()).min(body.len());
        self.body.extend_from_slice(body.get(..taken).unwrap_or_default());
        Ok(None)
    }

    fn read_header<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(Header, &'a [u8])>, ProtocolError> {
        if self.partial_header_len == 0
            && let Some((header, len)) = Header::read(bytes)?
        {
            self.header = Some(header);
            return Ok(Some((header, bytes.get(len..).unwrap_or_default())));
        }
        for (index, &byte) in bytes.iter().enumerate() {
            let Some(slot) = self.partial_header.get_mut(self.partial_header_len) else {
                return Err(ProtocolError::VarintTooLong);
            };
            *slot = byte;
            self.partial_header_len += 1;
            let partial_header = self.partial_header.get(..self.partial_header_len).unwrap_or_default();
            if let Some((header, _)) = Header::read(partial_header)? {
                self.header = Some(header);
                return Ok(Some((header, bytes.get(index + 1..).unwrap_or_default())));
            }
        }
        Ok(None)
    }

    /// Ends the message. Returns its connection and payload, or `None` if its data was returned by `push`.
    pub(crate) fn finish(&mut self) -> Result<Option<(i64, Payload)>, ProtocolError> {
        let header = self.header.take().ok_or(ProtocolError::TruncatedHeader);
        self.partial_header_len = 0;
        self.data_started = false;
        let body = std::mem::take(&mut self.body);
        let header = header?;
        let payload = match header.kind {
            kind::DATA => return Ok(None),
            kind::CONNECT => Payload::Connect(Target::parse(&body)?),
            kind::ERROR => Payload::Error(Bytes::from(body)),
            kind::ADD_CLIENT => Payload::AddClient(checked_announcement(body)?),
            kind::REMOVE_CLIENT => Payload::RemoveClient(checked_announcement(body)?),
            kind::PAUSE => Payload::Pause,
            kind::RESUME => Payload::Resume,
            kind::SYNC_CONNECTIONS => Payload::SyncConnections(connection_ids(&body)?),
            kind => Payload::Unknown(kind),
        };
        Ok(Some((header.connection, payload)))
    }
}

impl Message {
    /// Decodes the payload of a binary WebSocket message.
    ///
    /// Bodies are truncated as by the original: Connect after [`MAX_TARGET_LEN`] and Error after [`MAX_ERROR_LEN`] bytes. The
    /// deadline is ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let mut parser = MessageParser::default();
        let mut data = Vec::new();
        let mut connection = None;
        if let Some(piece) = parser.push(bytes)? {
            connection = Some(piece.connection);
            data.extend_from_slice(piece.bytes);
        }
        let id = parser.id();
        match (parser.finish()?, connection) {
            (Some((connection, payload)), _) => Ok(Self { id, connection, payload }),
            (None, Some(connection)) => {
                Ok(Self { id, connection, payload: Payload::Data(Bytes::from(data)) })
            }
            (None, None) => Err(ProtocolError::TruncatedHeader),
        }
    }
}

/// Checks that an announcement is `client/<number>`.
fn checked_announcement(body: Vec<u8>) -> Result<Bytes, ProtocolError> {
    let text = String::from_utf8_lossy(&body);
    let number = text.split_once('/').map(|(_, number)| number.parse::<i64>());
    match number {
        Some(Ok(_)) => Ok(Bytes::from(body)),
        _ => Err(ProtocolError::MalformedClient),
    }
}

/// Reads the fixed-length little-endian IDs of a SyncConnections message.
fn connection_ids(body: &[u8]) -> Result<Vec<i64>, ProtocolError> {
    let (ids, rest) = body.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(ProtocolError::MalformedSync(body.len()));
    }
    Ok(ids.iter().map(|id| i64::from_le_bytes(*id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data of connection 2 with the body `abc`.
    const DATA: [u8; 9] = [0, 4, 2, 0xb0, 0xea, 0x01, b'a', b'b', b'c'];

    #[test]
    fn message_is_parsed_byte_by_byte() {
        let mut parser = MessageParser::default();
        let mut body = Vec::new();
        for byte in DATA {
            if let Some(piece) = parser.push(&[byte]).unwrap() {
                assert_eq!(piece.connection, 2);
                body.extend_from_slice(piece.bytes);
            }
        }
        assert_eq!(parser.finish(), Ok(None));
        assert_eq!(body, b"abc");
    }

    #[test]
    fn parser_is_reusable_after_an_error() {
        let mut parser = MessageParser::default();
        parser.push(&[0]).unwrap();
        assert_eq!(parser.finish(), Err(ProtocolError::TruncatedHeader));
        assert!(parser.push(&DATA).unwrap().is_some_and(|piece| piece.is_first));
    }

    #[test]
    fn long_bodies_are_truncated() {
        let mut parser = MessageParser::default();
        let mut message = vec![0, 4, 6];
        message.extend([b'x'; 5000]);
        parser.push(&message).unwrap();
        let (_, payload) = parser.finish().unwrap().unwrap();
        assert_eq!(payload, Payload::Error(Bytes::from(vec![b'x'; MAX_ERROR_LEN])));
    }
}
