//! Table `events`: the audit trail. Who did what to which object, never what was in it.

use std::sync::{Arc, LazyLock};

use serde::Serialize;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Database, Encode, PgPool, Sqlite, SqlitePool, Type};

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

/// Events to be added that differ only in their times and requests: somebody who does the same over and over.
#[derive(Clone, Debug)]
pub struct Repeated {
    /// Who: the user's id.
    pub user_id: Arc<str>,
    /// Who: the user's name at that time.
    pub user_name: Arc<str>,
    /// By which token.
    pub token_name: Arc<str>,
    /// What.
    pub action: Arc<str>,
    /// To what kind of object.
    pub object_type: Arc<str>,
    /// To which object.
    pub object_id: Arc<str>,
    /// How it ended.
    pub outcome: Arc<str>,
    /// From which address.
    pub remote: Arc<str>,
    /// What else is to be known.
    pub detail: Arc<str>,
    /// When, and in which requests.
    pub times: Vec<Occurrence>,
}

/// What each of [`Repeated`] events has for itself.
#[derive(Clone, Debug)]
pub struct Occurrence {
    /// A UUID of version 7.
    pub id: Arc<str>,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// In which request.
    pub request_id: Arc<str>,
}

impl Repeated {
    /// What its events have in common, in the order of [`SHARED`].
    fn shared(&self) -> [&Arc<str>; 9] {
        [
            &self.user_id,
            &self.user_name,
            &self.token_name,
            &self.action,
            &self.object_type,
            &self.object_id,
            &self.outcome,
            &self.remote,
            &self.detail,
        ]
    }

    fn has_nul(&self) -> bool {
        let own = self.times.iter().flat_map(|time| [&time.id, &time.request_id]);
        self.shared().into_iter().chain(own).any(|text| text.contains('\0'))
    }

    fn without_nul(&self) -> Self {
        let clean = |text: &Arc<str>| text.replace('\0', "\u{fffd}").into();
        Self {
            user_id: clean(&self.user_id),
            user_name: clean(&self.user_name),
            token_name: clean(&self.token_name),
            action: clean(&self.action),
            object_type: clean(&self.object_type),
            object_id: clean(&self.object_id),
            outcome: clean(&self.outcome),
            remote: clean(&self.remote),
            detail: clean(&self.detail),
            times: self
                .times
                .iter()
                .map(|time| Occurrence {
                    id: clean(&time.id),
                    at_ms: time.at_ms,
                    request_id: clean(&time.request_id),
                })
                .collect(),
        }
    }
}

/// Adds one record, in the columns' order of [`bind_row`].
pub(super) const INSERT: &str = "insert into events (id, at_ms, user_id, user_name, token_name, action, object_type,
    object_id, outcome, request_id, remote, detail) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// Binds a record to [`INSERT`]. A NUL in its texts is replaced: no change fails because of its record.
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
    texts.into_iter().fold(query, |query, text| query.bind(text.replace('\0', "\u{fffd}")))
}

/// Adds the record of a change that had nothing left to do.
pub async fn insert(store: &Store, audit: &AuditRow) -> Result<(), Error> {
    change!(store, audit, |transaction| Some(()));
    Ok(())
}

/// Sorts behind every id.
const LAST_ID: &str = "~";

const OWN: &str = "id, at_ms, request_id";
const SHARED: &str =
    "user_id, user_name, token_name, action, object_type, object_id, outcome, remote, detail";

/// Adds all events in one transaction: all or none. An event that is there already (a repeated attempt) is left alone.
pub async fn insert_many(store: &Store, events: &[Repeated]) -> Result<(), Error> {
    // PostgreSQL has no NUL. Such a text comes from outside (an id in an address) and must not cost the batch.
    let clean: Vec<Repeated>;
    let events = if events.iter().any(Repeated::has_nul) {
        clean = events.iter().map(Repeated::without_nul).collect();
        &clean
    } else {
        events
    };
    match &store.db {
        _ if events.is_empty() => Ok(()),
        Db::Sqlite { writer, .. } => insert_sqlite(writer, events).await,
        Db::Postgres(pool) => insert_postgres(pool, events).await,
    }
}

/// The statement for so many events that have the rest in common: each brings three values instead of twelve, and to
/// bring a value costs as much as to store it. Few sizes, because each is a statement that the connection keeps prepared.
static SQLITE_REPEATED: LazyLock<[(usize, Arc<str>); 2]> = LazyLock::new(|| {
    [128, 16].map(|events| {
        let values = vec!["(?, ?, ?)"; events].join(", ");
        // sqlx counts values without a number by themselves, and SQLite goes on from those before: they come first.
        let shared = (1..=9).map(|number| format!("?{}", 3 * events + number)).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "with own ({OWN}) as (values {values}) insert into events ({OWN}, {SHARED})
             select {OWN}, {shared} from own where true on conflict (id) do nothing"
        );
        (events, sql.into())
    })
});

/// The statement for so many events that have nothing in common: a row then costs a third of what SQLite needs to take
/// it out of JSON.
static SQLITE_SINGLE: LazyLock<[(usize, Arc<str>); 3]> = LazyLock::new(|| {
    [64, 8, 1].map(|events| {
        let values = vec![format!("({})", ["?"; 12].join(", ")); events].join(", ");
        let sql = format!("insert into events ({OWN}, {SHARED}) values {values} on conflict (id) do nothing");
        (events, sql.into())
    })
});

async fn insert_sqlite(writer: &SqlitePool, events: &[Repeated]) -> Result<(), Error> {
    let mut transaction = writer.begin().await?;
    let mut single = Vec::new();
    for repeated in events {
        let mut times = repeated.times.as_slice();
        for (size, sql) in &*SQLITE_REPEATED {
            while let Some((portion, rest)) = times.split_at_checked(*size) {
                times = rest;
                // The text is made of constants only.
                let query = portion.iter().fold(sqlx::query(AssertSqlSafe(Arc::clone(sql))), bind_own);
                bind_shared(query, repeated).execute(&mut *transaction).await?;
            }
        }
        single.extend(times.iter().map(|time| (repeated, time)));
    }
    let mut single = single.as_slice();
    for (size, sql) in &*SQLITE_SINGLE {
        while let Some((portion, rest)) = single.split_at_checked(*size) {
            single = rest;
            let query = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
            let bind = |query, &(repeated, time): &(&Repeated, &Occurrence)| {
                bind_shared(bind_own(query, time), repeated)
            };
            portion.iter().fold(query, bind).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

type SqliteQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Bound as they are, texts are shared with the statement and not copied for it.
fn bind_own<'q>(query: SqliteQuery<'q>, time: &Occurrence) -> SqliteQuery<'q> {
    query.bind(Arc::clone(&time.id)).bind(time.at_ms).bind(Arc::clone(&time.request_id))
}

fn bind_shared<'q>(query: SqliteQuery<'q>, repeated: &Repeated) -> SqliteQuery<'q> {
    repeated.shared().into_iter().fold(query, |query, text| query.bind(Arc::clone(text)))
}

/// An event as PostgreSQL takes it.
#[derive(Serialize)]
struct Json<'a> {
    id: &'a str,
    at_ms: i64,
    user_id: &'a str,
    user_name: &'a str,
    token_name: &'a str,
    action: &'a str,
    object_type: &'a str,
    object_id: &'a str,
    outcome: &'a str,
    request_id: &'a str,
    remote: &'a str,
    detail: &'a str,
}

/// The batch travels as one JSON text, so that one statement and one message do for any number of events.
async fn insert_postgres(pool: &PgPool, events: &[Repeated]) -> Result<(), Error> {
    let sql = "insert into events (id, at_ms, user_id, user_name, token_name, action, object_type, object_id, outcome,
               request_id, remote, detail)
               select value ->> 'id', cast(value ->> 'at_ms' as bigint), value ->> 'user_id', value ->> 'user_name',
               value ->> 'token_name', value ->> 'action', value ->> 'object_type', value ->> 'object_id',
               value ->> 'outcome', value ->> 'request_id', value ->> 'remote', value ->> 'detail'
               from json_array_elements(cast($1 as json)) on conflict (id) do nothing";
    let events: Vec<Json<'_>> = events
        .iter()
        .flat_map(|repeated| {
            repeated.times.iter().map(|time| Json {
                id: &time.id,
                at_ms: time.at_ms,
                user_id: &repeated.user_id,
                user_name: &repeated.user_name,
                token_name: &repeated.token_name,
                action: &repeated.action,
                object_type: &repeated.object_type,
                object_id: &repeated.object_id,
                outcome: &repeated.outcome,
                request_id: &time.request_id,
                remote: &repeated.remote,
                detail: &repeated.detail,
            })
        })
        .collect();
    sqlx::query(sql).bind(json_text(&events)).execute(pool).await?;
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
               remote, detail from events
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
