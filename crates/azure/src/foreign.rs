//! Telling answers of Azure from those of a proxy, firewall or sign-in page on the way. Azure's services answer in JSON,
//! a few in XML, and mark their answers with headers of their own.

use serde::de::IgnoredAny;

use super::refusal::xml_element;
use super::transport::Answer;

/// Only a proxy asks for its own authentication.
const PROXY_AUTHENTICATION: u16 = 407;

/// Headers that Azure's answers carry.
const MARKS: [&str; 3] = ["x-ms-request-id", "x-ms-correlation-request-id", "x-ms-error-code"];

/// The content type of an answer that is not Azure's; `None` for one that may be.
pub(super) fn kind(answer: &Answer) -> Option<String> {
    let header = answer.header("content-type").unwrap_or_default();
    let content_type = header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if is_html(&content_type, &answer.body) {
        return Some(
            Some(content_type).filter(|it| !it.is_empty()).unwrap_or_else(|| "text/html".to_owned()),
        );
    }
    if answer.status == PROXY_AUTHENTICATION {
        return Some(format!("status {PROXY_AUTHENTICATION}"));
    }
    let is_data = ["json", "xml"].iter().any(|word| content_type.contains(word));
    let is_marked = MARKS.iter().any(|name| answer.headers.contains_key(*name));
    if content_type.is_empty() || is_data || is_marked || answer.body.trim_ascii().is_empty() {
        return None;
    }
    let is_readable = serde_json::from_slice::<IgnoredAny>(without_mark(&answer.body)).is_ok()
        || xml_element(&answer.body, "Code").is_some();
    (!is_readable).then_some(content_type)
}

/// The body without a byte order mark.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// A page for people, whatever its type says.
fn is_html(content_type: &str, body: &[u8]) -> bool {
    let body = without_mark(body).trim_ascii_start();
    let starts = |tag: &[u8]| body.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    matches!(content_type, "text/html" | "application/xhtml+xml")
        || starts(b"<!doctype html")
        || starts(b"<html")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName};

    use super::*;

    fn found(status: u16, headers: &[(&'static str, &str)], body: &str) -> Option<String> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        kind(&Answer { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) })
    }

    #[test]
    fn pages_and_texts_of_proxies_are_told_from_answers_of_azure() {
        const HTML: &str = "<html><title>Access Denied</title></html>";
        let azure = ("x-ms-request-id", "r");
        for (status, headers, body, expected) in [
            (403, &[("content-type", "text/html")][..], HTML, Some("text/html")),
            (200, &[("content-type", "TEXT/HTML; charset=utf-8")], HTML, Some("text/html")),
            (502, &[("content-type", "application/xhtml+xml")], HTML, Some("application/xhtml+xml")),
            (200, &[], " \n<!DOCTYPE html><p>", Some("text/html")),
            (403, &[("content-type", "application/json")], "\u{feff}<HTML>", Some("application/json")),
            (403, &[("content-type", "text/html"), azure], HTML, Some("text/html")),
            (200, &[("content-type", "text/html")], "", Some("text/html")),
            (407, &[], "", Some("status 407")),
            (407, &[("content-type", "text/plain")], "log in", Some("status 407")),
            (403, &[("content-type", "text/plain")], "Blocked by policy", Some("text/plain")),
            (403, &[("content-type", "text/plain"), azure], "Blocked by policy", None),
            (403, &[("content-type", "text/plain")], r#"{"error":{"code":"C"}}"#, None),
            (403, &[("content-type", "text/plain")], "", None),
            (403, &[("content-type", "application/xml")], "<Error><Code>C</Code></Error>", None),
            (400, &[("content-type", "application/json")], r#"{"error":"#, None),
            (200, &[("content-type", "application/json; charset=utf-8")], r#"{"value":[]}"#, None),
            (400, &[], "plain text", None),
            (204, &[], "", None),
        ] {
            assert_eq!(found(status, headers, body).as_deref(), expected, "{status} {headers:?} {body}");
        }
    }
}
