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
        head: [u8; 4],
        head_len: usize,
        /// The missing bytes of the event.
        left: usize,
    },
    /// Compressed, or of an unknown type.
    Unknown,
}

impl Framing {
    /// The framing of a response with these headers.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut parts = text(CONTENT_TYPE).split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        match media_type {
            // Nothing can be appended to a body with a declared length.
            _ if !text(CONTENT_ENCODING).is_empty() || headers.contains_key(CONTENT_LENGTH) => Self::Unknown,
            "application/json" => Self::Json(*b"a}\n"),
            "application/vnd.kubernetes.protobuf" if parts.any(|part| part == "stream=watch") => {
                Self::Protobuf { head: [0; 4], head_len: 0, left: 0 }
            }
            _ => Self::Unknown,
        }
    }

    /// Whether the last event is complete and no other has started; `None` if unknown.
    pub(super) fn is_between(&self) -> Option<bool> {
        match self {
            Self::Json(last) => Some(ends_event(*last)),
            Self::Protobuf { head_len, left, .. } => Some(*head_len == 0 && *left == 0),
            Self::Unknown => None,
        }
    }

    /// Advances by a chunk of the body.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        match self {
            Self::Json(last) => {
                for byte in bytes.get(bytes.len().saturating_sub(3)..).unwrap_or_default() {
                    push(last, *byte);
                }
            }
            Self::Protobuf { .. } => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    rest = rest.get(self.pass_to_boundary(rest)..).unwrap_or_default();
                }
            }
            Self::Unknown => {}
        }
    }

    /// Advances to the end of the current event, and returns the part of `bytes` that belongs to it.
    pub(super) fn finish_event(&mut self, mut bytes: Bytes) -> Bytes {
        let len = self.pass_to_boundary(&bytes);
        bytes.truncate(len);
        bytes
    }

    fn pass_to_boundary(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Json(last) => {
                let ended = bytes.iter().position(|byte| {
                    push(last, *byte);
                    ends_event(*last)
                });
                ended.map_or(bytes.len(), |at| at + 1)
            }
            Self::Protobuf { head, head_len, left } => {
                let mut passed = 0;
                while *left == 0 {
                    let (Some(byte), Some(slot)) = (bytes.get(passed), head.get_mut(*head_len)) else {
                        return passed;
                    };
                    *slot = *byte;
                    *head_len += 1;
                    passed += 1;
                    if *head_len == head.len() {
                        *head_len = 0;
                        *left = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
                        if *left == 0 {
                            return passed;
                        }
                    }
                }
                let content = (*left).min(bytes.len() - passed);
                *left -= content;
                passed + content
            }
            Self::Unknown => bytes.len(),
        }
    }
}

/// Kubernetes writes an event without line breaks, and a line break after it. In indented JSON, a brace before a line break
/// follows whitespace or belongs to an empty object, so it is not mistaken for the end of an event.
fn ends_event(last: [u8; 3]) -> bool {
    let [before, brace, line_break] = last;
    brace == b'}' && line_break == b'\n' && before != b'{' && !before.is_ascii_whitespace()
}

fn push(last: &mut [u8; 3], byte: u8) {
    let [_, second, third] = *last;
    *last = [second, third, byte];
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf;stream=watch";

    fn framing(content_type: &'static str) -> Framing {
        Framing::from_headers(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]))
    }

    /// The positions between two events, for chunks of every length.
    fn boundaries(content_type: &'static str, bytes: &[u8]) -> Vec<usize> {
        let mut found: Option<Vec<usize>> = None;
        for piece in 1..=bytes.len() {
            let (mut framing, mut whole) = (framing(content_type), framing(content_type));
            let (mut here, mut at) = (Vec::new(), 0);
            for part in bytes.chunks(piece) {
                whole.pass(part);
                let mut part = Bytes::copy_from_slice(part);
                while !part.is_empty() {
                    let passed = framing.finish_event(part.clone()).len();
                    at += passed;
                    part = part.slice(passed..);
                    if framing.is_between() == Some(true) {
                        here.push(at);
                    }
                }
                assert_eq!(framing, whole);
            }
            assert!(found.as_ref().is_none_or(|found| *found == here), "chunks of {piece}");
            found = Some(here);
        }
        found.unwrap_or_default()
    }

    #[test]
    fn json_events_end_with_their_line() {
        let one = "{\"type\":\"ADDED\",\"object\":{\"a\":\"}\\n\"}}\n";
        let bytes = [one, one, "{\"type\""].concat();
        assert_eq!(boundaries("application/json", bytes.as_bytes()), [one.len(), one.len() * 2]);
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
            assert_eq!(framing(content_type).is_between(), Some(true), "{content_type}");
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
