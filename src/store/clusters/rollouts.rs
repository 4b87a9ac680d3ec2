//! The limit of clusters whose agent is deployed or replaced concurrently.

use crate::store::{Error, Store};

/// Starts a rollout that counts until `until_ms`, under the lease `fence`. False if `max_rollouts` other clusters have a
/// rollout at `now_ms`, or the lease was lost.
pub async fn begin_rollout(
    store: &Store,
    id: &str,
    fence: i64,
    now_ms: i64,
    until_ms: i64,
    max_rollouts: i64,
) -> Result<bool, Error> {
    let count_others = "select count(*) from clusters where id <> $1 and agent_rollout_until_ms > $2";
    let mut transaction = store.begin().await?;
    transaction.lock_name("agent rollouts").await?;
    let counts: Vec<i64> = transaction.fetch_all(count_others, args![id, now_ms]).await?;
    if counts.iter().any(|count| *count >= max_rollouts) {
        return Ok(false);
    }
    let is_started = transaction.execute(SET_ROLLOUT, args![id, fence, Some(until_ms)]).await? > 0;
    transaction.commit().await?;
    Ok(is_started)
}

/// Ends the rollout of a cluster, now or at `until_ms`.
pub async fn end_rollout(store: &Store, id: &str, fence: i64, until_ms: Option<i64>) -> Result<(), Error> {
    store.execute(SET_ROLLOUT, args![id, fence, until_ms]).await.map(drop)
}

const SET_ROLLOUT: &str = "update clusters set agent_rollout_until_ms = $3 where id = $1 and fence = $2";
