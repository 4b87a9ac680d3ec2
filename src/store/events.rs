//! Table `events`: the audit trail. Who did what to which object, never what was in it.

use std::sync::{Arc, LazyLock};

use serde::Serialize;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, PgPool, Sqlite, SqlitePool};

use super::db::Db;
use super::rows::{Columns, Fields, json_text, without_nul};
use super::{Error, Store};

/// One thing that somebody did. Texts that are not known are empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventRow {
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
}

/// Which events to list; `None` lists all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only what this user did (an id).
    pub user_id: Option<String>,
    /// Only what was done to this kind of object.
    pub object_type: Option<String>,
    /// Only what was done to this object.
    pub object_id: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only what came before this event, for the next page: [`EventRow::at_ms`] and [`EventRow::id`] of the last one.
    pub before: Option<(i64, String)>,
}

/// In the order of the statements and of [`bound`].
const COLUMNS: [&str; 12] = [
    "id",
    "at_ms",
    "user_id",
    "user_name",
    "token_name",
    "action",
    "object_type",
    "object_id",
    "outcome",
    "request_id",
    "remote",
    "detail",
];

/// Adds all events in one transaction: all or none. An event that is there already (a repeated attempt) is left alone.
pub async fn insert_many(store: &Store, events: &[EventRow]) -> Result<(), Error> {
    // PostgreSQL has no NUL. Such a text comes from outside (an id in an address) and must not cost the batch.
    let clean: Vec<EventRow>;
    let texts = events.iter().flat_map(|event| texts(event).map(|text| ("events", Some(text.as_str()))));
    let events = if without_nul(texts).is_ok() {
        events
    } else {
        clean = events.iter().cloned().map(without_nul_chars).collect();
        &clean
    };
    match &store.db {
        _ if events.is_empty() => Ok(()),
        Db::Sqlite { writer, .. } => insert_sqlite(writer, events).await,
        Db::Postgres(pool) => insert_postgres(pool, events).await,
    }
}

/// As many rows to a statement as it takes to make its own cost small: a row then costs a third of what SQLite needs to
/// take it out of JSON. Few sizes, because each is a statement that the connection keeps prepared.
static SQLITE: LazyLock<[(usize, Arc<str>); 3]> = LazyLock::new(|| {
    [64, 8, 1].map(|rows| {
        let row = format!("({})", ["?"; COLUMNS.len()].join(", "));
        let values = vec![row; rows].join(", ");
        let columns = COLUMNS.join(", ");
        (rows, format!("insert into events ({columns}) values {values} on conflict (id) do nothing").into())
    })
});

async fn insert_sqlite(writer: &SqlitePool, mut events: &[EventRow]) -> Result<(), Error> {
    let mut transaction = writer.begin().await?;
    for (rows, sql) in &*SQLITE {
        while let Some((portion, rest)) = events.split_at_checked(*rows) {
            events = rest;
            // The text is made of constants only.
            let query = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
            portion.iter().fold(query, bound).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

fn bound<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    event: &'q EventRow,
) -> Query<'q, Sqlite, SqliteArguments> {
    query
        .bind(&event.id)
        .bind(event.at_ms)
        .bind(&event.user_id)
        .bind(&event.user_name)
        .bind(&event.token_name)
        .bind(&event.action)
        .bind(&event.object_type)
        .bind(&event.object_id)
        .bind(&event.outcome)
        .bind(&event.request_id)
        .bind(&event.remote)
        .bind(&event.detail)
}

/// The batch travels as one JSON text, so that one statement and one message do for any number of events.
async fn insert_postgres(pool: &PgPool, events: &[EventRow]) -> Result<(), Error> {
    let sql = "insert into events (id, at_ms, user_id, user_name, token_name, action, object_type, object_id, outcome,
               request_id, remote, detail)
               select value ->> 'id', cast(value ->> 'at_ms' as bigint), value ->> 'user_id', value ->> 'user_name',
               value ->> 'token_name', value ->> 'action', value ->> 'object_type', value ->> 'object_id',
               value ->> 'outcome', value ->> 'request_id', value ->> 'remote', value ->> 'detail'
               from json_array_elements(cast($1 as json)) on conflict (id) do nothing";
    sqlx::query(sql).bind(json_text(&events)).execute(pool).await?;
    Ok(())
}

fn texts(event: &EventRow) -> [&String; 11] {
    [
        &event.id,
        &event.user_id,
        &event.user_name,
        &event.token_name,
        &event.action,
        &event.object_type,
        &event.object_id,
        &event.outcome,
        &event.request_id,
        &event.remote,
        &event.detail,
    ]
}

fn without_nul_chars(mut event: EventRow) -> EventRow {
    for text in [
        &mut event.id,
        &mut event.user_id,
        &mut event.user_name,
        &mut event.token_name,
        &mut event.action,
        &mut event.object_type,
        &mut event.object_id,
        &mut event.outcome,
        &mut event.request_id,
        &mut event.remote,
        &mut event.detail,
    ] {
        *text = text.replace('\0', "\u{fffd}");
    }
    event
}

fn row(row: &impl Columns) -> Result<EventRow, Error> {
    let fields = Fields::of(row, "events", "id")?;
    Ok(EventRow {
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
    })
}

/// Up to `limit` events, newest first.
pub async fn list(store: &Store, limit: u32, filter: &Filter) -> Result<Vec<EventRow>, Error> {
    let texts = [&filter.user_id, &filter.object_type, &filter.object_id, &filter.action];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        return Ok(Vec::new());
    }
    let (before_ms, before_id) = filter.before.as_ref().map(|(at_ms, id)| (*at_ms, id.as_str())).unzip();
    let sql = "select id, at_ms, user_id, user_name, token_name, action, object_type, object_id, outcome, request_id,
               remote, detail from events
               where (cast($1 as text) is null or user_id = $1) and (cast($2 as text) is null or object_type = $2)
               and (cast($3 as text) is null or object_id = $3) and (cast($4 as text) is null or action = $4)
               and (cast($5 as bigint) is null or at_ms < $5 or (at_ms = $5 and id < $6))
               order by at_ms desc, id desc limit $7";
    read!(store, |pool| sqlx::query(sql)
        .bind(&filter.user_id)
        .bind(&filter.object_type)
        .bind(&filter.object_id)
        .bind(&filter.action)
        .bind(before_ms)
        .bind(before_id)
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
