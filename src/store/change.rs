//! Changes on behalf of callers: a change and its audit record are written in one transaction, or neither is.
//!
//! A store function that changes an object for a caller takes the caller's [`AuditRow`] and runs in `change!`. The
//! service builds the row with `service::actor::Actor::audit` from the caller, the action and the object. Attempts that
//! change nothing are recorded by `service::events::Events::record` instead, after the fact.
//!
//! [`AuditRow`]: super::AuditRow
//! [`Store::version`]: super::Store::version

use sqlx::{PgConnection, SqliteConnection};

/// Runs the body in one write transaction, and counts it as a change ([`Store::version`](crate::store::Store::version)). On
/// SQLite it holds the write lock from its start, so that what the body reads still holds when it writes; on PostgreSQL, rules
/// over several rows need [`Serialise::serialise`] first. The transaction is committed with the body's value; a `return` or `?`
/// in the body rolls it back.
macro_rules! transaction {
    ($store:expr, |$transaction:ident| $body:expr) => {{
        let _counted = $store.count_change();
        match &$store.db {
            $crate::store::db::Db::Sqlite { writer, .. } => {
                let mut $transaction = writer.begin_with("begin immediate").await?;
                let value = $body;
                $transaction.commit().await?;
                value
            }
            $crate::store::db::Db::Postgres(pool) => {
                let mut $transaction = pool.begin().await?;
                let value = $body;
                $transaction.commit().await?;
                value
            }
        }
    }};
}

/// A `transaction!` for a change on behalf of a caller. The body gives `Some` of its result when it changed something
/// and `None` otherwise. Then the audit record is added: a `&AuditRow`, or what the closure makes of the result.
macro_rules! change {
    ($store:expr, |$result:ident| $audit:expr, |$transaction:ident| $body:expr) => {
        transaction!($store, |$transaction| {
            let changed = $body;
            if let Some($result) = &changed {
                let audit: &$crate::store::AuditRow = $audit;
                $crate::store::events::bind_row(sqlx::query($crate::store::events::INSERT), audit)
                    .execute(&mut *$transaction)
                    .await?;
            }
            changed
        })
    };
    ($store:expr, $audit:expr, |$transaction:ident| $body:expr) => {
        change!($store, |_result| $audit, |$transaction| $body)
    };
}

/// A `change!` by one statement; `Some(())` when it changed any row.
///
/// ```ignore
/// pub async fn delete(store: &Store, id: &str, audit: &AuditRow) -> Result<bool, Error> {
///     let sql = "delete from things where id = $1";
///     Ok(change_rows!(store, audit, sqlx::query(sql).bind(id)).is_some())
/// }
/// ```
macro_rules! change_rows {
    ($store:expr, $audit:expr, $query:expr) => {
        change!($store, $audit, |transaction| {
            let rows = $query.execute(&mut *transaction).await?.rows_affected();
            (rows > 0).then_some(())
        })
    };
}

/// Lets transactions of the same name run one after the other.
pub(super) trait Serialise {
    /// Waits until no other transaction holds `name`, and holds it until this one ends. Servers of one database share the
    /// names. A hash stands for the name: two names of one hash only wait for each other.
    async fn serialise(&mut self, name: &str) -> Result<(), sqlx::Error>;
}

impl Serialise for SqliteConnection {
    /// SQLite has one writer at a time anyway.
    async fn serialise(&mut self, _: &str) -> Result<(), sqlx::Error> {
        Ok(())
    }
}

impl Serialise for PgConnection {
    async fn serialise(&mut self, name: &str) -> Result<(), sqlx::Error> {
        let sql = "select pg_advisory_xact_lock(hashtextextended('norman-aks ' || $1, 0))";
        sqlx::query(sql).bind(name).execute(self).await.map(drop)
    }
}
