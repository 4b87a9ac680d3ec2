//! Converts rows of either database to row types. An error contains the table, column and key of the value.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Decode, Postgres, Row as _, Sqlite, Type};

use super::Error;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A row of either database.
#[derive(Clone, Copy)]
pub(super) enum DbRow<'r> {
    Sqlite(&'r SqliteRow),
    Postgres(&'r PgRow),
}

impl DbRow<'_> {
    fn get<T, I>(self, column: I) -> Result<T, sqlx::Error>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
        I: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

impl<'r> DbRow<'r> {
    /// This row with its table and the column that identifies it.
    pub(super) fn in_table(self, table: &'static str, key: &'static str) -> TableRow<'r> {
        TableRow { row: self, table, key }
    }
}

/// A row of a known table.
#[derive(Clone, Copy)]
pub(super) struct TableRow<'r> {
    row: DbRow<'r>,
    table: &'static str,
    key: &'static str,
}

impl TableRow<'_> {
    /// The value of a column, or of the columns of a nested type.
    pub(super) fn get<T: Field>(self, column: &'static str) -> Result<T, Error> {
        T::read(self, column)
    }

    fn corrupt(self, column: &'static str, source: Cause) -> Error {
        let row = self.row.get(self.key).unwrap_or_default();
        Error::Corrupt { table: self.table, column, row, source }
    }
}

/// A type to which the rows of a query are converted.
pub(super) trait Record: Sized {
    fn read(row: DbRow<'_>) -> Result<Self, Error>;
}

/// The type of a field, read from the column of the same name. A type of several columns defines their names itself.
pub(super) trait Field: Sized {
    fn read(row: TableRow<'_>, column: &'static str) -> Result<Self, Error>;
}

/// Types of one column; as a [`Record`], the first column of a row.
macro_rules! scalar {
    ($($scalar:ty),*) => {$(
        impl Field for $scalar {
            fn read(row: TableRow<'_>, column: &'static str) -> Result<Self, Error> {
                row.row.get(column).map_err(|source| row.corrupt(column, source.into()))
            }
        }

        impl Record for $scalar {
            fn read(row: DbRow<'_>) -> Result<Self, Error> {
                Ok(row.get(0)?)
            }
        }
    )*};
}

scalar!(String, Option<String>, i64, Option<i64>, bool, Vec<u8>);

/// Types that are stored as JSON.
macro_rules! json {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn read(row: TableRow<'_>, column: &'static str) -> Result<Self, Error> {
                let json: String = row.get(column)?;
                serde_json::from_str(&json).map_err(|source| row.corrupt(column, source.into()))
            }
        }
    )*};
}

json!(BTreeMap<String, String>, Vec<String>);

/// Implements [`Record`] for a struct: table, key column and the other fields.
macro_rules! record {
    ($record:ty, $table:literal, $key:ident, $($field:ident),* $(,)?) => {
        impl $crate::store::rows::Record for $record {
            fn read(row: $crate::store::rows::DbRow<'_>) -> Result<Self, $crate::store::Error> {
                let row = row.in_table($table, stringify!($key));
                Ok(Self { $key: row.get(stringify!($key))?, $($field: row.get(stringify!($field))?,)* })
            }
        }
    };
}

/// Implements [`Field`] for a struct that is a part of a record.
macro_rules! part_of_record {
    ($part:ty, $($field:ident),* $(,)?) => {
        impl $crate::store::rows::Field for $part {
            fn read(row: $crate::store::rows::TableRow<'_>, _: &'static str) -> Result<Self, $crate::store::Error> {
                Ok(Self { $($field: row.get(stringify!($field))?,)* })
            }
        }
    };
}
