//! Table `tokens`: the hashes of API tokens. A revoked token is a removed row.

use std::collections::BTreeMap;

use super::rows::{Columns, Fields, json_text, without_nul};
use super::{AuditRow, Error, Kind, Store, UserRow};

/// A token; its secret half is known only by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// The public half, `token-xxxxx` or any other name.
    pub name: String,
    /// The user it belongs to.
    pub user_id: String,
    /// SHA-256 of the secret half.
    pub hash: Vec<u8>,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Milliseconds since 1970; `None` never expires.
    pub expires_ms: Option<i64>,
    /// Milliseconds since 1970, to the minute.
    pub last_used_ms: Option<i64>,
    /// What its maker wrote about it; may be empty.
    pub description: String,
    /// The one cluster it is good for, `c-xxxxx`, and nothing else; `None` for everything its user may do.
    pub cluster_id: Option<String>,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A token and its user, followed by the end of the statement.
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

fn joined(row: &impl Columns) -> Result<(TokenRow, UserRow), Error> {
    let fields = Fields::of(row, "tokens", "name")?;
    let token = TokenRow {
        name: fields.key(),
        user_id: fields.text("user_id")?,
        hash: fields.bytes("hash")?,
        created_ms: fields.number("created_ms")?,
        expires_ms: fields.number_opt("expires_ms")?,
        last_used_ms: fields.number_opt("last_used_ms")?,
        description: fields.text("description")?,
        cluster_id: fields.text_opt("cluster_id")?,
        labels: fields.json("labels")?,
        annotations: fields.json("annotations")?,
    };
    let user = UserRow {
        id: token.user_id.clone(),
        name: fields.text("user_name")?,
        admin: fields.flag("admin")?,
        enabled: fields.flag("enabled")?,
        created_ms: fields.number("user_created_ms")?,
    };
    Ok((token, user))
}

const INSERT: &str = "insert into tokens
    (name, user_id, hash, created_ms, expires_ms, last_used_ms, description, cluster_id, labels, annotations)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const UPSERT: &str = "insert into tokens
    (name, user_id, hash, created_ms, expires_ms, last_used_ms, description, cluster_id, labels, annotations)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    on conflict (name) do update set user_id = excluded.user_id, hash = excluded.hash,
    created_ms = excluded.created_ms, expires_ms = excluded.expires_ms, description = excluded.description,
    cluster_id = excluded.cluster_id
    where tokens.user_id <> excluded.user_id or tokens.hash <> excluded.hash
    or tokens.expires_ms is not null or tokens.cluster_id is not null";

/// Adds a token. With `made_with`, the token of that name must exist until the new one does: a revoked token leaves none
/// behind.
///
/// # Errors
/// [`Error::Duplicate`] when the name is taken, [`Error::Dangling`] when the user does not exist, [`Error::Conflict`] when
/// the token `made_with` does not.
pub async fn insert(
    store: &Store,
    token: &TokenRow,
    made_with: Option<&str>,
    audit: &AuditRow,
) -> Result<(), Error> {
    write_token(store, token, made_with, INSERT, audit).await.map(drop)
}

/// Adds a token or makes the one of that name like this; returns whether anything had to change. A token that has the
/// same user and hash already keeps its dates.
///
/// # Errors
/// [`Error::Dangling`] when the user does not exist.
pub async fn put(store: &Store, token: &TokenRow, audit: &AuditRow) -> Result<bool, Error> {
    write_token(store, token, None, UPSERT, audit).await
}

async fn write_token(
    store: &Store,
    token: &TokenRow,
    made_with: Option<&str>,
    sql: &'static str,
    audit: &AuditRow,
) -> Result<bool, Error> {
    without_nul([
        ("name", Some(token.name.as_str())),
        ("user_id", Some(token.user_id.as_str())),
        ("description", Some(token.description.as_str())),
        ("cluster_id", token.cluster_id.as_deref()),
    ])?;
    let dangling = |error| match Error::from(error) {
        error if error.is_foreign_key() => Error::Dangling { table: "tokens", id: token.name.clone() },
        error => error,
    };
    let lock = match store.kind() {
        Kind::Sqlite => "select name from tokens where name = $1",
        Kind::Postgres => "select name from tokens where name = $1 for key share",
    };
    let written = change!(store, audit, |transaction| {
        if let Some(name) = made_with
            && sqlx::query(lock).bind(name).fetch_optional(&mut *transaction).await?.is_none()
        {
            return Err(Error::Conflict { table: "tokens", id: name.to_owned() });
        }
        let written = sqlx::query(sql)
            .bind(&token.name)
            .bind(&token.user_id)
            .bind(&token.hash)
            .bind(token.created_ms)
            .bind(token.expires_ms)
            .bind(token.last_used_ms)
            .bind(&token.description)
            .bind(&token.cluster_id)
            .bind(json_text(&token.labels))
            .bind(json_text(&token.annotations))
            .execute(&mut *transaction)
            .await
            .map_err(dangling)?
            .rows_affected();
        (written > 0).then_some(())
    });
    Ok(written.is_some())
}

/// The token of that name and the user it belongs to.
pub async fn find(store: &Store, name: &str) -> Result<Option<(TokenRow, UserRow)>, Error> {
    if name.contains('\0') {
        return Ok(None);
    }
    let sql = select!("where t.name = $1");
    read!(store, |pool| sqlx::query(sql)
        .bind(name)
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(joined)
        .transpose())
}

/// All tokens, or those of one user (an id), oldest first.
pub async fn list(store: &Store, user_id: Option<&str>) -> Result<Vec<(TokenRow, UserRow)>, Error> {
    without_nul([("user_id", user_id)])?;
    let sql = select!("where cast($1 as text) is null or t.user_id = $1 order by t.created_ms, t.name");
    read!(store, |pool| sqlx::query(sql).bind(user_id).fetch_all(pool).await?.iter().map(joined).collect())
}

/// Notes that a token was used at `at_ms`.
pub async fn touch(store: &Store, name: &str, at_ms: i64) -> Result<(), Error> {
    let sql = "update tokens set last_used_ms = $2 where name = $1 and coalesce(last_used_ms, 0) < $2";
    write!(store, |pool| sqlx::query(sql).bind(name).bind(at_ms).execute(pool).await?.rows_affected());
    Ok(())
}

/// Removes a token; false when there was none of that name.
pub async fn delete(store: &Store, name: &str, audit: &AuditRow) -> Result<bool, Error> {
    if name.contains('\0') {
        return Ok(false);
    }
    let sql = "delete from tokens where name = $1";
    Ok(change_rows!(store, audit, sqlx::query(sql).bind(name)).is_some())
}

/// Removes the tokens that had expired at `now_ms`; returns how many.
pub async fn delete_expired(store: &Store, now_ms: i64) -> Result<u64, Error> {
    let sql = "delete from tokens where expires_ms <= $1";
    Ok(write!(store, |pool| sqlx::query(sql).bind(now_ms).execute(pool).await?.rows_affected()))
}
