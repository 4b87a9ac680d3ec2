//! Table `cluster_events`: what happened to clusters, for those who watch. Ids are made in the order of time, so that
//! "everything behind this id" is "everything since".

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

/// Adds an event. A NUL in its texts is replaced: an event is never lost for one.
pub async fn insert(store: &Store, event: &ClusterEventRow) -> Result<(), Error> {
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    let sql = "insert into cluster_events (id, cluster_id, at_ms, kind, message, data)
               values ($1, $2, $3, $4, $5, $6)";
    write!(store, |pool| sqlx::query(sql)
        .bind(clean(&event.id))
        .bind(clean(&event.cluster_id))
        .bind(event.at_ms)
        .bind(clean(&event.kind))
        .bind(clean(&event.message))
        .bind(clean(&event.data))
        .execute(pool)
        .await?
        .rows_affected());
    Ok(())
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
