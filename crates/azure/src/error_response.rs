//! Unsuccessful responses of Resource Manager and the login service.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use clock::Clock;
use http::Method;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::foreign_response::foreign_reason;
use crate::response::Response;
use crate::retry;

/// An unsuccessful response of Resource Manager.
#[derive(Clone, Debug)]
pub struct ArmError {
    /// The method of the request.
    pub method: Method,
    /// Scheme, host and path of the request, percent-encoded as sent, without the query.
    pub url: String,
    /// The HTTP status.
    pub status: u16,
    /// Azure's code: the header `x-ms-error-code`, else `error.code`, `odata.error.code` or `code` of a JSON body, else an XML
    /// element `Code`.
    pub code: Option<String>,
    /// Azure's message, from the same body.
    pub message: Option<String>,
    /// The body, truncated to 64 KiB and without the token and the client secret of the request.
    pub body: Bytes,
    /// Whether the body is JSON, regardless of its content type.
    pub is_json: bool,
    /// Describes why the response is from a proxy or firewall instead of Azure: its content type, or `status 407`.
    pub foreign_reason: Option<String>,
    /// The header `x-ms-request-id`.
    pub request_id: Option<String>,
    /// The header `x-ms-correlation-request-id`.
    pub correlation_id: Option<String>,
    /// The delay that Azure requests.
    pub retry_after: Option<Duration>,
}

impl ArmError {
    pub(super) fn new(method: Method, url: &str, response: Response, clock: &Clock) -> Self {
        let json = serde_json::from_slice::<Value>(&response.body).ok();
        let error_object = json.as_ref().and_then(find_error);
        let string = |name: &str| error_object?.get(name)?.as_str().map(str::to_owned);
        let code = response.header("x-ms-error-code").map(str::to_owned);
        let code = code.or_else(|| string("code")).or_else(|| response.xml_element("Code"));
        let message = string("message")
            // OData wraps the message in another object.
            .or_else(|| error_object?.get("message")?.get("value")?.as_str().map(str::to_owned))
            .or_else(|| response.xml_element("Message"));
        Self {
            method,
            url: url.to_owned(),
            status: response.status,
            code,
            message,
            is_json: is_json(&response.body),
            foreign_reason: foreign_reason(&response),
            request_id: response.header("x-ms-request-id").map(str::to_owned),
            correlation_id: response.header("x-ms-correlation-request-id").map(str::to_owned),
            retry_after: retry::retry_after(&response.headers, clock),
            body: response.body,
        }
    }

    /// The error in the body, in the format of Azure's services; empty if the body contains none.
    pub fn service_error(&self) -> ServiceError {
        let json = serde_json::from_slice::<Value>(&self.body).ok();
        json.as_ref().and_then(find_error).map(ServiceError::read).unwrap_or_default()
    }
}

impl fmt::Display for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_summary(f, self.status, self.code.as_deref())
    }
}

/// An unsuccessful response of the login service.
#[derive(Clone, Debug)]
pub struct EntraError {
    /// The method of the request.
    pub method: Method,
    /// Scheme, host and path of the request, percent-encoded as sent, without the query.
    pub url: String,
    /// The HTTP status.
    pub status: u16,
    /// For example `AADSTS7000215`, with the first number in `error_codes`, else in the description. Without a number, `error`.
    pub code: Option<String>,
    /// The numbers after `AADSTS`, for example 7000215.
    pub aadsts: Vec<u64>,
    /// The OAuth error code, for example `invalid_client`.
    pub error: Option<String>,
    /// The description, for example `AADSTS7000215: Invalid client secret provided. …`.
    pub description: Option<String>,
    /// The body without the client secret, truncated to 64 KiB.
    pub body: Bytes,
    /// Whether the body is JSON, regardless of its content type.
    pub is_json: bool,
    /// Describes why the response is not from Azure, as in [`ArmError::foreign_reason`].
    pub foreign_reason: Option<String>,
    /// The ID of the application, from the request.
    pub client_id: Option<String>,
    /// The header `x-ms-request-id`.
    pub request_id: Option<String>,
    /// The delay that the service requests.
    pub retry_after: Option<Duration>,
}

impl EntraError {
    pub(super) fn new(method: Method, url: &str, response: Response, clock: &Clock) -> Self {
        let json = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
        let string = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
        let error = string("error");
        let description = string("error_description");
        let mut aadsts: Vec<u64> = json
            .get("error_codes")
            .and_then(Value::as_array)
            .map(|codes| codes.iter().filter_map(Value::as_u64).collect())
            .unwrap_or_default();
        if aadsts.is_empty() {
            aadsts.extend(description.as_deref().and_then(parse_aadsts));
        }
        let code = aadsts.first().map(|number| format!("AADSTS{number}")).or_else(|| error.clone());
        Self {
            method,
            url: url.to_owned(),
            status: response.status,
            code,
            aadsts,
            error,
            description,
            is_json: is_json(&response.body),
            foreign_reason: foreign_reason(&response),
            client_id: None,
            request_id: response.header("x-ms-request-id").map(str::to_owned),
            retry_after: retry::retry_after(&response.headers, clock),
            body: response.body,
        }
    }
}

impl fmt::Display for EntraError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_summary(f, self.status, self.code.as_deref())
    }
}

fn write_summary(f: &mut fmt::Formatter<'_>, status: u16, code: Option<&str>) -> fmt::Result {
    match code {
        Some(code) => write!(f, "{status} ({code})"),
        None => write!(f, "{status}"),
    }
}

/// The error format of Azure's services.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceError {
    /// For example `SubscriptionNotFound`.
    pub code: Option<String>,
    /// The message.
    pub message: Option<String>,
    /// The target of the error.
    pub target: Option<String>,
    /// More errors, in the same format.
    pub details: Option<Value>,
    /// The error of an underlying service.
    pub inner_error: Option<Value>,
    /// Additional information.
    pub additional_info: Option<Value>,
}

impl ServiceError {
    /// Reads the object with `code` and `message`. Ignores the case of keys, because old services send `Code`.
    pub(super) fn read(object: &Value) -> Self {
        let string = |name: &str| get_any_case(object, name).and_then(Value::as_str).map(str::to_owned);
        let non_null = |name: &str| get_any_case(object, name).filter(|value| !value.is_null()).cloned();
        Self {
            code: string("code"),
            message: string("message"),
            target: string("target"),
            details: non_null("details"),
            inner_error: non_null("innererror"),
            additional_info: non_null("additionalInfo"),
        }
    }
}

/// The value of a key, regardless of letter case.
pub(super) fn get_any_case<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let (_, value) = object.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value)
}

/// The object with `code` and `message`: in `error`, in `odata.error`, or the body itself.
fn find_error(body: &Value) -> Option<&Value> {
    let object = body.as_object()?;
    match object.get("error").or_else(|| object.get("odata.error")) {
        Some(inner) => inner.is_object().then_some(inner),
        None => Some(body),
    }
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// The number after `AADSTS` in a description.
fn parse_aadsts(description: &str) -> Option<u64> {
    let (_, rest) = description.split_once("AADSTS")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::response;

    fn arm_error(headers: &[(&'static str, &str)], body: &str) -> ArmError {
        ArmError::new(Method::GET, "https://h/p", response(403, headers, body), &Clock::manual(0))
    }

    fn entra_error(body: &str) -> EntraError {
        EntraError::new(Method::POST, "https://h/p", response(401, &[], body), &Clock::manual(0))
    }

    #[test]
    fn code_and_message_are_read_from_all_formats() {
        for (body, code, message, is_json) in [
            (r#"{"error":{"code":"C","message":"M"}}"#, Some("C"), Some("M"), true),
            (
                "{\"error\":{\"code\":\"C\",\"message\":\"a \\\"b\\\"\\r\\nc\"}}",
                Some("C"),
                Some("a \"b\"\r\nc"),
                true,
            ),
            (r#"{"error":{"code":"C","message":"M","details":null}}"#, Some("C"), Some("M"), true),
            (
                r#"{"odata.error":{"code":"C","message":{"lang":"en","value":"M"}}}"#,
                Some("C"),
                Some("M"),
                true,
            ),
            (r#"{"odata.error":{"code":"C","message":"M"}}"#, Some("C"), Some("M"), true),
            (r#"{"code":"C","details":null,"message":"M","subcode":""}"#, Some("C"), Some("M"), true),
            (r#"{"error":"invalid","code":"C","message":"M"}"#, None, None, true),
            (r#"{"error":{"code":7,"message":["M"]}}"#, None, None, true),
            (r#"{"error":null}"#, None, None, true),
            (r#"["C"]"#, None, None, true),
            (r#""C""#, None, None, true),
            ("null", None, None, true),
            (
                "<?xml version=\"1.0\"?><Error><Code> C </Code><Message>M</Message></Error>",
                Some("C"),
                Some("M"),
                false,
            ),
            ("<html><head><title>502</title></head></html>", None, None, false),
            ("<Code></Code>", None, None, false),
            ("<Code>C", None, None, false),
            (r#"{"error":{"code":"C""#, None, None, false),
            ("", None, None, false),
            ("plain text", None, None, false),
        ] {
            let error = arm_error(&[], body);
            assert_eq!(error.code.as_deref(), code, "{body}");
            assert_eq!(error.message.as_deref(), message, "{body}");
            assert_eq!(error.is_json, is_json, "{body}");
            assert_eq!(error.body, body);
        }
    }

    #[test]
    fn header_code_takes_precedence_over_the_body() {
        let error = arm_error(
            &[
                ("x-ms-error-code", "FromHeader"),
                ("x-ms-request-id", "r"),
                ("x-ms-correlation-request-id", "c"),
                ("retry-after", "3"),
            ],
            r#"{"error":{"code":"FromBody","message":"M"}}"#,
        );
        assert_eq!(error.code.as_deref(), Some("FromHeader"));
        assert_eq!(error.message.as_deref(), Some("M"));
        assert_eq!(error.request_id.as_deref(), Some("r"));
        assert_eq!(error.correlation_id.as_deref(), Some("c"));
        assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
        assert_eq!(error.to_string(), "403 (FromHeader)");
    }

    #[test]
    fn binary_body_is_kept() {
        let body = Bytes::from_static(b"\xff\xfe\x00");
        let response = Response { status: 500, headers: http::HeaderMap::new(), body: body.clone() };
        let error = ArmError::new(Method::GET, "u", response, &Clock::manual(0));
        assert_eq!((error.body, error.code, error.is_json), (body, None, false));
    }

    #[test]
    fn service_error_has_all_parts() {
        let body = r#"{"error":{"code":"C","message":"M","target":"T","details":[{"z":1,"a":2}],
            "innererror":{"x":1},"additionalInfo":null}}"#;
        let error = arm_error(&[], body).service_error();
        assert_eq!(error.code.as_deref(), Some("C"));
        assert_eq!(error.target.as_deref(), Some("T"));
        assert_eq!(error.details.unwrap().to_string(), r#"[{"a":2,"z":1}]"#);
        assert_eq!(error.inner_error.unwrap().to_string(), r#"{"x":1}"#);
        assert_eq!(error.additional_info, None);
        assert_eq!(arm_error(&[], "<html>").service_error(), ServiceError::default());
    }

    #[test]
    fn aadsts_number_is_found_in_codes_or_description() {
        for (body, code, aadsts, oauth_error) in [
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid\r\nTrace","error_codes":[7000215]}"#,
                Some("AADSTS7000215"),
                vec![7_000_215],
                Some("invalid_client"),
            ),
            (
                r#"{"error":"unauthorized_client","error_description":"AADSTS700016: App \"x\""}"#,
                Some("AADSTS700016"),
                vec![700_016],
                Some("unauthorized_client"),
            ),
            (
                r#"{"error":"temporarily_unavailable"}"#,
                Some("temporarily_unavailable"),
                vec![],
                Some("temporarily_unavailable"),
            ),
            (
                r#"{"error":"e","error_codes":null,"error_description":"AADSTS: none"}"#,
                Some("e"),
                vec![],
                Some("e"),
            ),
            (
                r#"{"error":{"code":"x"},"error_codes":["a",90002,-1]}"#,
                Some("AADSTS90002"),
                vec![90002],
                None,
            ),
            ("<html>", None, vec![], None),
            ("", None, vec![], None),
        ] {
            let error = entra_error(body);
            assert_eq!(error.code.as_deref(), code, "{body}");
            assert_eq!(error.aadsts, aadsts, "{body}");
            assert_eq!(error.error.as_deref(), oauth_error, "{body}");
        }
        let description = entra_error(r#"{"error_description":"a\r\nb"}"#).description;
        assert_eq!(description.as_deref(), Some("a\r\nb"));
    }
}
