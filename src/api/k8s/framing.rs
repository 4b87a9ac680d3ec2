//! The boundaries of events in the body of a watch, so that a watch can end between two events.

use axum::body::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};

/// The framing of a watch, and the position in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// One event per line. Contains the last three bytes.
    Json([u8; 3]),
    /// Each event is preceded by its length in four bytes (big endian).
    Protobuf {
        /// The received bytes of the length.
        length_bytes: [u8; 4],
        length_read: usize,
        /// The missing bytes of the event.
        remaining: usize,
    },
    /// Compressed, or of an unknown type.
    Unknown,
}

impl Framing {
    /// The framing of a response with these headers.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut parts = header(CONTENT_TYPE).split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        match media_type {
            // Nothing can be appended to a body with a declared length.
            _ if !header(CONTENT_ENCODING).is_empty() || headers.contains_key(CONTENT_LENGTH) => {
                Self::Unknown
            }
            // At the start of the body, as if an event had just ended.
            "application/json" => Self::Json(*b"a}\n"),
            "application/vnd.kubernetes.protobuf" if parts.any(|part| part == "stream=watch") => {
                Self::Protobuf { length_bytes: [0; 4], length_read: 0, remaining: 0 }
            }
            _ => Self::Unknown,
        }
    }

    /// Whether the last event is complete and no other has started; `None` if unknown.
    pub(super) fn is_between_events(&self) -> Option<bool> {
        match self {
            Self::Json(last_bytes) => Some(ends_event(*last_bytes)),
            Self::Protobuf { length_read, remaining, .. } => Some(*length_read == 0 && *remaining == 0),
            Self::Unknown => None,
        }
    }

    /// Advances by a chunk of the body.
    pub(super) fn advance(&mut self, bytes: &[u8]) {
        match self {
            Self::Json(last_bytes) => {
                for byte in bytes.get(bytes.len().saturating_sub(3)..).unwrap_or_default() {
                    shift_in(last_bytes, *byte);
                }
            }
            Self::Protobuf { .. } => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    rest = rest.get(self.advance_to_boundary(rest)..).unwrap_or_default();
                }
            }
            Self::Unknown => {}
        }
    }

    /// Advances to the end of the current event, and returns the part of `bytes` that belongs to it.
    pub(super) fn finish_event(&mut self, mut bytes: Bytes) -> Bytes {
        let len = self.advance_to_boundary(&bytes);
        bytes.truncate(len);
        bytes
    }

    /// Advances to the end of the current event or of `bytes`, and returns the number of bytes before it.
    fn advance_to_boundary(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Json(last_bytes) => {
                let end = bytes.iter().position(|byte| {
                    shift_in(last_bytes, *byte);
                    ends_event(*last_bytes)
                });
                end.map_or(bytes.len(), |index| index + 1)
            }
            Self::Protobuf { length_bytes, length_read, remaining } => {
                let mut consumed = 0;
                while *remaining == 0 {
                    let (Some(byte), Some(slot)) = (bytes.get(consumed), length_bytes.get_mut(*length_read))
                    else {
                        return consumed;
                    };
                    *slot = *byte;
                    *length_read += 1;
                    consumed += 1;
                    if *length_read == length_bytes.len() {
                        *length_read = 0;
                        *remaining = usize::try_from(u32::from_be_bytes(*length_bytes)).unwrap_or(usize::MAX);
                        if *remaining == 0 {
                            return consumed;
                        }
                    }
                }
                let content_len = (*remaining).min(bytes.len() - consumed);
                *remaining -= content_len;
                consumed + content_len
            }
            Self::Unknown => bytes.len(),
        }
    }
}

/// Whether an event ends with these bytes. Kubernetes writes each event on one line. In indented JSON, a closing brace before a
/// line break follows whitespace or an opening brace, so it is not mistaken for the end of an event.
fn ends_event(last_bytes: [u8; 3]) -> bool {
    let [before, brace, line_break] = last_bytes;
    brace == b'}' && line_break == b'\n' && before != b'{' && !before.is_ascii_whitespace()
}

fn shift_in(last_bytes: &mut [u8; 3], byte: u8) {
    let [_, second, third] = *last_bytes;
    *last_bytes = [second, third, byte];
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf;stream=watch";

    fn framing(content_type: &'static str) -> Framing {
        Framing::from_headers(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]))
    }

    /// The positions after events. Asserts that they are the same for chunks of every length, and that `advance` and
    /// `finish_event` reach the same state.
    fn boundaries(content_type: &'static str, bytes: &[u8]) -> Vec<usize> {
        let mut previous: Option<Vec<usize>> = None;
        for chunk_len in 1..=bytes.len() {
            let (mut framing, mut advanced) = (framing(content_type), framing(content_type));
            let (mut positions, mut position) = (Vec::new(), 0);
            for chunk in bytes.chunks(chunk_len) {
                advanced.advance(chunk);
                let mut chunk = Bytes::copy_from_slice(chunk);
                while !chunk.is_empty() {
                    let consumed = framing.finish_event(chunk.clone()).len();
                    position += consumed;
                    chunk = chunk.slice(consumed..);
                    if framing.is_between_events() == Some(true) {
                        positions.push(position);
                    }
                }
                assert_eq!(framing, advanced);
            }
            assert!(previous.as_ref().is_none_or(|previous| *previous == positions), "chunks of {chunk_len}");
            previous = Some(positions);
        }
        previous.unwrap_or_default()
    }

    #[test]
    fn json_events_end_with_their_line() {
        let event = "{\"type\":\"ADDED\",\"object\":{\"a\":\"}\\n\"}}\n";
        let bytes = [event, event, "{\"type\""].concat();
        assert_eq!(boundaries("application/json", bytes.as_bytes()), [event.len(), event.len() * 2]);
        let indented = "{\n  \"type\": {},\n  \"object\": {\n    \"a\": {}\n  }\n}\n";
        assert!(boundaries("application/json", indented.as_bytes()).is_empty());
    }

    #[test]
    fn protobuf_events_end_by_their_length() {
        let bytes = [&[0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0], &[0, 0, 1, 0], &[7; 256], &[0, 0]].concat();
        assert_eq!(boundaries(PROTOBUF, &bytes), [7, 11, 271]);
    }

    #[test]
    fn framing_follows_from_the_headers() {
        for content_type in ["application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"] {
            assert_eq!(framing(content_type).is_between_events(), Some(true), "{content_type}");
        }
        for content_type in ["application/vnd.kubernetes.protobuf", "application/cbor-seq", "text/plain", ""]
        {
            assert_eq!(framing(content_type), Framing::Unknown, "{content_type}");
        }
        for (name, value) in [(CONTENT_ENCODING, "gzip"), (CONTENT_LENGTH, "3")] {
            let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let headers = HeaderMap::from_iter([json, (name, HeaderValue::from_static(value))]);
            assert_eq!(Framing::from_headers(&headers), Framing::Unknown);
        }
    }
}
