//! An answer that is not a success, kept as it came: nothing is written anew, so bodies keep their order.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::Method;

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
    /// body, else an XML element `Code` (contract, section 7.1).
    pub code: Option<String>,
    /// Azure's sentence from the same body.
    pub message: Option<String>,
    /// The body as it came, cut at 64 KiB.
    pub body: Bytes,
    /// Whether the body is JSON, whatever its content type says.
    pub is_json: bool,
    /// The header `x-ms-request-id`.
    pub request_id: Option<String>,
    /// The header `x-ms-correlation-request-id`.
    pub correlation_id: Option<String>,
    /// How long Azure asks to wait.
    pub retry_after: Option<Duration>,
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
    /// The header `x-ms-request-id`.
    pub request_id: Option<String>,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
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
