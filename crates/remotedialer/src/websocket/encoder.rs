//! Encoder of WebSocket frames.

use super::{Control, LEN_IN_2_BYTES, LEN_IN_8_BYTES, MAX_CONTROL_LEN, Role, mask, opcode};
use crate::message;

/// Space before the body: WebSocket header (2 + 8 + 4 bytes) and tunnel header.
const HEADROOM: usize = 14 + message::MAX_HEADER_LEN;

/// The minimum initial capacity of a body, so that small writes share one allocation.
const MIN_BODY_CAPACITY: usize = 512;

/// The body of a message with space before it, so that headers are added without moving bytes.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
}

impl FrameBuffer {
    /// An empty body with space for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADROOM + capacity.max(MIN_BODY_CAPACITY));
        bytes.resize(HEADROOM, 0);
        Self { bytes, start: HEADROOM }
    }

    /// A body with these bytes.
    pub(crate) fn with_body(body: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEADROOM + body.len());
        bytes.resize(HEADROOM, 0);
        bytes.extend_from_slice(body);
        Self { bytes, start: HEADROOM }
    }

    /// Appends to the body, up to a length of `max_len` bytes. Returns the number of appended bytes.
    pub(crate) fn append(&mut self, bytes: &[u8], max_len: usize) -> usize {
        let body_len = self.bytes.len() - HEADROOM;
        let taken = bytes.len().min(max_len.saturating_sub(body_len));
        if self.bytes.capacity() - self.bytes.len() < taken {
            self.bytes.reserve_exact(max_len - body_len);
        }
        self.bytes.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        taken
    }

    /// The length of the body, without headers.
    pub(crate) fn body_len(&self) -> usize {
        self.bytes.len() - HEADROOM
    }

    /// Adds the tunnel header and the WebSocket header, and masks the frame on the client side.
    pub(crate) fn add_headers(&mut self, role: Role, id: i64, connection: i64, kind: i64) {
        let mut header = HeaderBytes::default();
        message::write_header(&mut header, id, connection, kind);
        self.prepend(header.as_slice());
        let payload_len = self.bytes.len() - self.start;
        let key = (role == Role::Client).then(rand::random::<[u8; 4]>);
        if let (Some(key), Some(payload)) = (key, self.bytes.get_mut(self.start..)) {
            mask::apply(payload, key, 0);
        }
        self.prepend(frame_header(opcode::BINARY, payload_len, key).as_slice());
    }

    fn prepend(&mut self, header: &[u8]) {
        let start = self.start - header.len();
        if let Some(space) = self.bytes.get_mut(start..self.start) {
            space.copy_from_slice(header);
            self.start = start;
        }
    }

    /// The bytes for the socket.
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Skips `count` bytes that were written to the socket.
    pub(crate) fn advance(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
    }
}

/// Encodes a control frame.
pub(crate) fn control_frame(role: Role, control: &Control) -> FrameBuffer {
    let mut payload = Vec::new();
    let frame_opcode = match control {
        Control::Ping => opcode::PING,
        Control::Pong(data) => {
            payload.extend_from_slice(data);
            opcode::PONG
        }
        Control::Close { code, reason } => {
            if code.is_sendable() {
                payload.extend_from_slice(&code.0.to_be_bytes());
                let reason_len = reason.floor_char_boundary(MAX_CONTROL_LEN - payload.len());
                payload.extend_from_slice(reason.as_bytes().get(..reason_len).unwrap_or_default());
            }
            opcode::CLOSE
        }
    };
    let key = (role == Role::Client).then(rand::random::<[u8; 4]>);
    if let Some(key) = key {
        mask::apply(&mut payload, key, 0);
    }
    let mut frame = FrameBuffer::with_body(&payload);
    frame.prepend(frame_header(frame_opcode, payload.len(), key).as_slice());
    frame
}

fn frame_header(frame_opcode: u8, len: usize, key: Option<[u8; 4]>) -> HeaderBytes {
    let mut header = HeaderBytes::default();
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    header.extend([0x80 | frame_opcode]);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..LEN_IN_2_BYTES), _) => header.extend([mask_bit | len]),
        (_, Ok(len)) => {
            header.extend([mask_bit | LEN_IN_2_BYTES]);
            header.extend(len.to_be_bytes());
        }
        _ => {
            header.extend([mask_bit | LEN_IN_8_BYTES]);
            header.extend((len as u64).to_be_bytes());
        }
    }
    header.extend(key.into_iter().flatten());
    header
}

/// A header on the stack.
#[derive(Debug, Default)]
struct HeaderBytes {
    bytes: [u8; message::MAX_HEADER_LEN],
    len: usize,
}

impl HeaderBytes {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Extend<u8> for HeaderBytes {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, iter: I) {
        for byte in iter {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, FrameDecoder};
    use super::*;
    use crate::close::CloseCode;
    use crate::message::kind;

    fn decode(role: Role, bytes: &[u8]) -> Vec<String> {
        let mut bytes = bytes.to_vec();
        let mut input = bytes.as_mut_slice();
        let mut decoder = FrameDecoder::new(role, 1 << 20);
        let mut events = Vec::new();
        while let (Some(event), rest) = decoder.next(input).unwrap() {
            input = rest;
            events.push(match event {
                Event::Payload(bytes) => format!("{} bytes", bytes.len()),
                other => format!("{other:?}"),
            });
        }
        events
    }

    #[test]
    fn frames_with_each_length_encoding_are_decoded() {
        for role in [Role::Client, Role::Server] {
            let peer = if role == Role::Client { Role::Server } else { Role::Client };
            for len in [0, 1, 119, 120, 125, 126, 65_000, 70_000] {
                let mut frame = FrameBuffer::with_capacity(len);
                assert_eq!(frame.append(&vec![7; len], 80_000), len);
                frame.add_headers(role, 0, 2, kind::DATA);
                // The tunnel header has 6 bytes.
                assert_eq!(
                    decode(peer, frame.as_slice()),
                    [format!("{} bytes", len + 6), "MessageEnd".to_owned()]
                );
            }
        }
    }

    #[test]
    fn close_reason_is_truncated_between_characters() {
        let control = Control::Close { code: CloseCode::POLICY, reason: "ä".repeat(100) };
        let frame = control_frame(Role::Server, &control);
        let reason = "ä".repeat(61);
        assert_eq!(
            decode(Role::Client, frame.as_slice()),
            [format!("Close {{ code: CloseCode(1008), reason: {reason:?} }}")]
        );
    }
}
