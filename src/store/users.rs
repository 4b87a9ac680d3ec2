//! Table `users`: who tokens belong to.

use super::rows::{Columns, Fields, without_nul};
use super::{AuditRow, Error, Store};

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
pub async fn insert(store: &Store, user: &UserRow, audit: &AuditRow) -> Result<(), Error> {
    without_nul([("id", Some(user.id.as_str())), ("name", Some(user.name.as_str()))])?;
    let sql = "insert into users (id, name, admin, created_ms) values ($1, $2, $3, $4)";
    change_rows!(
        store,
        audit,
        sqlx::query(sql).bind(&user.id).bind(&user.name).bind(user.admin).bind(user.created_ms)
    );
    Ok(())
}

/// A user as [`ensure`] left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// The user is new.
    Created(UserRow),
    /// The user existed, and became or stopped being an administrator.
    Changed(UserRow),
    /// The user existed as it is now.
    Unchanged(UserRow),
}

/// Adds `user` unless one of that name exists. With `admin` given, an existing user becomes or stops being an
/// administrator; otherwise it keeps its role. `audit` makes the record of a new or changed user.
///
/// # Errors
/// [`Error::Duplicate`] when the id is taken by a user of another name, [`Error::Conflict`] when the user of that name was
/// removed at the same time.
pub async fn ensure(
    store: &Store,
    user: &UserRow,
    admin: Option<bool>,
    audit: impl FnOnce(&Ensured) -> AuditRow,
) -> Result<Ensured, Error> {
    without_nul([("id", Some(user.id.as_str())), ("name", Some(user.name.as_str()))])?;
    let insert = "insert into users (id, name, admin, created_ms) values ($1, $2, $3, $4)
                  on conflict (name) do nothing returning id, name, admin, created_ms";
    let update = "update users set admin = $2 where name = $1 and admin <> $2
                  returning id, name, admin, created_ms";
    let select = "select id, name, admin, created_ms from users where name = $1";
    let mut unchanged = None;
    let changed = change!(store, |ensured| &audit(ensured), |transaction| {
        let query = sqlx::query(insert).bind(&user.id).bind(&user.name);
        let query = query.bind(admin.unwrap_or(user.admin)).bind(user.created_ms);
        let created = query.fetch_optional(&mut *transaction).await?;
        let updated = match admin.filter(|_| created.is_none()) {
            Some(admin) => {
                sqlx::query(update).bind(&user.name).bind(admin).fetch_optional(&mut *transaction).await?
            }
            None => None,
        };
        match (created, updated) {
            (Some(created), _) => Some(Ensured::Created(row(&created)?)),
            (None, Some(updated)) => Some(Ensured::Changed(row(&updated)?)),
            (None, None) => {
                let found = sqlx::query(select).bind(&user.name).fetch_optional(&mut *transaction).await?;
                unchanged = found.as_ref().map(row).transpose()?;
                None
            }
        }
    });
    let conflict = || Error::Conflict { table: "users", id: user.id.clone() };
    changed.or(unchanged.map(Ensured::Unchanged)).ok_or_else(conflict)
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
pub async fn delete(store: &Store, id: &str, audit: &AuditRow) -> Result<bool, Error> {
    if id.contains('\0') {
        return Ok(false);
    }
    let sql = "delete from users where id = $1";
    Ok(change_rows!(store, audit, sqlx::query(sql).bind(id)).is_some())
}
