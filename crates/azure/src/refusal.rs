//! An answer that is not a success, kept as it came: nothing is written anew, so bodies keep their order.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use clock::Clock;
use http::Method;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::foreign;
use super::retry;
use super::transport::Answer;

/// Resource Manager's answer.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The method of the request.
    pub method: Method,
    /// Scheme, host and path of the request, percent-encoded as sent, without the query.
    pub url: String,
    /// The HTTP status.
    pub status: u16,
    /// Azure's code: the header `x-ms-error-code`, else `error.code`, `odata.error.code` or `code` of a JSON
    /// body, else an XML element `Code`.
    pub code: Option<String>,
    /// Azure's sentence from the same body.
    pub message: Option<String>,
    /// The body as it came, cut at 64 KiB.
    pub body: Bytes,
    /// Whether the body is JSON, whatever its content type says.
    pub is_json: bool,
    /// The content type of an answer that is not Azure's: a proxy or firewall on the way gave it.
    pub foreign: Option<String>,
    /// The header `x-ms-request-id`.
    pub request_id: Option<String>,
    /// The header `x-ms-correlation-request-id`.
    pub correlation_id: Option<String>,
    /// How long Azure asks to wait.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(method: Method, url: &str, answer: Answer, clock: &Clock) -> Self {
        let json = serde_json::from_slice::<Value>(&answer.body).ok();
        let said = json.as_ref().and_then(envelope);
        let text = |name: &str| said?.get(name)?.as_str().map(str::to_owned);
        let code = answer.header("x-ms-error-code").map(str::to_owned);
        let code = code.or_else(|| text("code")).or_else(|| xml_element(&answer.body, "Code"));
        let message = text("message")
            // OData wraps the sentence once more.
            .or_else(|| said?.get("message")?.get("value")?.as_str().map(str::to_owned))
            .or_else(|| xml_element(&answer.body, "Message"));
        Self {
            method,
            url: url.to_owned(),
            status: answer.status,
            code,
            message,
            is_json: is_json(&answer.body),
            foreign: foreign::kind(&answer),
            request_id: answer.header("x-ms-request-id").map(str::to_owned),
            correlation_id: answer.header("x-ms-correlation-request-id").map(str::to_owned),
            retry_after: retry::asked(&answer.headers, clock),
            body: answer.body,
        }
    }

    /// What the body says in the form that all of Azure's services share; empty where it says nothing.
    pub fn service_error(&self) -> ServiceError {
        let json = serde_json::from_slice::<Value>(&self.body).ok();
        let Some(said) = json.as_ref().and_then(envelope) else { return ServiceError::default() };
        let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
        let any = |name: &str| said.get(name).filter(|value| !value.is_null()).cloned();
        ServiceError {
            code: text("code"),
            message: text("message"),
            target: text("target"),
            details: any("details"),
            inner_error: any("innererror"),
            additional_info: any("additionalInfo"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_summary(f, self.status, self.code.as_deref())
    }
}

/// The login service's answer.
#[derive(Clone, Debug)]
pub struct LoginRefusal {
    /// The method of the request.
    pub method: Method,
    /// Scheme, host and path of the request, percent-encoded as sent, without the query.
    pub url: String,
    /// The HTTP status.
    pub status: u16,
    /// `AADSTS` and the first number of `error_codes` or of the description; where there is none, `error`.
    pub code: Option<String>,
    /// The numbers behind `AADSTS`, for example 7000215.
    pub aadsts: Vec<u64>,
    /// The OAuth word, for example `invalid_client`.
    pub error: Option<String>,
    /// The sentence, for example `AADSTS7000215: Invalid client secret provided. …`.
    pub description: Option<String>,
    /// The body as it came, cut at 64 KiB.
    pub body: Bytes,
    /// Whether the body is JSON, whatever its content type says.
    pub is_json: bool,
    /// The content type of an answer that is not Azure's, as in [`Refusal::foreign`].
    pub foreign: Option<String>,
    /// The application that was to log in.
    pub client_id: Option<String>,
    /// The header `x-ms-request-id`.
    pub request_id: Option<String>,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
}

impl LoginRefusal {
    pub(super) fn new(method: Method, url: &str, answer: Answer, clock: &Clock) -> Self {
        let json = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
        let error = text("error");
        let description = text("error_description");
        let mut aadsts: Vec<u64> = json
            .get("error_codes")
            .and_then(Value::as_array)
            .map(|codes| codes.iter().filter_map(Value::as_u64).collect())
            .unwrap_or_default();
        if aadsts.is_empty() {
            aadsts.extend(description.as_deref().and_then(aadsts_in));
        }
        let code = aadsts.first().map(|number| format!("AADSTS{number}")).or_else(|| error.clone());
        Self {
            method,
            url: url.to_owned(),
            status: answer.status,
            code,
            aadsts,
            error,
            description,
            is_json: is_json(&answer.body),
            foreign: foreign::kind(&answer),
            client_id: None,
            request_id: answer.header("x-ms-request-id").map(str::to_owned),
            retry_after: retry::asked(&answer.headers, clock),
            body: answer.body,
        }
    }
}

impl fmt::Display for LoginRefusal {
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

/// The form in which Azure's services say what is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceError {
    /// For example `SubscriptionNotFound`.
    pub code: Option<String>,
    /// A sentence.
    pub message: Option<String>,
    /// What it is about.
    pub target: Option<String>,
    /// More of the same form.
    pub details: Option<Value>,
    /// What a service behind said.
    pub inner_error: Option<Value>,
    /// Anything else.
    pub additional_info: Option<Value>,
}

/// The object that holds `code` and `message`: below `error`, below `odata.error`, or the whole.
fn envelope(body: &Value) -> Option<&Value> {
    let whole = body.as_object()?;
    match whole.get("error").or_else(|| whole.get("odata.error")) {
        Some(inner) => inner.is_object().then_some(inner),
        None => Some(body),
    }
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// The text of the first XML element of that name.
pub(super) fn xml_element(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner.trim().to_owned()).filter(|inner| !inner.is_empty())
}

/// The number behind `AADSTS` in a description.
fn aadsts_in(description: &str) -> Option<u64> {
    let (_, rest) = description.split_once("AADSTS")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        Answer { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn refusal(headers: &[(&'static str, &str)], body: &str) -> Refusal {
        Refusal::new(Method::GET, "https://h/p", answer(403, headers, body), &Clock::manual(0))
    }

    fn login(body: &str) -> LoginRefusal {
        LoginRefusal::new(Method::POST, "https://h/p", answer(401, &[], body), &Clock::manual(0))
    }

    #[test]
    fn code_and_message_are_found_in_every_form() {
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
            let refusal = refusal(&[], body);
            assert_eq!(refusal.code.as_deref(), code, "{body}");
            assert_eq!(refusal.message.as_deref(), message, "{body}");
            assert_eq!(refusal.is_json, is_json, "{body}");
            assert_eq!(refusal.body, body);
        }
    }

    #[test]
    fn the_header_wins_over_the_body_and_ids_and_waits_are_kept() {
        let refusal = refusal(
            &[
                ("x-ms-error-code", "FromHeader"),
                ("x-ms-request-id", "r"),
                ("x-ms-correlation-request-id", "c"),
                ("retry-after", "3"),
            ],
            r#"{"error":{"code":"FromBody","message":"M"}}"#,
        );
        assert_eq!(refusal.code.as_deref(), Some("FromHeader"));
        assert_eq!(refusal.message.as_deref(), Some("M"));
        assert_eq!(refusal.request_id.as_deref(), Some("r"));
        assert_eq!(refusal.correlation_id.as_deref(), Some("c"));
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(3)));
        assert_eq!(refusal.to_string(), "403 (FromHeader)");
    }

    #[test]
    fn a_body_that_is_no_text_is_kept_as_it_is() {
        let body = Bytes::from_static(b"\xff\xfe\x00");
        let answer = Answer { status: 500, headers: HeaderMap::new(), body: body.clone() };
        let refusal = Refusal::new(Method::GET, "u", answer, &Clock::manual(0));
        assert_eq!((refusal.body, refusal.code, refusal.is_json), (body, None, false));
    }

    #[test]
    fn the_shared_form_is_read_with_its_rarer_parts() {
        let body = r#"{"error":{"code":"C","message":"M","target":"T","details":[{"z":1,"a":2}],
            "innererror":{"x":1},"additionalInfo":null}}"#;
        let error = refusal(&[], body).service_error();
        assert_eq!(error.code.as_deref(), Some("C"));
        assert_eq!(error.target.as_deref(), Some("T"));
        assert_eq!(error.details.unwrap().to_string(), r#"[{"a":2,"z":1}]"#);
        assert_eq!(error.inner_error.unwrap().to_string(), r#"{"x":1}"#);
        assert_eq!(error.additional_info, None);
        assert_eq!(refusal(&[], "<html>").service_error(), ServiceError::default());
    }

    #[test]
    fn login_refusals_tell_their_number_wherever_it_stands() {
        for (body, code, aadsts, error) in [
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
            let refusal = login(body);
            assert_eq!(refusal.code.as_deref(), code, "{body}");
            assert_eq!(refusal.aadsts, aadsts, "{body}");
            assert_eq!(refusal.error.as_deref(), error, "{body}");
        }
        let description = login(r#"{"error_description":"a\r\nb"}"#).description;
        assert_eq!(description.as_deref(), Some("a\r\nb"));
    }
}
