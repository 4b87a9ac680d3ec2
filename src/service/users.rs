//! Users as Rancher's API shows them. They are made with their first token, on the command line.

use super::{Caller, Error, Result};
use crate::store::{self, Store, UserRow};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `user-xxxxx`
    pub id: String,
    /// The only one of this name.
    pub name: String,
    /// Administrators see and may do everything.
    pub admin: bool,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

impl From<UserRow> for User {
    fn from(UserRow { id, name, admin, created_ms }: UserRow) -> Self {
        Self { id, name, admin, created_ms }
    }
}

/// The users of a database. Clones share the connections.
#[derive(Clone)]
pub struct Users {
    store: Store,
}

impl Users {
    /// The users of this database.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The users that the caller may see: everybody for administrators, only himself for others.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<User>> {
        let rows = if caller.admin {
            store::users::list(&self.store).await?
        } else {
            store::users::get(&self.store, &caller.user_id).await?.into_iter().collect()
        };
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// The user of that id.
    ///
    /// # Errors
    /// [`Error::NotFound`] also for somebody whom the caller may not see.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<User> {
        let missing = || Error::NotFound { id: id.to_owned() };
        if !caller.may_see(id) {
            return Err(missing());
        }
        store::users::get(&self.store, id).await?.map(User::from).ok_or_else(missing)
    }
}
