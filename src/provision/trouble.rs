//! Failures of steps: the words for people, and how long to leave things alone.

use std::time::Duration;

use crate::azure;
use crate::downstream;
use crate::service::credentials::AccessError;
use crate::service::{explain, secrets};
use crate::store;

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// How long Azure is left alone while something else runs in the cluster.
const BUSY_PAUSE: Duration = Duration::from_secs(10);

/// What Azure says when a cluster is at work already: it passes by itself.
const BUSY_CODES: [&str; 7] = [
    "OperationNotAllowed",
    "Conflict",
    "EtagMismatch",
    "AnotherOperationInProgress",
    "PutAgentPoolOperationNotAllowed",
    "DeleteAgentPoolOperationNotAllowed",
    "NotLatestOperation",
];

/// Why a step did not end well.
#[derive(Debug)]
pub(super) struct Trouble {
    /// For people; ends up in `transitioningMessage`.
    pub(super) message: String,
    /// How long Azure asks to wait.
    pub(super) retry_after: Option<Duration>,
    /// Whether it is no failure at all: something has to end first.
    pub(super) busy: bool,
    /// The cause, for the log.
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Trouble {
    /// A failure that somebody must mend; the text says what.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None, busy: false, source: None }
    }

    /// The step took too long.
    pub(super) fn late() -> Self {
        Self::new("the step did not end in its time; it is tried again")
    }

    /// Azure refused or failed; `doing` are Rancher's words before the reason.
    pub(super) fn azure(doing: &str, error: azure::Error) -> Self {
        let explained = explain::failure(&error);
        let busy = error.upstream_status() == Some(409)
            && error.code().is_some_and(|code| BUSY_CODES.iter().any(|busy| code.eq_ignore_ascii_case(busy)));
        let mut message = format!("{doing}{}", reason(&error, &explained.text));
        if let Some(hint) = explained.hint.filter(|_| !busy) {
            message.truncate(message.trim_end_matches(['.', ' ']).len());
            message.push_str("; ");
            message.push_str(&hint);
        }
        let retry_after = explained.retry_after.or(error.retry_after());
        Self { message, retry_after, busy, source: Some(Box::new(error)) }
    }

    /// The inside of the cluster refused or failed.
    pub(super) fn inside(error: downstream::Error) -> Self {
        let message = format!("failed to communicate with cluster: {error}");
        Self { source: Some(Box::new(error)), ..Self::new(message) }
    }

    /// The pause before the next attempt, after so many failures in a row.
    pub(super) fn pause(&self, failures: i64) -> Duration {
        if self.busy {
            return self.retry_after.unwrap_or(BUSY_PAUSE).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        }
        let doublings = u32::try_from(failures.clamp(0, 10)).unwrap_or(10);
        let growing = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        growing.max(self.retry_after.unwrap_or_default().min(Duration::from_hours(1)))
    }

    /// Writes the cause into the log, once.
    pub(super) fn log(&self, cluster: &str) {
        let error = self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static));
        tracing::warn!(cluster, error, "a step failed: {}", self.message);
    }
}

/// What Azure says, in one line.
fn reason(error: &azure::Error, text: &str) -> String {
    if let azure::Error::Arm(refusal) = error {
        let said = refusal.service_error();
        return match (said.code, said.message) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (_, Some(message)) => message,
            (Some(code), None) => code,
            (None, None) => format!("Azure answered {}", refusal.status),
        };
    }
    text.lines().next().unwrap_or_default().trim_end().to_owned()
}

impl From<AccessError> for Trouble {
    fn from(error: AccessError) -> Self {
        let (message, passing) = match &error {
            AccessError::NotFound | AccessError::InvalidId(_) => {
                let message = "error getting Azure clients: error getting credentials: the cloud credential does not exist; \
                     name another one in aksConfig.azureCredentialSecret";
                (message.to_owned(), false)
            }
            AccessError::Unusable { id } => (
                format!(
                    "error getting Azure clients: error getting credentials: the secret of {id} cannot be read; \
                     save the credential's client secret anew"
                ),
                false,
            ),
            AccessError::TenantDiscovery { error, .. } => {
                let text = explain::stored_discovery(error).text;
                (format!("error getting Azure clients: error getting credentials: {text}"), true)
            }
            AccessError::Other(other) => (format!("error getting Azure clients: {other}"), true),
        };
        let retry_after = passing.then_some(FIRST_PAUSE);
        Self { message, retry_after, busy: false, source: Some(Box::new(error)) }
    }
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        Self { source: Some(Box::new(error)), ..Self::new("the server's database failed; it is tried again") }
    }
}

impl From<secrets::Error> for Trouble {
    fn from(error: secrets::Error) -> Self {
        Self { source: Some(Box::new(error)), ..Self::new("a secret of the cluster cannot be kept or read") }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Method;

    use super::*;

    #[test]
    fn the_remedy_follows_azures_words_without_a_full_stop_between_them() {
        let error = azure::Error::Arm(Box::new(azure::Refusal {
            method: Method::PUT,
            url: "https://management.azure.com/x".to_owned(),
            status: 400,
            code: Some("ErrCode_InsufficientVCPUQuota".to_owned()),
            message: Some("Insufficient quota. ".to_owned()),
            body: Bytes::from_static(
                br#"{"error":{"code":"ErrCode_InsufficientVCPUQuota","message":"Insufficient quota. "}}"#,
            ),
            is_json: true,
            request_id: None,
            correlation_id: None,
            retry_after: None,
        }));
        let message = Trouble::azure("failed: ", error).message;
        let words = "failed: ErrCode_InsufficientVCPUQuota: Insufficient quota; ask Azure for more quota";
        assert!(message.starts_with(words), "{message}");
    }

    #[test]
    fn pauses_grow_to_five_minutes_and_heed_what_azure_asks() {
        let plain = Trouble::new("x");
        for (failures, seconds) in [(0, 5), (1, 10), (3, 40), (6, 300), (1000, 300)] {
            assert_eq!(plain.pause(failures), Duration::from_secs(seconds), "{failures}");
        }
        let asked = Trouble { retry_after: Some(Duration::from_secs(700)), ..Trouble::new("x") };
        assert_eq!(asked.pause(0), Duration::from_secs(700));
        let busy = Trouble { busy: true, ..Trouble::new("x") };
        assert_eq!(busy.pause(50), BUSY_PAUSE);
        let asked = Trouble { busy: true, retry_after: Some(Duration::from_secs(40)), ..Trouble::new("x") };
        assert_eq!(asked.pause(0), Duration::from_secs(40));
    }
}
