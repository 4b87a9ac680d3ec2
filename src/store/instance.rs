//! Table `instance`: what belongs to the database as a whole, first of all which kind of server it is for.

use std::fmt;

use super::rows::Columns as _;
use super::{Error, Store};

/// The kind of server that a database belongs to. A sandbox must never see real clusters as gone, nor a real server
/// act on objects of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Real Azure.
    Azure,
    /// The built-in Azure.
    Sandbox,
}

impl Stamp {
    fn word(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Sandbox => "sandbox",
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Store {
    /// Marks a new database as belonging to `kind`, or makes sure that an old one does.
    ///
    /// # Errors
    /// [`Error::WrongKind`] when it belongs to the other one.
    pub async fn stamp(&self, kind: Stamp) -> Result<(), Error> {
        let found = keep(self, "stamp", kind.word()).await?;
        if found == kind.word() { Ok(()) } else { Err(Error::WrongKind { found, expected: kind }) }
    }
}

/// The value under `key`.
pub async fn get(store: &Store, key: &str) -> Result<Option<String>, Error> {
    let sql = "select value from instance where key = $1";
    Ok(read!(store, |pool| sqlx::query(sql)
        .bind(key)
        .fetch_optional(pool)
        .await?
        .map(|row| row.text("value"))
        .transpose()?)
    .flatten())
}

/// Puts `value` under `key`, whatever is there.
pub async fn put(store: &Store, key: &str, value: &str) -> Result<(), Error> {
    let sql = "insert into instance (key, value) values ($1, $2)
               on conflict (key) do update set value = excluded.value";
    write!(store, |pool| sqlx::query(sql).bind(key).bind(value).execute(pool).await?.rows_affected());
    Ok(())
}

/// Puts `value` under `key` unless something is there; returns what is there now. Of several servers that do this at
/// once, one wins and all learn its value.
pub async fn keep(store: &Store, key: &str, value: &str) -> Result<String, Error> {
    let sql = "insert into instance (key, value) values ($1, $2)
               on conflict (key) do update set value = instance.value returning value";
    let kept =
        write!(store, |pool| sqlx::query(sql).bind(key).bind(value).fetch_one(pool).await?.text("value")?);
    Ok(kept.unwrap_or_default())
}

/// Writes `filler` and removes it again, to learn whether the disk has space for it.
///
/// # Errors
/// [`Error::Full`] when it has not.
pub async fn probe_space(store: &Store, filler: &str) -> Result<(), Error> {
    const PROBE: &str = "space-probe";
    put(store, PROBE, filler).await?;
    let sql = "delete from instance where key = $1";
    write!(store, |pool| sqlx::query(sql).bind(PROBE).execute(pool).await?.rows_affected());
    Ok(())
}
