//! `Microsoft.ContainerService/managedClusters/runCommand`: executes a command in a cluster, even if its API is reachable only
//! from its own network. Starting and polling are separate steps, so that the pending result can be stored in between.

mod archive;

use std::fmt;
use std::time::Duration;

use http::Method;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

pub use self::archive::archive;
use super::managed_clusters::{API_VERSION, path};
use crate::arm::Arm;
use crate::cloud::Cloud;
use crate::error::Error;
use crate::long_running::{UnreadableOperation, url_in_header};
use crate::request::ArmRequest;
use crate::request_name::RequestName;
use crate::resource::missing;
use crate::response::Response;
use crate::retry;
use crate::url;

/// The right to start a command.
pub const RUN_ACTION: &str = "Microsoft.ContainerService/managedClusters/runCommand/action";
/// The right to read its result, which some roles lack.
pub const RESULT_ACTION: &str = "Microsoft.ContainerService/managedClusters/commandResults/read";

/// The ID of AKS's server application, the audience of a command's token.
pub const SERVER_APPLICATION: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

/// The poll interval without a `Retry-After`: commands take seconds.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_mins(1);

/// A command for a cluster. All its fields pass through Resource Manager.
pub struct Command<'a> {
    /// The command line.
    pub command: &'a str,
    /// A zip archive in base64, unpacked in the working directory.
    pub context: &'a SecretString,
    /// A token for [`SERVER_APPLICATION`], required by clusters with Microsoft Entra.
    pub cluster_token: Option<&'a SecretString>,
}

/// The status of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Poll again after [`PendingResult::retry_after`].
    Running(PendingResult),
    /// The command has ended.
    Finished(Outcome),
    /// Azure reports no result, or has deleted it.
    Unknown,
}

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command ended with exit code 0.
    Succeeded,
    /// The command ended with another exit code.
    Exited {
        /// The exit code.
        code: i64,
        /// The standard output and error of the command.
        logs: String,
    },
    /// Azure could not execute the command.
    Failed {
        /// Azure's reason; may be empty.
        reason: String,
    },
}

/// The URL of a result, which is always on Resource Manager of the cloud. `Debug` omits its query.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingResult {
    interval: Duration,
    url: Url,
}

impl fmt::Debug for PendingResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = url::without_query(&self.url);
        f.debug_struct("PendingResult").field("interval", &self.interval).field("url", &url).finish()
    }
}

/// Starts a command (REST: Managed Clusters - Run Command).
pub async fn start(arm: &Arm, group: &str, name: &str, command: &Command<'_>) -> Result<Status, Error> {
    let url = arm.url(&path(group, name, &["runCommand"]), &[API_VERSION])?;
    let token = command.cluster_token.map(ExposeSecret::expose_secret).unwrap_or_default();
    let body = json!({
        "command": command.command,
        "context": command.context.expose_secret(),
        "clusterToken": token,
    });
    let request = ArmRequest::write(RequestName::RunCommand, Method::POST, &url, Some(&body));
    read_status(arm, Method::POST, &url, &arm.send(&request).await?)
}

/// Polls once (REST: Managed Clusters - Get Command Result). The credential of `arm` must be in the command's cloud.
pub async fn poll(arm: &Arm, pending: &PendingResult) -> Result<Status, Error> {
    let url = arm.parse_link(pending.url.as_str())?;
    let request = ArmRequest::get(RequestName::CommandResult, &url).any_success();
    match arm.send(&request).await {
        Ok(response) => match read_status(arm, Method::GET, &url, &response)? {
            // If the response contains no new URL, the old one remains valid.
            Status::Unknown if response.status == 202 => {
                Ok(Status::Running(PendingResult { interval: interval(arm, &response), url }))
            }
            status => Ok(status),
        },
        Err(Error::Arm(error)) if matches!(error.status, 404 | 410) => Ok(Status::Unknown),
        Err(error) => Err(error),
    }
}

impl PendingResult {
    /// The time until the next poll.
    pub fn retry_after(&self) -> Duration {
        self.interval
    }

    /// The result as one line for [`PendingResult::from_text`]. Contains the complete URL; must not be logged.
    pub fn to_text(&self) -> String {
        format!("{} {}", self.interval.as_secs(), self.url)
    }

    /// Parses a stored result; its URL must be on Resource Manager of `cloud`.
    pub fn from_text(cloud: Cloud, text: &str) -> Result<Self, UnreadableOperation> {
        let (seconds, url) = text.split_once(' ').ok_or(UnreadableOperation::Format)?;
        let seconds = seconds.parse().map_err(|_| UnreadableOperation::Format)?;
        let url = url::parse_link(cloud, url).map_err(UnreadableOperation::Url)?;
        Ok(Self { interval: clamp_interval(Duration::from_secs(seconds)), url })
    }
}

fn read_status(arm: &Arm, method: Method, url: &Url, response: &Response) -> Result<Status, Error> {
    if response.status == 202 {
        let url = url_in_header(arm, response, "location");
        let interval = interval(arm, response);
        return Ok(url.map_or(Status::Unknown, |url| Status::Running(PendingResult { interval, url })));
    }
    let body = response.json_object().ok_or_else(|| missing(method, url, "JSON object"))?;
    Ok(outcome(&body).map_or(Status::Unknown, Status::Finished))
}

/// Reads the outcome. A command that exits with an error has the state `Succeeded` and an exit code other than 0.
fn outcome(body: &Value) -> Option<Outcome> {
    let properties = body.get("properties")?;
    let property = |key: &str| properties.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let state = properties.get("provisioningState")?.as_str()?.to_ascii_lowercase();
    let code = properties.get("exitCode").and_then(Value::as_i64);
    Some(match (state.as_str(), code) {
        ("succeeded", Some(0)) => Outcome::Succeeded,
        ("succeeded", Some(code)) => Outcome::Exited { code, logs: property("logs") },
        _ => {
            let reason = [property("reason"), property("logs")].into_iter().find(|reason| !reason.is_empty());
            Outcome::Failed { reason: reason.unwrap_or_default() }
        }
    })
}

fn interval(arm: &Arm, response: &Response) -> Duration {
    clamp_interval(retry::retry_after(&response.headers, arm.clock()).unwrap_or(DEFAULT_INTERVAL))
}

fn clamp_interval(interval: Duration) -> Duration {
    interval.clamp(MIN_INTERVAL, MAX_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_and_state_determine_the_outcome() {
        let exited = |code: i64, logs: &str| Some(Outcome::Exited { code, logs: logs.to_owned() });
        let failed = |reason: &str| Some(Outcome::Failed { reason: reason.to_owned() });
        for (properties, expected) in [
            (
                json!({"provisioningState": "Succeeded", "exitCode": 0, "logs": "ok"}),
                Some(Outcome::Succeeded),
            ),
            (
                json!({"provisioningState": "Succeeded", "exitCode": 1, "logs": "Forbidden"}),
                exited(1, "Forbidden"),
            ),
            (json!({"provisioningState": "Failed", "reason": "no node"}), failed("no node")),
            (json!({"provisioningState": "Failed", "exitCode": 0, "logs": "late"}), failed("late")),
            (json!({"provisioningState": "Canceled"}), failed("")),
            (json!({"provisioningState": "Succeeded"}), failed("")),
            (json!({}), None),
        ] {
            assert_eq!(outcome(&json!({"id": "x", "properties": properties})), expected, "{properties}");
        }
        assert_eq!(outcome(&json!({})), None);
    }

    #[test]
    fn stored_result_must_be_on_resource_manager() {
        let text = "5 https://management.azure.com/subscriptions/s/commandResults/x?api-version=1&s=canary";
        let pending = PendingResult::from_text(Cloud::Public, text).unwrap();
        assert_eq!((pending.to_text().as_str(), pending.retry_after()), (text, Duration::from_secs(5)));
        assert!(!format!("{pending:?}").contains("canary"));
        for text in [
            "",
            "5",
            "x https://management.azure.com/",
            "5 https://evil.example/o",
            "5 http://management.azure.com/o",
        ] {
            assert!(PendingResult::from_text(Cloud::Public, text).is_err(), "{text}");
        }
    }
}
