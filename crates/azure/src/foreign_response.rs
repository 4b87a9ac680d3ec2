//! Recognizes responses of a proxy, firewall or sign-in page instead of Azure. Azure's services respond with JSON, a few with
//! XML, and set their own headers.

use serde::de::IgnoredAny;

use crate::response::{Response, without_byte_order_mark};

/// The status with which only a proxy responds.
const PROXY_AUTHENTICATION_REQUIRED: u16 = 407;

/// Headers of Azure's responses.
const AZURE_HEADERS: [&str; 3] = ["x-ms-request-id", "x-ms-correlation-request-id", "x-ms-error-code"];

/// Describes why a response is not from Azure: its content type, or `status 407`; `None` if it may be from Azure.
pub(super) fn foreign_reason(response: &Response) -> Option<String> {
    let header = response.header("content-type").unwrap_or_default();
    let content_type = header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if is_html(&content_type, &response.body) {
        return Some(if content_type.is_empty() { "text/html".to_owned() } else { content_type });
    }
    if response.status == PROXY_AUTHENTICATION_REQUIRED {
        return Some(format!("status {PROXY_AUTHENTICATION_REQUIRED}"));
    }
    let is_json_or_xml = ["json", "xml"].iter().any(|format| content_type.contains(format));
    let has_azure_header = AZURE_HEADERS.iter().any(|name| response.headers.contains_key(*name));
    if content_type.is_empty() || is_json_or_xml || has_azure_header || response.body.trim_ascii().is_empty()
    {
        return None;
    }
    // JSON or an XML error with another content type.
    let is_azure_body = serde_json::from_slice::<IgnoredAny>(without_byte_order_mark(&response.body)).is_ok()
        || response.xml_element("Code").is_some();
    (!is_azure_body).then_some(content_type)
}

/// Whether a response is HTML, by its content type or the start of its body.
fn is_html(content_type: &str, body: &[u8]) -> bool {
    let body = without_byte_order_mark(body).trim_ascii_start();
    let starts_with_tag =
        |tag: &[u8]| body.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    matches!(content_type, "text/html" | "application/xhtml+xml")
        || starts_with_tag(b"<!doctype html")
        || starts_with_tag(b"<html")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::response;

    #[test]
    fn responses_of_proxies_are_recognized() {
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
            assert_eq!(
                foreign_reason(&response(status, headers, body)).as_deref(),
                expected,
                "{status} {headers:?} {body}"
            );
        }
    }
}
