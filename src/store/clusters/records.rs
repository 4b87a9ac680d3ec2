//! The audit records of the update or deletion of a cluster.

use crate::store::credentials::Erasure;
use crate::store::{AuditRow, NewClusterEvent};

/// The audit records of an updated cluster, and whether its credential changes.
#[derive(Clone, Copy, Debug)]
pub struct UpdateRecords<'a> {
    /// The record of the change itself.
    pub change: &'a AuditRow,
    /// Whether the credential of the cluster changes. A new one must be usable.
    pub changes_credential: bool,
    /// The credential that the change replaces, if there was one.
    pub erasure: Option<&'a Erasure>,
}

impl<'a> From<&'a AuditRow> for UpdateRecords<'a> {
    fn from(change: &'a AuditRow) -> Self {
        Self { change, changes_credential: false, erasure: None }
    }
}

/// The event and the audit records of a deleted cluster.
#[derive(Clone, Debug)]
pub struct RemovalRecords {
    /// The last event of the cluster.
    pub event: NewClusterEvent,
    /// The record of the deletion.
    pub change: AuditRow,
    /// The credential that the cluster used.
    pub erasure: Option<Erasure>,
}

impl From<(NewClusterEvent, AuditRow)> for RemovalRecords {
    fn from((event, change): (NewClusterEvent, AuditRow)) -> Self {
        Self { event, change, erasure: None }
    }
}
