//! How the database fails, in our own words: what a caller can act on, and the driver's error as the cause.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::migrate::MigrateError;

use super::Stamp;

/// A failed use of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the database is none that this program can open.
    #[error("the database address cannot be used: {0}")]
    Url(String),
    /// The SQLite file cannot be made.
    #[error("the database file {} cannot be made", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// No connection, none free in time, or a server that is starting or stopping: may pass by itself.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The disk of the database is full; nothing was written.
    #[error("the disk of the database is full")]
    Full(#[source] sqlx::Error),
    /// Something that must be the only one of its kind is there already; nothing was written.
    #[error("{what} is taken already")]
    Duplicate {
        /// What is taken.
        what: Unique,
    },
    /// The row is no longer the one that was read (or is gone); nothing was written.
    #[error("{id} in table {table} was changed in the meantime")]
    Conflict {
        /// The table of the row.
        table: &'static str,
        /// The id of the row.
        id: String,
    },
    /// The row points at another one that does not exist; nothing was written.
    #[error("{id} in table {table} points at something that does not exist")]
    Dangling {
        /// The table of the row.
        table: &'static str,
        /// The id of the row.
        id: String,
    },
    /// The user who is to own the row does not exist or is disabled; nothing was written.
    #[error("the owner {id} does not exist or is disabled")]
    NoOwner {
        /// The user.
        id: String,
    },
    /// The user is disabled; nothing was written.
    #[error("the user {id} is disabled")]
    Disabled {
        /// The user.
        id: String,
    },
    /// Nobody else is an enabled administrator; nothing was written.
    #[error("the last enabled administrator cannot be disabled, removed or demoted")]
    LastAdministrator,
    /// Another row points at this one; nothing was removed.
    #[error("{id} in table {table} is still in use")]
    InUse {
        /// The table of the row.
        table: &'static str,
        /// The id of the row.
        id: String,
    },
    /// A text holds the character NUL, which PostgreSQL cannot keep; refused on both databases.
    #[error("a text with the character NUL cannot be stored in column {column}")]
    Nul {
        /// The column it was meant for.
        column: &'static str,
    },
    /// A stored value cannot be read back.
    #[error("column {column} of row {row} in table {table} cannot be read")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The id of the row.
        row: String,
        /// What is wrong with the value; never shows the value.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database was made for the other kind of server (sandbox or real Azure).
    #[error(
        "this database belongs to a server for {found}, and this one is for {expected}; {} --sandbox, or name another \
         database with --data-dir or --database-url-file",
        if *expected == Stamp::Azure { "add" } else { "leave out" }
    )]
    WrongKind {
        /// What the database is stamped with.
        found: String,
        /// What this server is.
        expected: Stamp,
    },
    /// The schema was made by a newer version of this program.
    #[error(
        "the database schema is newer than this version of norman-aks (migration {0}); start the newer version, or restore \
         the backup made before the upgrade"
    )]
    Newer(i64),
    /// A migration failed or was altered after it had been applied.
    #[error("the database schema cannot be brought up to date")]
    Migration(#[source] Box<MigrateError>),
    /// Any other failure of a statement.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

/// What exists only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unique {
    /// `users.id`
    UserId,
    /// `users.name`
    UserName,
    /// `tokens.name`
    TokenName,
    /// `credentials.id`
    CredentialId,
    /// `clusters.id`
    ClusterId,
    /// `clusters.name`, among the clusters that a user sees
    ClusterName,
    /// `clusters.aks_identity`: subscription, resource group and name of the AKS cluster
    ClusterIdentity,
    /// `cluster_members.id`
    MemberId,
    /// Any other key.
    Other,
}

impl fmt::Display for Unique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserId => "this user id",
            Self::UserName => "this user name",
            Self::TokenName => "this token name",
            Self::CredentialId => "this credential id",
            Self::ClusterId => "this cluster id",
            Self::ClusterName => "this cluster name",
            Self::ClusterIdentity => "this AKS cluster",
            Self::MemberId => "this member id",
            Self::Other => "this key",
        })
    }
}

impl Unique {
    /// SQLite names the column in its message, PostgreSQL the constraint.
    fn of(error: &dyn sqlx::error::DatabaseError) -> Self {
        const NAMES: [(&str, &str, Unique); 7] = [
            ("users.id", "users_pkey", Unique::UserId),
            ("users.name", "users_name_key", Unique::UserName),
            ("tokens.name", "tokens_pkey", Unique::TokenName),
            ("credentials.id", "credentials_pkey", Unique::CredentialId),
            ("clusters.id", "clusters_pkey", Unique::ClusterId),
            ("clusters.aks_identity", "clusters_aks_identity_key", Unique::ClusterIdentity),
            ("cluster_members.id", "cluster_members_pkey", Unique::MemberId),
        ];
        let column = error.message().rsplit(' ').next();
        NAMES
            .iter()
            .find(|(sqlite, postgres, _)| error.constraint() == Some(postgres) || column == Some(sqlite))
            .map_or(Self::Other, |(_, _, unique)| *unique)
    }
}

impl Error {
    /// Whether the same call may succeed later without being changed.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_))
    }

    /// Whether the disk of the database is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the driver reported a broken reference between tables.
    pub(super) fn is_foreign_key(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_foreign_key_violation())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            _ if is_full(&error) => {
                FULL_ERRORS.fetch_add(1, Ordering::Relaxed);
                metrics::counter!("norman_aks_disk_full_errors_total", "of" => "database").increment(1);
                Self::Full(error)
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            sqlx::Error::Database(cause) if cause.is_unique_violation() => {
                Self::Duplicate { what: Unique::of(cause.as_ref()) }
            }
            sqlx::Error::Database(cause) if cause.code().is_some_and(|code| passes_by_itself(&code)) => {
                Self::Unavailable(error)
            }
            _ => Self::Database(error),
        }
    }
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(cause) => Self::from(cause),
            MigrateError::VersionMissing(version) => Self::Newer(version),
            other => Self::Migration(Box::new(other)),
        }
    }
}

/// Errors of full disks since the process started, of all databases.
static FULL_ERRORS: AtomicU64 = AtomicU64::new(0);

/// How many times a database of this process has had no space left. Grows; whether there is space again, only writing
/// tells ([`super::instance::probe_space`]).
pub fn full_errors() -> u64 {
    FULL_ERRORS.load(Ordering::Relaxed)
}

fn is_full(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        }
        sqlx::Error::Database(cause) => cause.code().is_some_and(|code| is_full_code(&code)),
        _ => false,
    }
}

/// PostgreSQL's `disk_full`; SQLite's `SQLITE_FULL`, and `SQLITE_IOERR_SHMSIZE`: the index of the write-ahead log cannot
/// grow, which has no other cause in practice.
fn is_full_code(code: &str) -> bool {
    code == "53100"
        || code.len() < 5 && code.parse::<u32>().is_ok_and(|code| code & 0xff == 13 || code == 4_874)
}

/// Five characters are PostgreSQL's SQLSTATE, anything shorter is a result code of SQLite.
fn passes_by_itself(code: &str) -> bool {
    if let (5, Some(class)) = (code.len(), code.get(..2)) {
        // 08 connection, 28 login (a rotated password), 53 out of resources, 57P starting or stopping, 40 lost a race
        // for a lock, 25006 a standby that is read-only until it takes over.
        return matches!(class, "08" | "28" | "40" | "53") || code.starts_with("57P") || code == "25006";
    }
    // Extended codes keep the plain one in their low byte: busy, locked, read-only, I/O error, disk full, cannot open.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disks_are_told_from_other_failures() {
        for (code, full) in [
            ("53100", true),
            ("53200", false),
            ("13", true),
            ("4874", true),
            ("10", false),
            ("778", false),
            ("00013", false),
            ("57P03", false),
        ] {
            assert_eq!(is_full_code(code), full, "{code}");
        }
        let error = |kind: io::ErrorKind| Error::from(sqlx::Error::Io(kind.into()));
        let before = full_errors();
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert!(error(kind).is_full() && error(kind).is_unavailable());
        }
        assert!(full_errors() >= before + 2);
        assert!(!error(io::ErrorKind::BrokenPipe).is_full());
    }

    #[test]
    fn only_failures_that_pass_by_themselves_count_as_unavailable() {
        for (code, passes) in [
            ("57P01", true),
            ("57P03", true),
            ("57014", false),
            ("08006", true),
            ("53300", true),
            ("40001", true),
            ("25006", true),
            ("23505", false),
            ("42P01", false),
            ("5", true),
            ("517", true),
            ("13", true),
            ("1", false),
            ("2067", false),
            ("11", false),
        ] {
            assert_eq!(passes_by_itself(code), passes, "{code}");
        }
        assert!(Error::from(sqlx::Error::PoolTimedOut).is_unavailable());
        assert!(!Error::from(sqlx::Error::RowNotFound).is_unavailable());
    }
}
