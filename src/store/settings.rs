//! Table `settings`: the values that were set. `service::settings` defines their meaning and defaults.

use super::{AuditRow, Error, Store};

/// A setting that differs from its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    /// `server-url` and so on.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Milliseconds since 1970.
    pub updated_ms: i64,
}

record!(SettingRow, "settings", name, value, updated_ms);

/// Sets a value.
pub async fn put(store: &Store, setting: &SettingRow, audit: &AuditRow) -> Result<(), Error> {
    let sql = "insert into settings (name, value, updated_ms) values ($1, $2, $3)
               on conflict (name) do update set value = excluded.value, updated_ms = excluded.updated_ms";
    store
        .execute_audited(sql, args![&setting.name, &setting.value, setting.updated_ms], audit)
        .await
        .map(drop)
}

/// All values that were set, by name.
pub async fn list(store: &Store) -> Result<Vec<SettingRow>, Error> {
    store.fetch_all("select name, value, updated_ms from settings order by name", args![]).await
}

/// Restores the default; false if no value was set.
pub async fn delete(store: &Store, name: &str, audit: &AuditRow) -> Result<bool, Error> {
    store.execute_audited("delete from settings where name = $1", args![name], audit).await
}
