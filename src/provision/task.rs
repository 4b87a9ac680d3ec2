//! A claimed cluster: its desired spec, the progress of the work, and its saved state.

use std::time::Duration;

use aks::cluster_details::ClusterDetails;
use aks::provision::imported::merge_entries;
use aks::provision::plan::{self, Observed, Phase};
use aks::spec::{AksConfig, ClusterSpec};
use aks::status::{ClusterStatus, ConditionStatus, Progress, ProgressStep, State, UpdateAttempts, Waiting};
use clock::rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::StepError;
use crate::service::actor::Actor;
use crate::service::core::Core;
use crate::service::credentials::last_use_erasure;
use crate::store::{self, ClusterRow, NewClusterEvent, ReconcileColumns};

/// The names of the steps to an active cluster, in order.
pub(super) const STEPS: [&str; 6] = ["cluster", "credentials", "azure", "status", "connection", "active"];

/// The time of the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Immediately, because something changed.
    Now,
    /// After a delay.
    In(Duration),
    /// Never: the object is to be deleted.
    Delete,
}

/// A long-running operation of Azure, as stored in the row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredOperation {
    /// [`azure::LongRunningOperation::to_text`].
    pub(super) operation: String,
    /// The operation in progress, for users.
    pub(super) what: String,
    /// Rancher's prefix of the error message.
    #[serde(rename = "doing")]
    pub(super) error_prefix: String,
    #[serde(rename = "removes")]
    pub(super) deletes_cluster: bool,
}

/// A claimed cluster.
pub(super) struct Task {
    pub(super) row: ClusterRow,
    pub(super) spec: ClusterSpec,
    /// The user's specification, as [`plan::user_spec`] returns it.
    pub(super) user_spec: AksConfig,
    /// The desired spec. For an import, it also contains the values that others have set in Azure.
    pub(super) desired: AksConfig,
    pub(super) applied: Option<AksConfig>,
    pub(super) work: ReconcileColumns,
    pub(super) status: ClusterStatus,
    pub(super) phase: Phase,
    /// The value of the owner tag of the resources in Azure.
    pub(super) owner_tag: String,
    /// The current time in milliseconds since 1970, and in RFC 3339.
    pub(super) now_ms: i64,
    pub(super) now_rfc3339: String,
    /// The kind and the message of each event of this step.
    events: Vec<(&'static str, String)>,
}

impl Task {
    pub(super) fn new(core: &Core, row: ClusterRow) -> Result<Self, serde_json::Error> {
        let now_ms = core.clock.now_ms();
        let phase = match row.work.phase.as_str() {
            _ if row.removing_ms.is_some() => Phase::Removing,
            "creating" => Phase::Creating,
            "active" => Phase::Active,
            _ => Phase::New,
        };
        let spec = ClusterSpec::from_text(&row.spec)?;
        let applied: Option<AksConfig> =
            row.work.applied_spec.as_deref().map(serde_json::from_str).transpose()?;
        let user_spec = plan::user_spec(spec.aks(), applied.as_ref()).into_owned();
        Ok(Self {
            desired: user_spec.clone(),
            user_spec,
            spec,
            applied,
            status: ClusterStatus::from_json(&row.work.status)?.for_generation(row.generation),
            work: row.work.clone(),
            phase,
            owner_tag: format!("{}/{}", core.instance, row.id),
            now_ms,
            now_rfc3339: rfc3339(now_ms),
            events: Vec::new(),
            row,
        })
    }

    pub(super) fn aks(&self) -> &AksConfig {
        self.spec.aks()
    }

    /// The attempts for the current generation.
    pub(super) fn attempts(&mut self) -> &mut UpdateAttempts {
        let generation = self.row.generation;
        let attempts = self.status.attempts.get_or_insert_default();
        if attempts.generation != generation {
            *attempts = UpdateAttempts { generation, ..UpdateAttempts::default() };
        }
        attempts
    }

    /// Merges an import with Azure's state. Entries of lists and maps that differ are managed by the user from now on; all others
    /// are unchanged.
    pub(super) fn merge_upstream(&mut self, observed: &Observed) {
        let Some(upstream) = observed.upstream.as_ref().filter(|_| self.is_import()) else { return };
        self.status.user_entries.record(&self.user_spec, upstream);
        self.desired = merge_entries(&self.user_spec, upstream, &self.status.user_entries);
    }

    /// Sets a specification that the server itself has changed.
    pub(super) fn replace_spec(&mut self, spec: ClusterSpec) {
        self.spec = spec;
        self.user_spec = plan::user_spec(self.spec.aks(), self.applied.as_ref()).into_owned();
        self.desired.clone_from(&self.user_spec);
    }

    /// Removes user entries that are no longer needed, once Azure matches the specification.
    pub(super) fn prune_user_entries(&mut self) {
        if let (true, Some(upstream)) = (self.is_import(), &self.status.upstream_spec) {
            self.status.user_entries.prune(&self.user_spec, upstream);
        }
    }

    /// The resource group and the name in Azure.
    pub(super) fn group_and_name(&self) -> (String, String) {
        let aks = self.aks();
        (aks.resource_group.clone().unwrap_or_default(), aks.cluster_name.clone().unwrap_or_default())
    }

    /// Records Azure's state of the cluster.
    pub(super) fn set_upstream(&mut self, observed: &Observed) {
        self.status.upstream_spec.clone_from(&observed.upstream);
        self.status.details = observed.cluster.as_ref().map(ClusterDetails::read).unwrap_or_default();
        let rbac = observed
            .cluster
            .as_ref()
            .and_then(|cluster| cluster.pointer("/properties/enableRBAC")?.as_bool());
        self.status.rbac_enabled = Some(rbac.unwrap_or(false));
        self.work.refreshed_ms = Some(self.now_ms);
    }

    pub(super) fn is_import(&self) -> bool {
        self.aks().imported == Some(true)
    }

    pub(super) fn was_active(&self) -> bool {
        self.work.activated_ms.is_some()
    }

    /// Whether the desired spec is applied and no operation is running, so that the cluster is only refreshed.
    pub(super) fn is_idle(&self) -> bool {
        self.phase != Phase::Removing
            && self.was_active()
            && self.work.applied_generation == self.row.generation
            && self.work.operation.is_none()
    }

    pub(super) fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
        match phase {
            Phase::New => "new",
            Phase::Creating => "creating",
            Phase::Active => "active",
            Phase::Removing => "removing",
        }
        .clone_into(&mut self.work.phase);
    }

    /// The running operation; `None` if it cannot be parsed, in which case Azure is read instead.
    pub(super) fn running_operation(&self) -> Option<StoredOperation> {
        serde_json::from_str(self.work.operation.as_deref()?).ok()
    }

    pub(super) fn set_running_operation(&mut self, running: Option<&StoredOperation>) {
        self.work.operation = running.and_then(|running| serde_json::to_string(running).ok());
    }

    pub(super) fn set_condition(&mut self, condition_type: &str, status: ConditionStatus, message: &str) {
        let now = self.now_rfc3339.clone();
        self.status.set_condition(condition_type, status, "", message, &now);
    }

    /// The type of the condition for progress: `Provisioned` until the cluster is active for the first time, then `Updated`.
    fn progress_condition_type(&self) -> &'static str {
        if self.was_active() { "Updated" } else { "Provisioned" }
    }

    /// Sets the current step; marks earlier ones as done.
    pub(super) fn set_step(&mut self, name: &str, progress: Progress, message: &str) {
        let position = STEPS.iter().position(|step| *step == name).unwrap_or_default();
        let old_steps = std::mem::take(&mut self.status.steps);
        for (index, step) in STEPS.iter().enumerate() {
            let (state, step_message) = match index.cmp(&position) {
                std::cmp::Ordering::Less => (Progress::Done, ""),
                std::cmp::Ordering::Equal => (progress, message),
                std::cmp::Ordering::Greater => (Progress::Pending, ""),
            };
            let unchanged = old_steps.iter().find(|old| old.name == *step && old.state == state);
            self.status.steps.push(ProgressStep {
                name: (*step).to_owned(),
                state,
                message: step_message.to_owned(),
                since_ms: unchanged.map_or(self.now_ms, |old| old.since_ms),
            });
        }
    }

    /// Adds an event.
    pub(super) fn add_event(&mut self, kind: &'static str, message: impl Into<String>) {
        let message = message.into();
        tracing::info!(cluster = self.row.id, kind, "{message}");
        self.events.push((kind, message));
    }

    /// Records what the worker waits for; clears a failure.
    pub(super) fn set_waiting(&mut self, what: &str, percent: Option<f64>) {
        let current = self.status.waiting.as_ref().filter(|waiting| waiting.what == what);
        let since_ms = current.map_or(self.now_ms, |waiting| waiting.since_ms);
        if current.is_none() {
            self.add_event("waiting", what);
        }
        self.status.waiting = Some(Waiting { what: what.to_owned(), since_ms, percent });
        self.clear_failure();
    }

    /// Records a success. Starting an operation is not a success, so that an operation that always fails is started with
    /// increasing delays.
    pub(super) fn record_success(&mut self) {
        self.work.attempts = 0;
        self.clear_failure();
    }

    fn clear_failure(&mut self) {
        self.status.clear_failure();
        let condition_type = self.progress_condition_type();
        if self
            .status
            .condition(condition_type)
            .is_some_and(|condition| condition.status == ConditionStatus::False)
        {
            self.set_condition(condition_type, ConditionStatus::Unknown, "");
        }
    }

    /// Records a failure in the status and in the log, or that the cluster is busy; returns the time of the next attempt.
    pub(super) fn record_failure(&mut self, error: &StepError) -> Next {
        if error.is_busy {
            self.set_waiting(&error.message, None);
            return Next::In(error.retry_delay(0));
        }
        error.log(&self.row.id);
        let delay = error.retry_delay(self.work.attempts);
        self.work.attempts += 1;
        if self.status.failure.as_deref() != Some(&error.message) {
            self.events.push(("failure", error.message.clone()));
        }
        self.status.record_failure(&error.message, self.row.generation);
        self.status.waiting = None;
        let condition_type = self.progress_condition_type();
        self.set_condition(condition_type, ConditionStatus::False, &error.message);
        let running = self.status.steps.iter().find(|step| step.state == Progress::Running);
        if let Some(step) = running.map(|step| step.name.clone()) {
            let step = if error.is_about_credential { "credentials" } else { &step };
            self.set_step(step, Progress::Failed, &error.message);
        }
        metrics::counter!("norman_aks_provision_steps_total", "outcome" => "failed").increment(1);
        Next::In(delay)
    }

    /// Saves the progress and keeps the lease. Fails if the lease was lost.
    pub(super) async fn save(&mut self, core: &Core) -> Result<(), StepError> {
        self.work.status = self.status.to_json();
        let seen_generation = self.row.generation;
        if store::clusters::record(&core.store, &self.row.id, &self.work, seen_generation, self.now_ms)
            .await?
        {
            return Ok(());
        }
        Err(StepError::lease_lost())
    }

    /// Saves everything and releases the lease, or deletes the object; false if the lease was lost.
    pub(super) async fn release(mut self, core: &Core, next: Next) -> Result<bool, store::Error> {
        let now_ms = core.clock.now_ms();
        let events = self.take_events(now_ms);
        match next {
            Next::Delete => {
                let (id, fence) = (&self.row.id, self.work.fence);
                let erasure = last_use_erasure(&Actor::server(), &self.row, now_ms);
                let store = &core.store;
                let is_deleted =
                    store::clusters::delete_claimed(store, id, fence, &events, erasure.as_ref()).await?;
                // Users may no longer use the credential through this cluster.
                core.credentials.invalidate_resolved();
                Ok(is_deleted)
            }
            Next::Now | Next::In(_) => {
                let delay = if let Next::In(delay) = next { delay } else { Duration::ZERO };
                self.work.next_run_ms =
                    Some(now_ms + i64::try_from(delay.as_millis()).unwrap_or(i64::MAX / 2));
                self.work.status = self.status.to_json();
                let seen_generation = self.row.generation;
                store::clusters::release(
                    &core.store,
                    &self.row.id,
                    &self.work,
                    seen_generation,
                    now_ms,
                    &events,
                )
                .await
            }
        }
    }

    /// A row for an event of this cluster.
    pub(super) fn new_event(&self, kind: &str, message: impl Into<String>) -> NewClusterEvent {
        NewClusterEvent {
            at_ms: self.now_ms,
            kind: kind.to_owned(),
            message: message.into(),
            data: self.event_data(),
        }
    }

    fn event_data(&self) -> String {
        let state = State::new(
            self.row.removing_ms.is_some(),
            self.was_active(),
            self.row.generation,
            self.work.applied_generation,
        );
        let data =
            json!({"generation": self.row.generation, "phase": self.work.phase, "state": state.name()});
        data.to_string()
    }

    /// Takes the events of this step, as rows.
    fn take_events(&mut self, at_ms: i64) -> Vec<NewClusterEvent> {
        let data = self.event_data();
        let events = std::mem::take(&mut self.events).into_iter();
        events
            .map(|(kind, message)| NewClusterEvent {
                at_ms,
                kind: kind.to_owned(),
                message,
                data: data.clone(),
            })
            .collect()
    }
}
