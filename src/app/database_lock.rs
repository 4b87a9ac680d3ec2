//! Prevents two servers from using one SQLite database: an advisory lock on a file next to it, which the kernel releases
//! when the process exits. Only `serve` locks it; other commands (`token`, `key`, `check`, …) do not.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clock::{Clock, rfc3339};
use tokio::time::Instant;

use super::error::Error;
use super::files;

/// The time for which a starting server waits for the previous one to stop.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// The maximum length of the description of the holder in a lock file, in bytes.
const MAX_HOLDER_LEN: u64 = 512;

/// The lock, released when dropped.
#[derive(Debug)]
pub(super) struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// Locks the database file `database`, which need not exist yet. Its directory must exist.
    ///
    /// # Errors
    /// [`Error::DatabaseInUse`] if another server holds the lock until the timeout; [`Error::DatabaseLock`] if the file
    /// system has no locks, or the lock file cannot be opened.
    pub(super) async fn acquire(database: &Path, timeout: Duration, clock: &Clock) -> Result<Self, Error> {
        let path = lock_path(database).map_err(|source| lock_error(database, source))?;
        let deadline = Instant::now() + timeout;
        let mut has_warned = false;
        loop {
            match try_lock(&path, clock).map_err(|source| lock_error(&path, source))? {
                LockAttempt::Locked(file) => return Ok(Self { _file: file }),
                LockAttempt::Held { holder } if Instant::now() >= deadline => {
                    return Err(Error::DatabaseInUse { database: database.to_owned(), holder });
                }
                LockAttempt::Held { holder } if !has_warned => {
                    has_warned = true;
                    tracing::warn!(
                        database = %database.display(),
                        holder,
                        "database in use by another server; waiting for it to stop"
                    );
                }
                LockAttempt::Held { .. } => {}
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}

fn lock_error(path: &Path, source: io::Error) -> Error {
    Error::DatabaseLock { path: path.to_owned(), source }
}

/// The path of the lock file of a database, which is the same for every path and symbolic link to the database.
fn lock_path(database: &Path) -> io::Result<PathBuf> {
    let database = match database.canonicalize() {
        Ok(database) => database,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = database.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.unwrap_or(Path::new(".")).canonicalize()?;
            parent.join(database.file_name().unwrap_or_default())
        }
        Err(error) => return Err(error),
    };
    let mut path = database.into_os_string();
    path.push(".lock");
    Ok(path.into())
}

/// The result of an attempt to lock the database.
enum LockAttempt {
    Locked(File),
    /// Another process holds the lock.
    Held {
        holder: String,
    },
}

fn try_lock(path: &Path, clock: &Clock) -> io::Result<LockAttempt> {
    loop {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.take(MAX_HOLDER_LEN).read_to_string(&mut holder).ok();
                let holder = holder.lines().next().filter(|line| !line.is_empty());
                return Ok(LockAttempt::Held { holder: holder.unwrap_or("an unknown process").to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(error),
            // The file was removed concurrently, so another server would lock a new file.
            Ok(()) if !is_same_file(&file, path) => {}
            Ok(()) => {
                if let Err(error) = write_holder(&mut file, clock) {
                    // The lock is held even if the file cannot be written, for example on a full disk.
                    tracing::warn!(
                        path = %path.display(),
                        error = &error as &dyn std::error::Error,
                        "cannot write the lock file"
                    );
                }
                return Ok(LockAttempt::Locked(file));
            }
        }
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    let (Ok(opened), Ok(current)) = (file.metadata(), path.metadata()) else { return false };
    (opened.dev(), opened.ino()) == (current.dev(), current.ino())
}

/// Writes the host name, process ID and start time of this server, for the error message of another one.
fn write_holder(file: &mut File, clock: &Clock) -> io::Result<()> {
    let host = rustix::system::uname();
    let started = rfc3339(clock.now_ms());
    let holder = format!(
        "host {}, process {}, started {started}\n",
        host.nodename().to_string_lossy(),
        std::process::id()
    );
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(holder.as_bytes())
}

/// Locks a SQLite database; `None` for PostgreSQL.
pub(super) async fn lock_database(
    sqlite_file: Option<&Path>,
    clock: &Clock,
) -> Result<Option<DatabaseLock>, Error> {
    let Some(database) = sqlite_file else { return Ok(None) };
    if let Some(directory) = database.parent() {
        files::create_directory(directory)?;
    }
    DatabaseLock::acquire(database, LOCK_TIMEOUT, clock).await.map(Some)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    async fn acquire(database: &Path) -> Result<DatabaseLock, Error> {
        DatabaseLock::acquire(database, Duration::ZERO, &Clock::system()).await
    }

    #[tokio::test]
    async fn error_names_the_holder() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("aks.db");
        let first = acquire(&database).await.unwrap();
        let error = acquire(&database).await.unwrap_err().to_string();
        for part in [
            &*database.display().to_string(),
            &format!("process {},", std::process::id()),
            &format!("host {},", rustix::system::uname().nodename().to_string_lossy()),
            "started 20",
            "PostgreSQL",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let file = directory.path().join("aks.db.lock");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(first);
        acquire(&database).await.unwrap();
    }

    #[tokio::test]
    async fn waiting_ends_when_lock_is_released() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("aks.db");
        let first = acquire(&database).await.unwrap();
        let clock = Clock::system();
        let second = DatabaseLock::acquire(&database, Duration::from_mins(1), &clock);
        let release = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        let (second, ()) = tokio::join!(second, release);
        second.unwrap();
    }

    #[tokio::test]
    async fn symbolic_links_share_one_lock() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let _first = acquire(&real.join("aks.db")).await.unwrap();
        assert!(matches!(acquire(&link.join("aks.db")).await, Err(Error::DatabaseInUse { .. })));
        std::fs::write(real.join("aks.db"), "").unwrap();
        std::os::unix::fs::symlink(real.join("aks.db"), directory.path().join("other.db")).unwrap();
        let through_link = acquire(&directory.path().join("other.db")).await;
        assert!(matches!(through_link, Err(Error::DatabaseInUse { .. })));
        acquire(&real.join("another.db")).await.unwrap();
    }

    #[tokio::test]
    async fn removed_lock_file_is_recreated() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("aks.db");
        drop(acquire(&database).await.unwrap());
        std::fs::remove_file(directory.path().join("aks.db.lock")).unwrap();
        let _held = acquire(&database).await.unwrap();
        assert!(acquire(&database).await.is_err());
    }

    #[tokio::test]
    async fn error_contains_the_missing_directory() {
        let error = acquire(Path::new("/nonexistent-directory/aks.db")).await.unwrap_err();
        assert!(error.to_string().contains("/nonexistent-directory/aks.db"), "{error}");
    }
}
