//! Table `events`: the audit trail. Who did what to which object, never what was in it.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use serde::Serialize;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Database, Encode, PgPool, SqlitePool, Type};

use super::db::Db;
use super::rows::{Columns, Fields, json_text};
use super::{Error, Store};

/// An audit record: an action of a caller on an object. Unknown texts are empty. Store functions that change an object
/// for a caller take one and write it together with the change (see `change!` in [`super::change`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditRow {
    /// A UUID of version 7: grows with time.
    pub id: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Who: the user's id.
    pub user_id: String,
    /// Who: the user's name at that time.
    pub user_name: String,
    /// By which token.
    pub token_name: String,
    /// What: `create`, `update`, `delete`, `use` and so on.
    pub action: String,
    /// To what kind of object.
    pub object_type: String,
    /// To which object.
    pub object_id: String,
    /// How it ended.
    pub outcome: String,
    /// In which request.
    pub request_id: String,
    /// From which address.
    pub remote: String,
    /// What else is to be known about it, for people.
    pub detail: String,
    /// Of what is counted, how often it was done. `at_ms` and `request_id` are those of the first time.
    pub counted: Option<Count>,
}

/// How often something was done within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many times.
    pub count: i64,
    /// When last, in milliseconds since 1970.
    pub last_ms: i64,
}

/// The audit records to list; `None` does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only records from this time on, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Only records before this time, in milliseconds since 1970.
    pub until_ms: Option<i64>,
    /// Only actions of this user: an id, or the name at that time.
    pub user: Option<String>,
    /// Only actions on objects of this type.
    pub object_type: Option<String>,
    /// Only actions on this object.
    pub object_id: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only records before this one, for the next page: [`AuditRow::at_ms`] and [`AuditRow::id`] of the last one.
    pub before: Option<(i64, String)>,
}

/// Adds one record, in the columns' order of [`bind_row`].
pub(super) const INSERT: &str = "insert into events (id, at_ms, user_id, user_name, token_name, action, object_type,
    object_id, outcome, request_id, remote, detail) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// Binds a record to [`INSERT`].
pub(super) fn bind_row<'q, DB>(
    query: Query<'q, DB, DB::Arguments>,
    row: &AuditRow,
) -> Query<'q, DB, DB::Arguments>
where
    DB: Database,
    String: Encode<'q, DB> + Type<DB>,
    i64: Encode<'q, DB> + Type<DB>,
{
    let texts = [
        &row.user_id,
        &row.user_name,
        &row.token_name,
        &row.action,
        &row.object_type,
        &row.object_id,
        &row.outcome,
        &row.request_id,
        &row.remote,
        &row.detail,
    ];
    let query = query.bind(row.id.clone()).bind(row.at_ms);
    texts.into_iter().fold(query, |query, text| query.bind(nul_replaced(text).into_owned()))
}

/// Adds the record of a change that had nothing left to do.
pub async fn insert(store: &Store, audit: &AuditRow) -> Result<(), Error> {
    change!(store, audit, |transaction| Some(()));
    Ok(())
}

/// Sorts behind every id.
const LAST_ID: &str = "~";

const COLUMNS: &str =
    "id, at_ms, user_id, user_name, token_name, action, object_type, object_id, outcome, request_id,
    remote, detail, count, last_ms";

/// A record that is there already is left alone (a repeated attempt), apart from its count.
const ON_CONFLICT: &str = "on conflict (id) do update set count = excluded.count, last_ms = excluded.last_ms";

/// Adds all records in one transaction: all or none. The count of a record that is there already is brought up to date.
pub async fn insert_many(store: &Store, rows: &[AuditRow]) -> Result<(), Error> {
    match &store.db {
        _ if rows.is_empty() => Ok(()),
        Db::Sqlite { writer, .. } => insert_sqlite(writer, rows).await,
        Db::Postgres(pool) => insert_postgres(pool, rows).await,
    }
}

/// The statement for so many records. Few sizes, because each is a statement that the connection keeps prepared. A row costs
/// a third of what SQLite needs to take it out of JSON.
static SQLITE_INSERT: LazyLock<[(usize, Arc<str>); 3]> = LazyLock::new(|| {
    [64, 8, 1].map(|rows| {
        let values = vec![format!("({})", ["?"; 14].join(", ")); rows].join(", ");
        (rows, format!("insert into events ({COLUMNS}) values {values} {ON_CONFLICT}").into())
    })
});

async fn insert_sqlite(writer: &SqlitePool, mut rows: &[AuditRow]) -> Result<(), Error> {
    let mut transaction = writer.begin().await?;
    for (size, sql) in &*SQLITE_INSERT {
        while let Some((portion, rest)) = rows.split_at_checked(*size) {
            rows = rest;
            // The text is made of constants only.
            let query = portion.iter().fold(sqlx::query(AssertSqlSafe(Arc::clone(sql))), |query, row| {
                let (count, last_ms) = row.counted.map(|counted| (counted.count, counted.last_ms)).unzip();
                bind_row(query, row).bind(count).bind(last_ms)
            });
            query.execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// A record as PostgreSQL takes it.
#[derive(Serialize)]
struct Json<'a> {
    id: &'a str,
    at_ms: i64,
    user_id: Cow<'a, str>,
    user_name: Cow<'a, str>,
    token_name: Cow<'a, str>,
    action: Cow<'a, str>,
    object_type: Cow<'a, str>,
    object_id: Cow<'a, str>,
    outcome: Cow<'a, str>,
    request_id: Cow<'a, str>,
    remote: Cow<'a, str>,
    detail: Cow<'a, str>,
    count: Option<i64>,
    last_ms: Option<i64>,
}

impl<'a> Json<'a> {
    fn of(row: &'a AuditRow) -> Self {
        Self {
            id: &row.id,
            at_ms: row.at_ms,
            user_id: nul_replaced(&row.user_id),
            user_name: nul_replaced(&row.user_name),
            token_name: nul_replaced(&row.token_name),
            action: nul_replaced(&row.action),
            object_type: nul_replaced(&row.object_type),
            object_id: nul_replaced(&row.object_id),
            outcome: nul_replaced(&row.outcome),
            request_id: nul_replaced(&row.request_id),
            remote: nul_replaced(&row.remote),
            detail: nul_replaced(&row.detail),
            count: row.counted.map(|counted| counted.count),
            last_ms: row.counted.map(|counted| counted.last_ms),
        }
    }
}

/// PostgreSQL has no NUL. Such a text comes from outside (an id in an address), and no change fails because of its record.
fn nul_replaced(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// The batch travels as one JSON text, so that one statement and one message do for any number of records.
static POSTGRES_INSERT: LazyLock<Arc<str>> = LazyLock::new(|| {
    format!(
        "insert into events ({COLUMNS})
         select value ->> 'id', cast(value ->> 'at_ms' as bigint), value ->> 'user_id', value ->> 'user_name',
         value ->> 'token_name', value ->> 'action', value ->> 'object_type', value ->> 'object_id',
         value ->> 'outcome', value ->> 'request_id', value ->> 'remote', value ->> 'detail',
         cast(value ->> 'count' as bigint), cast(value ->> 'last_ms' as bigint)
         from json_array_elements(cast($1 as json)) {ON_CONFLICT}"
    )
    .into()
});

async fn insert_postgres(pool: &PgPool, rows: &[AuditRow]) -> Result<(), Error> {
    let rows: Vec<Json<'_>> = rows.iter().map(Json::of).collect();
    // The text is made of constants only.
    sqlx::query(AssertSqlSafe(Arc::clone(&POSTGRES_INSERT))).bind(json_text(&rows)).execute(pool).await?;
    Ok(())
}

fn row(row: &impl Columns) -> Result<AuditRow, Error> {
    let fields = Fields::of(row, "events", "id")?;
    Ok(AuditRow {
        id: fields.key(),
        at_ms: fields.number("at_ms")?,
        user_id: fields.text("user_id")?,
        user_name: fields.text("user_name")?,
        token_name: fields.text("token_name")?,
        action: fields.text("action")?,
        object_type: fields.text("object_type")?,
        object_id: fields.text("object_id")?,
        outcome: fields.text("outcome")?,
        request_id: fields.text("request_id")?,
        remote: fields.text("remote")?,
        detail: fields.text("detail")?,
        counted: match (fields.number_opt("count")?, fields.number_opt("last_ms")?) {
            (Some(count), Some(last_ms)) => Some(Count { count, last_ms }),
            _ => None,
        },
    })
}

/// Up to `limit` records, newest first.
pub async fn list(store: &Store, limit: u32, filter: &Filter) -> Result<Vec<AuditRow>, Error> {
    let before = filter.before.as_ref();
    let texts = [&filter.user, &filter.object_type, &filter.object_id, &filter.action];
    let mut texts = texts.into_iter().flatten().chain(before.map(|(_, id)| id));
    if texts.any(|text| text.contains('\0')) {
        return Ok(Vec::new());
    }
    let (before_ms, before_id) = before.map(|(at_ms, id)| (*at_ms, id.as_str())).unzip();
    let sql = "select id, at_ms, user_id, user_name, token_name, action, object_type, object_id, outcome, request_id,
               remote, detail, count, last_ms from events
               where (cast($1 as text) is null or user_id = $1 or user_name = $1)
               and (cast($2 as text) is null or object_type = $2)
               and (cast($3 as text) is null or object_id = $3) and (cast($4 as text) is null or action = $4)
               and at_ms >= $5 and (cast($6 as bigint) is null or at_ms < $6)
               and at_ms <= $7 and (at_ms < $7 or id < $8)
               order by at_ms desc, id desc limit $9";
    read!(store, |pool| sqlx::query(sql)
        .bind(&filter.user)
        .bind(&filter.object_type)
        .bind(&filter.object_id)
        .bind(&filter.action)
        .bind(filter.since_ms.unwrap_or(i64::MIN))
        .bind(filter.until_ms)
        .bind(before_ms.unwrap_or(i64::MAX))
        .bind(before_id.unwrap_or(LAST_ID))
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?
        .iter()
        .map(row)
        .collect())
}

/// Removes events from before `before_ms`, at most `limit` of them (the oldest), so that no statement holds the
/// database for long; returns how many.
pub async fn prune(store: &Store, before_ms: i64, limit: u32) -> Result<u64, Error> {
    let sql = "delete from events where id in
               (select id from events where at_ms < $1 order by at_ms limit $2)";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(before_ms)
        .bind(i64::from(limit))
        .execute(pool)
        .await?
        .rows_affected()))
}
