//! Connections: opening a database, and its limits.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::Error;

/// The kind of database of a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file of this machine; one server process.
    Sqlite,
    /// A server; any number of replicas.
    Postgres,
}

/// The limits of the connections.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most connections: to PostgreSQL in all, to SQLite for reading (writing always has exactly one).
    pub connections: u32,
    /// The time limit for getting a connection, after which the database counts as unavailable.
    pub acquire: Duration,
    /// The most pages (of 4 KiB) of a SQLite file, beyond which its disk counts as full; `None` is all of the disk.
    pub max_pages: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections: 8, acquire: Duration::from_secs(5), max_pages: None }
    }
}

/// An open database. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) db: Db,
    changes: Arc<AtomicU64>,
}

/// Counts a change when it is dropped, whether it succeeded, failed or was cancelled.
pub(super) struct CountedChange<'a>(&'a AtomicU64);

impl Drop for CountedChange<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// SQLite takes one writer at a time anyway: with a connection of its own writers queue here, in order and without
/// polling, instead of meeting `database is locked`.
#[derive(Clone, Debug)]
pub(super) enum Db {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres(PgPool),
}

impl Store {
    /// Opens the database at `url`: `sqlite:<path>`, `sqlite://<path>` (percent-encoded, see [`sqlite_url`]) or
    /// `postgres://…` with libpq's parameters (`sslmode`, `sslrootcert`, `options`, …). A missing SQLite file is made,
    /// readable and writable by its owner only; its folder must exist. The schema is not touched: see
    /// [`Store::migrate`].
    pub async fn connect(url: &str, options: &Options) -> Result<Self, Error> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Self::connect_sqlite(url, options).await,
            Some("postgres" | "postgresql") => Self::connect_postgres(url, options).await,
            _ => Err(Error::Url("it must begin with sqlite: or postgres://".to_owned())),
        }
    }

    async fn connect_sqlite(url: &str, options: &Options) -> Result<Self, Error> {
        if url.contains('?') {
            return Err(Error::Url("a SQLite address takes no parameters".to_owned()));
        }
        let file = SqliteConnectOptions::from_str(url).map_err(|error| Error::Url(error.to_string()))?;
        let path = file.get_filename();
        if path.as_os_str().is_empty() || url.ends_with(":memory:") {
            return Err(Error::Url("SQLite needs a file: several connections share it".to_owned()));
        }
        make_private(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let file = file
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            // Pages (16 MB in all) between two waits for the disk. The default, a quarter of that, is full several times
            // a second when many use credentials.
            .pragma("wal_autocheckpoint", "4000")
            .busy_timeout(options.acquire);
        // A connection is a thread and an open file: nothing goes stale, so none is closed or tested.
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(options.acquire)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let writable = match options.max_pages {
            Some(pages) => file.clone().pragma("max_page_count", pages.to_string()),
            None => file.clone(),
        };
        // When the disk is full, SQLite itself rolls back, and sqlx still counts a transaction: such a connection could
        // begin no other one.
        let writer = pool()
            .max_connections(1)
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(writable)
            .await?;
        let readers = pool()
            .max_connections(options.connections.max(1))
            .connect_with(file.pragma("query_only", "on"))
            .await?;
        Ok(Self { db: Db::Sqlite { writer, readers }, changes: Arc::default() })
    }

    async fn connect_postgres(url: &str, options: &Options) -> Result<Self, Error> {
        let mut server = PgConnectOptions::from_str(url).map_err(|error| Error::Url(error.to_string()))?;
        if server.get_application_name().is_none() {
            server = server.application_name("norman-aks");
        }
        let pool = PgPoolOptions::new()
            .max_connections(options.connections.max(1))
            .acquire_timeout(options.acquire)
            .idle_timeout(Duration::from_mins(10))
            .max_lifetime(Duration::from_mins(30))
            .connect_with(server)
            .await?;
        Ok(Self { db: Db::Postgres(pool), changes: Arc::default() })
    }

    /// The kind of this database.
    pub fn kind(&self) -> Kind {
        match self.db {
            Db::Sqlite { .. } => Kind::Sqlite,
            Db::Postgres(_) => Kind::Postgres,
        }
    }

    /// Grows with everything that is written through this store or its clones, apart from the audit. What was read after a
    /// version was taken is current as long as the version is the same and no other server writes.
    pub fn version(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn count_change(&self) -> CountedChange<'_> {
        CountedChange(&self.changes)
    }

    /// Asks the database for a sign of life.
    pub async fn ping(&self) -> Result<(), Error> {
        match &self.db {
            // `select 1` would not even look at the file.
            Db::Sqlite { readers, .. } => {
                sqlx::query("select count(*) from sqlite_schema").execute(readers).await?;
            }
            Db::Postgres(pool) => {
                sqlx::query("select 1").execute(pool).await?;
            }
        }
        Ok(())
    }

    /// Connections that are open and how many of them are idle, for the metrics.
    pub fn connections(&self) -> (u32, usize) {
        match &self.db {
            Db::Sqlite { writer, readers } => {
                (writer.size() + readers.size(), writer.num_idle() + readers.num_idle())
            }
            Db::Postgres(pool) => (pool.size(), pool.num_idle()),
        }
    }

    /// Waits for the connections in use and closes all; later calls fail as unavailable.
    pub async fn close(&self) {
        match &self.db {
            Db::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Db::Postgres(pool) => pool.close().await,
        }
    }
}

/// The address of a SQLite file, whatever characters its path has.
pub fn sqlite_url(path: &Path) -> String {
    const SPECIAL: AsciiSet = CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');
    format!("sqlite://{}", utf8_percent_encode(&path.to_string_lossy(), &SPECIAL))
}

/// SQLite gives its `-wal` and `-shm` files the permissions of the file itself.
fn make_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn addresses_that_cannot_work_are_refused_with_a_reason() {
        for (url, reason) in [
            ("mysql://localhost/x", "sqlite: or postgres://"),
            ("aks.db", "sqlite: or postgres://"),
            ("sqlite::memory:", "needs a file"),
            ("sqlite://", "needs a file"),
            ("sqlite:a.db?mode=memory", "no parameters"),
            ("postgres://user:canary-password@host:port/x", "port"),
        ] {
            let error = Store::connect(url, &Options::default()).await.expect_err(url).to_string();
            assert!(error.contains(reason), "{url}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_new_file_is_its_owners_alone_and_any_path_can_be_named() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a b%20?#é.db");
        let store = Store::connect(&sqlite_url(&path), &Options::default()).await.expect("open");
        store.migrate().await.expect("migrate");
        store.ping().await.expect("ping");
        for entry in std::fs::read_dir(folder.path()).expect("list") {
            let entry = entry.expect("entry");
            let mode = entry.metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
        }
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_made_is_named() {
        let url = "sqlite:/nonexistent-folder/aks.db";
        let error = Store::connect(url, &Options::default()).await.expect_err("no folder").to_string();
        assert!(error.contains("/nonexistent-folder/aks.db"), "{error}");
    }
}
