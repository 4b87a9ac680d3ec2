//! The caller and the request behind a change, for audit records.

use std::net::IpAddr;
use std::sync::Arc;

use aks::mask::mask;

use super::Caller;
use super::audit::{Action, AuditEvent, AuditLog, Outcome};
use super::error::{Error, Result};
use crate::store::AuditRow;

/// The user name in audit records of commands. These records have no user ID, no token and no address.
pub const COMMAND_LINE: &str = "command line";

/// The user name in audit records of changes by the server itself.
pub const SERVER: &str = "server";

/// The caller of a change, with its request.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The caller.
    pub caller: Arc<Caller>,
    /// The ID of the request; empty if there is none.
    pub request_id: Arc<str>,
    /// The client IP of the request.
    pub remote: Option<IpAddr>,
}

impl Actor {
    /// The operator at the command line.
    pub fn command_line() -> Self {
        Self::without_user(COMMAND_LINE)
    }

    /// The server itself, at startup or as a consequence of a request.
    pub fn server() -> Self {
        Self::without_user(SERVER)
    }

    fn without_user(name: &str) -> Self {
        let caller = Caller {
            user_id: String::new(),
            user_name: name.to_owned(),
            admin: false,
            token_name: String::new(),
            cluster_id: None,
        };
        Self { caller: caller.into(), request_id: Arc::default(), remote: None }
    }

    /// The audit record of a change that is about to be made. The store writes the change and the record in one transaction, so
    /// that neither exists without the other. Failures are recorded with [`AuditLog::record_failure`].
    pub(super) fn audit(
        &self,
        action: Action,
        object_type: &'static str,
        object_id: &str,
        now_ms: i64,
    ) -> AuditRow {
        self.event(action, object_type, object_id, &Ok(())).into_row_at(now_ms)
    }

    /// As [`Self::audit`], with a detail, which must not contain the content of the object.
    pub(super) fn audit_with_detail(
        &self,
        action: Action,
        object_type: &'static str,
        object_id: &str,
        detail: &str,
        now_ms: i64,
    ) -> AuditRow {
        self.event(action, object_type, object_id, &Ok(())).detail(detail).into_row_at(now_ms)
    }

    /// The audit event of an attempt and its outcome.
    pub(super) fn event<T>(
        &self,
        action: Action,
        object_type: &'static str,
        object_id: &str,
        result: &Result<T>,
    ) -> AuditEvent {
        let outcome = match result {
            Ok(_) => Outcome::Done,
            Err(
                Error::NotFound { .. }
                | Error::ReferenceNotFound { .. }
                | Error::NoCredential
                | Error::Forbidden(_)
                | Error::Invalid(_)
                | Error::Conflict { .. }
                | Error::Exists { .. }
                | Error::TooManyEventStreams
                | Error::Rejected(_),
            ) => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        // After an error, the ID may be any text of the client, even a secret.
        let object_id = if outcome == Outcome::Done { object_id.into() } else { mask(object_id) };
        AuditEvent::new(&self.caller, action, object_type, &object_id)
            .outcome(outcome)
            .request(&self.request_id, self.remote)
    }
}

impl AuditLog {
    /// Records a rejected or failed attempt, and returns its result; a successful change already has its record.
    pub(super) async fn record_failure<T>(
        &self,
        by: &Actor,
        action: Action,
        object_type: &'static str,
        object_id: &str,
        result: Result<T>,
    ) -> Result<T> {
        if result.is_err() {
            self.record(by.event(action, object_type, object_id, &result)).await;
        }
        result
    }
}
