//! Opens a database, and limits its connections.

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
pub enum DatabaseKind {
    /// A file on this machine, for one server process.
    Sqlite,
    /// A database server, for any number of replicas.
    Postgres,
}

/// Limits of a [`Store`]: its connections, the time to wait for one, and the size of the file.
#[derive(Clone, Debug)]
pub struct Options {
    /// The maximum number of connections to PostgreSQL, or of SQLite readers; SQLite has one more connection for writing.
    pub max_connections: u32,
    /// The time limit for getting a connection. When it is exceeded, the database is reported as unavailable.
    pub acquire_timeout: Duration,
    /// For tests of a full disk: the maximum size of the SQLite file, in pages of 4 KiB. `None`: no limit.
    pub max_pages: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_connections: 8, acquire_timeout: Duration::from_secs(5), max_pages: None }
    }
}

/// An open database. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) db: Db,
    changes: Arc<AtomicU64>,
}

/// Increases [`Store::version`] when dropped, also after a failed or cancelled change, which the database may have committed.
pub(super) struct ChangeGuard<'a>(&'a AtomicU64);

impl Drop for ChangeGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// The connection pools of a [`Store`]. SQLite allows one writer at a time: with a single writer connection, writers queue for
/// it in order, instead of polling SQLite until they fail with `database is locked`.
#[derive(Clone, Debug)]
pub(super) enum Db {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres(PgPool),
}

impl Store {
    /// Opens the database at `url`: `sqlite:<path>`, `sqlite://<path>` (percent-encoded, see [`sqlite_url`]) or `postgres://…`
    /// with libpq's parameters (`sslmode`, `sslrootcert`, `options`, …). Creates a missing SQLite file, readable and writable
    /// only by its owner; its directory must exist. Does not change the schema: see [`Store::migrate`].
    pub async fn connect(url: &str, options: &Options) -> Result<Self, Error> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Self::connect_sqlite(url, options).await,
            Some("postgres" | "postgresql") => Self::connect_postgres(url, options).await,
            _ => Err(Error::Url("it must start with sqlite: or postgres://".to_owned())),
        }
    }

    async fn connect_sqlite(url: &str, options: &Options) -> Result<Self, Error> {
        if url.contains('?') {
            let message = "SQLite URLs take no parameters; remove everything from `?` on, or write a `?` of the path \
                           as %3F";
            return Err(Error::Url(message.to_owned()));
        }
        let file_options =
            SqliteConnectOptions::from_str(url).map_err(|error| Error::Url(error.to_string()))?;
        let path = file_options.get_filename();
        if path.as_os_str().is_empty() || url.ends_with(":memory:") {
            return Err(Error::Url("in-memory databases are not supported; use sqlite:<path>".to_owned()));
        }
        create_private_file(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let file_options = file_options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            // A checkpoint waits for the disk. The default of 1,000 pages (4 MB) causes several checkpoints a second if
            // credentials are used frequently.
            .pragma("wal_autocheckpoint", "4000")
            .busy_timeout(options.acquire_timeout);
        // A connection is a thread and an open file, which cannot become stale, so connections are neither closed nor tested.
        let pool_options = || {
            SqlitePoolOptions::new()
                .acquire_timeout(options.acquire_timeout)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let writer_options = match options.max_pages {
            Some(pages) => file_options.clone().pragma("max_page_count", pages.to_string()),
            None => file_options.clone(),
        };
        // When the disk is full, SQLite rolls back by itself, but sqlx considers the transaction open, and the next `begin` on
        // this connection would fail. `ping` waits for a rollback that sqlx has queued; if sqlx considers a transaction open
        // even after that, the pool closes the connection.
        let writer = pool_options()
            .max_connections(1)
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(writer_options)
            .await?;
        let readers = pool_options()
            .max_connections(options.max_connections.max(1))
            .connect_with(file_options.pragma("query_only", "on"))
            .await?;
        Ok(Self { db: Db::Sqlite { writer, readers }, changes: Arc::default() })
    }

    async fn connect_postgres(url: &str, options: &Options) -> Result<Self, Error> {
        let mut server_options =
            PgConnectOptions::from_str(url).map_err(|error| Error::Url(error.to_string()))?;
        if server_options.get_application_name().is_none() {
            server_options = server_options.application_name("norman-aks");
        }
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections.max(1))
            .acquire_timeout(options.acquire_timeout)
            .idle_timeout(Duration::from_mins(10))
            .max_lifetime(Duration::from_mins(30))
            .connect_with(server_options)
            .await?;
        Ok(Self { db: Db::Postgres(pool), changes: Arc::default() })
    }

    /// The kind of this database.
    pub fn kind(&self) -> DatabaseKind {
        match self.db {
            Db::Sqlite { .. } => DatabaseKind::Sqlite,
            Db::Postgres(_) => DatabaseKind::Postgres,
        }
    }

    /// A number that increases with every write through this store or its clones, except [`super::audit::insert_many`]. A
    /// caller that caches data reads the version before the data: while the version stays the same, the cached data is current,
    /// unless another server writes to the same database.
    pub fn version(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// A guard for one change; see [`ChangeGuard`].
    pub(super) fn change_guard(&self) -> ChangeGuard<'_> {
        ChangeGuard(&self.changes)
    }

    /// Checks that the database responds.
    pub async fn ping(&self) -> Result<(), Error> {
        match &self.db {
            // `select 1` would not read the file.
            Db::Sqlite { readers, .. } => {
                sqlx::query("select count(*) from sqlite_schema").execute(readers).await?;
            }
            Db::Postgres(pool) => {
                sqlx::query("select 1").execute(pool).await?;
            }
        }
        Ok(())
    }

    /// The number of open connections, and of those that are idle.
    pub fn connections(&self) -> (u32, usize) {
        match &self.db {
            Db::Sqlite { writer, readers } => {
                (writer.size() + readers.size(), writer.num_idle() + readers.num_idle())
            }
            Db::Postgres(pool) => (pool.size(), pool.num_idle()),
        }
    }

    /// Waits until no connection is in use, then closes all connections. Later calls fail with [`Error::Unavailable`].
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

/// The URL of a SQLite file, with special characters of its path percent-encoded.
pub fn sqlite_url(path: &Path) -> String {
    const SPECIAL: AsciiSet = CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');
    format!("sqlite://{}", utf8_percent_encode(&path.to_string_lossy(), &SPECIAL))
}

/// Creates a missing file with access for its owner only. SQLite gives its `-wal` and `-shm` files the same permissions.
fn create_private_file(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn invalid_urls_are_rejected_with_a_reason() {
        for (url, reason) in [
            ("mysql://localhost/x", "sqlite: or postgres://"),
            ("aks.db", "sqlite: or postgres://"),
            ("sqlite::memory:", "use sqlite:<path>"),
            ("sqlite://", "use sqlite:<path>"),
            ("sqlite:a.db?mode=memory", "no parameters"),
            ("postgres://user:canary-password@host:port/x", "port"),
        ] {
            let error = Store::connect(url, &Options::default()).await.expect_err(url).to_string();
            assert!(error.contains(reason), "{url}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[tokio::test]
    async fn new_file_with_special_path_is_private() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("a b%20?#é.db");
        let store = Store::connect(&sqlite_url(&path), &Options::default()).await.expect("open");
        store.migrate().await.expect("migrate");
        store.ping().await.expect("ping");
        for entry in std::fs::read_dir(directory.path()).expect("list") {
            let entry = entry.expect("entry");
            let mode = entry.metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
        }
        assert!(path.exists());
    }

    #[tokio::test]
    async fn error_names_the_file_that_cannot_be_created() {
        let url = "sqlite:/nonexistent-directory/aks.db";
        let error = Store::connect(url, &Options::default()).await.expect_err("no directory").to_string();
        assert!(error.contains("/nonexistent-directory/aks.db"), "{error}");
    }
}
