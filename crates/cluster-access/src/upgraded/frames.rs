//! Finds the boundaries of WebSocket (RFC 6455) and SPDY/3.1 frames, without reading their content, and builds the frames that
//! close a connection.

/// The message to the client when the server closes a joined connection.
#[derive(Clone, Debug)]
pub struct Closing {
    /// The status code of WebSocket's close frame: 1001 if the server stops, 1008 if rights ended.
    pub code: u16,
    /// The reason; at most 123 bytes are sent.
    pub reason: String,
    /// A last text message, if the client reads a stream of text messages.
    pub last_message: Option<String>,
}

/// The protocols of upgraded connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    WebSocket,
    Spdy,
}

/// GOAWAY of SPDY/3.1: control bit and version 3, type 7, eight bytes: last good stream 0 (none), status 0 (OK).
const GO_AWAY: [u8; 16] = [0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];

/// A close frame has at most 125 bytes, of which two are the code.
const MAX_REASON_LEN: usize = 123;

/// The longest head of a frame: WebSocket's with a long length and a mask.
const MAX_HEAD_LEN: usize = 14;

const OPCODE_CONTINUATION: u8 = 0;
const OPCODE_TEXT: u8 = 1;
const OPCODE_CLOSE: u8 = 8;
const FIN: u8 = 0x80;

/// The position in a stream of frames.
pub(super) struct Frames {
    protocol: Protocol,
    head: [u8; MAX_HEAD_LEN],
    head_len: usize,
    /// The bytes of the current frame's content that are still missing.
    content_left: u64,
    /// Whether the last message is a text message.
    is_text: bool,
    /// Whether the message continues with the next frame.
    in_message: bool,
    has_close_frame: bool,
}

impl Frames {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            head: [0; MAX_HEAD_LEN],
            head_len: 0,
            content_left: 0,
            is_text: false,
            in_message: false,
            has_close_frame: false,
        }
    }

    /// Whether the last frame is complete and the next one has not started.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.head_len == 0 && self.content_left == 0
    }

    /// Records bytes that were forwarded.
    pub(super) fn record(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let recorded = self.record_to_boundary(bytes);
            bytes = bytes.get(recorded..).unwrap_or_default();
        }
    }

    /// Records bytes up to the end of the current frame; returns their number.
    pub(super) fn record_to_boundary(&mut self, bytes: &[u8]) -> usize {
        let mut recorded = 0;
        while self.content_left == 0 {
            let Some(byte) = bytes.get(recorded) else { return recorded };
            recorded += 1;
            if let Some(slot) = self.head.get_mut(self.head_len) {
                *slot = *byte;
            }
            self.head_len += 1;
            let Some(length) = self.content_len() else { continue };
            self.start_content(length);
            if length == 0 {
                return recorded;
            }
        }
        let available = bytes.len() - recorded;
        let content_len = usize::try_from(self.content_left).map_or(available, |left| left.min(available));
        self.content_left -= content_len as u64;
        recorded + content_len
    }

    /// Applies the complete head of a frame, whose content follows.
    fn start_content(&mut self, content_len: u64) {
        self.head_len = 0;
        self.content_left = content_len;
        if self.protocol == Protocol::Spdy {
            return;
        }
        let [first, ..] = self.head;
        match first & 0x0f {
            OPCODE_CLOSE => self.has_close_frame = true,
            OPCODE_CONTINUATION => self.in_message = first & FIN == 0,
            opcode if opcode < OPCODE_CLOSE => {
                self.is_text = opcode == OPCODE_TEXT;
                self.in_message = first & FIN == 0;
            }
            _ => {}
        }
    }

    /// The length of the content; `None` while the head is incomplete.
    fn content_len(&self) -> Option<u64> {
        let head = self.head.get(..self.head_len)?;
        let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        if self.protocol == Protocol::Spdy {
            return head.get(5..8).map(big_endian);
        }
        let second = *head.get(1)?;
        let (length_end, length) = match second & 0x7f {
            126 => (4, big_endian(head.get(2..4)?)),
            127 => (10, big_endian(head.get(2..10)?)),
            length => (2, u64::from(length)),
        };
        let mask_len = if second & 0x80 == 0 { 0 } else { 4 };
        (head.len() == length_end + mask_len).then_some(length)
    }

    /// The frames that close the stream, to be sent between two frames.
    pub(super) fn closing_frames(&self, closing: &Closing) -> Vec<u8> {
        match self.protocol {
            Protocol::Spdy => GO_AWAY.to_vec(),
            // The cluster has already sent a close frame.
            Protocol::WebSocket if self.has_close_frame => Vec::new(),
            Protocol::WebSocket => {
                let mut bytes = Vec::new();
                if let Some(message) =
                    closing.last_message.as_deref().filter(|_| self.is_text && !self.in_message)
                {
                    push_frame(&mut bytes, OPCODE_TEXT, message.as_bytes());
                }
                let reason = closing.reason.get(..closing.reason.floor_char_boundary(MAX_REASON_LEN));
                let content = [&closing.code.to_be_bytes(), reason.unwrap_or_default().as_bytes()].concat();
                push_frame(&mut bytes, OPCODE_CLOSE, &content);
                bytes
            }
        }
    }
}

/// Appends an unmasked frame.
fn push_frame(bytes: &mut Vec<u8>, opcode: u8, content: &[u8]) {
    bytes.push(FIN | opcode);
    match (u8::try_from(content.len()), u16::try_from(content.len())) {
        (Ok(length @ ..126), _) => bytes.push(length),
        (_, Ok(length)) => {
            bytes.push(126);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend_from_slice(&(content.len() as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The boundaries of frames, for chunks of every length.
    fn frame_boundaries(protocol: Protocol, bytes: &[u8]) -> Vec<usize> {
        let mut expected = Vec::new();
        for chunk_len in 1..=bytes.len() {
            let mut frames = Frames::new(protocol);
            let (mut boundaries, mut position) = (Vec::new(), 0);
            for mut part in bytes.chunks(chunk_len) {
                while !part.is_empty() {
                    let recorded = frames.record_to_boundary(part);
                    position += recorded;
                    part = &part[recorded..];
                    if frames.is_at_boundary() {
                        boundaries.push(position);
                    }
                }
            }
            assert!(expected.is_empty() || expected == boundaries, "chunks of {chunk_len}");
            expected = boundaries;
        }
        expected
    }

    #[test]
    fn websocket_frames_are_separated() {
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x89, 0];
        bytes.extend([0x82, 0x83, 1, 2, 3, 4, b'a', b'b', b'c']);
        push_frame(&mut bytes, OPCODE_TEXT, &[b'x'; 126]);
        push_frame(&mut bytes, OPCODE_TEXT, &vec![b'x'; 70_000]);
        let ends = [4, 6, 15, 15 + 4 + 126, 15 + 4 + 126 + 10 + 70_000];
        let mut frames = Frames::new(Protocol::WebSocket);
        frames.record(&bytes);
        assert!(frames.is_at_boundary());
        assert_eq!(frame_boundaries(Protocol::WebSocket, &bytes[..ends[3]]), ends[..4]);
        frames.record(&bytes[..5]);
        assert!(!frames.is_at_boundary());
    }

    #[test]
    fn spdy_frames_are_separated() {
        let mut bytes = vec![0x80, 3, 0, 1, 0, 0, 0, 10];
        bytes.extend([7; 10]);
        bytes.extend([0, 0, 0, 1, 0, 0, 1, 0]);
        bytes.extend([7; 256]);
        bytes.extend(GO_AWAY);
        assert_eq!(frame_boundaries(Protocol::Spdy, &bytes), [18, 18 + 264, 18 + 264 + 16]);
    }

    #[test]
    fn close_frame_carries_code_and_reason() {
        let closing =
            Closing { code: 1008, reason: "gone".to_owned(), last_message: Some("last".to_owned()) };
        let mut frames = Frames::new(Protocol::WebSocket);
        let close = [&[0x88, 6][..], &1008_u16.to_be_bytes(), b"gone"].concat();
        assert_eq!(frames.closing_frames(&closing), close, "no text message before");
        frames.record(&[0x81, 1, b'x']);
        let last = [&[0x81, 4][..], b"last", &close].concat();
        assert_eq!(frames.closing_frames(&closing), last);
        frames.record(&[0x01, 1, b'x']);
        assert_eq!(frames.closing_frames(&closing), close, "not inside a message");
        frames.record(&[0x80, 1, b'x', 0x88, 0]);
        assert!(frames.closing_frames(&closing).is_empty(), "it is already closed");
        assert_eq!(Frames::new(Protocol::Spdy).closing_frames(&closing), GO_AWAY);
    }

    #[test]
    fn close_reason_is_cut_between_characters() {
        let closing = Closing { code: 1001, reason: "ü".repeat(100), last_message: None };
        let frame = Frames::new(Protocol::WebSocket).closing_frames(&closing);
        assert_eq!((frame[1], frame.len()), (124, 126));
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
