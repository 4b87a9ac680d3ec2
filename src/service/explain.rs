//! Explains Azure's errors in Rancher's texts (`docs/contract/azure-errors.md#errors-of-azure`), with a hint and a status that
//! distinguishes the caller's errors from Azure's.

mod discovery;
mod hints;

use std::fmt::Write;
use std::time::Duration;

use aks::json_text;
use azure::{ArmError, EntraError, Error, Service};
use http::{Method, StatusCode};

pub use discovery::{check_discovery_error, stored_discovery_error};
pub use hints::for_operation as operation_hint;

/// An explained error of Azure.
#[derive(Debug, PartialEq, Eq)]
pub struct Explained {
    /// The HTTP status: 400 for errors that need action, 429, 503 and 504 for transient ones.
    pub status: u16,
    /// The text in Rancher's format; it may have several lines.
    pub text: String,
    /// Azure's code.
    pub code: Option<String>,
    /// The status of Azure's response.
    pub upstream_status: Option<u16>,
    /// The hint: the remedy.
    pub hint: Option<String>,
    /// The time until a retry; set if the error is transient.
    pub retry_after: Option<Duration>,
    /// Whether the response is a proxy's instead of Azure's.
    pub is_foreign: bool,
}

/// The time until a retry for errors that specify none.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);
const SEPARATOR: &str = "--------------------------------------------------------------------------------";
const TROUBLESHOOT: &str =
    "To troubleshoot, visit https://aka.ms/azsdk/go/identity/troubleshoot#client-secret";

/// Explains a failed request.
pub fn request_error(error: &Error) -> Explained {
    let status = status_of(error);
    Explained {
        status,
        text: text_of(error),
        code: error.code().map(str::to_owned),
        upstream_status: error.upstream_status(),
        hint: hints::for_error(error),
        retry_after: (status != 400).then(|| error.retry_after().unwrap_or(DEFAULT_RETRY_AFTER)),
        is_foreign: error.foreign_reason().is_some(),
    }
}

fn status_of(error: &Error) -> u16 {
    match error {
        Error::TimedOut { .. } => 504,
        Error::NoResponse { .. } => 503,
        Error::BudgetExhausted { .. } | Error::Deferred { .. } => 429,
        _ => status_of_upstream(error.upstream_status()),
    }
}

fn status_of_upstream(status: Option<u16>) -> u16 {
    match status {
        Some(429) => 429,
        Some(408) => 504,
        Some(500..=599) => 503,
        _ => 400,
    }
}

fn text_of(error: &Error) -> String {
    match error {
        Error::Arm(error) => arm_text(error),
        Error::Login(error) => login_text(error),
        Error::NoResponse { to: Service::Arm, method, url, reason, .. } => {
            format!("{} {url:?}: {reason}", capitalized(method))
        }
        Error::NoResponse { to: Service::Login, method, url, reason, .. } => {
            format!("ClientSecretCredential: {} {url:?}: {reason}. {TROUBLESHOOT}", capitalized(method))
        }
        Error::TimedOut { to } => format!("context deadline exceeded: no response from {to} in time"),
        other => other.to_string(),
    }
}

/// The method as in Go's transport errors: `Get` for `GET`.
fn capitalized(method: &Method) -> String {
    let mut name = method.as_str().to_ascii_lowercase();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

/// The text for an error of Resource Manager; ends with a newline
/// (`docs/contract/azure-errors.md#an-error-from-resource-manager`).
fn arm_text(error: &ArmError) -> String {
    let mut text = String::new();
    write_request_and_status(&mut text, &error.method, &error.url, error.status);
    match &error.code {
        Some(code) => writeln!(text, "ERROR CODE: {code}").unwrap_or_default(),
        None => text.push_str("ERROR CODE UNAVAILABLE\n"),
    }
    write_body(&mut text, &error.body, error.is_json);
    text
}

/// The text for an error of the login service (`docs/contract/azure-errors.md#an-error-from-the-login-service`), with
/// the body also on the first line, where the dashboard expects it (`docs/contract/azure-errors.md#what-the-dashboard-shows`).
fn login_text(error: &EntraError) -> String {
    let mut text = String::from("ClientSecretCredential authentication failed. ");
    let body = String::from_utf8_lossy(&error.body);
    if error.is_json && body.trim_start().starts_with('{') {
        text.push_str("Response body: ");
        text.push_str(&json_text::compact(&body));
    }
    text.push('\n');
    write_request_and_status(&mut text, &error.method, &error.url, error.status);
    write_body(&mut text, &error.body, error.is_json);
    text.push_str(TROUBLESHOOT);
    text
}

fn write_request_and_status(text: &mut String, method: &Method, url: &str, status: u16) {
    let reason =
        StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = write!(text, "{method} {url}\n{SEPARATOR}\nRESPONSE {status}: {status} {reason}\n");
}

fn write_body(text: &mut String, body: &[u8], is_json: bool) {
    let body = String::from_utf8_lossy(body);
    let content = match (body.is_empty(), is_json) {
        (true, _) => "Response contained no body".to_owned(),
        (_, true) => json_text::indent(&body),
        _ => body.into_owned(),
    };
    let _ = write!(text, "{SEPARATOR}\n{content}\n{SEPARATOR}\n");
}

#[cfg(test)]
mod tests;
