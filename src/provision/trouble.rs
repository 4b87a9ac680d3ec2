//! Failures of steps: the words for people, and how long to leave things alone.

use std::time::Duration;

use super::roles;
use crate::service::credentials::AccessError;
use crate::service::{explain, secrets, server_access};
use crate::store;

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// How long Azure is left alone while something else runs in the cluster.
const BUSY_PAUSE: Duration = Duration::from_secs(10);

/// So many of the codes below need words beside them.
const AMBIGUOUS: usize = 2;

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
    /// Whether it lasts until somebody mends it.
    pub(super) lasts: bool,
    /// Whether it is the credential that Azure refused.
    pub(super) of_credential: bool,
    /// The cause, for the log.
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Trouble {
    /// A failure that somebody must mend; the text says what.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry_after: None,
            busy: false,
            lasts: true,
            of_credential: false,
            source: None,
        }
    }

    /// The step took too long.
    pub(super) fn late() -> Self {
        Self { lasts: false, ..Self::new("the step did not end in its time; it is tried again") }
    }

    /// Azure refused or failed; `doing` are Rancher's words before the reason.
    pub(super) fn azure(doing: &str, error: azure::Error) -> Self {
        let explained = explain::failure(&error);
        let busy = is_busy(&error);
        let message = format!("{doing}{}", reason(&error, &explained.text));
        let message = with_hint(message, explained.hint.filter(|_| !busy).as_deref());
        let of_credential = matches!(error, azure::Error::Login(_)) && !explained.is_foreign;
        Self {
            message,
            retry_after: explained.retry_after.or(error.retry_after()),
            busy,
            lasts: explained.status == 400 && !busy && !explained.is_foreign,
            of_credential,
            source: Some(Box::new(error)),
        }
    }

    /// The inside of the cluster refused or failed.
    pub(super) fn inside(error: cluster_access::Error) -> Self {
        let message = format!("failed to communicate with cluster: {error}");
        Self { source: Some(Box::new(error)), ..Self::new(message) }
    }

    /// There is no access to the cluster.
    pub(super) fn access(error: &server_access::Error) -> Self {
        use server_access::Error;
        const DOING: &str = "failed to communicate with cluster: ";
        const GETTING: &str = "failed to communicate with cluster: error getting kube config: ";
        match error {
            Error::Azure(error) => Self::azure(GETTING, error.clone()),
            Error::KubeconfigDenied { .. } | Error::Kubeconfig(_) => Self::new(format!("{GETTING}{error}")),
            Error::Credential(error) => Self::new(format!("{GETTING}{error}")),
            Error::Secret(_) | Error::Store(_) => {
                Self { lasts: false, ..Self::new("a secret of the cluster cannot be kept or read") }
            }
            error => Self::new(format!("{DOING}{error}")),
        }
    }

    /// The roles inside the cluster cannot be corrected.
    pub(super) fn roles(error: roles::Error) -> Self {
        let message = format!("failed to set up roles inside the cluster: {error}");
        Self { lasts: false, source: Some(Box::new(error)), ..Self::new(message) }
    }

    /// The same with the way out for those who remove a cluster and cannot mend it.
    #[must_use]
    pub(super) fn with_way_out(mut self, cluster_id: &str) -> Self {
        if self.lasts {
            self.message
                .push_str("; to remove only the object and leave Azure as it is: DELETE /v3/clusters/");
            self.message.push_str(cluster_id);
            self.message.push_str("?force=true");
        }
        self
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

/// Whether something else only has to end first. The first two codes mean other things as well: that a cluster is stopped,
/// or a quota is used up.
fn is_busy(error: &azure::Error) -> bool {
    let (Some(409), Some(code)) = (error.upstream_status(), error.code()) else { return false };
    let Some(position) = BUSY_CODES.iter().position(|busy| code.eq_ignore_ascii_case(busy)) else {
        return false;
    };
    let said = || match error {
        azure::Error::Arm(refusal) => refusal.message.clone().unwrap_or_default().to_lowercase(),
        _ => String::new(),
    };
    position >= AMBIGUOUS || ["progress", "wait", "pending"].iter().any(|word| said().contains(word))
}

/// Azure's words with what to do about it.
pub(super) fn with_hint(mut message: String, hint: Option<&str>) -> String {
    if let Some(hint) = hint {
        message.truncate(message.trim_end_matches(['.', ' ']).len());
        message.push_str("; ");
        message.push_str(hint);
    }
    message
}

/// What Azure says, in one line.
fn reason(error: &azure::Error, text: &str) -> String {
    if error.foreign().is_some() {
        let to =
            if matches!(error, azure::Error::Login(_)) { azure::Service::Login } else { azure::Service::Arm };
        let status = error.upstream_status().unwrap_or_default();
        return format!("the request to {to} was answered with status {status}");
    }
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
        let mut lasts = true;
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
                let explained = explain::stored_discovery(error);
                let text = explained.text;
                lasts = explained.status == 400;
                (format!("error getting Azure clients: error getting credentials: {text}"), true)
            }
            AccessError::Other(other) => {
                lasts = false;
                (format!("error getting Azure clients: {other}"), true)
            }
        };
        let retry_after = passing.then_some(FIRST_PAUSE);
        Self { message, retry_after, busy: false, lasts, of_credential: true, source: Some(Box::new(error)) }
    }
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        let told = Self::new("the server's database failed; it is tried again");
        Self { source: Some(Box::new(error)), lasts: false, ..told }
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
            foreign: None,
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

    #[test]
    fn only_what_passes_by_itself_is_busy() {
        let refused = |status: u16, code: &str, message: &str| {
            let refusal = azure::Refusal {
                method: http::Method::PUT,
                url: String::new(),
                status,
                code: Some(code.to_owned()),
                message: Some(message.to_owned()),
                body: serde_json::json!({"error": {"code": code, "message": message}}).to_string().into(),
                is_json: true,
                foreign: None,
                request_id: None,
                correlation_id: None,
                retry_after: None,
            };
            Trouble::azure("", azure::Error::Arm(Box::new(refusal)))
        };
        for (status, code, message, busy) in [
            (409, "OperationNotAllowed", "Another operation (Upgrading) is in progress", true),
            (409, "OperationNotAllowed", "the managed cluster 'one' is stopped", false),
            (409, "OperationNotAllowed", "exceeding approved standardDSv3Family Cores quota", false),
            (400, "OperationNotAllowed", "an upgrade that is in progress of nothing", false),
            (409, "Conflict", "please wait", true),
            (409, "etagMismatch", "", true),
            (409, "MissingSubscriptionRegistration", "wait", false),
        ] {
            assert_eq!(refused(status, code, message).busy, busy, "{status} {code} {message}");
        }
        let hinted =
            refused(409, "MissingSubscriptionRegistration", "See https://aka.ms/rps-not-found.").message;
        assert!(hinted.contains("rps-not-found; "), "{hinted}");
    }
}
