//! Table `instance`: values of the whole database, such as the backend to which it belongs.

use super::{AzureBackend, Error, Store};

impl Store {
    /// Marks a new database as belonging to `backend`, or checks that an existing one does.
    ///
    /// # Errors
    /// [`Error::WrongBackend`] if it belongs to the other backend.
    pub async fn stamp(&self, backend: AzureBackend) -> Result<(), Error> {
        let found = insert_if_absent(self, "stamp", backend.as_str()).await?;
        if found == backend.as_str() { Ok(()) } else { Err(Error::WrongBackend { found, expected: backend }) }
    }
}

/// The value of `key`.
pub async fn get(store: &Store, key: &str) -> Result<Option<String>, Error> {
    store.fetch_optional("select value from instance where key = $1", args![key]).await
}

/// Sets the value of `key`.
pub async fn put(store: &Store, key: &str, value: &str) -> Result<(), Error> {
    let sql = "insert into instance (key, value) values ($1, $2)
               on conflict (key) do update set value = excluded.value";
    store.execute(sql, args![key, value]).await.map(drop)
}

/// Sets the value of `key` unless it has one; returns the stored value. If several servers do this concurrently, all get the
/// same value.
pub async fn insert_if_absent(store: &Store, key: &str, value: &str) -> Result<String, Error> {
    let sql = "insert into instance (key, value) values ($1, $2)
               on conflict (key) do update set value = instance.value returning value";
    let stored = store.execute_returning(sql, args![key, value]).await?;
    stored.into_iter().next().ok_or_else(|| sqlx::Error::RowNotFound.into())
}

/// Writes `filler` and deletes it again, to check that the disk has space for it.
///
/// # Errors
/// [`Error::Full`] if it has no space.
pub async fn probe_space(store: &Store, filler: &str) -> Result<(), Error> {
    const PROBE: &str = "space-probe";
    put(store, PROBE, filler).await?;
    store.execute("delete from instance where key = $1", args![PROBE]).await.map(drop)
}
