//! Decisions about deploying the cluster agent: the clusters that get one, the method, and the time of the next attempt.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::upstream::bool_at;
use crate::spec::Object;

/// The annotation of a cluster that overrides the setting `agent`.
pub const ANNOTATION: &str = "norman-aks.io/agent";

/// The delay after the first failure. It doubles with each consecutive failure.
const MIN_RETRY_DELAY_MS: i64 = 30_000;
const MAX_RETRY_DELAY_MS: i64 = 30 * 60_000;

/// If the cluster is still unreachable after this time, the agent is applied again, because it may have been deleted.
const REAPPLY_AFTER_MS: i64 = 30 * 60_000;

/// Secrets of earlier manifests are deleted after this time. Until then, a pod that uses one may restart.
const OLD_SECRETS_TTL_MS: i64 = 3_600_000;

/// The clusters that get an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Private clusters that this server cannot reach directly.
    Auto,
    /// All clusters.
    Always,
    /// No clusters.
    Never,
}

/// The string is not a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be auto, always or never")]
pub struct UnknownMode;

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(UnknownMode),
        }
    }
}

impl Mode {
    /// The mode of a cluster: that of its annotation, otherwise that of the setting. Unknown values are ignored.
    pub fn new(body: &Object, setting: &str) -> Self {
        let annotation =
            body.get("annotations").and_then(|annotations| annotations.get(ANNOTATION)?.as_str());
        let mode = annotation.and_then(|mode| mode.parse().ok());
        mode.or_else(|| setting.parse().ok()).unwrap_or(Self::Auto)
    }

    /// Whether a cluster gets an agent. A deployed agent is kept up to date, even if the cluster has become reachable directly.
    pub fn wants_agent(self, needs_tunnel: bool, is_deployed: bool) -> bool {
        match self {
            Self::Auto => is_deployed || needs_tunnel,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// A method for applying the agent's objects to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ApplyMethod {
    /// The Kubernetes API, directly or through the tunnel of an earlier agent.
    Api,
    /// Azure's run command.
    RunCommand,
}

impl ApplyMethod {
    /// The description for users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "the Kubernetes API",
            Self::RunCommand => "Azure's run command",
        }
    }
}

/// A run command that Azure is executing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunningCommand {
    /// The pending result, as the client of Azure stores it.
    pub result: String,
    /// The revision of the manifest.
    pub revision: String,
    /// The secret of the manifest.
    pub secret: String,
    /// The start time, in milliseconds since 1970.
    pub started_ms: i64,
    /// Whether it deletes the agent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removes: bool,
}

/// The state of the agent's deployment, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Deployment {
    /// The revision of the last applied manifest; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The time at which it was applied, in milliseconds since 1970.
    pub applied_ms: i64,
    /// The method by which it was applied.
    #[serde(rename = "way", skip_serializing_if = "Option::is_none")]
    pub method: Option<ApplyMethod>,
    /// Whether an attempt was made. Even a failed one may have left objects in the cluster.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub attempted: bool,
    /// The name of the manifest's secret.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// Secrets of earlier manifests that are still in the cluster.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub old_secrets: BTreeSet<String>,
    /// The run command that Azure is executing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<RunningCommand>,
    /// The method of the last attempt, if it failed.
    #[serde(rename = "failedWay", skip_serializing_if = "Option::is_none")]
    pub failed_method: Option<ApplyMethod>,
    /// The number of consecutive failures.
    pub failures: u32,
    /// The message of the last attempt, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The earliest time of the next attempt, in milliseconds since 1970.
    pub retry_ms: i64,
    /// Whether the last attempt found the agent of another server, which is not changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
}

/// The next step of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The manifest is up to date.
    Keep,
    /// Poll the run command.
    Poll,
    /// Wait until [`Deployment::retry_ms`].
    Wait,
    /// Apply the manifest.
    Apply(ApplyMethod),
    /// This server cannot apply the manifest, so an owner of the cluster must.
    AskOwner,
    /// Do not change the agent of another server.
    LeaveForeign,
}

/// Input of the next step.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The revision of the manifest.
    pub revision: &'a str,
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// Whether this server reaches the Kubernetes API.
    pub is_reached: bool,
    /// Whether Azure's run command is available.
    pub has_run_command: bool,
}

impl Deployment {
    /// Whether a manifest was applied, or a run command is in progress.
    pub fn is_deployed(&self) -> bool {
        !self.revision.is_empty() || self.running.is_some()
    }

    /// Whether the cluster may contain objects of this server.
    pub fn may_have_objects(&self) -> bool {
        self.is_deployed() || (self.attempted && !self.foreign)
    }

    /// Records that an attempt is about to be made.
    pub fn record_attempt(&mut self, secret: &str) {
        self.attempted = true;
        if self.secret.is_empty() {
            secret.clone_into(&mut self.secret);
        } else if self.secret != secret {
            self.old_secrets.insert(secret.to_owned());
        }
    }

    /// The next step.
    pub fn next(&self, input: &Input<'_>) -> Step {
        if self.running.is_some() {
            return Step::Poll;
        }
        let is_current = self.revision == input.revision;
        if is_current && (input.is_reached || input.now_ms - self.applied_ms < REAPPLY_AFTER_MS) {
            return Step::Keep;
        }
        // Only the Kubernetes API shows whether the other agent was deleted.
        if self.foreign && !(input.is_reached && input.now_ms >= self.retry_ms) {
            return Step::LeaveForeign;
        }
        // If the API has become reachable since the run command failed, it is tried immediately.
        if input.now_ms < self.retry_ms && !(input.is_reached && self.failed_method != Some(ApplyMethod::Api))
        {
            return Step::Wait;
        }
        match (input.is_reached, input.has_run_command) {
            (true, _) => Step::Apply(ApplyMethod::Api),
            (false, true) => Step::Apply(ApplyMethod::RunCommand),
            (false, false) => Step::AskOwner,
        }
    }

    /// Records that Azure started a run command.
    pub fn start(&mut self, command: RunningCommand) {
        self.running = Some(command);
        self.failure = None;
    }

    /// Records that a manifest was applied.
    pub fn succeed(&mut self, revision: &str, secret: &str, method: ApplyMethod, now_ms: i64) {
        let old_secret = std::mem::replace(&mut self.secret, secret.to_owned());
        if !old_secret.is_empty() {
            self.old_secrets.insert(old_secret);
        }
        self.old_secrets.remove(secret);
        revision.clone_into(&mut self.revision);
        (self.applied_ms, self.method, self.running) = (now_ms, Some(method), None);
        (self.failures, self.failure, self.retry_ms) = (0, None, 0);
        (self.failed_method, self.foreign) = (None, false);
    }

    /// Records a failed attempt.
    pub fn fail(&mut self, message: &str, method: ApplyMethod, now_ms: i64) {
        let delay_ms = MIN_RETRY_DELAY_MS.saturating_mul(1 << self.failures.min(16)).min(MAX_RETRY_DELAY_MS);
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(message.to_owned());
        (self.running, self.retry_ms) = (None, now_ms.saturating_add(delay_ms));
        self.foreign = false;
        self.failed_method = Some(method);
    }

    /// Records an attempt that found the agent of another server.
    pub fn leave_foreign(&mut self, message: &str, method: ApplyMethod, now_ms: i64) {
        self.fail(message, method, now_ms);
        self.foreign = true;
    }

    /// Secrets of earlier manifests that no pod needs.
    pub fn disposable_secrets(&self, now_ms: i64) -> Vec<String> {
        let is_settled = self.running.is_none() && now_ms - self.applied_ms >= OLD_SECRETS_TTL_MS;
        if is_settled { self.old_secrets.iter().cloned().collect() } else { Vec::new() }
    }
}

/// Whether a cluster, as returned by Azure, accepts run commands.
pub fn has_run_command(cluster: &Value) -> bool {
    bool_at(cluster, &["properties", "apiServerAccessProfile", "disableRunCommand"]) != Some(true)
}

/// The tenant of the tokens that a cluster with Microsoft Entra requires for a run command; `None` if the cluster requires no
/// token. Empty if Azure does not return it.
pub fn token_tenant(cluster: &Value) -> Option<&str> {
    let profile = cluster.pointer("/properties/aadProfile").filter(|profile| profile.is_object());
    let local_accounts_disabled = bool_at(cluster, &["properties", "disableLocalAccounts"]) == Some(true);
    match profile {
        Some(profile) => Some(profile.get("tenantID").and_then(Value::as_str).unwrap_or_default()),
        None => local_accounts_disabled.then_some(""),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotation_overrides_the_setting() {
        for (annotation, setting, expected) in [
            (None, "auto", Mode::Auto),
            (None, "never", Mode::Never),
            (None, "", Mode::Auto),
            (Some("always"), "never", Mode::Always),
            (Some("nonsense"), "never", Mode::Never),
        ] {
            let body = json!({"annotations": {ANNOTATION: annotation}});
            assert_eq!(Mode::new(body.as_object().unwrap(), setting), expected, "{annotation:?} {setting}");
        }
    }

    #[test]
    fn mode_decides_which_clusters_get_an_agent() {
        for (mode, needs_tunnel, is_deployed, expected) in [
            (Mode::Auto, true, false, true),
            (Mode::Auto, false, false, false),
            (Mode::Auto, false, true, true),
            (Mode::Always, false, false, true),
            (Mode::Never, true, true, false),
        ] {
            assert_eq!(mode.wants_agent(needs_tunnel, is_deployed), expected, "{mode:?}");
        }
    }

    fn input(is_reached: bool, has_run_command: bool) -> Input<'static> {
        Input { revision: "new", now_ms: 10_000_000, is_reached, has_run_command }
    }

    #[test]
    fn api_precedes_run_command_and_owner() {
        let undeployed = Deployment::default();
        assert_eq!(undeployed.next(&input(true, true)), Step::Apply(ApplyMethod::Api));
        assert_eq!(undeployed.next(&input(true, false)), Step::Apply(ApplyMethod::Api));
        assert_eq!(undeployed.next(&input(false, true)), Step::Apply(ApplyMethod::RunCommand));
        assert_eq!(undeployed.next(&input(false, false)), Step::AskOwner);
    }

    #[test]
    fn manifest_is_applied_again_if_changed_or_unreachable() {
        let mut deployment = Deployment::default();
        deployment.succeed("new", "s", ApplyMethod::RunCommand, 9_999_000);
        assert_eq!(deployment.next(&input(false, true)), Step::Keep);
        deployment.applied_ms = 0;
        assert_eq!(deployment.next(&input(true, true)), Step::Keep);
        assert_eq!(
            deployment.next(&input(false, true)),
            Step::Apply(ApplyMethod::RunCommand),
            "still unreachable"
        );
        deployment.succeed("old", "s", ApplyMethod::RunCommand, 9_999_000);
        assert_eq!(deployment.next(&input(true, true)), Step::Apply(ApplyMethod::Api));
    }

    #[test]
    fn running_command_is_polled_and_failures_delay_the_next() {
        let mut deployment = Deployment::default();
        let running = RunningCommand {
            result: "r".into(),
            revision: "new".into(),
            secret: "s".into(),
            started_ms: 1,
            removes: false,
        };
        deployment.start(running);
        assert_eq!(deployment.next(&input(true, true)), Step::Poll);
        deployment.fail("no", ApplyMethod::RunCommand, 9_990_000);
        assert_eq!(deployment.next(&input(false, true)), Step::Wait);
        assert_eq!(deployment.next(&input(true, true)), Step::Apply(ApplyMethod::Api), "another method");
        deployment.retry_ms = 10_000_000;
        assert_eq!(deployment.next(&input(false, true)), Step::Apply(ApplyMethod::RunCommand));
        for _ in 0..40 {
            deployment.fail("no", ApplyMethod::RunCommand, 0);
        }
        assert_eq!(deployment.retry_ms, MAX_RETRY_DELAY_MS);
    }

    #[test]
    fn failed_attempt_may_have_left_objects() {
        let mut deployment = Deployment::default();
        assert!(!deployment.may_have_objects());
        deployment.record_attempt("a");
        deployment.fail("no", ApplyMethod::Api, 0);
        deployment.record_attempt("b");
        deployment.fail("no", ApplyMethod::Api, 0);
        assert!(deployment.may_have_objects() && !deployment.is_deployed());
        assert_eq!((deployment.secret.as_str(), deployment.old_secrets.len()), ("a", 1));
        deployment.succeed("new", "b", ApplyMethod::Api, 0);
        assert_eq!(
            (deployment.secret.as_str(), deployment.old_secrets.first().unwrap().as_str()),
            ("b", "a")
        );
        let mut foreign = Deployment::default();
        foreign.record_attempt("a");
        foreign.leave_foreign("foreign", ApplyMethod::Api, 0);
        assert!(!foreign.may_have_objects());
    }

    #[test]
    fn api_failure_delays_despite_an_earlier_success() {
        let mut deployment = Deployment::default();
        deployment.succeed("old", "s", ApplyMethod::RunCommand, 0);
        deployment.fail("no", ApplyMethod::Api, 9_990_000);
        assert_eq!(deployment.next(&input(true, true)), Step::Wait);
    }

    #[test]
    fn foreign_agent_is_left_until_the_api_shows_its_deletion() {
        for method in [ApplyMethod::Api, ApplyMethod::RunCommand] {
            let mut deployment = Deployment::default();
            deployment.leave_foreign("foreign", method, 9_990_000);
            for is_reached in [true, false] {
                assert_eq!(deployment.next(&input(is_reached, true)), Step::LeaveForeign, "{method:?}");
            }
            deployment.retry_ms = 10_000_000;
            assert_eq!(deployment.next(&input(false, true)), Step::LeaveForeign, "no run command");
            assert_eq!(deployment.next(&input(true, true)), Step::Apply(ApplyMethod::Api));
            deployment.succeed("new", "s", ApplyMethod::Api, 10_000_000);
            assert!(!deployment.foreign);
        }
    }

    #[test]
    fn old_secrets_are_disposable_after_an_hour() {
        let mut deployment = Deployment::default();
        deployment.succeed("a", "secret-a", ApplyMethod::Api, 0);
        deployment.succeed("b", "secret-b", ApplyMethod::Api, 0);
        deployment.succeed("c", "secret-b", ApplyMethod::Api, 0);
        assert_eq!(deployment.disposable_secrets(OLD_SECRETS_TTL_MS - 1), Vec::<String>::new());
        assert_eq!(deployment.disposable_secrets(OLD_SECRETS_TTL_MS), ["secret-a"]);
        deployment.succeed("d", "secret-a", ApplyMethod::Api, 0);
        assert_eq!(deployment.disposable_secrets(OLD_SECRETS_TTL_MS), ["secret-b"]);
    }

    #[test]
    fn requirements_of_run_commands_are_read() {
        let disabled = json!({"properties": {"apiServerAccessProfile": {"disableRunCommand": true}}});
        assert!(!has_run_command(&disabled) && has_run_command(&json!({"properties": {}})));
        for (properties, expected) in [
            (json!({}), None),
            (json!({"aadProfile": null}), None),
            (json!({"aadProfile": {"managed": true, "tenantID": "t"}}), Some("t")),
            (json!({"disableLocalAccounts": true}), Some("")),
        ] {
            assert_eq!(token_tenant(&json!({"properties": properties})), expected);
        }
    }

    #[test]
    fn stored_deployment_round_trips() {
        let mut deployment = Deployment::default();
        deployment.succeed("a", "s", ApplyMethod::Api, 7);
        let text = serde_json::to_string(&deployment).unwrap();
        assert_eq!(serde_json::from_str::<Deployment>(&text).unwrap(), deployment);
        assert_eq!(serde_json::from_str::<Deployment>("{}").unwrap(), Deployment::default());
    }
}
