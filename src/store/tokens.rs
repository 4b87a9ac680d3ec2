//! Table `tokens`: the hashes of API tokens. Revoking a token deletes its row.

use std::collections::BTreeMap;

use super::rows::{DbRow, Record};
use super::{AuditRow, Error, Store, UserRow};

/// A token; only the hash of its secret half is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRow {
    /// The public half, `token-xxxxx` or any other name.
    pub name: String,
    /// The user's ID.
    pub user_id: String,
    /// SHA-256 of the secret half.
    pub hash: Vec<u8>,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Milliseconds since 1970; `None` if the token never expires.
    pub expires_ms: Option<i64>,
    /// Milliseconds since 1970; updated at most once a minute.
    pub last_used_ms: Option<i64>,
    /// The description; may be empty.
    pub description: String,
    /// Restricts the token to one cluster, `c-xxxxx`.
    pub cluster_id: Option<String>,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
}

record!(
    TokenRow,
    "tokens",
    name,
    user_id,
    hash,
    created_ms,
    expires_ms,
    last_used_ms,
    description,
    cluster_id,
    labels,
    annotations,
);

/// Selects tokens with their users. The argument is the end of the statement.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select t.name, t.user_id, t.hash, t.created_ms, t.expires_ms, t.last_used_ms, t.description, t.cluster_id, ",
            "t.labels, t.annotations, ",
            "u.name as user_name, u.admin, u.enabled, u.created_ms as user_created_ms ",
            "from tokens t join users u on u.id = t.user_id ",
            $rest
        )
    };
}

impl Record for (TokenRow, UserRow) {
    fn read(row: DbRow<'_>) -> Result<Self, Error> {
        let token = TokenRow::read(row)?;
        let row = row.in_table("tokens", "name");
        let user = UserRow {
            id: token.user_id.clone(),
            name: row.get("user_name")?,
            admin: row.get("admin")?,
            enabled: row.get("enabled")?,
            created_ms: row.get("user_created_ms")?,
        };
        Ok((token, user))
    }
}

macro_rules! insert {
    ($on_conflict:literal) => {
        concat!(
            "insert into tokens (name, user_id, hash, created_ms, expires_ms, last_used_ms, description, cluster_id, labels, ",
            "annotations) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            $on_conflict
        )
    };
}

/// Adds a token. If `created_with` is set, the token with that name must still exist when the new one is committed, so that a
/// revoked token cannot create another one.
///
/// # Errors
/// [`Error::Duplicate`] if the name is taken; [`Error::Dangling`] if the user does not exist; [`Error::Conflict`] if the token
/// `created_with` does not exist.
pub async fn insert(
    store: &Store,
    token: &TokenRow,
    created_with: Option<&str>,
    audit: &AuditRow,
) -> Result<(), Error> {
    write(store, token, created_with, insert!(""), audit).await.map(drop)
}

/// Adds or updates the token with this name; returns whether anything changed. A token that already has this user and hash,
/// never expires and has no cluster is left unchanged.
///
/// # Errors
/// [`Error::Dangling`] if the user does not exist.
pub async fn upsert(store: &Store, token: &TokenRow, audit: &AuditRow) -> Result<bool, Error> {
    let sql = insert!(
        " on conflict (name) do update set user_id = excluded.user_id, hash = excluded.hash,
        created_ms = excluded.created_ms, expires_ms = excluded.expires_ms, description = excluded.description,
        cluster_id = excluded.cluster_id
        where tokens.user_id <> excluded.user_id or tokens.hash <> excluded.hash
        or tokens.expires_ms is not null or tokens.cluster_id is not null"
    );
    write(store, token, None, sql, audit).await
}

async fn write(
    store: &Store,
    token: &TokenRow,
    created_with: Option<&str>,
    sql: &'static str,
    audit: &AuditRow,
) -> Result<bool, Error> {
    let mut transaction = store.begin().await?;
    if let Some(name) = created_with {
        let sql = locking!("select name from tokens where name = $1", " for key share");
        if transaction.lock_row::<String>(sql, name).await?.is_none() {
            return Err(Error::Conflict { table: "tokens", id: name.to_owned() });
        }
    }
    let values = args![
        &token.name,
        &token.user_id,
        &token.hash,
        token.created_ms,
        token.expires_ms,
        token.last_used_ms,
        &token.description,
        &token.cluster_id,
        &token.labels,
        &token.annotations,
    ];
    let result = transaction.execute(sql, values).await;
    let written = result.map_err(|error| error.or_dangling("tokens", &token.name))? > 0;
    if written {
        transaction.commit_with_audit(audit).await?;
    }
    Ok(written)
}

/// A token by its name, with its user.
pub async fn find(store: &Store, name: &str) -> Result<Option<(TokenRow, UserRow)>, Error> {
    store.fetch_optional(select!("where t.name = $1"), args![name]).await
}

/// All tokens, or those of one user (an ID), oldest first.
pub async fn list(store: &Store, user_id: Option<&str>) -> Result<Vec<(TokenRow, UserRow)>, Error> {
    let sql = select!("where cast($1 as text) is null or t.user_id = $1 order by t.created_ms, t.name");
    store.fetch_all(sql, args![user_id]).await
}

/// Whether any administrator has a token.
pub async fn exists_for_administrator(store: &Store) -> Result<bool, Error> {
    let sql = "select t.name from tokens t join users u on u.id = t.user_id where u.admin limit 1";
    Ok(store.fetch_optional::<String>(sql, args![]).await?.is_some())
}

/// Records that a token was used at `at_ms`.
pub async fn touch(store: &Store, name: &str, at_ms: i64) -> Result<(), Error> {
    let sql = "update tokens set last_used_ms = $2 where name = $1 and coalesce(last_used_ms, 0) < $2";
    store.execute(sql, args![name, at_ms]).await.map(drop)
}

/// Deletes a token; false if it does not exist.
pub async fn delete(store: &Store, name: &str, audit: &AuditRow) -> Result<bool, Error> {
    store.execute_audited("delete from tokens where name = $1", args![name], audit).await
}

/// Deletes the tokens that expired by `now_ms`; returns their number.
pub async fn delete_expired(store: &Store, now_ms: i64) -> Result<u64, Error> {
    store.execute("delete from tokens where expires_ms <= $1", args![now_ms]).await
}
