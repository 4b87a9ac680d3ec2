//! Azure's errors in Rancher's texts (`docs/contract/azure-errors.md#errors-of-azure`), with a status that tells the
//! caller's mistakes from Azure's failures, and a hint.

mod discovery;
mod hints;

use std::fmt::Write;
use std::time::Duration;

use aks::json_text;
use azure::{ArmError, EntraError, Error, Service, ServiceError};
use http::{Method, StatusCode};

pub use discovery::{checked_discovery, stored_discovery};

/// What a caller is told about a failure of Azure.
#[derive(Debug, PartialEq, Eq)]
pub struct Explained {
    /// The HTTP status that fits: 400 for what somebody must mend, 429, 503 and 504 for what passes.
    pub status: u16,
    /// The text in Rancher's form; it may have several lines.
    pub text: String,
    /// Azure's code.
    pub code: Option<String>,
    /// The status of Azure's answer.
    pub upstream_status: Option<u16>,
    /// What to do.
    pub hint: Option<String>,
    /// When to try again; set whenever trying again makes sense.
    pub retry_after: Option<Duration>,
    /// Whether somebody on the way answered instead of Azure.
    pub is_foreign: bool,
}

/// A pause for failures that name none.
const PAUSE: Duration = Duration::from_secs(5);
const LINE: &str = "--------------------------------------------------------------------------------";
const TROUBLESHOOT: &str =
    "To troubleshoot, visit https://aka.ms/azsdk/go/identity/troubleshoot#client-secret";

/// Explains a failed call.
pub fn failure(error: &Error) -> Explained {
    let status = status_of(error);
    Explained {
        status,
        text: text_of(error),
        code: error.code().map(str::to_owned),
        upstream_status: error.upstream_status(),
        hint: hints::of(error),
        retry_after: (status != 400).then(|| error.retry_after().unwrap_or(PAUSE)),
        is_foreign: error.foreign().is_some(),
    }
}

/// What to do about a long operation that failed; `None` where Azure's own text says it all.
pub fn operation_hint(error: &ServiceError) -> Option<String> {
    hints::of_operation(error)
}

fn status_of(error: &Error) -> u16 {
    match error {
        Error::TimedOut { .. } => 504,
        Error::NoAnswer { .. } => 503,
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
        Error::Arm(refusal) => refused(refusal),
        Error::Login(refusal) => refused_login(refusal),
        Error::NoAnswer { to: Service::Arm, method, url, reason, .. } => {
            format!("{} {url:?}: {reason}", capitalised(method))
        }
        Error::NoAnswer { to: Service::Login, method, url, reason, .. } => {
            format!("ClientSecretCredential: {} {url:?}: {reason}. {TROUBLESHOOT}", capitalised(method))
        }
        Error::TimedOut { to } => format!("context deadline exceeded: {error}", error = no_time(*to)),
        other => other.to_string(),
    }
}

fn no_time(service: Service) -> String {
    format!("no answer from {service} in time")
}

/// `Get` for `GET`, as Go's transport errors begin.
fn capitalised(method: &Method) -> String {
    let mut name = method.as_str().to_ascii_lowercase();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

/// The text of an error from Resource Manager; ends with a newline
/// (`docs/contract/azure-errors.md#an-error-from-resource-manager`).
fn refused(refusal: &ArmError) -> String {
    let mut text = String::new();
    request_and_status(&mut text, &refusal.method, &refusal.url, refusal.status);
    match &refusal.code {
        Some(code) => writeln!(text, "ERROR CODE: {code}").unwrap_or_default(),
        None => text.push_str("ERROR CODE UNAVAILABLE\n"),
    }
    body_between_lines(&mut text, &refusal.body, refusal.is_json);
    text
}

/// The text of an error from the login service (`docs/contract/azure-errors.md#an-error-from-the-login-service`), with
/// the body on the first line too: `docs/contract/azure-errors.md#what-the-dashboard-shows`.
fn refused_login(refusal: &EntraError) -> String {
    let mut text = String::from("ClientSecretCredential authentication failed. ");
    let body = String::from_utf8_lossy(&refusal.body);
    if refusal.is_json && body.trim_start().starts_with('{') {
        text.push_str("Response body: ");
        text.push_str(&json_text::compact(&body));
    }
    text.push('\n');
    request_and_status(&mut text, &refusal.method, &refusal.url, refusal.status);
    body_between_lines(&mut text, &refusal.body, refusal.is_json);
    text.push_str(TROUBLESHOOT);
    text
}

fn request_and_status(text: &mut String, method: &Method, url: &str, status: u16) {
    let reason =
        StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = write!(text, "{method} {url}\n{LINE}\nRESPONSE {status}: {status} {reason}\n");
}

fn body_between_lines(text: &mut String, body: &[u8], is_json: bool) {
    let body = String::from_utf8_lossy(body);
    let shown = match (body.is_empty(), is_json) {
        (true, _) => "Response contained no body".to_owned(),
        (_, true) => json_text::indented(&body),
        _ => body.into_owned(),
    };
    let _ = write!(text, "{LINE}\n{shown}\n{LINE}\n");
}

#[cfg(test)]
mod tests;
