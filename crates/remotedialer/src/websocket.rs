//! WebSocket framing after the handshake (RFC 6455, section 5), without I/O.
//!
//! WebSocket crates return whole messages. A session processes the bytes of a message as they arrive instead, so that a large
//! message needs no buffer, and an idle session uses almost no memory.

mod decoder;
mod encoder;
mod mask;

pub(crate) use decoder::{Event, FrameDecoder};
pub(crate) use encoder::{FrameBuffer, control_frame};

/// The side of the WebSocket. Clients mask their frames, servers do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// Opcodes of RFC 6455, section 11.8.
mod opcode {
    pub(super) const CONTINUATION: u8 = 0;
    pub(super) const TEXT: u8 = 1;
    pub(super) const BINARY: u8 = 2;
    pub(super) const CLOSE: u8 = 8;
    pub(super) const PING: u8 = 9;
    pub(super) const PONG: u8 = 10;
}

/// A control frame to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    Ping,
    Pong(bytes::Bytes),
    Close { code: crate::CloseCode, reason: String },
}

/// The maximum payload length of a control frame, in bytes.
const MAX_CONTROL_LEN: usize = 125;

/// Values of the length field that announce a 16-bit or 64-bit length after it.
const LEN_IN_2_BYTES: u8 = 0x7e;
const LEN_IN_8_BYTES: u8 = 0x7f;
