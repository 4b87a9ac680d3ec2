//! Table `settings`: values that somebody set; what a setting means and its default are in `service::settings`.

use super::rows::{Columns, Fields, without_nul};
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

fn row(row: &impl Columns) -> Result<SettingRow, Error> {
    let fields = Fields::of(row, "settings", "name")?;
    Ok(SettingRow {
        name: fields.key(),
        value: fields.text("value")?,
        updated_ms: fields.number("updated_ms")?,
    })
}

/// Sets a value, whatever was there.
pub async fn put(store: &Store, setting: &SettingRow, audit: &AuditRow) -> Result<(), Error> {
    without_nul([("name", Some(setting.name.as_str())), ("value", Some(setting.value.as_str()))])?;
    let sql = "insert into settings (name, value, updated_ms) values ($1, $2, $3)
               on conflict (name) do update set value = excluded.value, updated_ms = excluded.updated_ms";
    change_rows!(
        store,
        audit,
        sqlx::query(sql).bind(&setting.name).bind(&setting.value).bind(setting.updated_ms)
    );
    Ok(())
}

/// The setting of that name, when somebody set it.
pub async fn get(store: &Store, name: &str) -> Result<Option<SettingRow>, Error> {
    if name.contains('\0') {
        return Ok(None);
    }
    let sql = "select name, value, updated_ms from settings where name = $1";
    read!(store, |pool| sqlx::query(sql).bind(name).fetch_optional(pool).await?.as_ref().map(row).transpose())
}

/// Everything that somebody set, by name.
pub async fn list(store: &Store) -> Result<Vec<SettingRow>, Error> {
    let sql = "select name, value, updated_ms from settings order by name";
    read!(store, |pool| sqlx::query(sql).fetch_all(pool).await?.iter().map(row).collect())
}

/// Back to the default; false when nobody had set it.
pub async fn delete(store: &Store, name: &str, audit: &AuditRow) -> Result<bool, Error> {
    if name.contains('\0') {
        return Ok(false);
    }
    let sql = "delete from settings where name = $1";
    Ok(change_rows!(store, audit, sqlx::query(sql).bind(name)).is_some())
}
