//! Reading columns from a row of either database, and refusing text that only one of them could keep.

use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::Error;

/// The kinds of value that the tables have.
pub(super) trait Columns {
    fn text(&self, column: &'static str) -> Result<Option<String>, sqlx::Error>;
    fn number(&self, column: &'static str) -> Result<Option<i64>, sqlx::Error>;
    fn flag(&self, column: &'static str) -> Result<bool, sqlx::Error>;
    fn bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, sqlx::Error>;
}

macro_rules! columns {
    ($($row:ty),*) => {$(
        impl Columns for $row {
            fn text(&self, column: &'static str) -> Result<Option<String>, sqlx::Error> {
                self.try_get(column)
            }
            fn number(&self, column: &'static str) -> Result<Option<i64>, sqlx::Error> {
                self.try_get(column)
            }
            fn flag(&self, column: &'static str) -> Result<bool, sqlx::Error> {
                self.try_get(column)
            }
            fn bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, sqlx::Error> {
                self.try_get(column)
            }
        }
    )*};
}

columns!(SqliteRow, PgRow);

/// One row of a known table, so that a value which cannot be read says where it lies.
pub(super) struct Fields<'r, R> {
    row: &'r R,
    table: &'static str,
    key: String,
}

impl<'r, R: Columns> Fields<'r, R> {
    /// `key` is the column that identifies the row.
    pub(super) fn of(row: &'r R, table: &'static str, key: &'static str) -> Result<Self, Error> {
        let value = row.text(key).map_err(|error| corrupt(table, key, String::new(), error))?;
        Ok(Self { row, table, key: value.unwrap_or_default() })
    }

    /// The value of the key column.
    pub(super) fn key(&self) -> String {
        self.key.clone()
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String, Error> {
        self.text_opt(column)?.ok_or_else(|| self.missing(column))
    }

    pub(super) fn text_opt(&self, column: &'static str) -> Result<Option<String>, Error> {
        self.row.text(column).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn number(&self, column: &'static str) -> Result<i64, Error> {
        self.number_opt(column)?.ok_or_else(|| self.missing(column))
    }

    pub(super) fn number_opt(&self, column: &'static str) -> Result<Option<i64>, Error> {
        self.row.number(column).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn flag(&self, column: &'static str) -> Result<bool, Error> {
        self.row.flag(column).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, Error> {
        self.bytes_opt(column)?.ok_or_else(|| self.missing(column))
    }

    pub(super) fn bytes_opt(&self, column: &'static str) -> Result<Option<Vec<u8>>, Error> {
        self.row.bytes(column).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Error> {
        serde_json::from_str(&self.text(column)?).map_err(|error| self.corrupt(column, error))
    }

    fn corrupt<E>(&self, column: &'static str, source: E) -> Error
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        corrupt(self.table, column, self.key(), source)
    }

    fn missing(&self, column: &'static str) -> Error {
        self.corrupt(column, sqlx::error::UnexpectedNullError)
    }
}

fn corrupt<E>(table: &'static str, column: &'static str, row: String, source: E) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    Error::Corrupt { table, column, row, source: Box::new(source) }
}

/// Refuses texts with NUL before a statement is sent, so that both databases take and refuse the same.
pub(super) fn without_nul<'a>(
    texts: impl IntoIterator<Item = (&'static str, Option<&'a str>)>,
) -> Result<(), Error> {
    texts
        .into_iter()
        .find(|(_, text)| text.is_some_and(|text| text.contains('\0')))
        .map_or(Ok(()), |(column, _)| Err(Error::Nul { column }))
}

/// A map of texts as JSON; this cannot fail for such maps.
pub(super) fn json_text(map: &impl serde::Serialize) -> String {
    serde_json::to_string(map).unwrap_or_default()
}
