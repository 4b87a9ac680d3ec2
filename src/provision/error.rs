//! Failures of steps: the messages for users, and the delay before the next attempt.

use std::sync::Arc;
use std::time::Duration;

use aks::spec::rules::Violation;

use super::roles::error::Error as RolesError;
use crate::service::credentials::AccessError;
use crate::service::{self, explain, server_access};
use crate::store;

/// The delay after the first failure. It doubles with each consecutive failure.
const MIN_DELAY: Duration = Duration::from_secs(5);
const MAX_DELAY: Duration = Duration::from_mins(5);
/// The delay while another operation is running in the cluster.
const BUSY_DELAY: Duration = Duration::from_secs(10);
/// The maximum delay that Azure can request after a failure.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Azure's codes for a cluster with a running operation. They can also mean that the cluster is stopped, or a quota exceeded.
const AMBIGUOUS_BUSY_CODES: [&str; 2] = ["OperationNotAllowed", "Conflict"];

/// Azure's codes that always mean that another operation is running in the cluster.
const BUSY_CODES: [&str; 5] = [
    "EtagMismatch",
    "AnotherOperationInProgress",
    "PutAgentPoolOperationNotAllowed",
    "DeleteAgentPoolOperationNotAllowed",
    "NotLatestOperation",
];

/// Rancher's prefixes of error messages.
const CREDENTIAL_PREFIX: &str = "error getting Azure clients: error getting credentials: ";
const COMMUNICATION_PREFIX: &str = "failed to communicate with cluster: ";

const SECRET_UNAVAILABLE: &str = "a secret of the cluster cannot be stored or read";

/// The failure of a step.
#[expect(clippy::struct_excessive_bools, reason = "each controls a different decision of the worker")]
#[derive(Debug)]
pub(super) struct StepError {
    /// The message for users; shown in `transitioningMessage`.
    pub(super) message: String,
    /// The delay that Azure requests.
    retry_after: Option<Duration>,
    /// Whether another operation must end first. This is not a failure.
    pub(super) is_busy: bool,
    /// Whether the request was postponed because no caller waits for it and few requests remain within Azure's limits. This is
    /// not a failure.
    pub(super) is_deferred: bool,
    /// Whether a user must fix it.
    needs_action: bool,
    /// Whether the credential is rejected or unusable.
    pub(super) is_about_credential: bool,
    /// The maximum delay of the next attempt, because other work of the cluster is due by then.
    due_within: Option<Duration>,
    /// The cause, for the log.
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StepError {
    /// A failure that a user must fix.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry_after: None,
            is_busy: false,
            is_deferred: false,
            needs_action: true,
            is_about_credential: false,
            due_within: None,
            source: None,
        }
    }

    /// Rancher's prefix for errors of creating the Azure client.
    pub(super) const CLIENT_PREFIX: &str =
        "error getting Azure clients: error creating client secret credential: ";

    /// The specification contains no credential.
    pub(super) fn no_credential() -> Self {
        Self::new(format!("{CREDENTIAL_PREFIX}secret name not provided; set aksConfig.azureCredentialSecret"))
    }

    /// The credential is for another subscription than that of the cluster.
    pub(super) fn other_subscription(subscription: &str) -> Self {
        Self::new(format!(
            "{CREDENTIAL_PREFIX}the cloud credential is for the subscription {subscription}, but the cluster is in another one; \
             correct its subscriptionId"
        ))
    }

    /// Another object manages the AKS cluster.
    pub(super) fn cluster_taken(name: String, region: String) -> Self {
        let violation = Violation::Taken { name, region };
        Self::new(format!(
            "{violation}: another cluster object manages it; delete this object, which changes nothing in Azure, or the other \
             object"
        ))
    }

    /// The virtual network does not exist.
    pub(super) fn network_missing(network: &str, group: &str) -> Self {
        Self::new(format!(
            "the virtual network {network} does not exist in resource group {group}: create it, or change \
             aksConfig.virtualNetwork and aksConfig.virtualNetworkResourceGroup"
        ))
    }

    /// The virtual network does not contain the subnet.
    pub(super) fn subnet_missing(network: &str, subnet: &str) -> Self {
        Self::new(format!(
            "the virtual network {network} has no subnet {subnet}: create it, or change aksConfig.subnet"
        ))
    }

    /// The message for a long-running operation that ended with `status`.
    pub(super) fn operation_message(prefix: &str, status: &str, error: &azure::ServiceError) -> String {
        let code = error.code.as_deref().unwrap_or(status);
        let message = error.message.as_deref().unwrap_or("Azure returned no reason");
        with_hint(format!("{prefix}{code}: {message}"), explain::operation_hint(error).as_deref())
    }

    /// Another server instance has the lease.
    pub(super) fn lease_lost() -> Self {
        Self::new("another server has taken over the cluster")
    }

    /// The step exceeded its time limit.
    pub(super) fn timed_out() -> Self {
        Self { needs_action: false, ..Self::new("the step timed out; it will be retried") }
    }

    /// Azure rejected a request or failed; `prefix` is Rancher's prefix of the message.
    pub(super) fn from_azure(prefix: &str, error: azure::Error) -> Self {
        let explained = explain::request_error(&error);
        let is_busy = is_busy(&error);
        let message = format!("{prefix}{}", one_line_reason(&error, &explained.text));
        let message = with_hint(message, explained.hint.filter(|_| !is_busy).as_deref());
        let is_about_credential = matches!(error, azure::Error::Login(_)) && !explained.is_foreign;
        Self {
            message,
            retry_after: explained.retry_after.or(error.retry_after()),
            is_busy,
            is_deferred: error.is_deferred(),
            needs_action: explained.status == 400 && !is_busy && !explained.is_foreign,
            is_about_credential,
            due_within: None,
            source: Some(Box::new(error)),
        }
    }

    /// The cluster cannot be reached, or rejected a request; `remedy` follows the reason.
    pub(super) fn from_cluster(error: cluster_access::Error, remedy: &str) -> Self {
        let message = format!("{COMMUNICATION_PREFIX}{error}{remedy}");
        Self { source: Some(Box::new(error)), ..Self::new(message) }
    }

    /// No access to the cluster is available.
    pub(super) fn from_access(error: impl Into<Arc<server_access::Error>>) -> Self {
        use server_access::Error;
        const KUBECONFIG_PREFIX: &str = "failed to communicate with cluster: error getting kube config: ";
        let error = error.into();
        let step_error = match &*error {
            Error::Azure(error) => Self::from_azure(KUBECONFIG_PREFIX, error.clone()),
            Error::KubeconfigDenied { .. } | Error::Kubeconfig(_) => {
                Self::new(format!("{KUBECONFIG_PREFIX}{error}"))
            }
            Error::Credential(error) => Self::new(format!("{KUBECONFIG_PREFIX}{error}")),
            Error::Secret(_) | Error::Store(_) => {
                Self { needs_action: false, ..Self::new(SECRET_UNAVAILABLE) }
            }
            error => Self::new(format!("{COMMUNICATION_PREFIX}{error}")),
        };
        Self { source: Some(Box::new(error)), ..step_error }
    }

    /// The registration token of the cluster cannot be read.
    pub(super) fn from_registration(error: service::Error) -> Self {
        let message = format!("the registration token of the cluster cannot be read: {error}");
        Self { needs_action: false, source: Some(Box::new(error)), ..Self::new(message) }
    }

    /// The roles in the cluster cannot be corrected.
    pub(super) fn from_roles(error: RolesError) -> Self {
        let message = format!("failed to set up roles inside the cluster: {error}");
        Self { needs_action: false, source: Some(Box::new(error)), ..Self::new(message) }
    }

    /// Adds the remedy.
    #[must_use]
    pub(super) fn with_remedy(self, remedy: Option<&str>) -> Self {
        Self { message: with_hint(self.message, remedy), ..self }
    }

    /// Adds the instructions for deleting only the object, if a user must act.
    #[must_use]
    pub(super) fn with_forced_removal_hint(mut self, cluster_id: &str) -> Self {
        if self.needs_action {
            self.message
                .push_str("; to delete only the object and change nothing in Azure: DELETE /v3/clusters/");
            self.message.push_str(cluster_id);
            self.message.push_str("?force=true");
        }
        self
    }

    /// The delay before the next attempt, after a number of consecutive failures.
    pub(super) fn retry_delay(&self, failures: i64) -> Duration {
        if self.is_busy {
            return self.retry_after.unwrap_or(BUSY_DELAY).clamp(MIN_DELAY, MAX_DELAY);
        }
        let doublings = u32::try_from(failures.clamp(0, 10)).unwrap_or(10);
        let backoff = MIN_DELAY.saturating_mul(1 << doublings).min(MAX_DELAY);
        let delay = backoff.max(self.retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
        self.due_within.map_or(delay, |due| delay.min(due))
    }

    /// Limits the delay of the next attempt to `due`.
    pub(super) fn with_due_within(self, due: Option<Duration>) -> Self {
        Self { due_within: due, ..self }
    }

    /// Logs the message with its cause.
    pub(super) fn log(&self, cluster: &str) {
        let error = self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static));
        tracing::warn!(cluster, error, "reconcile step failed: {}", self.message);
    }
}

/// Whether another operation must end first. The message decides if the code is ambiguous.
fn is_busy(error: &azure::Error) -> bool {
    let (Some(409), Some(code)) = (error.upstream_status(), error.code()) else { return false };
    let is_one_of = |codes: &[&str]| codes.iter().any(|busy| code.eq_ignore_ascii_case(busy));
    if !is_one_of(&AMBIGUOUS_BUSY_CODES) {
        return is_one_of(&BUSY_CODES);
    }
    let azure::Error::Arm(response) = error else { return false };
    let message = response.message.as_deref().unwrap_or_default().to_lowercase();
    ["progress", "wait", "pending"].iter().any(|word| message.contains(word))
}

/// Appends a hint to Azure's message.
fn with_hint(mut message: String, hint: Option<&str>) -> String {
    if let Some(hint) = hint {
        message.truncate(message.trim_end_matches(['.', ' ']).len());
        message.push_str("; ");
        message.push_str(hint);
    }
    message
}

/// Azure's message as one line; for errors without such a message, the first line of `explanation`.
fn one_line_reason(error: &azure::Error, explanation: &str) -> String {
    if error.foreign_reason().is_some() {
        let service =
            if matches!(error, azure::Error::Login(_)) { azure::Service::Login } else { azure::Service::Arm };
        let status = error.upstream_status().unwrap_or_default();
        return format!("the request to {service} got status {status}");
    }
    if let azure::Error::Arm(response) = error {
        let error = response.service_error();
        return match (error.code, error.message) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (_, Some(message)) => message,
            (Some(code), None) => code,
            (None, None) => format!("Azure returned status {}", response.status),
        };
    }
    explanation.lines().next().unwrap_or_default().trim_end().to_owned()
}

impl From<AccessError> for StepError {
    fn from(error: AccessError) -> Self {
        let mut needs_action = true;
        let (message, is_transient) = match &error {
            AccessError::NotFound | AccessError::InvalidId(_) => {
                let reason = "the cloud credential does not exist; name another one in aksConfig.azureCredentialSecret";
                (format!("{CREDENTIAL_PREFIX}{reason}"), false)
            }
            AccessError::Unusable { id } => (
                format!(
                    "{CREDENTIAL_PREFIX}the secret of {id} cannot be read; save the credential's client secret again"
                ),
                false,
            ),
            AccessError::TenantDiscovery { error, .. } => {
                let explained = explain::stored_discovery_error(error);
                let text = explained.text;
                needs_action = explained.status == 400;
                (format!("{CREDENTIAL_PREFIX}{text}"), true)
            }
            AccessError::Other(other) => {
                needs_action = false;
                (format!("error getting Azure clients: {other}"), true)
            }
        };
        Self {
            retry_after: is_transient.then_some(MIN_DELAY),
            needs_action,
            is_about_credential: true,
            source: Some(Box::new(error)),
            ..Self::new(message)
        }
    }
}

impl From<store::Error> for StepError {
    fn from(error: store::Error) -> Self {
        let message = "the server's database failed; the step will be retried";
        Self { source: Some(Box::new(error)), needs_action: false, ..Self::new(message) }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn arm_error(status: u16, code: &str, message: &str) -> StepError {
        let error = azure::ArmError {
            method: Method::PUT,
            url: String::new(),
            status,
            code: Some(code.to_owned()),
            message: Some(message.to_owned()),
            body: serde_json::json!({"error": {"code": code, "message": message}}).to_string().into(),
            is_json: true,
            foreign_reason: None,
            request_id: None,
            correlation_id: None,
            retry_after: None,
        };
        StepError::from_azure("failed: ", azure::Error::Arm(Box::new(error)))
    }

    #[test]
    fn hint_replaces_the_final_full_stop() {
        let message = arm_error(400, "ErrCode_InsufficientVCPUQuota", "Insufficient quota. ").message;
        let start = "failed: ErrCode_InsufficientVCPUQuota: Insufficient quota; ask Azure for more quota";
        assert!(message.starts_with(start), "{message}");
    }

    #[test]
    fn delays_grow_to_five_minutes_unless_overridden() {
        let plain = StepError::new("x");
        for (failures, seconds) in [(0, 5), (1, 10), (3, 40), (6, 300), (1000, 300)] {
            assert_eq!(plain.retry_delay(failures), Duration::from_secs(seconds), "{failures}");
        }
        let requested = StepError { retry_after: Some(Duration::from_secs(700)), ..StepError::new("x") };
        assert_eq!(requested.retry_delay(0), Duration::from_secs(700));
        assert_eq!(
            requested.with_due_within(Some(Duration::from_secs(2))).retry_delay(0),
            Duration::from_secs(2)
        );
        let busy = StepError { is_busy: true, ..StepError::new("x") };
        assert_eq!(busy.retry_delay(50), BUSY_DELAY);
        let requested =
            StepError { is_busy: true, retry_after: Some(Duration::from_secs(40)), ..StepError::new("x") };
        assert_eq!(requested.retry_delay(0), Duration::from_secs(40));
    }

    #[test]
    fn only_running_operations_are_busy() {
        for (status, code, message, is_busy) in [
            (409, "OperationNotAllowed", "Another operation (Upgrading) is in progress", true),
            (409, "OperationNotAllowed", "the managed cluster 'one' is stopped", false),
            (409, "OperationNotAllowed", "exceeding approved standardDSv3Family Cores quota", false),
            (400, "OperationNotAllowed", "an upgrade that is in progress of nothing", false),
            (409, "Conflict", "please wait", true),
            (409, "etagMismatch", "", true),
            (409, "MissingSubscriptionRegistration", "wait", false),
        ] {
            assert_eq!(arm_error(status, code, message).is_busy, is_busy, "{status} {code} {message}");
        }
        let hinted =
            arm_error(409, "MissingSubscriptionRegistration", "See https://aka.ms/rps-not-found.").message;
        assert!(hinted.contains("rps-not-found; "), "{hinted}");
    }
}
