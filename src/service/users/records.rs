//! The audit records of changes to users: one for the user, and one for each object that is handed over or deleted.

use super::OBJECT_TYPE;
use crate::service::actor::Actor;
use crate::service::audit::Action;
use crate::service::clusters;
use crate::service::credentials::{self, full_id};
use crate::service::members;
use crate::service::name_list::format_count;
use crate::store::users::RemovedUser;
use crate::store::{AuditRow, UserRow};

/// The record of enabling or disabling a user.
pub(super) fn enabled_record(by: &Actor, user: &UserRow, now_ms: i64) -> AuditRow {
    let state = if user.enabled { "enabled" } else { "disabled" };
    by.audit_with_detail(Action::Update, OBJECT_TYPE, &user.id, &format!("{} is {state}", user.name), now_ms)
}

/// The records of removing a user.
pub(super) fn removal_records(by: &Actor, removed: &RemovedUser, now_ms: i64) -> Vec<AuditRow> {
    let RemovedUser { user, new_owner, owned, memberships, tokens } = removed;
    let mut records = Vec::new();
    if let Some(new_owner) = new_owner {
        let detail =
            format!("handed over from {} ({}) to {} ({})", user.name, user.id, new_owner.name, new_owner.id);
        let clusters = owned.clusters.iter().map(|row| (clusters::OBJECT_TYPE, row.id.clone()));
        let credentials = owned.credentials.iter().map(|row| (credentials::OBJECT_TYPE, full_id(&row.id)));
        for (object_type, id) in clusters.chain(credentials) {
            records.push(by.audit_with_detail(Action::Update, object_type, &id, &detail, now_ms));
        }
    }
    let detail = format!("the user {} was removed", user.name);
    for id in memberships {
        records.push(by.audit_with_detail(Action::Delete, members::OBJECT_TYPE, id, &detail, now_ms));
    }
    let handed_over =
        new_owner.as_ref().map_or_else(String::new, |owner| format!(" handed over to {}", owner.name));
    let detail = format!(
        "{}: {} and {} deleted, {} and {}{handed_over}",
        user.name,
        format_count(*tokens, "token"),
        format_count(memberships.len(), "membership"),
        format_count(owned.clusters.len(), "cluster"),
        format_count(owned.credentials.len(), "cloud credential"),
    );
    records.push(by.audit_with_detail(Action::Delete, OBJECT_TYPE, &user.id, &detail, now_ms));
    records
}
