//! Long-running operations of Resource Manager, polled one step at a time. Nothing here waits: between polls, an operation is
//! stored as a string, so that another server can continue.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use crate::arm::Arm;
use crate::cloud::Cloud;
use crate::error::Error;
use crate::error_response::{ServiceError, get_any_case};
use crate::request::ArmRequest;
use crate::request_name::RequestName;
use crate::response::{Response, json_object};
use crate::retry;
use crate::url::{self, without_query};

/// The poll interval without a `Retry-After` (`docs/contract/provisioning.md#requests-to-resource-manager`).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_mins(10);

/// A long-running operation and the URL to poll, which is always on Resource Manager of the cloud. `Debug` omits the query,
/// which contains Azure's signature.
#[derive(Clone, PartialEq, Eq)]
pub struct LongRunningOperation {
    target: PollTarget,
    purpose: Purpose,
    interval: Duration,
    url: Url,
}

/// The kind of URL that is polled, which determines how the response is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PollTarget {
    /// `Azure-AsyncOperation`: a small object with a status.
    Status,
    /// `Location`: 202 until there is a result.
    Location,
    /// The resource itself with its `provisioningState`, if Azure sent neither header.
    Resource,
}

const POLL_TARGETS: [(PollTarget, &str); 3] =
    [(PollTarget::Status, "status"), (PollTarget::Location, "location"), (PollTarget::Resource, "resource")];

/// The kind of write that started an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Change,
    Delete,
}

const PURPOSES: [(Purpose, &str); 2] = [(Purpose::Change, "change"), (Purpose::Delete, "delete")];

/// A stored string that is not an operation.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableOperation {
    /// The string is not in the format of [`LongRunningOperation::to_text`].
    #[error("the string does not describe a long-running operation of Azure")]
    Format,
    /// The URL is not on Resource Manager of this cloud.
    #[error("the URL of the long-running operation is not in this cloud")]
    Url(#[source] Error),
}

/// The status of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationStatus {
    /// Poll [`Progress::operation`] after its [`LongRunningOperation::retry_after`].
    InProgress(Box<Progress>),
    /// Succeeded. Azure sometimes reports an error as well; read the resource to see whether Azure has recovered from it.
    Succeeded {
        /// The error, if Azure reported one.
        error: Option<Box<ServiceError>>,
    },
    /// Failed; the error is empty if Azure reports no reason.
    Failed(Box<ServiceError>),
    /// Cancelled by a user.
    Cancelled(Box<ServiceError>),
    /// Azure does not know the operation (or no longer does), or reports no status: read the resource.
    Gone,
}

/// The progress of an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The operation to poll next: its URL may have changed.
    pub operation: LongRunningOperation,
    /// Azure's status, for example `InProgress`, `Creating`.
    pub status: Option<String>,
    /// From 0 to 100, if Azure reports it.
    pub percent: Option<f64>,
    /// The error that Azure reports while it retries.
    pub error: Option<Box<ServiceError>>,
}

impl LongRunningOperation {
    /// The operation that a write of `resource` started; `None` if the write is complete. A header with a URL that is not on
    /// Resource Manager is ignored.
    pub(super) fn from_response(
        arm: &Arm,
        resource: &Url,
        purpose: Purpose,
        response: &Response,
        body: Option<&Value>,
    ) -> Option<Self> {
        let (target, url) = if let Some(url) = url_in_header(arm, response, "azure-asyncoperation") {
            (PollTarget::Status, url)
        } else if response.status == 202 {
            url_in_header(arm, response, "location")
                .map_or_else(|| (PollTarget::Resource, resource.clone()), |url| (PollTarget::Location, url))
        } else if is_complete(purpose, body) {
            return None;
        } else {
            (PollTarget::Resource, resource.clone())
        };
        Some(Self { target, purpose, interval: interval(arm, response), url })
    }

    /// The time until the next poll: the interval that Azure requested, from 1 s to 10 min; 30 s by default.
    pub fn retry_after(&self) -> Duration {
        self.interval
    }

    /// The operation as one line for [`LongRunningOperation::from_text`]. Contains the signed URL; must not be logged.
    pub fn to_text(&self) -> String {
        let target = name_of(&POLL_TARGETS, self.target);
        format!("{target} {} {} {}", name_of(&PURPOSES, self.purpose), self.interval.as_secs(), self.url)
    }

    /// Parses a stored operation; its URL must be on Resource Manager of `cloud`.
    pub fn from_text(cloud: Cloud, text: &str) -> Result<Self, UnreadableOperation> {
        let parse = || {
            let mut parts = text.splitn(4, ' ');
            let target = parse_name(&POLL_TARGETS, parts.next()?)?;
            let purpose = parse_name(&PURPOSES, parts.next()?)?;
            let interval = Duration::from_secs(parts.next()?.parse().ok()?);
            Some((target, purpose, clamp_interval(interval), parts.next()?))
        };
        let (target, purpose, interval, url) = parse().ok_or(UnreadableOperation::Format)?;
        let url = url::parse_link(cloud, url).map_err(UnreadableOperation::Url)?;
        Ok(Self { target, purpose, interval, url })
    }

    /// Polls once. The credential of `arm` must be in the operation's cloud. An error does not mean that the operation failed.
    pub async fn poll(&self, arm: &Arm) -> Result<OperationStatus, Error> {
        let url = arm.parse_link(self.url.as_str())?;
        let request = ArmRequest::get(RequestName::PollOperation, &url).any_success();
        match arm.send(&request).await {
            Ok(response) => Ok(self.read(arm, &response)),
            Err(error) => self.read_error(error),
        }
    }

    fn read(&self, arm: &Arm, response: &Response) -> OperationStatus {
        let body = response.json_object();
        let error = body.as_ref().and_then(error_in).map(Box::new);
        match self.outcome(response.status, body.as_ref()) {
            Outcome::Gone => OperationStatus::Gone,
            Outcome::Succeeded => OperationStatus::Succeeded { error },
            Outcome::Failed => OperationStatus::Failed(error.unwrap_or_default()),
            Outcome::Cancelled => OperationStatus::Cancelled(error.unwrap_or_default()),
            Outcome::InProgress(status) => {
                // The response may name another URL for the next poll.
                let new_url = match self.target {
                    PollTarget::Location => url_in_header(arm, response, "location"),
                    PollTarget::Status | PollTarget::Resource => None,
                };
                let url = new_url.unwrap_or_else(|| self.url.clone());
                let percent = body.as_ref().and_then(percent_complete);
                let operation = Self { url, interval: interval(arm, response), ..self.clone() };
                OperationStatus::InProgress(Box::new(Progress { operation, status, percent, error }))
            }
        }
    }

    fn outcome(&self, http_status: u16, body: Option<&Value>) -> Outcome {
        let state = body.and_then(provisioning_state);
        let status = body.and_then(|body| body.get("status")?.as_str());
        match (self.target, http_status) {
            // The operation may have ended: read the resource.
            (PollTarget::Status, 204) => Outcome::Gone,
            (PollTarget::Status, 202) => status.map_or(Outcome::InProgress(None), Outcome::from_state),
            (PollTarget::Status, _) => status.or(state).map_or(Outcome::Gone, Outcome::from_state),
            (PollTarget::Location, 202) => Outcome::InProgress(status.or(state).map(str::to_owned)),
            (PollTarget::Location, 204) => Outcome::Succeeded,
            (PollTarget::Location, _) => status.or(state).map_or(Outcome::Succeeded, Outcome::from_state),
            (PollTarget::Resource, _) => match state.map_or(Outcome::Succeeded, Outcome::from_state) {
                // A deleted resource is absent; a successful state means that it still exists.
                Outcome::Succeeded if self.purpose == Purpose::Delete => {
                    Outcome::InProgress(state.map(str::to_owned))
                }
                outcome => outcome,
            },
        }
    }

    fn read_error(&self, error: Error) -> Result<OperationStatus, Error> {
        let Error::Arm(response) = &error else { return Err(error) };
        match (self.target, response.status) {
            (PollTarget::Status | PollTarget::Location, 404 | 410) => Ok(OperationStatus::Gone),
            (PollTarget::Resource, _) if error.is_not_found() => Ok(match self.purpose {
                Purpose::Delete => OperationStatus::Succeeded { error: None },
                Purpose::Change => OperationStatus::Gone,
            }),
            // A `Location` URL responds with the result of the operation, which may be an error.
            (PollTarget::Location, 400 | 409 | 412 | 422) => {
                let body = json_object(&response.body).unwrap_or_default();
                let error = error_in(&body).or_else(|| non_empty_error(&body));
                Ok(OperationStatus::Failed(Box::new(error.unwrap_or_default())))
            }
            _ => Err(error),
        }
    }
}

impl fmt::Debug for LongRunningOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongRunningOperation")
            .field("target", &self.target)
            .field("purpose", &self.purpose)
            .field("interval", &self.interval)
            .field("url", &without_query(&self.url))
            .finish()
    }
}

/// An [`OperationStatus`] without its errors and the next operation.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// In progress, with Azure's state.
    InProgress(Option<String>),
    Succeeded,
    Failed,
    Cancelled,
    Gone,
}

impl Outcome {
    /// The outcome of a state in any letter case. Azure has three final states and many others.
    fn from_state(state: &str) -> Self {
        match state.to_ascii_lowercase().as_str() {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "canceled" | "cancelled" => Self::Cancelled,
            _ => Self::InProgress(Some(state.to_owned())),
        }
    }
}

/// Whether a write whose response has no operation URL is complete.
fn is_complete(purpose: Purpose, body: Option<&Value>) -> bool {
    match body {
        Some(body) => {
            provisioning_state(body).is_none_or(|state| Outcome::from_state(state) == Outcome::Succeeded)
        }
        // The response to a change without a body does not show the result.
        None => purpose == Purpose::Delete,
    }
}

/// The URL in a header, if it is on Resource Manager.
pub(super) fn url_in_header(arm: &Arm, response: &Response, header: &'static str) -> Option<Url> {
    arm.parse_link(response.header(header)?)
        .inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::warn!(header, error, "ignored an operation URL outside Resource Manager");
        })
        .ok()
}

fn interval(arm: &Arm, response: &Response) -> Duration {
    clamp_interval(retry::retry_after(&response.headers, arm.clock()).unwrap_or(DEFAULT_INTERVAL))
}

fn clamp_interval(interval: Duration) -> Duration {
    interval.clamp(MIN_INTERVAL, MAX_INTERVAL)
}

fn provisioning_state(body: &Value) -> Option<&str> {
    body.get("properties")?.get("provisioningState")?.as_str()
}

fn percent_complete(body: &Value) -> Option<f64> {
    let percent = body.get("percentComplete")?.as_f64()?;
    Some(percent.clamp(0.0, 100.0))
}

/// The object below `error`, unless it is empty.
fn error_in(body: &Value) -> Option<ServiceError> {
    non_empty_error(get_any_case(body, "error")?)
}

fn non_empty_error(object: &Value) -> Option<ServiceError> {
    let mut error = ServiceError::read(object);
    for field in [&mut error.code, &mut error.message, &mut error.target] {
        field.take_if(|value| value.is_empty());
    }
    (error != ServiceError::default()).then_some(error)
}

fn name_of<T: PartialEq>(names: &[(T, &'static str)], value: T) -> &'static str {
    names.iter().find(|(candidate, _)| *candidate == value).map_or("", |(_, name)| name)
}

fn parse_name<T: Copy>(names: &[(T, &'static str)], name: &str) -> Option<T> {
    names.iter().find(|(_, candidate)| *candidate == name).map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const URL: &str = "https://management.azure.com/subscriptions/s/operations/o?api-version=1&s=canary";

    fn operation(target: &str, purpose: &str) -> LongRunningOperation {
        LongRunningOperation::from_text(Cloud::Public, &format!("{target} {purpose} 30 {URL}")).unwrap()
    }

    fn in_progress(state: &str) -> Outcome {
        Outcome::InProgress(Some(state.to_owned()))
    }

    #[test]
    fn stored_operation_round_trips() {
        for target in ["status", "location", "resource"] {
            for purpose in ["change", "delete"] {
                let text = format!("{target} {purpose} 7 {URL}");
                let operation = LongRunningOperation::from_text(Cloud::Public, &text).unwrap();
                assert_eq!(operation.to_text(), text);
                assert_eq!(operation.retry_after(), Duration::from_secs(7));
                assert!(!format!("{operation:?}").contains("canary"), "{operation:?}");
            }
        }
    }

    #[test]
    fn invalid_stored_operations_are_rejected() {
        for text in [
            "",
            "status",
            "status change 30",
            "status change soon https://management.azure.com/",
            "status keep 30 https://management.azure.com/",
            "Status change 30 https://management.azure.com/",
        ] {
            let parsed = LongRunningOperation::from_text(Cloud::Public, text);
            assert!(matches!(parsed, Err(UnreadableOperation::Format)), "{text}: {parsed:?}");
        }
        for url in [
            "https://management.azure.com.evil.example/o",
            "http://management.azure.com/o",
            "https://management.chinacloudapi.cn/o",
            "/subscriptions/s",
        ] {
            let parsed = LongRunningOperation::from_text(Cloud::Public, &format!("status change 30 {url}"));
            let Err(UnreadableOperation::Url(Error::ForeignLink { .. })) = parsed else {
                panic!("{url}: {parsed:?}")
            };
        }
    }

    #[test]
    fn interval_is_clamped() {
        for (text, seconds) in [("0", 1), ("1", 1), ("59", 59), ("600", 600), ("86400", 600)] {
            let operation =
                LongRunningOperation::from_text(Cloud::Public, &format!("status change {text} {URL}"))
                    .unwrap();
            assert_eq!(operation.retry_after(), Duration::from_secs(seconds));
        }
    }

    #[test]
    fn states_ignore_case_and_unknown_ones_are_in_progress() {
        for (state, expected) in [
            ("Succeeded", Outcome::Succeeded),
            ("SUCCEEDED", Outcome::Succeeded),
            ("failed", Outcome::Failed),
            ("Canceled", Outcome::Cancelled),
            ("cancelled", Outcome::Cancelled),
            ("InProgress", in_progress("InProgress")),
            ("Deleting", in_progress("Deleting")),
            ("whatever comes", in_progress("whatever comes")),
            ("", in_progress("")),
        ] {
            assert_eq!(Outcome::from_state(state), expected, "{state}");
        }
    }

    #[test]
    fn outcome_depends_on_the_poll_target() {
        let status = |word: &str| Some(json!({"status": word}));
        let state = |word: &str| Some(json!({"id": "/x", "properties": {"provisioningState": word}}));
        let in_progress_without_state = || Outcome::InProgress(None);
        for (target, purpose, code, body, expected) in [
            ("status", "change", 200, status("InProgress"), in_progress("InProgress")),
            ("status", "change", 200, status("Succeeded"), Outcome::Succeeded),
            ("status", "change", 200, status("Failed"), Outcome::Failed),
            ("status", "change", 200, status("Canceled"), Outcome::Cancelled),
            ("status", "change", 200, state("Updating"), in_progress("Updating")),
            ("status", "change", 200, Some(json!({"status": 7})), Outcome::Gone),
            ("status", "change", 200, None, Outcome::Gone),
            ("status", "delete", 202, None, in_progress_without_state()),
            ("status", "delete", 202, status("Failed"), Outcome::Failed),
            ("status", "delete", 204, None, Outcome::Gone),
            ("location", "delete", 202, None, in_progress_without_state()),
            ("location", "delete", 202, status("InProgress"), in_progress("InProgress")),
            ("location", "delete", 202, status("Succeeded"), in_progress("Succeeded")),
            ("location", "delete", 204, None, Outcome::Succeeded),
            ("location", "change", 200, None, Outcome::Succeeded),
            ("location", "change", 200, status("Failed"), Outcome::Failed),
            ("location", "change", 201, state("Creating"), in_progress("Creating")),
            ("location", "change", 200, Some(json!({"id": "/x"})), Outcome::Succeeded),
            ("resource", "change", 200, state("Creating"), in_progress("Creating")),
            ("resource", "change", 200, state("Failed"), Outcome::Failed),
            ("resource", "change", 200, state("Succeeded"), Outcome::Succeeded),
            ("resource", "change", 200, Some(json!({"id": "/x"})), Outcome::Succeeded),
            ("resource", "delete", 200, state("Deleting"), in_progress("Deleting")),
            ("resource", "delete", 200, state("Succeeded"), in_progress("Succeeded")),
            ("resource", "delete", 200, Some(json!({})), in_progress_without_state()),
            ("resource", "delete", 200, state("Failed"), Outcome::Failed),
        ] {
            let outcome = operation(target, purpose).outcome(code, body.as_ref());
            assert_eq!(outcome, expected, "{target} {purpose} {code} {body:?}");
        }
    }

    #[test]
    fn empty_errors_are_ignored() {
        let code_and_message = |body: &Value| error_in(body).map(|error| (error.code, error.message));
        let expect_error =
            |code: &str, message: Option<&str>| Some((Some(code.to_owned()), message.map(str::to_owned)));
        for (body, expected) in [
            (json!({"error": {"code": "A", "message": "b"}}), expect_error("A", Some("b"))),
            (json!({"Error": {"Code": "A", "Message": "b", "Target": null}}), expect_error("A", Some("b"))),
            (json!({"error": {"code": "OverlaymgrReconcileError", "message": ""}}), {
                expect_error("OverlaymgrReconcileError", None)
            }),
            (json!({"error": {"code": "", "message": ""}}), None),
            (json!({"error": null}), None),
            (json!({"error": "text"}), None),
            (json!({"status": "Failed"}), None),
        ] {
            assert_eq!(code_and_message(&body), expected, "{body}");
        }
        let detailed = json!({"error": {"details": [{"code": "QuotaExceeded"}]}});
        assert_eq!(error_in(&detailed).unwrap().details, Some(json!([{"code": "QuotaExceeded"}])));
    }

    #[test]
    fn percentages_are_clamped() {
        for (percent, expected) in [
            (json!(0), Some(0.0)),
            (json!(12.5), Some(12.5)),
            (json!(250), Some(100.0)),
            (json!(-1), Some(0.0)),
            (json!("50"), None),
            (json!(null), None),
        ] {
            assert_eq!(percent_complete(&json!({"percentComplete": percent})), expected, "{percent}");
        }
    }

    #[test]
    fn write_completion_depends_on_purpose_and_state() {
        let state = |word: &str| Some(json!({"properties": {"provisioningState": word}}));
        for (purpose, body, expected) in [
            (Purpose::Change, state("Succeeded"), true),
            (Purpose::Change, state("succeeded"), true),
            (Purpose::Change, state("Creating"), false),
            (Purpose::Change, state("Failed"), false),
            (Purpose::Change, Some(json!({"id": "/x"})), true),
            (Purpose::Change, None, false),
            (Purpose::Delete, None, true),
            (Purpose::Delete, state("Deleting"), false),
        ] {
            assert_eq!(is_complete(purpose, body.as_ref()), expected, "{purpose:?} {body:?}");
        }
    }
}
