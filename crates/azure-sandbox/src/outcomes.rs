//! Scripted outcomes of long-running operations, set before the operations start.

use serde::{Deserialize, Serialize};

use crate::operation::{FinalStatus, LongOperation, OperationError, OperationKind, Outcome};
use crate::script::{Rule, Script};

/// A scripted outcome of long-running operations that have not started yet. Unset conditions match every operation; the
/// first match applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptedOutcome {
    /// Only operations of this kind.
    #[serde(rename = "deed", skip_serializing_if = "Option::is_none")]
    pub kind: Option<OperationKind>,
    /// Only targets with this name, in any letter case; for pools and subnets, the name of the pool or subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of matching operations that end normally before the outcome applies.
    pub skip: u32,
    /// The number of matching operations that the outcome then applies to; unlimited if unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// The final status.
    pub status: FinalStatus,
    /// `error.code`. With [`FinalStatus::Succeeded`], an error from which Azure recovers; none if empty.
    pub code: String,
    /// `error.message`.
    pub message: String,
    /// Another duration, in milliseconds before scaling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasts: Option<u64>,
}

impl Rule for ScriptedOutcome {
    type Subject = LongOperation;

    fn matches(&self, operation: &LongOperation) -> bool {
        self.kind.is_none_or(|kind| kind == operation.kind)
            && self.name.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(operation.target.name()))
    }

    fn counters(&mut self) -> (&mut u32, &mut Option<u32>) {
        (&mut self.skip, &mut self.times)
    }
}

impl Script<ScriptedOutcome> {
    /// Sets the scripted outcome of an operation that starts, if one matches.
    pub(crate) fn apply(&mut self, operation: &mut LongOperation) {
        if let Some(scripted) = self.next_match(operation) {
            let error = OperationError { code: scripted.code, message: scripted.message };
            operation.outcome = Some(Outcome { status: scripted.status, error });
            operation.duration_ms = scripted.lasts.unwrap_or(operation.duration_ms);
        }
    }
}
