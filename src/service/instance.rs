//! The installation: the backend that its database belongs to, and its ID.

use uuid::Uuid;

use super::Result;
use crate::store::{AzureBackend, Store, instance};

/// Marks a new database as one for real Azure or for the sandbox, and creates its ID; checks the mark of an existing database.
/// Must be called before anything else uses the database.
///
/// Returns the ID, a UUID that is the same for all servers of a database, across restarts: Rancher's setting `install-uuid`, and
/// the first half of the tag `norman-aks-owner`.
///
/// # Errors
/// [`crate::store::Error::WrongBackend`] if the database belongs to the other backend.
pub async fn open(store: &Store, backend: AzureBackend) -> Result<String> {
    store.stamp(backend).await?;
    Ok(instance::insert_if_absent(store, "id", &Uuid::new_v4().to_string()).await?)
}
