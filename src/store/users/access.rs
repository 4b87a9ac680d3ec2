//! Disabling, enabling and removing users, each in one transaction. An enabled administrator always stays: transactions
//! that could end the access of the last one run one after the other.

use sqlx::{PgConnection, SqliteConnection};

use super::super::change::Serialise as _;
use super::super::events::{INSERT, bind_row};
use super::super::rows::{Columns, Fields, without_nul};
use super::super::{AuditRow, Error, Store};
use super::{GET, UserRow, row};

/// Something that a user owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRow {
    /// `c-xxxxx`, or `cc-xxxxx` without its namespace.
    pub id: String,
    /// The name that people see.
    pub name: String,
}

/// The objects that a user owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// The clusters, oldest first.
    pub clusters: Vec<OwnedRow>,
    /// The cloud credentials, oldest first.
    pub credentials: Vec<OwnedRow>,
}

impl Owned {
    /// Whether the user owns nothing.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty() && self.credentials.is_empty()
    }
}

/// A user as [`set_enabled`] left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switched {
    /// The user was enabled or disabled.
    Changed(UserRow),
    /// The user was so already.
    Unchanged(UserRow),
}

/// A removed user, and what became of the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedUser {
    /// The user.
    pub user: UserRow,
    /// The owner of the rest from now on.
    pub new_owner: Option<UserRow>,
    /// The objects that were handed over.
    pub owned: Owned,
    /// The IDs of the memberships that ended.
    pub memberships: Vec<String>,
    /// The number of tokens that ended.
    pub tokens: u64,
}

/// The end of an attempt to remove a user. Only [`Removal::Done`] changed anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The user is gone.
    Done(RemovedUser),
    /// There is no such user.
    NoUser,
    /// The user owns something, and no new owner was named.
    Owns(UserRow, Owned),
    /// The new owner does not exist, is disabled, or is the user.
    NoNewOwner,
}

const CLUSTERS: &str = "select id, name from clusters where owner = $1 order by created_ms, id";
const CREDENTIALS: &str = "select id, name from credentials where owner = $1 order by created_ms, id";

fn owned_row(row: &impl Columns, table: &'static str) -> Result<OwnedRow, Error> {
    let fields = Fields::of(row, table, "id")?;
    Ok(OwnedRow { id: fields.key(), name: fields.text("name")? })
}

macro_rules! read_owned {
    ($executor:expr, $user_id:expr) => {{
        let clusters = sqlx::query(CLUSTERS).bind($user_id).fetch_all($executor).await?;
        let credentials = sqlx::query(CREDENTIALS).bind($user_id).fetch_all($executor).await?;
        Owned {
            clusters: clusters.iter().map(|row| owned_row(row, "clusters")).collect::<Result<_, Error>>()?,
            credentials: credentials
                .iter()
                .map(|row| owned_row(row, "credentials"))
                .collect::<Result<_, Error>>()?,
        }
    }};
}

/// The objects that a user owns.
pub async fn owned(store: &Store, user_id: &str) -> Result<Owned, Error> {
    without_nul([("owner", Some(user_id))])?;
    Ok(read!(store, |pool| read_owned!(pool, user_id)))
}

/// Enables or disables a user; `None` when there is none of that ID. `audit` makes the record of a change.
///
/// # Errors
/// [`Error::LastAdministrator`] when no enabled administrator would be left.
pub async fn set_enabled(
    store: &Store,
    id: &str,
    enabled: bool,
    audit: impl FnOnce(&UserRow) -> AuditRow,
) -> Result<Option<Switched>, Error> {
    if id.contains('\0') {
        return Ok(None);
    }
    let update = "update users set enabled = $2 where id = $1 and enabled <> $2
                  returning id, name, admin, enabled, created_ms";
    let mut unchanged = None;
    let changed = change!(store, |user| &audit(user), |transaction| {
        if !enabled {
            transaction.check_not_last_administrator(id).await?;
            transaction.serialise(&ownership(id)).await?;
        }
        let updated = sqlx::query(update).bind(id).bind(enabled).fetch_optional(&mut *transaction).await?;
        if updated.is_none() {
            let found = sqlx::query(GET).bind(id).fetch_optional(&mut *transaction).await?;
            unchanged = found.as_ref().map(row).transpose()?;
        }
        updated.as_ref().map(row).transpose()?
    });
    Ok(changed.map(Switched::Changed).or(unchanged.map(Switched::Unchanged)))
}

/// Removes a user with the tokens and memberships, and hands the clusters and credentials over to `new_owner` (an ID).
/// `audit` makes the records of all that.
///
/// # Errors
/// [`Error::LastAdministrator`] when no enabled administrator would be left.
pub async fn remove(
    store: &Store,
    id: &str,
    new_owner: Option<&str>,
    audit: impl FnOnce(&RemovedUser) -> Vec<AuditRow>,
) -> Result<Removal, Error> {
    if id.contains('\0') {
        return Ok(Removal::NoUser);
    }
    if new_owner.is_some_and(|id| id.contains('\0')) {
        return Ok(Removal::NoNewOwner);
    }
    Ok(transaction!(store, |transaction| {
        transaction.check_not_last_administrator(id).await?;
        transaction.serialise(&ownership(id)).await?;
        let user = sqlx::query(GET).bind(id).fetch_optional(&mut *transaction).await?;
        let Some(user) = user.as_ref().map(row).transpose()? else { return Ok(Removal::NoUser) };
        let mut successor = None;
        if let Some(new_owner) = new_owner {
            let found = sqlx::query(GET).bind(new_owner).fetch_optional(&mut *transaction).await?;
            let found = found.as_ref().map(row).transpose()?;
            successor = found.filter(|found| found.enabled && found.id != user.id);
            if successor.is_none() {
                return Ok(Removal::NoNewOwner);
            }
        }
        let owned = read_owned!(&mut *transaction, id);
        match &successor {
            None if !owned.is_empty() => return Ok(Removal::Owns(user, owned)),
            None => {}
            Some(successor) => {
                for sql in [
                    "update clusters set owner = $2, version = version + 1 where owner = $1",
                    "update credentials set owner = $2, version = version + 1 where owner = $1",
                ] {
                    sqlx::query(sql).bind(id).bind(&successor.id).execute(&mut *transaction).await?;
                }
            }
        }
        let memberships = "delete from cluster_members where user_id = $1 returning id";
        let memberships: Vec<String> =
            sqlx::query_scalar(memberships).bind(id).fetch_all(&mut *transaction).await?;
        let tokens = sqlx::query("delete from tokens where user_id = $1").bind(id);
        let tokens = tokens.execute(&mut *transaction).await?.rows_affected();
        sqlx::query("delete from users where id = $1").bind(id).execute(&mut *transaction).await?;
        let removed = RemovedUser { user, new_owner: successor, owned, memberships, tokens };
        for record in &audit(&removed) {
            bind_row(sqlx::query(INSERT), record).execute(&mut *transaction).await?;
        }
        Removal::Done(removed)
    }))
}

/// The name under which changes of one user's ownership run one after the other.
fn ownership(user_id: &str) -> String {
    format!("owner {user_id}")
}

/// Rules about users that hold until the transaction ends.
pub(in super::super) trait UserRules {
    /// Lets transactions that could end the access of administrators run one after the other.
    async fn serialise_administrators(&mut self) -> Result<(), Error>;

    /// Fails when no enabled administrator would be left without this user.
    async fn check_not_last_administrator(&mut self, user_id: &str) -> Result<(), Error>;

    /// Fails unless the owner of a new object exists and is enabled. Keeps the user from being removed meanwhile, so that
    /// no object is left without an owner.
    async fn check_owner(&mut self, user_id: &str) -> Result<(), Error>;
}

macro_rules! user_rules {
    ($($connection:ty),*) => {$(
        impl UserRules for $connection {
            async fn serialise_administrators(&mut self) -> Result<(), Error> {
                Ok(self.serialise("administrators").await?)
            }

            async fn check_not_last_administrator(&mut self, user_id: &str) -> Result<(), Error> {
                self.serialise_administrators().await?;
                let sql = "select id from users where id = $1 and admin and enabled and not exists
                           (select 1 from users o where o.id <> $1 and o.admin and o.enabled)";
                let last = sqlx::query(sql).bind(user_id).fetch_optional(&mut *self).await?;
                if last.is_some() { Err(Error::LastAdministrator) } else { Ok(()) }
            }

            async fn check_owner(&mut self, user_id: &str) -> Result<(), Error> {
                self.serialise(&ownership(user_id)).await?;
                let sql = "select id from users where id = $1 and enabled";
                let found = sqlx::query(sql).bind(user_id).fetch_optional(&mut *self).await?;
                found.map(drop).ok_or_else(|| Error::NoOwner { id: user_id.to_owned() })
            }
        }
    )*};
}

user_rules!(SqliteConnection, PgConnection);
