//! One comparison of the rights inside a cluster with those that have to be there, the changes, and the events about them.

use std::collections::BTreeMap;

use aks::role::Role;
use aks::system_namespaces::SystemNamespaces;
use cluster_access::{Access, MEMBERS_LABEL, RoleChanges, RoleState};
use serde_json::json;

use super::Error;
use crate::provision::Parts;
use crate::store::{self, NewClusterEvent, watches};

/// The kind of events that tell of rights inside a cluster.
pub(super) const EVENT_KIND: &str = "access";
/// The most names in one event.
const MAX_NAMES: usize = 20;
const CORRECTIONS: &str = "norman_aks_cluster_role_corrections_total";

/// Shows the counters before anything was counted.
pub(super) fn describe_metrics() {
    for outcome in ["done", "failed"] {
        metrics::counter!(CORRECTIONS, "outcome" => outcome).increment(0);
    }
}

/// The setting `system-namespaces`.
pub(in crate::provision) async fn system_namespaces(parts: &Parts) -> SystemNamespaces {
    SystemNamespaces::parse(&parts.settings.value("system-namespaces").await)
}

/// Compares and corrects the rights inside a cluster; returns them as they were read.
pub(in crate::provision) async fn correct(
    parts: &Parts,
    id: &str,
    access: &Access,
    system: &SystemNamespaces,
) -> Result<RoleState, Error> {
    let state = parts.downstream.role_state(access).await?;
    for namespace in state.refused(system) {
        tracing::info!(cluster = id, namespace, "system namespace stays closed although it is labelled");
    }
    let changes = state.changes(system);
    if changes.is_empty() {
        return Ok(state);
    }
    if changes.ends_edit_everywhere() {
        // Announced before it happens: a server that dies in between repeats the removal, and not the event.
        announce(parts, id).await?;
    }
    let outcome = parts.downstream.change_roles(access, &changes).await;
    let counted = if outcome.is_ok() { "done" } else { "failed" };
    metrics::counter!(CORRECTIONS, "outcome" => counted).increment(1);
    outcome?;
    tracing::info!(cluster = id, opened = ?changes.opened(), closed = ?changes.closed(), "corrected roles");
    if let Some(event) = namespaces_event(parts.clock.now_ms(), &changes) {
        store::cluster_events::append(&parts.store, id, &[event]).await?;
        parts.bell.ring(id);
    }
    Ok(state)
}

/// Says once for each cluster which members lose the rights of earlier versions.
async fn announce(parts: &Parts, id: &str) -> Result<(), Error> {
    let mut strongest = BTreeMap::<String, Role>::new();
    for member in store::members::list(&parts.store, Some(id), None).await? {
        if let Some(role) = Role::of(&member.role) {
            let known = strongest.entry(member.user_id).or_insert(role);
            *known = role.max(*known);
        }
    }
    let mut members = Vec::new();
    for (user_id, _) in strongest.into_iter().filter(|(_, role)| *role == Role::Member) {
        let user = store::users::get(&parts.store, &user_id).await?;
        members.push((user_id, user.map(|user| user.name).unwrap_or_default()));
    }
    let now_ms = parts.clock.now_ms();
    if watches::announce(&parts.store, id, now_ms, &announcement(now_ms, &members)).await? {
        parts.bell.ring(id);
    }
    Ok(())
}

/// The event about the end of the rights of earlier versions, for members as `(ID, name)`.
fn announcement(at_ms: i64, members: &[(String, String)]) -> NewClusterEvent {
    let remedy = format!(
        "to let members edit in a namespace, label it: kubectl label namespace <name> {MEMBERS_LABEL}"
    );
    let message = if members.is_empty() {
        format!("cluster members no longer edit in all namespaces; this cluster has none now; {remedy}")
    } else {
        let names: Vec<_> = members.iter().map(|(id, name)| format!("{name} ({id})")).collect();
        format!(
            "these cluster members no longer read or change objects in namespaces, Secrets included: {}; they still \
             read nodes, namespaces and other objects outside of namespaces; {remedy}",
            listed(&names)
        )
    };
    let ids: Vec<_> = members.iter().map(|(id, _)| id).collect();
    event(at_ms, message, &json!({"change": "memberRights", "members": ids}))
}

fn namespaces_event(at_ms: i64, changes: &RoleChanges) -> Option<NewClusterEvent> {
    let (opened, closed) = (changes.opened(), changes.closed());
    let mut parts = Vec::new();
    if !opened.is_empty() {
        parts.push(format!("cluster members may edit in {}", listed(opened)));
    }
    if !closed.is_empty() {
        parts.push(format!("cluster members may no longer edit in {}", listed(closed)));
    }
    let first = |names: &[String]| names.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>();
    let data = json!({"change": "namespaces", "opened": first(opened), "closed": first(closed)});
    (!parts.is_empty()).then(|| event(at_ms, parts.join("; "), &data))
}

/// An event about rights inside a cluster.
pub(super) fn event(at_ms: i64, message: String, data: &serde_json::Value) -> NewClusterEvent {
    NewClusterEvent { at_ms, kind: EVENT_KIND.to_owned(), message, data: data.to_string() }
}

/// Names with commas between them, shortened.
pub(super) fn listed(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcement_names_members_and_the_label() {
        let member = |number: usize| (format!("user-{number}"), format!("name-{number}"));
        let event = announcement(7, &[member(1), member(2)]);
        assert!(event.message.contains("name-1 (user-1), name-2 (user-2);"), "{}", event.message);
        assert!(event.message.contains("norman-aks.io/members=edit"), "{}", event.message);
        assert!(event.data.contains(r#"["user-1","user-2"]"#), "{}", event.data);
        let many: Vec<_> = (0..25).map(member).collect();
        assert!(announcement(7, &many).message.contains(" and 5 more;"));
        assert!(announcement(7, &[]).message.contains("has none now"));
    }
}
