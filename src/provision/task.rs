//! One claimed cluster: what is wanted, where the work stands, and what is written down about it.

use std::time::Duration;

use aks::provision::imported::merged;
use aks::provision::plan::{self, Observed, Phase};
use aks::spec::{AksConfig, ClusterSpec};
use aks::status::{ClusterStatus, Progress, State, Step, Tried, Truth, Waiting};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::Parts;
use super::trouble::Trouble;
use crate::service::credentials::last_use_by_server;
use crate::store::{self, ClusterRow, NewClusterEvent, WorkColumns};

/// The steps of a cluster on its way, in order, for programs.
pub(super) const STEPS: [&str; 6] = ["cluster", "credentials", "azure", "status", "connection", "active"];

/// When to look again, and whether anything is left to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// At once: something was done, and the next step can be decided.
    Now,
    /// After a pause.
    In(Duration),
    /// Never: the object goes.
    Forget,
}

/// A long operation of Azure, as it lies on the row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Running {
    /// [`azure::Operation::to_text`].
    pub(super) operation: String,
    /// What is waited for, for people.
    pub(super) what: String,
    /// Rancher's words before the reason when it fails.
    pub(super) doing: String,
    /// Whether it removes the cluster.
    pub(super) removes: bool,
}

/// A claimed cluster.
pub(super) struct Task {
    pub(super) row: ClusterRow,
    pub(super) spec: ClusterSpec,
    /// What of the specification counts.
    pub(super) stated: AksConfig,
    /// What Azure is to have: the same, and for an import what others set beside it.
    pub(super) wanted: AksConfig,
    pub(super) applied: Option<AksConfig>,
    pub(super) work: WorkColumns,
    pub(super) status: ClusterStatus,
    pub(super) phase: Phase,
    pub(super) owner: String,
    /// Milliseconds since 1970 and the same as text.
    pub(super) now_ms: i64,
    pub(super) now: String,
    /// What happened in this step, for those who watch.
    happened: Vec<(&'static str, String)>,
}

impl Task {
    pub(super) fn new(parts: &Parts, row: ClusterRow) -> Result<Self, serde_json::Error> {
        let now = parts.clock.now().replace_nanosecond(0).unwrap_or_else(|_| parts.clock.now());
        let phase = match row.work.phase.as_str() {
            _ if row.removing_ms.is_some() => Phase::Removing,
            "creating" => Phase::Creating,
            "active" => Phase::Active,
            _ => Phase::New,
        };
        let spec = ClusterSpec::from_text(&row.spec)?;
        let applied: Option<AksConfig> =
            row.work.applied_spec.as_deref().map(serde_json::from_str).transpose()?;
        let stated = plan::stated(spec.aks(), applied.as_ref()).into_owned();
        Ok(Self {
            wanted: stated.clone(),
            stated,
            spec,
            applied,
            status: ClusterStatus::from_text(&row.work.status)?.as_of(row.generation),
            work: row.work.clone(),
            phase,
            owner: format!("{}/{}", parts.instance, row.id),
            now_ms: parts.clock.now_ms(),
            now: now.format(&Rfc3339).unwrap_or_default(),
            happened: Vec::new(),
            row,
        })
    }

    pub(super) fn aks(&self) -> &AksConfig {
        self.spec.aks()
    }

    /// What was asked of Azure for this specification.
    pub(super) fn tried(&mut self) -> &mut Tried {
        let generation = self.row.generation;
        let tried = self.status.tried.get_or_insert_default();
        if tried.generation != generation {
            *tried = Tried { generation, ..Tried::default() };
        }
        tried
    }

    /// Looks at an import beside what Azure has: entries of lists and maps that differ there are the user's from now on,
    /// those of others stay.
    pub(super) fn merge(&mut self, observed: &Observed) {
        let Some(upstream) = observed.upstream.as_ref().filter(|_| self.is_import()) else { return };
        self.status.named.note(&self.stated, upstream);
        self.wanted = merged(&self.stated, upstream, &self.status.named);
    }

    /// Takes a specification that was changed by the server itself.
    pub(super) fn replace_spec(&mut self, spec: ClusterSpec) {
        self.spec = spec;
        self.stated = plan::stated(self.spec.aks(), self.applied.as_ref()).into_owned();
        self.wanted.clone_from(&self.stated);
    }

    /// Drops named entries that are over, once Azure has everything as it is stated.
    pub(super) fn settle_named(&mut self) {
        if let (true, Some(upstream)) = (self.is_import(), &self.status.upstream_spec) {
            self.status.named.settle(&self.stated, upstream);
        }
    }

    pub(super) fn is_import(&self) -> bool {
        self.aks().imported == Some(true)
    }

    pub(super) fn was_active(&self) -> bool {
        self.work.activated_ms.is_some()
    }

    /// Whether everything that the user wants is there.
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

    /// The long operation that is followed; one that cannot be read counts as none, because Azure is looked at anyway.
    pub(super) fn running(&self) -> Option<Running> {
        serde_json::from_str(self.work.operation.as_deref()?).ok()
    }

    pub(super) fn follow(&mut self, running: Option<&Running>) {
        self.work.operation = running.and_then(|running| serde_json::to_string(running).ok());
    }

    pub(super) fn condition(&mut self, kind: &str, truth: Truth, message: &str) {
        let now = self.now.clone();
        self.status.set_condition(kind, truth, "", message, &now);
    }

    /// The condition that tells of the work: `Provisioned` until the first time that all is there, then `Updated`.
    pub(super) fn working_condition(&self) -> &'static str {
        if self.was_active() { "Updated" } else { "Provisioned" }
    }

    /// That the step of that name is being done, and the ones before it are done.
    pub(super) fn at_step(&mut self, name: &str, progress: Progress, message: &str) {
        let position = STEPS.iter().position(|step| *step == name).unwrap_or_default();
        let old = std::mem::take(&mut self.status.steps);
        for (index, step) in STEPS.iter().enumerate() {
            let (state, text) = match index.cmp(&position) {
                std::cmp::Ordering::Less => (Progress::Done, ""),
                std::cmp::Ordering::Equal => (progress, message),
                std::cmp::Ordering::Greater => (Progress::Pending, ""),
            };
            let before = old.iter().find(|it| it.name == *step && it.state == state);
            self.status.steps.push(Step {
                name: (*step).to_owned(),
                state,
                message: text.to_owned(),
                since_ms: before.map_or(self.now_ms, |it| it.since_ms),
            });
        }
    }

    /// That something was done.
    pub(super) fn tell(&mut self, kind: &'static str, message: impl Into<String>) {
        let message = message.into();
        tracing::info!(cluster = self.row.id, kind, "{message}");
        self.happened.push((kind, message));
    }

    /// That something is waited for; no failure any more.
    pub(super) fn wait(&mut self, what: &str, percent: Option<f64>) {
        let known = self.status.waiting.as_ref().filter(|waiting| waiting.what == what);
        let since_ms = known.map_or(self.now_ms, |waiting| waiting.since_ms);
        if known.is_none() {
            self.tell("waiting", what);
        }
        self.status.waiting = Some(Waiting { what: what.to_owned(), since_ms, percent });
        self.forget_failure();
    }

    /// The last step went well. That something was begun is not enough: what always fails in the end is begun more and more
    /// seldom.
    pub(super) fn recovered(&mut self) {
        self.work.attempts = 0;
        self.forget_failure();
    }

    fn forget_failure(&mut self) {
        self.status.recover();
        let kind = self.working_condition();
        if self.status.condition(kind).is_some_and(|condition| condition.status == Truth::False) {
            self.condition(kind, Truth::Unknown, "");
        }
    }

    /// Writes a failure down, in the status and in the log.
    pub(super) fn fail(&mut self, trouble: &Trouble) -> Next {
        if trouble.busy {
            self.wait(&trouble.message, None);
            return Next::In(trouble.pause(0));
        }
        trouble.log(&self.row.id);
        let pause = trouble.pause(self.work.attempts);
        self.work.attempts += 1;
        if self.status.failure.as_deref() != Some(&trouble.message) {
            self.happened.push(("failure", trouble.message.clone()));
        }
        self.status.fail(&trouble.message, self.row.generation);
        self.status.waiting = None;
        let kind = self.working_condition();
        self.condition(kind, Truth::False, &trouble.message);
        let step = self.status.steps.iter().find(|step| step.state == Progress::Running);
        let step = step.map(|step| step.name.clone());
        if let Some(name) =
            step.map(|name| if trouble.of_credential { "credentials".to_owned() } else { name })
        {
            self.at_step(&name, Progress::Failed, &trouble.message);
        }
        metrics::counter!("norman_aks_provision_steps_total", "outcome" => "failed").increment(1);
        Next::In(pause)
    }

    /// Writes down where the work stands without giving the claim back; false when somebody else has the claim.
    pub(super) async fn record(&mut self, parts: &Parts) -> Result<(), Trouble> {
        self.work.status = self.status.to_text();
        let seen = self.row.generation;
        if store::clusters::record(&parts.store, &self.row.id, &self.work, seen, self.now_ms).await? {
            return Ok(());
        }
        Err(Trouble::new("somebody else works on the cluster by now"))
    }

    /// Writes everything down and gives the claim back; false when it was no longer ours.
    pub(super) async fn write_down(mut self, parts: &Parts, next: Next) -> Result<bool, store::Error> {
        let now = parts.clock.now_ms();
        let events = self.events(now);
        match next {
            Next::Forget => {
                let (id, fence) = (&self.row.id, self.work.fence);
                let erasure = last_use_by_server(&self.row, now);
                let store = &parts.store;
                let gone =
                    store::clusters::delete_claimed(store, id, fence, &events, erasure.as_ref()).await?;
                // Whoever could use a credential through this cluster no longer can.
                parts.credentials.forget_resolved();
                Ok(gone)
            }
            Next::Now | Next::In(_) => {
                let pause = if let Next::In(pause) = next { pause } else { Duration::ZERO };
                self.work.next_run_ms = Some(now + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX / 2));
                self.work.status = self.status.to_text();
                let seen = self.row.generation;
                store::clusters::release(&parts.store, &self.row.id, &self.work, seen, now, &events).await
            }
        }
    }

    /// An event of this cluster, for the table.
    pub(super) fn event(&self, kind: &str, message: impl Into<String>) -> NewClusterEvent {
        NewClusterEvent {
            at_ms: self.now_ms,
            kind: kind.to_owned(),
            message: message.into(),
            data: self.event_data(),
        }
    }

    fn event_data(&self) -> String {
        let state = State::of(
            self.row.removing_ms.is_some(),
            self.was_active(),
            self.row.generation,
            self.work.applied_generation,
        );
        let data =
            json!({"generation": self.row.generation, "phase": self.work.phase, "state": state.name()});
        data.to_string()
    }

    /// What happened in this step, for the table.
    fn events(&mut self, at_ms: i64) -> Vec<NewClusterEvent> {
        let data = self.event_data();
        let happened = std::mem::take(&mut self.happened).into_iter();
        happened
            .map(|(kind, message)| NewClusterEvent {
                at_ms,
                kind: kind.to_owned(),
                message,
                data: data.clone(),
            })
            .collect()
    }
}
