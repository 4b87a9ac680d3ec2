//! Table `events`: the audit log. Records contain the caller, the action and the object's ID, never the object's content.

use std::sync::{Arc, LazyLock};

use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

use super::db::Db;
use super::rows::{Field, TableRow};
use super::statement::{Value, bind, to_json};
use super::{Error, Store};

/// An audit record: an action of a caller on an object. Unknown strings are empty. Store functions that change an object for a
/// caller take a record and write it in the same transaction (see [`super::transaction`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditRow {
    /// A UUID of version 7, which increases with time.
    pub id: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The user's ID.
    pub user_id: String,
    /// The user's name at that time.
    pub user_name: String,
    /// The name of the token.
    pub token_name: String,
    /// The action: `create`, `update`, `delete`, `use` and so on.
    pub action: String,
    /// The type of the object.
    pub object_type: String,
    /// The ID of the object.
    pub object_id: String,
    /// The outcome.
    pub outcome: String,
    /// The ID of the request.
    pub request_id: String,
    /// The client IP.
    pub remote: String,
    /// A remark for administrators.
    pub detail: String,
    /// The count, for actions that are counted; `at_ms` and `request_id` are then those of the first action.
    pub counted: Option<Count>,
}

/// The count of an action within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The number of times.
    pub count: i64,
    /// The last time, in milliseconds since 1970.
    pub last_ms: i64,
}

/// A filter for audit records; `None` matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only records from this time on, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Only records before this time, in milliseconds since 1970.
    pub until_ms: Option<i64>,
    /// Only actions of this user: an ID, or the name at that time.
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

record!(
    AuditRow,
    "events",
    id,
    at_ms,
    user_id,
    user_name,
    token_name,
    action,
    object_type,
    object_id,
    outcome,
    request_id,
    remote,
    detail,
    counted,
);

impl Field for Option<Count> {
    fn read(row: TableRow<'_>, _: &'static str) -> Result<Self, Error> {
        let (count, last_ms): (Option<_>, Option<_>) = (row.get("count")?, row.get("last_ms")?);
        Ok(count.zip(last_ms).map(|(count, last_ms)| Count { count, last_ms }))
    }
}

/// The columns, in the order of [`AuditRow::values`].
macro_rules! columns {
    () => {
        "id, at_ms, user_id, user_name, token_name, action, object_type, object_id, outcome, request_id, remote, detail,
         count, last_ms"
    };
}

/// Inserts one record, with [`AuditRow::values`].
pub(super) const INSERT: &str = concat!(
    "insert into events (",
    columns!(),
    ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
);

impl AuditRow {
    /// The values of the columns. NUL is replaced, so that the record cannot make its change fail.
    pub(super) fn values(&self) -> [Value<'_>; 14] {
        let without_nul = Value::without_nul;
        let (count, last_ms) = self.counted.map(|counted| (counted.count, counted.last_ms)).unzip();
        [
            without_nul(&self.id),
            self.at_ms.into(),
            without_nul(&self.user_id),
            without_nul(&self.user_name),
            without_nul(&self.token_name),
            without_nul(&self.action),
            without_nul(&self.object_type),
            without_nul(&self.object_id),
            without_nul(&self.outcome),
            without_nul(&self.request_id),
            without_nul(&self.remote),
            without_nul(&self.detail),
            count.into(),
            last_ms.into(),
        ]
    }
}

/// Inserts the record of an action that wrote no other row.
pub async fn insert(store: &Store, audit: &AuditRow) -> Result<(), Error> {
    store.begin().await?.commit_with_audit(audit).await
}

/// A string greater than every ID.
const ABOVE_ALL_IDS: &str = "~";

/// Updates only the count of an existing record, which an earlier attempt inserted.
const ON_CONFLICT: &str = "on conflict (id) do update set count = excluded.count, last_ms = excluded.last_ms";

/// Inserts all records in one transaction. The count of an existing record is updated.
pub async fn insert_many(store: &Store, rows: &[AuditRow]) -> Result<(), Error> {
    match &store.db {
        _ if rows.is_empty() => Ok(()),
        Db::Sqlite { writer, .. } => insert_sqlite(writer, rows).await,
        Db::Postgres(pool) => insert_postgres(pool, rows).await,
    }
}

/// Statements for 64, 8 and 1 records. Only three sizes, because the connection caches each prepared statement. A bound row
/// takes a third of the time that SQLite needs to extract it from JSON.
static SQLITE_INSERT: LazyLock<[(usize, Arc<str>); 3]> = LazyLock::new(|| {
    [64, 8, 1].map(|rows| {
        let values = vec![format!("({})", ["?"; 14].join(", ")); rows].join(", ");
        (rows, format!("insert into events ({}) values {values} {ON_CONFLICT}", columns!()).into())
    })
});

async fn insert_sqlite(writer: &SqlitePool, mut rows: &[AuditRow]) -> Result<(), Error> {
    let mut transaction = writer.begin().await?;
    for (size, sql) in &*SQLITE_INSERT {
        while let Some((batch, remaining)) = rows.split_at_checked(*size) {
            rows = remaining;
            let values: Vec<_> = batch.iter().flat_map(AuditRow::values).collect();
            // The SQL consists of constants only.
            bind(AssertSqlSafe(Arc::clone(sql)), &values).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// The batch is one JSON array of arrays, so one statement and one message are enough for any number of records.
static POSTGRES_INSERT: LazyLock<Arc<str>> = LazyLock::new(|| {
    let columns = columns!().split(',').enumerate().map(|(index, column)| match column.trim() {
        "at_ms" | "count" | "last_ms" => format!("cast(value ->> {index} as bigint)"),
        _ => format!("value ->> {index}"),
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let rows = "json_array_elements(cast($1 as json))";
    format!("insert into events ({}) select {columns} from {rows} {ON_CONFLICT}", columns!()).into()
});

async fn insert_postgres(pool: &PgPool, rows: &[AuditRow]) -> Result<(), Error> {
    let rows: Vec<_> = rows.iter().map(|row| row.values()).collect();
    // The SQL consists of constants only.
    bind(AssertSqlSafe(Arc::clone(&POSTGRES_INSERT)), args![to_json(&rows)]).execute(pool).await?;
    Ok(())
}

/// Up to `limit` records, newest first.
pub async fn list(store: &Store, limit: u32, filter: &Filter) -> Result<Vec<AuditRow>, Error> {
    let Filter { since_ms, until_ms, user, object_type, object_id, action, before } = filter;
    let (before_ms, before_id) = before.as_ref().map(|(at_ms, id)| (*at_ms, id.as_str())).unzip();
    let sql = concat!(
        "select ",
        columns!(),
        " from events
               where (cast($1 as text) is null or user_id = $1 or user_name = $1)
               and (cast($2 as text) is null or object_type = $2)
               and (cast($3 as text) is null or object_id = $3) and (cast($4 as text) is null or action = $4)
               and at_ms >= $5 and (cast($6 as bigint) is null or at_ms < $6)
               and at_ms <= $7 and (at_ms < $7 or id < $8)
               order by at_ms desc, id desc limit $9"
    );
    let values = args![
        user,
        object_type,
        object_id,
        action,
        since_ms.unwrap_or(i64::MIN),
        *until_ms,
        before_ms.unwrap_or(i64::MAX),
        before_id.unwrap_or(ABOVE_ALL_IDS),
        limit,
    ];
    store.fetch_all(sql, values).await
}

/// Deletes at most `limit` records older than `before_ms`, the oldest first; returns their number. The limit keeps the statement
/// short, so that it does not block the database.
pub async fn prune(store: &Store, before_ms: i64, limit: u32) -> Result<u64, Error> {
    let sql = "delete from events where id in
               (select id from events where at_ms < $1 order by at_ms limit $2)";
    store.execute(sql, args![before_ms, limit]).await
}
