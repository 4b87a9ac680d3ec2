//! Statements: SQL with its values, for either database.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sqlx::query::Query;
use sqlx::{Database, Encode, SqlSafeStr, Type};

use super::db::Db;
use super::rows::{DbRow, Record};
use super::{Error, Store};

/// A value of a statement. Serialized for batches of audit records.
#[derive(serde::Serialize)]
#[serde(untagged)]
pub(super) enum Value<'a> {
    Text(Option<Cow<'a, str>>),
    Integer(Option<i64>),
    Bool(bool),
    Bytes(Option<&'a [u8]>),
}

macro_rules! values_from {
    ($($source:ty, $value:ident => $variant:ident($content:expr);)*) => {$(
        impl<'a> From<$source> for Value<'a> {
            fn from($value: $source) -> Self {
                Self::$variant($content)
            }
        }
    )*};
}

values_from! {
    &'a str, text => Text(Some(text.into()));
    &'a String, text => Text(Some(text.into()));
    String, text => Text(Some(text.into()));
    Option<&'a str>, text => Text(text.map(Cow::from));
    &'a Option<String>, text => Text(text.as_ref().map(Cow::from));
    &'a BTreeMap<String, String>, map => Text(Some(to_json(map).into()));
    Option<&'a BTreeMap<String, String>>, map => Text(map.map(|map| to_json(map).into()));
    &'a Vec<String>, list => Text(Some(to_json(list).into()));
    i64, number => Integer(Some(number));
    u32, number => Integer(Some(number.into()));
    Option<i64>, number => Integer(number);
    bool, flag => Bool(flag);
    &'a Vec<u8>, bytes => Bytes(Some(bytes));
    Option<&'a [u8]>, bytes => Bytes(bytes);
}

impl<'a> Value<'a> {
    /// A string with NUL replaced, for values that must not fail a change, such as an ID from a URL in its audit record.
    pub(super) fn without_nul(text: &'a String) -> Self {
        let text = if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { Cow::from(text) };
        Self::Text(Some(text))
    }
}

/// The values for `$1`, `$2` and so on.
macro_rules! args {
    ($($value:expr),* $(,)?) => {
        &[$($crate::store::statement::Value::from($value)),*]
    };
}

/// A map or list as JSON. Serializing strings and [`Value`]s cannot fail.
pub(super) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Binds the values to a statement.
pub(super) fn bind<'q, DB>(sql: impl SqlSafeStr, values: &[Value<'_>]) -> Query<'q, DB, DB::Arguments>
where
    DB: Database,
    Option<String>: Encode<'q, DB> + Type<DB>,
    Option<i64>: Encode<'q, DB> + Type<DB>,
    bool: Encode<'q, DB> + Type<DB>,
    Option<Vec<u8>>: Encode<'q, DB> + Type<DB>,
{
    values.iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Text(text) => query.bind(text.as_deref().map(str::to_owned)),
        Value::Integer(number) => query.bind(*number),
        Value::Bool(flag) => query.bind(*flag),
        Value::Bytes(bytes) => query.bind(bytes.map(<[u8]>::to_vec)),
    })
}

/// Whether the statement has no effect because a value contains the character NUL. PostgreSQL cannot store it, so no row
/// matches.
///
/// # Errors
/// [`Error::Nul`] if the statement would write the value.
pub(super) fn has_no_effect(sql: &str, values: &[Value<'_>]) -> Result<bool, Error> {
    let has_nul = |value: &Value<'_>| matches!(value, Value::Text(Some(text)) if text.contains('\0'));
    match values.iter().any(has_nul) {
        true if sql.starts_with("select") || sql.starts_with("delete") => Ok(true),
        true => Err(Error::Nul),
        false => Ok(false),
    }
}

/// Runs the body with the pool for reads, and with the [`DbRow`] variant of its rows.
macro_rules! on_reader {
    ($store:expr, |$pool:ident, $row:ident| $body:expr) => {
        match &$store.db {
            Db::Sqlite { readers: $pool, .. } => {
                let $row = DbRow::Sqlite;
                $body
            }
            Db::Postgres($pool) => {
                let $row = DbRow::Postgres;
                $body
            }
        }
    };
}

impl Store {
    /// The rows of a query.
    pub(super) async fn fetch_all<T: Record>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<T>, Error> {
        if has_no_effect(sql, values)? {
            return Ok(Vec::new());
        }
        on_reader!(self, |pool, as_row| {
            bind(sql, values).fetch_all(pool).await?.iter().map(|row| T::read(as_row(row))).collect()
        })
    }

    /// The row of a query, if it has one.
    pub(super) async fn fetch_optional<T: Record>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<T>, Error> {
        if has_no_effect(sql, values)? {
            return Ok(None);
        }
        on_reader!(self, |pool, as_row| {
            let row = bind(sql, values).fetch_optional(pool).await?;
            row.as_ref().map(|row| T::read(as_row(row))).transpose()
        })
    }

    /// The row of a query that always returns one, such as a count.
    pub(super) async fn fetch_one<T: Record>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<T, Error> {
        self.fetch_optional(sql, values).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// Runs a statement in its own transaction; returns the number of changed rows.
    pub(super) async fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Error> {
        let _change_guard = self.change_guard();
        if has_no_effect(sql, values)? {
            return Ok(0);
        }
        Ok(match &self.db {
            Db::Sqlite { writer, .. } => bind(sql, values).execute(writer).await?.rows_affected(),
            Db::Postgres(pool) => bind(sql, values).execute(pool).await?.rows_affected(),
        })
    }

    /// As [`Store::execute`], but returns the rows of `returning`.
    pub(super) async fn execute_returning<T: Record>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<T>, Error> {
        let mut transaction = self.begin().await?;
        let rows = transaction.fetch_all(sql, values).await?;
        transaction.commit().await?;
        Ok(rows)
    }
}
