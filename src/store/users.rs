//! Table `users`: who tokens belong to.

use super::rows::{Columns, Fields, without_nul};
use super::{Error, Store};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// `user-xxxxx`
    pub id: String,
    /// The only one of this name.
    pub name: String,
    /// Administrators see and may do everything.
    pub admin: bool,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

fn row(row: &impl Columns) -> Result<UserRow, Error> {
    let fields = Fields::of(row, "users", "id")?;
    Ok(UserRow {
        id: fields.key(),
        name: fields.text("name")?,
        admin: fields.flag("admin")?,
        created_ms: fields.number("created_ms")?,
    })
}

/// Adds a user.
///
/// # Errors
/// [`Error::Duplicate`] when the id or the name is taken.
pub async fn insert(store: &Store, user: &UserRow) -> Result<(), Error> {
    without_nul([("id", Some(user.id.as_str())), ("name", Some(user.name.as_str()))])?;
    let sql = "insert into users (id, name, admin, created_ms) values ($1, $2, $3, $4)";
    write!(store, |pool| sqlx::query(sql)
        .bind(&user.id)
        .bind(&user.name)
        .bind(user.admin)
        .bind(user.created_ms)
        .execute(pool)
        .await?
        .rows_affected());
    Ok(())
}

/// Adds `user` unless one of that name exists; returns the one that exists now. With `admin` given, an existing one
/// becomes or stops being an administrator; otherwise he stays what he was.
///
/// # Errors
/// [`Error::Duplicate`] when the id is taken by somebody of another name.
pub async fn ensure(store: &Store, user: &UserRow, admin: Option<bool>) -> Result<UserRow, Error> {
    without_nul([("id", Some(user.id.as_str())), ("name", Some(user.name.as_str()))])?;
    let sql = "insert into users (id, name, admin, created_ms) values ($1, $2, $3, $4)
               on conflict (name) do update set admin = coalesce($5, users.admin)
               returning id, name, admin, created_ms";
    write!(store, |pool| row(&sqlx::query(sql)
        .bind(&user.id)
        .bind(&user.name)
        .bind(admin.unwrap_or(user.admin))
        .bind(user.created_ms)
        .bind(admin)
        .fetch_one(pool)
        .await?))
}

/// The user of that id.
pub async fn get(store: &Store, id: &str) -> Result<Option<UserRow>, Error> {
    if id.contains('\0') {
        return Ok(None);
    }
    let sql = "select id, name, admin, created_ms from users where id = $1";
    read!(store, |pool| sqlx::query(sql).bind(id).fetch_optional(pool).await?.as_ref().map(row).transpose())
}

/// All users, by name.
pub async fn list(store: &Store) -> Result<Vec<UserRow>, Error> {
    let sql = "select id, name, admin, created_ms from users order by name";
    read!(store, |pool| sqlx::query(sql).fetch_all(pool).await?.iter().map(row).collect())
}

/// Removes a user and his tokens; false when there was none of that id.
pub async fn delete(store: &Store, id: &str) -> Result<bool, Error> {
    if id.contains('\0') {
        return Ok(false);
    }
    let sql = "delete from users where id = $1";
    Ok(write!(store, |pool| sqlx::query(sql).bind(id).execute(pool).await?.rows_affected()) > 0)
}
