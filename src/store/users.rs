//! Table `users`: the owners of tokens, clusters and credentials.

mod access;
mod accounts;

pub use self::access::{OwnedObjects, OwnedRow, Removal, RemovedUser, owned, remove, set_enabled};
pub use self::accounts::{AccountRow, accounts};
use super::{AuditRow, Error, Store};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// `user-xxxxx`
    pub id: String,
    /// The unique name.
    pub name: String,
    /// Whether the user is an administrator, who may do everything.
    pub admin: bool,
    /// Whether its tokens are accepted.
    pub enabled: bool,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

record!(UserRow, "users", id, name, admin, enabled, created_ms);

/// A user by its ID.
const GET: &str = "select id, name, admin, enabled, created_ms from users where id = $1";

/// The result of [`ensure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// The user was created.
    Created(UserRow),
    /// The user existed; its administrator role was added or removed.
    Changed(UserRow),
    /// The user existed and is unchanged.
    Unchanged(UserRow),
}

impl Ensured {
    /// The user.
    pub fn user(&self) -> &UserRow {
        let (Self::Created(user) | Self::Changed(user) | Self::Unchanged(user)) = self;
        user
    }

    /// The user.
    pub fn into_user(self) -> UserRow {
        let (Self::Created(user) | Self::Changed(user) | Self::Unchanged(user)) = self;
        user
    }
}

/// Adds `user` unless its name exists. If `admin` is set, it applies to an existing user too; otherwise an existing user keeps
/// its role. `audit` returns the record for a new or changed user.
///
/// # Errors
/// [`Error::Duplicate`] if a user with another name has the ID; [`Error::Disabled`] if the named user is disabled;
/// [`Error::LastAdministrator`] if no enabled administrator would remain; [`Error::Conflict`] if the named user was deleted
/// concurrently.
pub async fn ensure(
    store: &Store,
    user: &UserRow,
    admin: Option<bool>,
    audit: impl FnOnce(&Ensured) -> AuditRow,
) -> Result<Ensured, Error> {
    let insert = "insert into users (id, name, admin, enabled, created_ms) values ($1, $2, $3, $4, $5)
                  on conflict (name) do nothing returning id, name, admin, enabled, created_ms";
    let update = "update users set admin = $2 where id = $1 and admin <> $2
                  returning id, name, admin, enabled, created_ms";
    let select = "select id, name, admin, enabled, created_ms from users where name = $1";
    let mut transaction = store.begin().await?;
    if admin == Some(false) {
        transaction.lock_administrators().await?;
    }
    let values = args![&user.id, &user.name, admin.unwrap_or(user.admin), user.enabled, user.created_ms];
    let ensured = if let Some(created) = transaction.fetch_optional(insert, values).await? {
        Ensured::Created(created)
    } else {
        let existing: Option<UserRow> = transaction.fetch_optional(select, args![&user.name]).await?;
        let existing = existing.ok_or_else(|| Error::Conflict { table: "users", id: user.id.clone() })?;
        if !existing.enabled {
            return Err(Error::Disabled { id: existing.id });
        }
        let Some(admin) = admin else { return Ok(Ensured::Unchanged(existing)) };
        if !admin {
            transaction.check_not_last_administrator(&existing.id).await?;
        }
        match transaction.fetch_optional(update, args![&existing.id, admin]).await? {
            Some(changed) => Ensured::Changed(changed),
            None => return Ok(Ensured::Unchanged(existing)),
        }
    };
    transaction.commit_with_audit(&audit(&ensured)).await?;
    Ok(ensured)
}

/// A user by its ID.
pub async fn get(store: &Store, id: &str) -> Result<Option<UserRow>, Error> {
    store.fetch_optional(GET, args![id]).await
}

/// The users with this name or ID. The name of one user may be the ID of another.
pub async fn find(store: &Store, name_or_id: &str) -> Result<Vec<UserRow>, Error> {
    let sql =
        "select id, name, admin, enabled, created_ms from users where name = $1 or id = $1 order by name";
    store.fetch_all(sql, args![name_or_id]).await
}

/// All users, by name.
pub async fn list(store: &Store) -> Result<Vec<UserRow>, Error> {
    let sql = "select id, name, admin, enabled, created_ms from users order by name";
    store.fetch_all(sql, args![]).await
}
