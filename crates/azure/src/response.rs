//! A complete response of Azure.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

/// A response of any status.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Response {
    /// A header as a string.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body if it is a JSON object.
    pub(super) fn json_object(&self) -> Option<Value> {
        json_object(&self.body)
    }

    /// The text of the first XML element with this name.
    pub(super) fn xml_element(&self, name: &str) -> Option<String> {
        let text = std::str::from_utf8(&self.body).ok()?;
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (inner, _) = rest.split_once(&format!("</{name}>"))?;
        Some(inner.trim().to_owned()).filter(|inner| !inner.is_empty())
    }
}

/// Parses a JSON object, with or without a byte order mark.
pub(super) fn json_object(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(without_byte_order_mark(body)).ok().filter(Value::is_object)
}

pub(super) fn without_byte_order_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

#[cfg(test)]
pub(super) fn response(status: u16, headers: &[(&'static str, &str)], body: &str) -> Response {
    let header =
        |(name, value): &(&'static str, &str)| (http::HeaderName::from_static(name), value.parse().unwrap());
    Response {
        status,
        headers: headers.iter().map(header).collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}
