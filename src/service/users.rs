//! Users: visible to themselves and to administrators; disabled, enabled and removed by administrators and the command line.
//! They are created with their first token: on the command line, or at startup.
//!
//! A disabled user keeps its tokens, memberships, clusters and credentials; they have no effect until it is enabled again.
//! A removed user's tokens and memberships are deleted, and its clusters and credentials are handed over to a named user.

mod records;

use std::sync::Arc;

use clock::Clock;

use super::actor::Actor;
use super::audit::{Action, AuditLog};
use super::credentials::full_id;
use super::error::AdministratorTask;
use super::tokens::Tokens;
use super::{Caller, Error, Invalid, Result, name_list};
use crate::store::users::Removal;
use crate::store::{self, Store};

pub use crate::store::UserRow as User;
pub use crate::store::users::{AccountRow, OwnedObjects, OwnedRow, RemovedUser};

/// The type of object in the audit log.
pub(super) const OBJECT_TYPE: &str = "user";

/// The maximum number of objects that an error names.
const MAX_NAMED: usize = 50;

/// The users of a database. Clones share everything.
#[derive(Clone)]
pub struct Users {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    tokens: Tokens,
    clock: Clock,
    /// Records attempts that were rejected or failed; `None` on the command line, which prints their errors.
    audit_log: Option<AuditLog>,
}

impl Users {
    /// The users of this database.
    pub fn new(store: Store, tokens: Tokens, clock: Clock, audit_log: Option<AuditLog>) -> Self {
        Self { inner: Arc::new(Inner { store, tokens, clock, audit_log }) }
    }

    /// The users that the caller may see: all users for administrators, only the caller itself for others.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<User>> {
        if caller.admin {
            return Ok(store::users::list(&self.inner.store).await?);
        }
        Ok(store::users::get(&self.inner.store, &caller.user_id).await?.into_iter().collect())
    }

    /// Returns a user.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such user, or the caller may not see it.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<User> {
        let not_found = || Error::NotFound { id: id.to_owned() };
        if !caller.may_see(id) {
            return Err(not_found());
        }
        store::users::get(&self.inner.store, id).await?.ok_or_else(not_found)
    }

    /// All users with the objects that belong to them, by name.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for all but administrators.
    pub async fn accounts(&self, caller: &Caller) -> Result<Vec<AccountRow>> {
        check_administrator(caller)?;
        self.all_accounts().await
    }

    /// As [`Self::accounts`], for the command line.
    pub async fn all_accounts(&self) -> Result<Vec<AccountRow>> {
        Ok(store::users::accounts(&self.inner.store, None, self.inner.clock.now_ms()).await?)
    }

    /// A user with the objects that belong to it.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for all but administrators.
    pub async fn account(&self, caller: &Caller, id: &str) -> Result<(AccountRow, OwnedObjects)> {
        check_administrator(caller)?;
        let rows = store::users::accounts(&self.inner.store, Some(id), self.inner.clock.now_ms()).await?;
        let account = rows.into_iter().next().ok_or_else(|| Error::NotFound { id: id.to_owned() })?;
        Ok((account, with_full_ids(store::users::owned(&self.inner.store, id).await?)))
    }

    /// Enables or disables a user. A disabled user loses access: in this server immediately, and in other servers and on open
    /// streams within two seconds.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for all but administrators, [`Error::Invalid`] for the caller itself and for the last enabled
    /// administrator.
    pub async fn set_enabled(&self, by: &Actor, id: &str, enabled: bool) -> Result<User> {
        let result = async {
            let user = self.changeable_user(&by.caller, id).await?;
            if !enabled && by.caller.user_id == id {
                return Err(own_user_error("disable"));
            }
            self.apply_enabled(by, user, enabled).await
        }
        .await;
        self.record_failure(by, Action::Update, id, result).await
    }

    /// Removes a user. Clusters and credentials are handed over to the user `hand_over_to` (an ID or a name).
    ///
    /// # Errors
    /// As [`Self::set_enabled`]; [`Error::Invalid`] when the user owns something and no new owner is named, and when the
    /// new owner is not another enabled user.
    pub async fn remove(&self, by: &Actor, id: &str, hand_over_to: Option<&str>) -> Result<RemovedUser> {
        let result = async {
            let user = self.changeable_user(&by.caller, id).await?;
            if by.caller.user_id == id {
                return Err(own_user_error("remove"));
            }
            self.remove_user(by, user, hand_over_to).await
        }
        .await;
        self.record_failure(by, Action::Delete, id, result).await
    }

    /// As [`Self::set_enabled`], on behalf of the command line; the user is identified by name or ID.
    pub async fn set_enabled_by_name(&self, name: &str, enabled: bool) -> Result<User> {
        self.apply_enabled(&Actor::command_line(), self.find_by_name_or_id(name).await?, enabled).await
    }

    /// As [`Self::remove`], on behalf of the command line; the user is identified by name or ID.
    pub async fn remove_by_name(&self, name: &str, hand_over_to: Option<&str>) -> Result<RemovedUser> {
        self.remove_user(&Actor::command_line(), self.find_by_name_or_id(name).await?, hand_over_to).await
    }

    async fn apply_enabled(&self, by: &Actor, user: User, enabled: bool) -> Result<User> {
        let audit = |user: &User| records::enabled_record(by, user, self.inner.clock.now_ms());
        let change = store::users::set_enabled(&self.inner.store, &user.id, enabled, audit).await;
        self.inner.tokens.clear_cache();
        let changed = change.map_err(|error| from_store_error(error, &user))?;
        changed.ok_or(Error::NotFound { id: user.id })
    }

    async fn remove_user(&self, by: &Actor, user: User, hand_over_to: Option<&str>) -> Result<RemovedUser> {
        let new_owner = match hand_over_to {
            Some(name) => match self.find_by_name_or_id(name).await {
                Err(Error::NotFound { .. }) => return Err(new_owner_error(name)),
                found => Some(found?.id),
            },
            None => None,
        };
        let audit = |removed: &RemovedUser| records::removal_records(by, removed, self.inner.clock.now_ms());
        let removal = store::users::remove(&self.inner.store, &user.id, new_owner.as_deref(), audit).await;
        self.inner.tokens.clear_cache();
        match removal.map_err(|error| from_store_error(error, &user))? {
            Removal::Done(removed) => Ok(RemovedUser { owned: with_full_ids(removed.owned), ..removed }),
            Removal::NoUser => Err(Error::NotFound { id: user.id }),
            Removal::NoNewOwner => Err(new_owner_error(hand_over_to.unwrap_or_default())),
            Removal::Owns(user, owned) => Err(owns_objects_error(&user.name, &with_full_ids(owned))),
        }
    }

    /// A user by its ID, if the caller may change users.
    async fn changeable_user(&self, caller: &Caller, id: &str) -> Result<User> {
        let user = self.get(caller, id).await?;
        check_administrator(caller).map(|()| user)
    }

    /// A user by its name or ID.
    async fn find_by_name_or_id(&self, name: &str) -> Result<User> {
        let mut users = store::users::find(&self.inner.store, name).await?.into_iter();
        match (users.next(), users.next()) {
            (Some(user), None) => Ok(user),
            (None, _) => Err(Error::NotFound { id: name.to_owned() }),
            (Some(_), Some(_)) => {
                let message = format!(
                    "{name} is the name of one user and the ID of another: use the ID of the first or the name of the second"
                );
                Err(Invalid::field("InvalidReference", "user", message).into())
            }
        }
    }

    async fn record_failure<T>(&self, by: &Actor, action: Action, id: &str, result: Result<T>) -> Result<T> {
        match &self.inner.audit_log {
            Some(audit_log) => audit_log.record_failure(by, action, OBJECT_TYPE, id, result).await,
            None => result,
        }
    }
}

/// Replaces the IDs of credentials by the full IDs that callers use.
fn with_full_ids(mut owned: OwnedObjects) -> OwnedObjects {
    owned.credentials.iter_mut().for_each(|credential| credential.id = full_id(&credential.id));
    owned
}

fn check_administrator(caller: &Caller) -> Result<()> {
    if caller.admin {
        return Ok(());
    }
    Err(AdministratorTask::Users.into())
}

fn own_user_error(verb: &str) -> Error {
    let message =
        format!("you cannot {verb} yourself; ask another administrator, or use `norman-aks user {verb}`");
    Invalid::new("InvalidAction", message).into()
}

fn new_owner_error(name: &str) -> Error {
    let message =
        format!("{name} cannot take over the user's objects: name another user that exists and is enabled");
    Invalid::field("InvalidReference", "handOverTo", message).into()
}

/// The error for a change after which there would be no enabled administrator.
pub(super) fn last_administrator_error(name: &str) -> Error {
    let message = format!(
        "{name} is the last enabled administrator: make another user an administrator first (`norman-aks token create \
         --user NAME --admin`)"
    );
    Invalid::new("InvalidAction", message).into()
}

fn from_store_error(error: store::Error, user: &User) -> Error {
    match error {
        store::Error::LastAdministrator => last_administrator_error(&user.name),
        error => error.into(),
    }
}

fn owns_objects_error(name: &str, owned: &OwnedObjects) -> Error {
    let kinds = [("clusters", &owned.clusters), ("cloud credentials", &owned.credentials)];
    let lists = kinds.into_iter().filter(|(_, list)| !list.is_empty()).map(|(kind, list)| {
        let names = list.iter().map(|object| match object.name.as_str() {
            "" => object.id.clone(),
            name => format!("{} ({name})", object.id),
        });
        format!("the {kind} {}", name_list::join(&names.collect::<Vec<_>>(), MAX_NAMED))
    });
    let message = format!(
        "{name} owns {}: name a user who takes them over (handOverTo of DELETE /api/v1/users/<id>, or --hand-over-to), or \
         remove them first",
        lists.collect::<Vec<_>>().join(" and ")
    );
    Invalid::new("InvalidAction", message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(count: usize) -> OwnedObjects {
        let object = |n| OwnedRow { id: format!("c-{n}"), name: format!("n{n}") };
        OwnedObjects { clusters: (0..count).map(object).collect(), ..OwnedObjects::default() }
    }

    #[test]
    fn owned_objects_are_named_up_to_a_limit() {
        let message = |owned: &OwnedObjects| owns_objects_error("ann", owned).to_string();
        let two = OwnedObjects {
            credentials: vec![OwnedRow { id: "cattle-global-data:cc-1".to_owned(), name: String::new() }],
            ..owned(2)
        };
        let start = "ann owns the clusters c-0 (n0), c-1 (n1) and the cloud credentials cattle-global-data:cc-1: name";
        assert!(message(&two).starts_with(start), "{}", message(&two));
        let long = message(&owned(51));
        assert!(long.contains("c-49 (n49) and 1 more: name"), "{long}");
    }
}
