//! The installation as a whole: which kind of server its database belongs to, and its identity.

use uuid::Uuid;

use super::Result;
use crate::store::{Stamp, Store, instance};

/// Identity of an installation: the same for all servers of one database, over all restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// A UUID; Rancher's setting `install-uuid`, and the first half of the tag `norman-aks-owner`.
    pub id: String,
}

/// Marks the database as one for real Azure or for the sandbox (or makes sure that it is), and gives a new one its
/// identity. To be called before anything else touches the database.
///
/// # Errors
/// [`crate::store::Error::WrongKind`] when the database belongs to the other kind of server.
pub async fn open(store: &Store, kind: Stamp) -> Result<Instance> {
    store.stamp(kind).await?;
    let id = instance::insert_if_absent(store, "id", &Uuid::new_v4().to_string()).await?;
    Ok(Instance { id })
}
