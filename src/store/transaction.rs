//! Write transactions, and audit records that are written together with their change.
//!
//! A store function that changes an object for a caller takes the caller's [`AuditRow`] and ends its transaction with
//! [`Transaction::commit_with_audit`], so that the change and its record are written together or not at all. The service builds the
//! row with `service::actor::Actor::audit`. Attempts that change nothing are recorded afterwards by
//! `service::audit::AuditLog::record_failure`.

use super::db::{ChangeGuard, Db};
use super::rows::{DbRow, Record};
use super::statement::{Value, bind, has_no_effect};
use super::{AuditRow, Error, Store};

/// A write transaction; dropping it rolls it back. On SQLite it holds the write lock from its start, so that data remains valid
/// between read and write. On PostgreSQL, rules about several rows require [`Transaction::lock_name`] first.
pub(super) struct Transaction<'a> {
    connection: Connection,
    _change_guard: ChangeGuard<'a>,
}

enum Connection {
    Sqlite(sqlx::SqliteTransaction<'static>),
    Postgres(sqlx::PgTransaction<'static>),
}

/// A query that locks its rows, for SQLite and for PostgreSQL. SQLite has one writer, and needs no lock.
macro_rules! locking {
    ($sql:literal, $lock:literal) => {
        [$sql, concat!($sql, $lock)]
    };
}

impl Store {
    /// Starts a transaction. Its end increases [`Store::version`].
    pub(super) async fn begin(&self) -> Result<Transaction<'_>, Error> {
        let change_guard = self.change_guard();
        let connection = match &self.db {
            Db::Sqlite { writer, .. } => Connection::Sqlite(writer.begin_with("begin immediate").await?),
            Db::Postgres(pool) => Connection::Postgres(pool.begin().await?),
        };
        Ok(Transaction { connection, _change_guard: change_guard })
    }

    /// Runs one statement for a caller, with its audit record; false if it changed no row, in which case no record is written.
    pub(super) async fn execute_audited(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        audit: &AuditRow,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let changed = transaction.execute(sql, values).await? > 0;
        if changed {
            transaction.commit_with_audit(audit).await?;
        }
        Ok(changed)
    }
}

impl Transaction<'_> {
    /// The rows of a query, or of a statement with `returning`.
    pub(super) async fn fetch_all<T: Record>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<T>, Error> {
        if has_no_effect(sql, values)? {
            return Ok(Vec::new());
        }
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                let rows = bind(sql, values).fetch_all(&mut **connection).await?;
                rows.iter().map(|row| T::read(DbRow::Sqlite(row))).collect()
            }
            Connection::Postgres(connection) => {
                let rows = bind(sql, values).fetch_all(&mut **connection).await?;
                rows.iter().map(|row| T::read(DbRow::Postgres(row))).collect()
            }
        }
    }

    /// The first row of a query, or of a statement with `returning`.
    pub(super) async fn fetch_optional<T: Record>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<T>, Error> {
        Ok(self.fetch_all(sql, values).await?.into_iter().next())
    }

    /// Runs a statement; returns the number of rows that it changed.
    pub(super) async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Error> {
        if has_no_effect(sql, values)? {
            return Ok(0);
        }
        Ok(match &mut self.connection {
            Connection::Sqlite(connection) => {
                bind(sql, values).execute(&mut **connection).await?.rows_affected()
            }
            Connection::Postgres(connection) => {
                bind(sql, values).execute(&mut **connection).await?.rows_affected()
            }
        })
    }

    /// The first column of the row with this ID. The row is locked until the transaction ends. `sql` comes from `locking!`.
    pub(super) async fn lock_row<T: Record>(
        &mut self,
        sql: [&'static str; 2],
        id: &str,
    ) -> Result<Option<T>, Error> {
        let [sqlite, postgres] = sql;
        let sql = if matches!(self.connection, Connection::Sqlite(_)) { sqlite } else { postgres };
        self.fetch_optional(sql, args![id]).await
    }

    /// Whether a query has rows; its first column is a string.
    pub(super) async fn exists(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<bool, Error> {
        Ok(self.fetch_optional::<String>(sql, values).await?.is_some())
    }

    /// Acquires an exclusive lock on `name` until the transaction ends. All servers of the database share the names. The lock
    /// is on a hash of the name; names with equal hashes share a lock, which is harmless.
    pub(super) async fn lock_name(&mut self, name: &str) -> Result<(), Error> {
        if matches!(self.connection, Connection::Postgres(_)) {
            let sql = "select pg_advisory_xact_lock(hashtextextended('norman-aks ' || $1, 0))";
            self.execute(sql, args![name]).await?;
        }
        Ok(())
    }

    pub(super) async fn add_audit_record(&mut self, audit: &AuditRow) -> Result<(), Error> {
        self.execute(super::audit::INSERT, &audit.values()).await.map(drop)
    }

    /// Adds the audit record of the change and commits both.
    pub(super) async fn commit_with_audit(mut self, audit: &AuditRow) -> Result<(), Error> {
        self.add_audit_record(audit).await?;
        self.commit().await
    }

    /// Commits without adding an audit record.
    pub(super) async fn commit(self) -> Result<(), Error> {
        match self.connection {
            Connection::Sqlite(connection) => connection.commit().await?,
            Connection::Postgres(connection) => connection.commit().await?,
        }
        Ok(())
    }
}
