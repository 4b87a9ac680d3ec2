//! Removes users who lost their rights from the bindings of a cluster, or reports the bindings that cannot be changed. Until
//! that is done, the revocation remains in the database, even if this server stops or cannot reach the cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_access::{Access, RemovedUsers};
use serde_json::json;

use super::correct::{access_event, join_names};
use super::error::Error;
use crate::service::core::Core;
use crate::store::{self, NewClusterEvent, RevocationRow, revocations};

/// The delay before the second search. All requests that were running when the rights were revoked have ended by then.
const SECOND_SEARCH_DELAY: Duration = Duration::from_secs(15);
/// The maximum number of users in one search.
const MAX_USERS: u32 = 200;

/// Removes the users whose search is due from the bindings of a cluster.
pub(super) async fn revoke(core: &Core, id: &str, access: &Access) -> Result<(), Error> {
    let rows = revocations::list(&core.store, id, MAX_USERS).await?;
    let now_ms = core.clock.now_ms();
    let due: Vec<RevocationRow> = rows.into_iter().filter(|revocation| is_due(revocation, now_ms)).collect();
    if due.is_empty() {
        return Ok(());
    }
    let users: BTreeSet<String> = due.iter().map(|revocation| revocation.user_id.clone()).collect();
    let report = core.cluster_access.remove_users(access, &users).await?;
    let users: Vec<String> = users.into_iter().collect();
    let is_first_search = due.iter().any(|revocation| revocation.scanned_ms.is_none());
    if let Some(event) = report_event(now_ms, &users, &report, is_first_search) {
        tracing::info!(cluster = id, "{}", event.message);
        store::cluster_events::append(&core.store, id, &[event]).await?;
        core.notifier.notify(id);
    }
    for revocation in &due {
        if revocation.scanned_ms.is_none() {
            revocations::set_scanned(&core.store, revocation, now_ms).await?;
        } else {
            revocations::delete(&core.store, revocation).await?;
        }
    }
    Ok(())
}

fn is_due(revocation: &RevocationRow, now_ms: i64) -> bool {
    let delay_ms = i64::try_from(SECOND_SEARCH_DELAY.as_millis()).unwrap_or(i64::MAX);
    revocation.scanned_ms.is_none_or(|scanned_ms| now_ms.saturating_sub(scanned_ms) >= delay_ms)
}

/// The event of a search; `None` if there is nothing to report. Denied bindings are reported only after the first search.
fn report_event(
    at_ms: i64,
    users: &[String],
    report: &RemovedUsers,
    is_first_search: bool,
) -> Option<NewClusterEvent> {
    let removed: Vec<String> = report.removed.iter().cloned().collect();
    let denied: Vec<String> =
        report.denied.iter().map(|(binding, reason)| format!("{binding} ({reason})")).collect();
    let user_names = join_names(users);
    let mut sentences = Vec::new();
    if !removed.is_empty() {
        sentences.push(format!("removed {user_names} from {}", join_names(&removed)));
    }
    if !denied.is_empty() && is_first_search {
        let noun = if denied.len() == 1 { "binding" } else { "bindings" };
        sentences.push(format!(
            "{user_names} may still be bound in {}, which this server may not change; remove {user_names} from the {noun} \
             yourself",
            join_names(&denied)
        ));
    }
    let bindings: Vec<_> = report.denied.iter().map(|(binding, _)| binding).collect();
    let data = json!({"change": "revoked", "users": users, "removed": removed, "denied": bindings});
    (!sentences.is_empty()).then(|| access_event(at_ms, sentences.join("; "), &data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(scanned_ms: Option<i64>) -> RevocationRow {
        RevocationRow { cluster_id: "c-a".to_owned(), user_id: "user-a".to_owned(), scanned_ms }
    }

    #[test]
    fn second_search_is_due_after_its_delay() {
        for (scanned_ms, now_ms, expected) in
            [(None, 0, true), (Some(1_000), 15_999, false), (Some(1_000), 16_000, true)]
        {
            assert_eq!(is_due(&revocation(scanned_ms), now_ms), expected, "{scanned_ms:?} {now_ms}");
        }
    }

    #[test]
    fn denied_bindings_are_reported_by_name_once() {
        let users = ["user-a".to_owned()];
        let report = RemovedUsers {
            removed: BTreeSet::from(["ClusterRoleBinding mine".to_owned()]),
            denied: vec![("RoleBinding n/b".to_owned(), "the host returned 403 Forbidden: no".to_owned())],
        };
        let first = report_event(1, &users, &report, true).unwrap().message;
        assert!(first.starts_with("removed user-a from ClusterRoleBinding mine; "), "{first}");
        assert!(first.contains("RoleBinding n/b (the host returned 403 Forbidden: no)"), "{first}");
        let again = RemovedUsers { removed: BTreeSet::new(), ..report };
        assert!(report_event(1, &users, &again, false).is_none());
        assert!(report_event(1, &users, &RemovedUsers::default(), true).is_none());
    }
}
