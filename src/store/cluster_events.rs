//! Table `cluster_events`: the events of clusters, for subscribers. A subscriber that has read up to an ID misses no event:
//! events are added only in a transaction that locks the cluster's row, and each gets an ID greater than the existing ones of
//! the cluster, regardless of the clocks of the servers.

use uuid::Uuid;

use super::statement::Value;
use super::transaction::Transaction;
use super::{Error, Store};

/// An event of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterEventRow {
    /// A UUID of version 7.
    pub id: String,
    /// The cluster, which may have been deleted.
    pub cluster_id: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The kind, one word.
    pub kind: String,
    /// The message for users.
    pub message: String,
    /// Details for programs, as JSON.
    pub data: String,
}

record!(ClusterEventRow, "cluster_events", id, cluster_id, at_ms, kind, message, data);

/// An event that is not stored yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewClusterEvent {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The kind, one word.
    pub kind: String,
    /// The message for users.
    pub message: String,
    /// Details for programs, as JSON.
    pub data: String,
}

impl Transaction<'_> {
    /// Locks the row of a cluster until the transaction ends; false if it does not exist.
    pub(super) async fn lock_cluster(&mut self, cluster_id: &str) -> Result<bool, Error> {
        let sql = locking!("select id from clusters where id = $1", " for no key update");
        Ok(self.lock_row::<String>(sql, cluster_id).await?.is_some())
    }

    /// Adds events to a cluster whose row this transaction has locked. Replaces NUL in their strings, so that no event is lost.
    pub(super) async fn add_cluster_events(
        &mut self,
        cluster_id: &str,
        events: &[NewClusterEvent],
    ) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        let max_id = "select max(id) from cluster_events where cluster_id = $1";
        let mut last_id: Option<String> = self.fetch_optional(max_id, args![cluster_id]).await?.flatten();
        for event in events {
            let id = id_after(last_id.as_deref());
            let sql = "insert into cluster_events (id, cluster_id, at_ms, kind, message, data)
                       values ($1, $2, $3, $4, $5, $6)";
            let [kind, message, data] = [&event.kind, &event.message, &event.data].map(Value::without_nul);
            self.execute(sql, &[(&id).into(), cluster_id.into(), event.at_ms.into(), kind, message, data])
                .await?;
            last_id = Some(id);
        }
        Ok(())
    }
}

/// Adds events to a cluster; false if it does not exist.
pub async fn append(store: &Store, cluster_id: &str, events: &[NewClusterEvent]) -> Result<bool, Error> {
    let mut transaction = store.begin().await?;
    let exists = transaction.lock_cluster(cluster_id).await?;
    if exists {
        transaction.add_cluster_events(cluster_id, events).await?;
    }
    transaction.commit().await?;
    Ok(exists)
}

/// A new ID greater than `last`. The clocks of two servers differ, and a clock may be set back.
fn id_after(last: Option<&str>) -> String {
    let new = Uuid::now_v7();
    let last = last.and_then(|id| Uuid::parse_str(id).ok()).filter(|last| *last >= new);
    last.map_or(new, |last| Uuid::from_u128(last.as_u128().wrapping_add(1))).to_string()
}

/// Up to `limit` events of a cluster after the ID `after` (empty for all), oldest first.
pub async fn list(
    store: &Store,
    cluster_id: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<ClusterEventRow>, Error> {
    let sql = "select id, cluster_id, at_ms, kind, message, data from cluster_events
               where cluster_id = $1 and id > $2 order by id limit $3";
    store.fetch_all(sql, args![cluster_id, after, limit]).await
}

/// Deletes at most `limit` events older than `before_ms`; returns their number.
pub async fn prune(store: &Store, before_ms: i64, limit: u32) -> Result<u64, Error> {
    let sql = "delete from cluster_events where id in
               (select id from cluster_events where at_ms < $1 order by id limit $2)";
    store.execute(sql, args![before_ms, limit]).await
}

/// Deletes all but the newest `max_per_cluster` events of each cluster, at most `limit` in total; returns their number.
pub async fn prune_to(store: &Store, max_per_cluster: u32, limit: u32) -> Result<u64, Error> {
    let sql = "delete from cluster_events where id in
               (select id from (select id, row_number() over (partition by cluster_id order by id desc) as place
               from cluster_events) ranked where place > $1 limit $2)";
    store.execute(sql, args![max_per_cluster, limit]).await
}

/// Deletes the events of a deleted cluster, because its ID is random and a new cluster may get the same one.
pub async fn delete_orphaned(store: &Store, cluster_id: &str) -> Result<(), Error> {
    let sql = "delete from cluster_events where cluster_id = $1
               and not exists (select 1 from clusters where id = $1)";
    store.execute(sql, args![cluster_id]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_increase_when_the_clock_is_set_back() {
        let first = id_after(None);
        assert!(id_after(Some(&first)) > first);
        let ahead = "ffffffff-0000-7000-8000-0000000000ff";
        assert_eq!(id_after(Some(ahead)), "ffffffff-0000-7000-8000-000000000100");
        assert!(id_after(Some("no id")) > first);
    }
}
