//! The installation: the kind of server that its database belongs to, and its ID.

use uuid::Uuid;

use super::Result;
use crate::store::{Stamp, Store, instance};

/// An installation. Its ID is the same for all servers of a database, across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// A UUID; Rancher's setting `install-uuid`, and the first half of the tag `norman-aks-owner`.
    pub id: String,
}

/// Marks the database as one for real Azure or for the sandbox, or checks the mark, and creates the ID of a new one. Must be
/// called before anything else uses the database.
///
/// # Errors
/// [`crate::store::Error::WrongKind`] if the database belongs to the other kind of server.
pub async fn open(store: &Store, kind: Stamp) -> Result<Instance> {
    store.stamp(kind).await?;
    let id = instance::insert_if_absent(store, "id", &Uuid::new_v4().to_string()).await?;
    Ok(Instance { id })
}
