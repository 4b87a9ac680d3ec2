//! Users with what belongs to them, counted.

use super::super::rows::{Columns, Fields, without_nul};
use super::super::{Error, Store};
use super::{UserRow, row as user_row};

/// A user, and how much belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// The user.
    pub user: UserRow,
    /// Tokens that have not expired.
    pub tokens: i64,
    /// When one of its tokens was last used, in milliseconds since 1970, to the minute.
    pub last_used_ms: Option<i64>,
    /// Memberships in clusters of others.
    pub memberships: i64,
    /// Clusters that it owns.
    pub clusters: i64,
    /// Cloud credentials that it owns.
    pub credentials: i64,
}

fn row(row: &impl Columns) -> Result<AccountRow, Error> {
    let fields = Fields::of(row, "users", "id")?;
    Ok(AccountRow {
        user: user_row(row)?,
        tokens: fields.number("tokens")?,
        last_used_ms: fields.number_opt("last_used_ms")?,
        memberships: fields.number("memberships")?,
        clusters: fields.number("clusters")?,
        credentials: fields.number("credentials")?,
    })
}

/// All users, or the one of that ID, by name.
pub async fn accounts(store: &Store, id: Option<&str>, now_ms: i64) -> Result<Vec<AccountRow>, Error> {
    without_nul([("id", id)])?;
    let sql = "select u.id, u.name, u.admin, u.enabled, u.created_ms,
               (select count(*) from tokens t where t.user_id = u.id
                and (t.expires_ms is null or t.expires_ms > $2)) as tokens,
               (select max(t.last_used_ms) from tokens t where t.user_id = u.id) as last_used_ms,
               (select count(*) from cluster_members m where m.user_id = u.id) as memberships,
               (select count(*) from clusters c where c.owner = u.id) as clusters,
               (select count(*) from credentials c where c.owner = u.id) as credentials
               from users u where cast($1 as text) is null or u.id = $1 order by u.name";
    read!(store, |pool| sqlx::query(sql)
        .bind(id)
        .bind(now_ms)
        .fetch_all(pool)
        .await?
        .iter()
        .map(row)
        .collect())
}
