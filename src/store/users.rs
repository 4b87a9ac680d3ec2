//! Table `users`: who tokens belong to.

mod access;
mod accounts;

pub(super) use self::access::UserRules;
pub use self::access::{Owned, OwnedRow, Removal, RemovedUser, Switched, owned, remove, set_enabled};
pub use self::accounts::{AccountRow, accounts};
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
    /// Whether its tokens are accepted.
    pub enabled: bool,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

/// The user of an ID.
const GET: &str = "select id, name, admin, enabled, created_ms from users where id = $1";

fn row(row: &impl Columns) -> Result<UserRow, Error> {
    let fields = Fields::of(row, "users", "id")?;
    Ok(UserRow {
        id: fields.key(),
        name: fields.text("name")?,
        admin: fields.flag("admin")?,
        enabled: fields.flag("enabled")?,
        created_ms: fields.number("created_ms")?,
    })
}

/// Adds a user.
///
/// # Errors
/// [`Error::Duplicate`] when the id or the name is taken.
pub async fn insert(store: &Store, user: &UserRow, audit: &AuditRow) -> Result<(), Error> {
    without_nul([("id", Some(user.id.as_str())), ("name", Some(user.name.as_str()))])?;
    let sql = "insert into users (id, name, admin, enabled, created_ms) values ($1, $2, $3, $4, $5)";
    change_rows!(
        store,
        audit,
        sqlx::query(sql)
            .bind(&user.id)
            .bind(&user.name)
            .bind(user.admin)
            .bind(user.enabled)
            .bind(user.created_ms)
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
/// [`Error::Duplicate`] when the id is taken by a user of another name, [`Error::Disabled`] when the user of that name is
/// disabled, [`Error::LastAdministrator`] when no enabled administrator would be left, [`Error::Conflict`] when the user of
/// that name was removed at the same time.
pub async fn ensure(
    store: &Store,
    user: &UserRow,
    admin: Option<bool>,
    audit: impl FnOnce(&Ensured) -> AuditRow,
) -> Result<Ensured, Error> {
    without_nul([("id", Some(user.id.as_str())), ("name", Some(user.name.as_str()))])?;
    let insert = "insert into users (id, name, admin, created_ms) values ($1, $2, $3, $4)
                  on conflict (name) do nothing returning id, name, admin, enabled, created_ms";
    let update = "update users set admin = $2 where id = $1 and admin <> $2
                  returning id, name, admin, enabled, created_ms";
    let select = "select id, name, admin, enabled, created_ms from users where name = $1";
    let mut unchanged = None;
    let changed = change!(store, |ensured| &audit(ensured), |transaction| {
        if admin == Some(false) {
            transaction.serialise_administrators().await?;
        }
        let query = sqlx::query(insert).bind(&user.id).bind(&user.name);
        let query = query.bind(admin.unwrap_or(user.admin)).bind(user.created_ms);
        if let Some(created) = query.fetch_optional(&mut *transaction).await? {
            Some(Ensured::Created(row(&created)?))
        } else {
            let found = sqlx::query(select).bind(&user.name).fetch_optional(&mut *transaction).await?;
            let found = found.as_ref().map(row).transpose()?;
            let found = found.ok_or_else(|| Error::Conflict { table: "users", id: user.id.clone() })?;
            if !found.enabled {
                return Err(Error::Disabled { id: found.id });
            }
            let updated = match admin {
                Some(admin) => {
                    if !admin {
                        transaction.check_not_last_administrator(&found.id).await?;
                    }
                    sqlx::query(update).bind(&found.id).bind(admin).fetch_optional(&mut *transaction).await?
                }
                None => None,
            };
            if updated.is_none() {
                unchanged = Some(found);
            }
            updated.as_ref().map(row).transpose()?.map(Ensured::Changed)
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
    read!(store, |pool| sqlx::query(GET).bind(id).fetch_optional(pool).await?.as_ref().map(row).transpose())
}

/// All users, by name.
pub async fn list(store: &Store) -> Result<Vec<UserRow>, Error> {
    let sql = "select id, name, admin, enabled, created_ms from users order by name";
    read!(store, |pool| sqlx::query(sql).fetch_all(pool).await?.iter().map(row).collect())
}
