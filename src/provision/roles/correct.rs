//! Compares the rights in a cluster with the desired ones, corrects them, and records events.

use std::collections::BTreeMap;

use aks::role::Role;
use aks::system_namespaces::SystemNamespaces;
use cluster_access::{Access, MEMBERS_LABEL, RoleChanges, RoleState};
use serde_json::json;

use super::error::Error;
use crate::service::core::Core;
use crate::service::name_list;
use crate::store::{self, NewClusterEvent, watches};

/// The kind of events about rights in a cluster.
pub(super) const EVENT_KIND: &str = "access";
/// The maximum number of names in one event.
const MAX_NAMES: usize = 20;
const CORRECTIONS_METRIC: &str = "norman_aks_cluster_role_corrections_total";

/// Initializes the counters.
pub(super) fn init_metrics() {
    for outcome in ["done", "failed"] {
        metrics::counter!(CORRECTIONS_METRIC, "outcome" => outcome).increment(0);
    }
}

/// The setting `system-namespaces`.
pub(crate) async fn system_namespaces(core: &Core) -> SystemNamespaces {
    SystemNamespaces::parse(&core.settings.value("system-namespaces").await)
}

/// Compares and corrects the rights in a cluster; returns the rights as they were read.
pub(crate) async fn correct(
    core: &Core,
    id: &str,
    access: &Access,
    namespaces: &SystemNamespaces,
) -> Result<RoleState, Error> {
    let state = core.cluster_access.role_state(access).await?;
    for namespace in state.labeled_system_namespaces(namespaces) {
        tracing::info!(cluster = id, namespace, "system namespace stays closed although it is labeled");
    }
    let changes = state.changes(namespaces);
    if changes.is_empty() {
        return Ok(state);
    }
    // A cluster that is being removed gets no roles. Removal is stored before roles are deleted, so the check cannot miss it.
    let row = store::clusters::get(&core.store, id).await?;
    if row.is_none_or(|row| row.removing_ms.is_some()) {
        return Ok(state);
    }
    if changes.ends_edit_everywhere() {
        // Announced before the change: if this server is killed in between, the change is repeated, but not the event.
        announce_lost_rights(core, id).await?;
    }
    let outcome = core.cluster_access.change_roles(access, &changes).await;
    let outcome_label = if outcome.is_ok() { "done" } else { "failed" };
    metrics::counter!(CORRECTIONS_METRIC, "outcome" => outcome_label).increment(1);
    outcome?;
    tracing::info!(cluster = id, opened = ?changes.opened(), closed = ?changes.closed(), "corrected roles");
    if let Some(event) = namespaces_event(core.clock.now_ms(), &changes) {
        store::cluster_events::append(&core.store, id, &[event]).await?;
        core.notifier.notify(id);
    }
    Ok(state)
}

/// Records, once for each cluster, the members who lose rights that earlier versions of this server gave them.
async fn announce_lost_rights(core: &Core, id: &str) -> Result<(), Error> {
    let mut strongest_roles = BTreeMap::<String, Role>::new();
    for member in store::members::list(&core.store, Some(id), None).await? {
        if let Some(role) = Role::from_name(&member.role) {
            let current = strongest_roles.entry(member.user_id).or_insert(role);
            *current = role.max(*current);
        }
    }
    let mut members = Vec::new();
    for (user_id, _) in strongest_roles.into_iter().filter(|(_, role)| *role == Role::Member) {
        let user = store::users::get(&core.store, &user_id).await?;
        members.push((user_id, user.map(|user| user.name).unwrap_or_default()));
    }
    let now_ms = core.clock.now_ms();
    if watches::announce(&core.store, id, now_ms, &announcement(now_ms, &members)).await? {
        core.notifier.notify(id);
    }
    Ok(())
}

/// The event that announces the loss of these rights, for members as `(ID, name)`.
fn announcement(at_ms: i64, members: &[(String, String)]) -> NewClusterEvent {
    let remedy = format!(
        "to let members edit in a namespace, label it: kubectl label namespace <name> {MEMBERS_LABEL}"
    );
    let message = if members.is_empty() {
        format!(
            "cluster members no longer edit in all namespaces; this cluster currently has no cluster members; {remedy}"
        )
    } else {
        let names: Vec<_> = members.iter().map(|(id, name)| format!("{name} ({id})")).collect();
        format!(
            "these cluster members no longer read or change objects in namespaces, Secrets included: {}; they still \
             read nodes, namespaces and other objects outside of namespaces; {remedy}",
            join_names(&names)
        )
    };
    let ids: Vec<_> = members.iter().map(|(id, _)| id).collect();
    access_event(at_ms, message, &json!({"change": "memberRights", "members": ids}))
}

fn namespaces_event(at_ms: i64, changes: &RoleChanges) -> Option<NewClusterEvent> {
    let (opened, closed) = (changes.opened(), changes.closed());
    let mut sentences = Vec::new();
    if !opened.is_empty() {
        sentences.push(format!("cluster members may edit in {}", join_names(opened)));
    }
    if !closed.is_empty() {
        sentences.push(format!("cluster members may no longer edit in {}", join_names(closed)));
    }
    let truncated = |names: &[String]| names.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>();
    let data = json!({"change": "namespaces", "opened": truncated(opened), "closed": truncated(closed)});
    (!sentences.is_empty()).then(|| access_event(at_ms, sentences.join("; "), &data))
}

/// An event about rights in a cluster.
pub(super) fn access_event(at_ms: i64, message: String, data: &serde_json::Value) -> NewClusterEvent {
    NewClusterEvent { at_ms, kind: EVENT_KIND.to_owned(), message, data: data.to_string() }
}

/// Names separated by commas, truncated to [`MAX_NAMES`].
pub(super) fn join_names(names: &[String]) -> String {
    name_list::join(names, MAX_NAMES)
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
        assert!(announcement(7, &[]).message.contains("currently has no cluster members"));
    }
}
