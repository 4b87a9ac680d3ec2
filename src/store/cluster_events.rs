//! Table `cluster_events`: what happened to clusters, for those who watch. "Everything behind this id" is "everything
//! since": events are added only in a transaction that holds the cluster's row ([`add`]), and each gets an id behind those
//! that the cluster has, whatever the clocks of the servers say. So nothing ever comes up before what was read already.

use uuid::Uuid;

use super::rows::{Columns, Fields};
use super::{Error, Store};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterEventRow {
    /// A UUID of version 7.
    pub id: String,
    /// The cluster, which may be gone.
    pub cluster_id: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// What kind of thing, one word.
    pub kind: String,
    /// For people.
    pub message: String,
    /// JSON: the same for programs.
    pub data: String,
}

/// Something that happened, on its way into the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewClusterEvent {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// What kind of thing, one word.
    pub kind: String,
    /// For people.
    pub message: String,
    /// JSON: the same for programs.
    pub data: String,
}

fn row(row: &impl Columns) -> Result<ClusterEventRow, Error> {
    let fields = Fields::of(row, "cluster_events", "id")?;
    Ok(ClusterEventRow {
        id: fields.key(),
        cluster_id: fields.text("cluster_id")?,
        at_ms: fields.number("at_ms")?,
        kind: fields.text("kind")?,
        message: fields.text("message")?,
        data: fields.text("data")?,
    })
}

/// Adds events to a cluster in a transaction that holds its row. A NUL in their texts is replaced: an event is never lost
/// for one.
macro_rules! add {
    ($transaction:ident, $cluster_id:expr, $events:expr) => {{
        let events: &[$crate::store::NewClusterEvent] = $events;
        if !events.is_empty() {
            let last = "select max(id) from cluster_events where cluster_id = $1";
            let mut last: Option<String> =
                sqlx::query_scalar(last).bind($cluster_id).fetch_one(&mut *$transaction).await?;
            for event in events {
                let id = $crate::store::cluster_events::id_behind(last.as_deref());
                let clean = |text: &str| text.replace('\0', "\u{fffd}");
                let sql = "insert into cluster_events (id, cluster_id, at_ms, kind, message, data)
                           values ($1, $2, $3, $4, $5, $6)";
                sqlx::query(sql)
                    .bind(&id)
                    .bind($cluster_id)
                    .bind(event.at_ms)
                    .bind(clean(&event.kind))
                    .bind(clean(&event.message))
                    .bind(clean(&event.data))
                    .execute(&mut *$transaction)
                    .await?;
                last = Some(id);
            }
        }
    }};
}
pub(super) use add;

/// Adds events to a cluster; false when there is no such cluster.
pub async fn append(store: &Store, cluster_id: &str, events: &[NewClusterEvent]) -> Result<bool, Error> {
    if cluster_id.contains('\0') {
        return Ok(false);
    }
    // Holds the row until the end of the transaction.
    let lock = "update clusters set owner = owner where id = $1";
    write!(store, |pool| {
        let mut transaction = pool.begin().await?;
        let exists = sqlx::query(lock).bind(cluster_id).execute(&mut *transaction).await?.rows_affected() > 0;
        if exists {
            add!(transaction, cluster_id, events);
        }
        transaction.commit().await?;
        Ok(exists)
    })
}

/// A new id that stands behind `last`. Clocks of two servers differ, and one may be set back.
pub(super) fn id_behind(last: Option<&str>) -> String {
    let fresh = Uuid::now_v7();
    let last = last.and_then(|id| Uuid::parse_str(id).ok()).filter(|last| *last >= fresh);
    last.map_or(fresh, |last| Uuid::from_u128(last.as_u128().wrapping_add(1))).to_string()
}

/// Up to `limit` events of a cluster behind the id `after` (empty for all), oldest first.
pub async fn list(
    store: &Store,
    cluster_id: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<ClusterEventRow>, Error> {
    if cluster_id.contains('\0') || after.contains('\0') {
        return Ok(Vec::new());
    }
    let sql = "select id, cluster_id, at_ms, kind, message, data from cluster_events
               where cluster_id = $1 and id > $2 order by id limit $3";
    read!(store, |pool| sqlx::query(sql)
        .bind(cluster_id)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?
        .iter()
        .map(row)
        .collect())
}

/// Removes events from before `before_ms`, at most `limit` of them; returns how many.
pub async fn prune(store: &Store, before_ms: i64, limit: u32) -> Result<u64, Error> {
    let sql = "delete from cluster_events where id in
               (select id from cluster_events where at_ms < $1 order by id limit $2)";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(before_ms)
        .bind(i64::from(limit))
        .execute(pool)
        .await?
        .rows_affected()))
}

/// Removes, of each cluster, all but the `keep` newest events, at most `limit` in all; returns how many.
pub async fn prune_to(store: &Store, keep: u32, limit: u32) -> Result<u64, Error> {
    let sql = "delete from cluster_events where id in
               (select id from (select id, row_number() over (partition by cluster_id order by id desc) as place
               from cluster_events) ranked where place > $1 limit $2)";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(i64::from(keep))
        .bind(i64::from(limit))
        .execute(pool)
        .await?
        .rows_affected()))
}

/// Removes what is left of an earlier cluster of an id that none has now: ids are drawn, and may come again.
pub async fn forget(store: &Store, cluster_id: &str) -> Result<(), Error> {
    let sql = "delete from cluster_events where cluster_id = $1
               and not exists (select 1 from clusters where id = $1)";
    write!(store, |pool| sqlx::query(sql).bind(cluster_id).execute(pool).await?.rows_affected());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_when_the_clock_was_set_back() {
        let first = id_behind(None);
        assert!(id_behind(Some(&first)) > first);
        let ahead = "ffffffff-0000-7000-8000-0000000000ff";
        assert_eq!(id_behind(Some(ahead)), "ffffffff-0000-7000-8000-000000000100");
        assert!(id_behind(Some("no id")) > first);
    }
}
