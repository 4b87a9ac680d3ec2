//! Disables, enables and deletes users, each in one transaction. At least one enabled administrator always remains:
//! transactions that could disable or delete the last one are serialized.

use super::{GET, UserRow};
use crate::store::transaction::Transaction;
use crate::store::{AuditRow, Error, Store};

/// An object that a user owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRow {
    /// `c-xxxxx`, or `cc-xxxxx` without its namespace.
    pub id: String,
    /// The display name.
    pub name: String,
}

/// The objects that a user owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedObjects {
    /// The clusters, oldest first.
    pub clusters: Vec<OwnedRow>,
    /// The cloud credentials, oldest first.
    pub credentials: Vec<OwnedRow>,
}

impl OwnedObjects {
    /// Whether the user owns nothing.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty() && self.credentials.is_empty()
    }
}

/// A deleted user, with the objects that were handed over or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedUser {
    /// The user.
    pub user: UserRow,
    /// The new owner of the clusters and credentials.
    pub new_owner: Option<UserRow>,
    /// The objects that were handed over.
    pub owned: OwnedObjects,
    /// The IDs of the deleted memberships.
    pub memberships: Vec<String>,
    /// The number of deleted tokens.
    pub tokens: u64,
}

/// The result of an attempt to delete a user. Only [`Removal::Done`] changes anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The user was deleted.
    Done(RemovedUser),
    /// The user does not exist.
    NoUser,
    /// The user owns objects, and no new owner was specified.
    Owns(UserRow, OwnedObjects),
    /// The new owner does not exist, is disabled, or is the user itself.
    NoNewOwner,
}

record!(OwnedRow, "clusters or credentials", id, name);

const OWNED_CLUSTERS: &str = "select id, name from clusters where owner = $1 order by created_ms, id";
const OWNED_CREDENTIALS: &str = "select id, name from credentials where owner = $1 order by created_ms, id";

/// The objects that a user owns.
pub async fn owned(store: &Store, user_id: &str) -> Result<OwnedObjects, Error> {
    Ok(OwnedObjects {
        clusters: store.fetch_all(OWNED_CLUSTERS, args![user_id]).await?,
        credentials: store.fetch_all(OWNED_CREDENTIALS, args![user_id]).await?,
    })
}

/// Enables or disables a user, and returns it; `None` if it does not exist. `audit` returns the record of a change; it is not
/// called if the user already is in that state.
///
/// # Errors
/// [`Error::LastAdministrator`] if no enabled administrator would remain.
pub async fn set_enabled(
    store: &Store,
    id: &str,
    enabled: bool,
    audit: impl FnOnce(&UserRow) -> AuditRow,
) -> Result<Option<UserRow>, Error> {
    let update = "update users set enabled = $2 where id = $1 and enabled <> $2
                  returning id, name, admin, enabled, created_ms";
    let mut transaction = store.begin().await?;
    if !enabled {
        transaction.check_not_last_administrator(id).await?;
        transaction.lock_name(&owner_lock(id)).await?;
    }
    let user: Option<UserRow> = transaction.fetch_optional(GET, args![id]).await?;
    if user.is_none() {
        return Ok(None);
    }
    let Some(changed) = transaction.fetch_optional(update, args![id, enabled]).await? else {
        // Read again, because the user may have changed since.
        return transaction.fetch_optional(GET, args![id]).await;
    };
    transaction.commit_with_audit(&audit(&changed)).await?;
    Ok(Some(changed))
}

/// Deletes a user with its tokens and memberships, and hands its clusters and credentials over to `new_owner_id`. `audit`
/// returns the audit records.
///
/// # Errors
/// [`Error::LastAdministrator`] if no enabled administrator would remain.
pub async fn remove(
    store: &Store,
    id: &str,
    new_owner_id: Option<&str>,
    audit: impl FnOnce(&RemovedUser) -> Vec<AuditRow>,
) -> Result<Removal, Error> {
    let mut transaction = store.begin().await?;
    transaction.check_not_last_administrator(id).await?;
    transaction.lock_name(&owner_lock(id)).await?;
    let user: Option<UserRow> = transaction.fetch_optional(GET, args![id]).await?;
    let Some(user) = user else { return Ok(Removal::NoUser) };
    let mut new_owner = None;
    if let Some(new_owner_id) = new_owner_id {
        let candidate: Option<UserRow> = transaction.fetch_optional(GET, args![new_owner_id]).await?;
        new_owner = candidate.filter(|candidate| candidate.enabled && candidate.id != user.id);
        if new_owner.is_none() {
            return Ok(Removal::NoNewOwner);
        }
    }
    let owned = OwnedObjects {
        clusters: transaction.fetch_all(OWNED_CLUSTERS, args![id]).await?,
        credentials: transaction.fetch_all(OWNED_CREDENTIALS, args![id]).await?,
    };
    if let Some(new_owner) = &new_owner {
        for sql in [
            "update clusters set owner = $2, version = version + 1 where owner = $1",
            "update credentials set owner = $2, version = version + 1 where owner = $1",
        ] {
            transaction.execute(sql, args![id, &new_owner.id]).await?;
        }
    } else if !owned.is_empty() {
        return Ok(Removal::Owns(user, owned));
    }
    let delete_memberships = "delete from cluster_members where user_id = $1 returning id";
    let memberships = transaction.fetch_all(delete_memberships, args![id]).await?;
    let tokens = transaction.execute("delete from tokens where user_id = $1", args![id]).await?;
    transaction.execute("delete from users where id = $1", args![id]).await?;
    let removed = RemovedUser { user, new_owner, owned, memberships, tokens };
    for record in &audit(&removed) {
        transaction.add_audit_record(record).await?;
    }
    transaction.commit().await?;
    Ok(Removal::Done(removed))
}

/// The lock name for changes of a user's ownership.
fn owner_lock(user_id: &str) -> String {
    format!("owner {user_id}")
}

/// Checks of users that hold until the transaction ends.
impl Transaction<'_> {
    /// Serializes transactions that could disable, demote or delete administrators.
    pub(super) async fn lock_administrators(&mut self) -> Result<(), Error> {
        self.lock_name("administrators").await
    }

    /// Fails if this user is the only enabled administrator.
    pub(super) async fn check_not_last_administrator(&mut self, user_id: &str) -> Result<(), Error> {
        self.lock_administrators().await?;
        let sql = "select id from users where id = $1 and admin and enabled and not exists
                   (select 1 from users o where o.id <> $1 and o.admin and o.enabled)";
        if self.exists(sql, args![user_id]).await? { Err(Error::LastAdministrator) } else { Ok(()) }
    }

    /// Fails unless the owner of a new object exists and is enabled. Prevents the deletion of the user until the transaction
    /// ends, so that no object lacks an owner.
    pub(in crate::store) async fn check_owner(&mut self, user_id: &str) -> Result<(), Error> {
        self.lock_name(&owner_lock(user_id)).await?;
        let sql = "select id from users where id = $1 and enabled";
        let is_enabled = self.exists(sql, args![user_id]).await?;
        if is_enabled { Ok(()) } else { Err(Error::NoOwner { id: user_id.to_owned() }) }
    }
}
