//! An incremental decoder of WebSocket frames. It buffers only control frames.

use bytes::Bytes;

use super::{LEN_IN_2_BYTES, LEN_IN_8_BYTES, MAX_CONTROL_LEN, Role, mask, opcode};
use crate::close::CloseCode;
use crate::error::ProtocolError;
use crate::message::clean_text;

/// The maximum length of a frame header: two bytes, a 64-bit length and a mask.
const MAX_HEADER_LEN: usize = 14;

/// An element of the decoded input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// Unmasked bytes of the current message.
    Payload(&'a [u8]),
    /// The end of the current message.
    MessageEnd,
    /// A ping with its payload.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// A close frame.
    Close { code: CloseCode, reason: String },
}

/// A decoder for the frames that one side receives.
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    /// The side that decodes.
    role: Role,
    /// The maximum length of a whole message in bytes.
    max_message_len: u64,
    header: [u8; MAX_HEADER_LEN],
    header_len: usize,
    frame: Option<Frame>,
    /// Whether a message has started and not ended.
    in_message: bool,
    /// The payload length of the current message, including bytes of its frames that have not arrived.
    message_len: u64,
    control_payload: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: u8,
    fin: bool,
    len: u64,
    position: u64,
    mask: [u8; 4],
}

impl Frame {
    fn is_control(&self) -> bool {
        self.opcode >= opcode::CLOSE
    }
}

impl FrameDecoder {
    pub(crate) fn new(role: Role, max_message_len: u64) -> Self {
        Self {
            role,
            max_message_len,
            header: [0; MAX_HEADER_LEN],
            header_len: 0,
            frame: None,
            in_message: false,
            message_len: 0,
            control_payload: Vec::new(),
        }
    }

    /// Consumes bytes from the front of `input` up to the next event. Returns the event and the rest of `input`; without an
    /// event, all of `input` was consumed.
    pub(crate) fn next<'a>(
        &mut self,
        mut input: &'a mut [u8],
    ) -> Result<(Option<Event<'a>>, &'a mut [u8]), ProtocolError> {
        loop {
            let Some(frame) = self.frame else {
                let Some(byte) = input.split_off_first_mut() else { return Ok((None, input)) };
                self.push_header(*byte)?;
                continue;
            };
            let remaining_len = usize::try_from(frame.len - frame.position).unwrap_or(usize::MAX);
            if remaining_len == 0 {
                self.frame = None;
                match self.end_frame(frame) {
                    Some(event) => return Ok((Some(event), input)),
                    None => continue,
                }
            }
            let payload_len = remaining_len.min(input.len());
            let (payload, rest) = input.split_at_mut(payload_len);
            if payload.is_empty() {
                return Ok((None, rest));
            }
            input = rest;
            mask::apply(payload, frame.mask, frame.position);
            let position = frame.position + payload.len() as u64;
            self.frame = Some(Frame { position, ..frame });
            if frame.is_control() {
                self.control_payload.extend_from_slice(payload);
            } else {
                return Ok((Some(Event::Payload(payload)), input));
            }
        }
    }

    fn push_header(&mut self, byte: u8) -> Result<(), ProtocolError> {
        if let Some(slot) = self.header.get_mut(self.header_len) {
            *slot = byte;
            self.header_len += 1;
        }
        let header = self.header.get(..self.header_len).unwrap_or_default();
        if let Some(frame) = parse_header(header) {
            self.header_len = 0;
            self.start_frame(header_bits(header), frame)?;
        }
        Ok(())
    }

    fn start_frame(&mut self, bits: HeaderBits, frame: Frame) -> Result<(), ProtocolError> {
        if bits.has_reserved_bits {
            return Err(ProtocolError::ReservedBits);
        }
        match (self.role, bits.is_masked) {
            (Role::Server, false) => return Err(ProtocolError::UnmaskedFrame),
            (Role::Client, true) => return Err(ProtocolError::MaskedFrame),
            _ => {}
        }
        match frame.opcode {
            opcode::CLOSE | opcode::PING | opcode::PONG => {
                if !frame.fin || frame.len > MAX_CONTROL_LEN as u64 {
                    return Err(ProtocolError::MalformedControlFrame);
                }
            }
            opcode::CONTINUATION if !self.in_message => return Err(ProtocolError::UnexpectedContinuation),
            opcode::CONTINUATION => {}
            opcode::TEXT | opcode::BINARY if self.in_message => {
                return Err(ProtocolError::ExpectedContinuation);
            }
            opcode::TEXT => return Err(ProtocolError::TextMessage),
            opcode::BINARY => {
                self.in_message = true;
                self.message_len = 0;
            }
            other => return Err(ProtocolError::UnknownOpcode(other)),
        }
        if !frame.is_control() {
            self.message_len = self.message_len.saturating_add(frame.len);
            if self.message_len > self.max_message_len {
                return Err(ProtocolError::MessageTooLong(self.max_message_len));
            }
        }
        self.frame = Some(frame);
        Ok(())
    }

    fn end_frame(&mut self, frame: Frame) -> Option<Event<'static>> {
        if !frame.is_control() {
            self.in_message = !frame.fin;
            return frame.fin.then_some(Event::MessageEnd);
        }
        let payload = std::mem::take(&mut self.control_payload);
        Some(match frame.opcode {
            opcode::PING => Event::Ping(Bytes::from(payload)),
            opcode::PONG => Event::Pong,
            _ => close_event(&payload),
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct HeaderBits {
    has_reserved_bits: bool,
    is_masked: bool,
}

fn header_bits(header: &[u8]) -> HeaderBits {
    let first = header.first().copied().unwrap_or_default();
    let second = header.get(1).copied().unwrap_or_default();
    HeaderBits { has_reserved_bits: first & 0x70 != 0, is_masked: second & 0x80 != 0 }
}

/// Parses a header if it is complete.
fn parse_header(header: &[u8]) -> Option<Frame> {
    let (&[first, second], rest) = header.split_first_chunk()?;
    let (len, rest) = match second & 0x7f {
        LEN_IN_2_BYTES => {
            let (len, rest) = rest.split_first_chunk()?;
            (u64::from(u16::from_be_bytes(*len)), rest)
        }
        LEN_IN_8_BYTES => {
            let (len, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*len), rest)
        }
        len => (u64::from(len), rest),
    };
    let mask = if second & 0x80 == 0 { [0; 4] } else { *rest.first_chunk()? };
    Some(Frame { opcode: first & 0x0f, fin: first & 0x80 != 0, len, position: 0, mask })
}

fn close_event(payload: &[u8]) -> Event<'static> {
    match payload.split_first_chunk() {
        Some((code, reason)) => {
            Event::Close { code: CloseCode(u16::from_be_bytes(*code)), reason: clean_text(reason) }
        }
        None => Event::Close { code: CloseCode::NO_STATUS, reason: String::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(role: Role, mut bytes: Vec<u8>) -> Result<Vec<String>, ProtocolError> {
        let mut decoder = FrameDecoder::new(role, 1000);
        let mut input = bytes.as_mut_slice();
        let mut events = Vec::new();
        while let (Some(event), rest) = decoder.next(input)? {
            events.push(format!("{event:?}"));
            input = rest;
        }
        Ok(events)
    }

    #[test]
    fn fragments_with_pings_between_are_one_message() {
        let bytes = vec![0x02, 1, b'a', 0x89, 0, 0x00, 0, 0x80, 1, b'b'];
        assert_eq!(
            decode(Role::Client, bytes).unwrap(),
            ["Payload([97])", "Ping(b\"\")", "Payload([98])", "MessageEnd"]
        );
    }

    #[test]
    fn masked_payload_is_unmasked() {
        let bytes = vec![0x82, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3];
        assert_eq!(decode(Role::Server, bytes).unwrap(), ["Payload([97, 98, 99])", "MessageEnd"]);
    }

    #[test]
    fn protocol_violations_are_rejected() {
        let cases = [
            (vec![0x82, 0], ProtocolError::UnmaskedFrame),
            (vec![0xc2, 0x80, 0, 0, 0, 0], ProtocolError::ReservedBits),
            (vec![0x83, 0x80, 0, 0, 0, 0], ProtocolError::UnknownOpcode(3)),
            (vec![0x80, 0x80, 0, 0, 0, 0], ProtocolError::UnexpectedContinuation),
            (vec![0x81, 0x80, 0, 0, 0, 0], ProtocolError::TextMessage),
            (vec![0x09, 0x80, 0, 0, 0, 0], ProtocolError::MalformedControlFrame),
            (vec![0x89, 0xfe, 0, 200, 0, 0, 0, 0], ProtocolError::MalformedControlFrame),
            (vec![0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], ProtocolError::MessageTooLong(1000)),
            (vec![0x02, 0x80, 0, 0, 0, 0, 0x82, 0x80, 0, 0, 0, 0], ProtocolError::ExpectedContinuation),
        ];
        for (bytes, error) in cases {
            assert_eq!(decode(Role::Server, bytes.clone()), Err(error), "{bytes:x?}");
        }
    }

    #[test]
    fn close_frame_has_code_and_reason() {
        let bytes = vec![0x88, 4, 0x03, 0xe9, b'o', b'k', 0x88, 0];
        let events = decode(Role::Client, bytes).unwrap();
        assert_eq!(events[0], "Close { code: CloseCode(1001), reason: \"ok\" }");
        assert_eq!(events[1], "Close { code: CloseCode(1005), reason: \"\" }");
    }
}
