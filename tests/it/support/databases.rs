//! A database for one test: a SQLite file, or a database of a PostgreSQL server.
//!
//! The server is that of `TEST_POSTGRES_URL`, whose user must be allowed to create databases, or a temporary one that the
//! first test starts if PostgreSQL is installed. A shell stops the temporary server when this process ends, because a pipe to
//! it closes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr as _;
use std::sync::OnceLock;
use std::time::Duration;

use norman_aks::KeyRing;
use norman_aks::store::{Options, Store, sqlite_url};
use secrecy::ExposeSecret as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::sync::OnceCell;
use url::Url;

/// An empty database with the current schema, removed when dropped.
pub(crate) struct TestDb {
    /// Open and migrated.
    pub(crate) store: Store,
    /// The URL, for other programs.
    pub(crate) url: String,
    /// The content of the key file that its servers share.
    pub(crate) keys: String,
    _cleanup: Cleanup,
}

/// Removes the database when dropped.
enum Cleanup {
    Directory { _directory: tempfile::TempDir },
    Server { server: String, database: String },
}

/// A new SQLite file.
pub(crate) async fn sqlite() -> TestDb {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("norman-aks.db");
    copy_migrated(&file).await;
    let url = sqlite_url(&file);
    TestDb {
        store: open(&url).await,
        url,
        keys: generate_keys(),
        _cleanup: Cleanup::Directory { _directory: directory },
    }
}

/// Writes an empty, migrated SQLite database to `file`, which is much faster than the migrations.
pub(crate) async fn copy_migrated(file: &Path) {
    static MIGRATED: OnceCell<Vec<u8>> = OnceCell::const_new();
    let migrate = async || {
        let directory = tempfile::tempdir().expect("temporary directory");
        let file = directory.path().join("migrated.db");
        open(&sqlite_url(&file)).await.close().await;
        std::fs::read(file).expect("read the migrated database")
    };
    std::fs::write(file, MIGRATED.get_or_init(migrate).await).expect("write the database");
}

/// A new database of the PostgreSQL server; `None` without a server.
pub(crate) async fn postgres() -> Option<TestDb> {
    let server = server()?.to_owned();
    let database = format!("norman_aks_test_{}", uuid::Uuid::new_v4().simple());
    let template = template_clause(&server).await;
    execute(&server, &format!("create database {database}{template}")).await.expect("create database");
    let url = database_url(&server, &database);
    let store = open(&url).await;
    Some(TestDb { store, url, keys: generate_keys(), _cleanup: Cleanup::Server { server, database } })
}

/// The clause of `create database` that copies a migrated database, which is much faster than the migrations. It is empty
/// for the server of `TEST_POSTGRES_URL`, where the migrated database would remain.
async fn template_clause(server: &str) -> &'static str {
    static CREATED: OnceCell<()> = OnceCell::const_new();
    if std::env::var_os("TEST_POSTGRES_URL").is_some() {
        return "";
    }
    let create = async || {
        execute(server, "create database migrated").await.expect("create the template");
        open(&database_url(server, "migrated")).await.close().await;
    };
    CREATED.get_or_init(create).await;
    " template migrated"
}

fn database_url(server: &str, database: &str) -> String {
    let mut url = Url::parse(server).expect("URL of the server");
    url.set_path(database);
    url.to_string()
}

/// Whether there is a PostgreSQL server, for tests that create several databases.
pub(crate) fn has_postgres() -> bool {
    server().is_some()
}

/// The URL of the PostgreSQL server. Without a server, `None` and a message on standard error, or a failure if
/// `NORMAN_AKS_TEST_REQUIRE_POSTGRES` is set.
fn server() -> Option<&'static str> {
    static SERVER: OnceLock<Result<String, String>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let server = match std::env::var_os("TEST_POSTGRES_URL") {
            Some(url) => url.into_string().map_err(|_| "TEST_POSTGRES_URL is not UTF-8".to_owned()),
            None => start_server(),
        };
        if let Err(reason) = &server {
            // Not `eprintln!`, which the test harness captures.
            writeln!(std::io::stderr(), "SKIPPED: all tests on PostgreSQL: {reason}").ok();
        }
        server
    });
    match server {
        Ok(server) => Some(server),
        Err(reason) => {
            let is_required = std::env::var_os("NORMAN_AKS_TEST_REQUIRE_POSTGRES").is_some();
            assert!(!is_required, "PostgreSQL is required here, but {reason}");
            None
        }
    }
}

fn generate_keys() -> String {
    KeyRing::generate().expose_secret().to_owned()
}

async fn open(url: &str) -> Store {
    // Other tests may keep the machine busy.
    let options = Options { acquire_timeout: Duration::from_mins(1), ..Options::default() };
    let store = Store::connect(url, &options).await.expect("open the database");
    store.migrate().await.expect("migrate");
    store
}

async fn execute(url: &str, statement: &str) -> sqlx::Result<()> {
    let mut connection = PgConnectOptions::from_str(url)?.connect().await?;
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.map(drop)
}

/// Cuts all connections to the PostgreSQL database except this one.
pub(crate) async fn cut_connections(connection: &mut sqlx::PgConnection) {
    let statement = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                     where datname = current_database() and pid <> pg_backend_pid()";
    sqlx::query(statement).execute(connection).await.expect("cut");
}

/// Executes a statement on a database of either kind.
pub(crate) async fn execute_on(url: &str, statement: &'static str) {
    if url.starts_with("sqlite:") {
        let mut connection = sqlx::SqliteConnection::connect(url).await.expect("connect");
        sqlx::query(statement).execute(&mut connection).await.expect(statement);
        connection.close().await.expect("close");
    } else {
        execute(url, statement).await.expect(statement);
    }
}

impl Drop for Cleanup {
    /// Uses its own runtime, because that of the test may be shutting down.
    fn drop(&mut self) {
        let Self::Server { server, database } = self else { return };
        let (server, statement) = (server.clone(), format!("drop database {database} with (force)"));
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(execute(&server, &statement))
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            writeln!(std::io::stderr(), "the test database {database} could not be dropped").ok();
        }
    }
}

/// Starts a server that listens only on a socket in a temporary directory.
fn start_server() -> Result<String, String> {
    /// $1: directory of PostgreSQL's programs. `cat` waits until the test process ends.
    const WATCH_SCRIPT: &str = r#"
        trap '' INT TERM HUP
        set -eu
        # In memory if there is room: on a disk, a sixth of the tests' run time is spent creating and dropping their databases.
        base=/tmp
        free=$(df -Pk /dev/shm | awk 'NR == 2 { print $4 }')
        [ "${free:-0}" -lt 1000000 ] || base=/dev/shm
        directory=$(mktemp -d "$base/norman-aks-postgres.XXXXXX")
        as=
        if [ "$(id -u)" = 0 ]; then
            # PostgreSQL does not run as root.
            user=postgres; id "$user" >/dev/null 2>&1 || user=nobody
            chown "$user" "$directory"
            as="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups"
        fi
        cd "$directory"
        end() { rm -rf "$directory"; }
        fail() { tail -n 3 "$1" | tr '\n' ' '; echo; end; exit 1; }
        $as "$1/initdb" -D data -U norman -A trust -E UTF8 --locale=C --no-sync >start 2>&1 || fail start
        # Not pg_ctl: the server must be a child of this shell, which waits for its end.
        $as "$1/postgres" -D data -k "$directory" -c listen_addresses= -c fsync=off -c full_page_writes=off \
            -c synchronous_commit=off -c max_wal_size=128MB -c max_connections=400 -c shared_buffers=32MB \
            </dev/null >log 2>&1 &
        server=$!
        until grep -q 'ready to accept connections' log; do
            kill -0 "$server" 2>/dev/null || fail log
            sleep 0.05
        done
        echo "ready $directory"
        cat >/dev/null
        kill -QUIT "$server"
        wait "$server" || true
        end
    "#;
    /// Keeps the pipe open until this process ends.
    static WATCH_PROCESS: OnceLock<Child> = OnceLock::new();
    let programs = programs_directory().ok_or(
        "TEST_POSTGRES_URL is not set and PostgreSQL is neither in PATH nor in /usr/lib/postgresql/*/bin \
         (Debian: apt-get install postgresql)",
    )?;
    let mut watch = Command::new("/bin/sh")
        .args(["-c", WATCH_SCRIPT, "watch"])
        .arg(&programs)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("no shell: {error}"))?;
    let mut line = String::new();
    if let Some(response) = watch.stdout.take() {
        BufReader::new(response).read_line(&mut line).map_err(|error| error.to_string())?;
    }
    let Some(directory) = line.trim().strip_prefix("ready ") else {
        watch.wait().ok();
        return Err(format!("the server of {} does not start: {}", programs.display(), line.trim()));
    };
    WATCH_PROCESS.get_or_init(|| watch);
    Ok(format!("postgres://norman@localhost/postgres?host={directory}"))
}

/// The directory of `initdb` and `postgres`: in PATH, or the newest version in Debian's directory.
fn programs_directory() -> Option<PathBuf> {
    let has_programs =
        |directory: &Path| directory.join("initdb").exists() && directory.join("postgres").exists();
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(directory) = std::env::split_paths(&path).find(|directory| has_programs(directory)) {
        return Some(directory);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let version =
        |directory: &Path| directory.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    versions
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|directory| has_programs(&directory.join("bin")))
        .max_by_key(|directory| version(directory))
        .map(|directory| directory.join("bin"))
}
