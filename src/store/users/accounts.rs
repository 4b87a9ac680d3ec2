//! Users with the numbers of their objects.

use super::UserRow;
use crate::store::rows::{DbRow, Record};
use crate::store::{Error, Store};

/// A user, with the numbers of its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// The user.
    pub user: UserRow,
    /// Tokens that have not expired.
    pub tokens: i64,
    /// When one of its tokens was last used, in milliseconds since 1970, to the minute.
    pub last_used_ms: Option<i64>,
    /// Memberships in other users' clusters.
    pub memberships: i64,
    /// Clusters that it owns.
    pub clusters: i64,
    /// Cloud credentials that it owns.
    pub credentials: i64,
}

impl Record for AccountRow {
    fn read(row: DbRow<'_>) -> Result<Self, Error> {
        let user = UserRow::read(row)?;
        let row = row.in_table("users", "id");
        Ok(Self {
            user,
            tokens: row.get("tokens")?,
            last_used_ms: row.get("last_used_ms")?,
            memberships: row.get("memberships")?,
            clusters: row.get("clusters")?,
            credentials: row.get("credentials")?,
        })
    }
}

/// All users, ordered by name, or only the user `id`.
pub async fn accounts(store: &Store, id: Option<&str>, now_ms: i64) -> Result<Vec<AccountRow>, Error> {
    let sql = "select u.id, u.name, u.admin, u.enabled, u.created_ms,
               (select count(*) from tokens t where t.user_id = u.id
                and (t.expires_ms is null or t.expires_ms > $2)) as tokens,
               (select max(t.last_used_ms) from tokens t where t.user_id = u.id) as last_used_ms,
               (select count(*) from cluster_members m where m.user_id = u.id) as memberships,
               (select count(*) from clusters c where c.owner = u.id) as clusters,
               (select count(*) from credentials c where c.owner = u.id) as credentials
               from users u where cast($1 as text) is null or u.id = $1 order by u.name";
    store.fetch_all(sql, args![id, now_ms]).await
}
