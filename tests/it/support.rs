//! What the tests stand on: a whole server in process, with the sandbox as its Azure and a clock that can be moved; and
//! databases of their own; and the real executable.

use norman_aks::store::AuditRow;

pub(crate) mod app;
pub(crate) mod connected;
pub(crate) mod databases;
pub(crate) mod fixtures;
pub(crate) mod kubernetes;
pub(crate) mod made;
pub(crate) mod program;
pub(crate) mod schema;

/// The audit record of a change that a test makes by itself.
pub(crate) fn audit() -> AuditRow {
    AuditRow { id: uuid::Uuid::now_v7().to_string(), ..AuditRow::default() }
}
