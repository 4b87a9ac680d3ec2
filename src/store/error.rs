//! Errors of the database, grouped by their remedy, with the driver's error as the cause.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::migrate::MigrateError;

use super::AzureBackend;

/// Errors of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL of the database is malformed or not supported.
    #[error("the database URL cannot be used: {0}")]
    Url(String),
    /// The SQLite file cannot be created.
    #[error("cannot create the database file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// No connection, no free one in time, or another transient error, such as a deadlock or a server that is starting.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The disk of the database is full; nothing was written.
    #[error("the disk of the database is full")]
    Full(#[source] sqlx::Error),
    /// A unique constraint is violated; nothing was written.
    #[error("{what} is already taken")]
    Duplicate {
        /// The constraint.
        what: UniqueConstraint,
    },
    /// The row was modified or deleted since it was read; nothing was written.
    #[error("{id} in table {table} was modified concurrently")]
    Conflict {
        /// The table of the row.
        table: &'static str,
        /// The ID of the row.
        id: String,
    },
    /// The row references a missing one; nothing was written.
    #[error("{id} in table {table} references a row that does not exist")]
    Dangling {
        /// The table of the row.
        table: &'static str,
        /// The ID of the row.
        id: String,
    },
    /// The owner of the row does not exist or is disabled; nothing was written.
    #[error("the owner {id} does not exist or is disabled")]
    NoOwner {
        /// The ID of the user.
        id: String,
    },
    /// The user is disabled; nothing was written.
    #[error("the user {id} is disabled")]
    Disabled {
        /// The ID of the user.
        id: String,
    },
    /// No other enabled administrator exists; nothing was written.
    #[error("the last enabled administrator cannot be disabled, removed or demoted")]
    LastAdministrator,
    /// Another row references this one; nothing was deleted.
    #[error("{id} in table {table} is still in use")]
    InUse {
        /// The table of the row.
        table: &'static str,
        /// The ID of the row.
        id: String,
    },
    /// A string contains the character NUL. PostgreSQL cannot store it; both databases reject it.
    #[error("a string with the character NUL cannot be stored")]
    Nul,
    /// A stored value cannot be parsed.
    #[error("column {column} of row {row} in table {table} cannot be read")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The ID of the row.
        row: String,
        /// The cause, without the value.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database belongs to a server with the other backend (sandbox or real Azure).
    #[error(
        "this database belongs to a server for {found}, and this one is for {expected}; {} --sandbox, or name another \
         database with --data-dir or --database-url-file",
        if *expected == AzureBackend::Azure { "add" } else { "leave out" }
    )]
    WrongBackend {
        /// The backend that the database belongs to.
        found: String,
        /// The backend of this server.
        expected: AzureBackend,
    },
    /// A newer version of this program has migrated the schema.
    #[error(
        "the database schema is newer than this version of norman-aks (migration {0}); start the newer version, or restore \
         the backup made before the upgrade"
    )]
    Newer(i64),
    /// A migration failed, or was altered after it had been applied.
    #[error("cannot migrate the database schema")]
    Migration(#[source] Box<MigrateError>),
    /// Any other error of a statement.
    #[error("database query failed")]
    Database(#[source] sqlx::Error),
}

/// A unique constraint of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UniqueConstraint {
    /// `users.id`
    UserId,
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

impl fmt::Display for UniqueConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserId => "this user ID",
            Self::TokenName => "this token name",
            Self::CredentialId => "this credential ID",
            Self::ClusterId => "this cluster ID",
            Self::ClusterName => "this cluster name",
            Self::ClusterIdentity => "this AKS cluster",
            Self::MemberId => "this member ID",
            Self::Other => "this key",
        })
    }
}

impl UniqueConstraint {
    /// SQLite's message contains the column, PostgreSQL's the constraint.
    fn from_db_error(error: &dyn sqlx::error::DatabaseError) -> Self {
        const NAMES: [(&str, &str, UniqueConstraint); 6] = [
            ("users.id", "users_pkey", UniqueConstraint::UserId),
            ("tokens.name", "tokens_pkey", UniqueConstraint::TokenName),
            ("credentials.id", "credentials_pkey", UniqueConstraint::CredentialId),
            ("clusters.id", "clusters_pkey", UniqueConstraint::ClusterId),
            ("clusters.aks_identity", "clusters_aks_identity_key", UniqueConstraint::ClusterIdentity),
            ("cluster_members.id", "cluster_members_pkey", UniqueConstraint::MemberId),
        ];
        let column = error.message().rsplit(' ').next();
        NAMES
            .iter()
            .find(|(sqlite, postgres, _)| error.constraint() == Some(postgres) || column == Some(sqlite))
            .map_or(Self::Other, |(_, _, unique)| *unique)
    }
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_))
    }

    /// Whether the disk of the database is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Converts a violated foreign key to [`Error::Dangling`], with the row that was to be written.
    pub(super) fn or_dangling(self, table: &'static str, id: &str) -> Self {
        if self.is_foreign_key() { Self::Dangling { table, id: id.to_owned() } } else { self }
    }

    /// Converts a violated foreign key to [`Error::InUse`], with the row that was to be deleted.
    pub(super) fn or_in_use(self, table: &'static str, id: &str) -> Self {
        if self.is_foreign_key() { Self::InUse { table, id: id.to_owned() } } else { self }
    }

    fn is_foreign_key(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_foreign_key_violation())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            _ if is_full(&error) => {
                DISK_FULL_ERRORS.fetch_add(1, Ordering::Relaxed);
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
                Self::Duplicate { what: UniqueConstraint::from_db_error(cause.as_ref()) }
            }
            sqlx::Error::Database(cause) if cause.code().is_some_and(|code| is_transient_code(&code)) => {
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

/// The number of errors from full disks since the process started, for all databases.
static DISK_FULL_ERRORS: AtomicU64 = AtomicU64::new(0);

/// The number of times that a database of this process had no space left. Only a write can tell whether there is space again
/// ([`super::instance::probe_space`]).
pub fn disk_full_errors() -> u64 {
    DISK_FULL_ERRORS.load(Ordering::Relaxed)
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

/// PostgreSQL's `disk_full`; SQLite's `SQLITE_FULL`, and `SQLITE_IOERR_SHMSIZE`: the index of the write-ahead log cannot grow,
/// which in practice has no other cause.
fn is_full_code(code: &str) -> bool {
    code == "53100"
        || code.len() < 5 && code.parse::<u32>().is_ok_and(|code| code & 0xff == 13 || code == 4_874)
}

/// A code of five characters is PostgreSQL's SQLSTATE; a shorter one is a result code of SQLite.
fn is_transient_code(code: &str) -> bool {
    if let (5, Some(class)) = (code.len(), code.get(..2)) {
        // 08: connection; 28: login (a rotated password); 53: out of resources; 57P: starting or stopping; 40: deadlock or
        // serialization failure; 25006: a read-only standby that will be promoted.
        return matches!(class, "08" | "28" | "40" | "53") || code.starts_with("57P") || code == "25006";
    }
    // The low byte of an extended code is the basic code: busy, locked, read-only, I/O error, disk full, cannot open.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_is_distinguished_from_other_errors() {
        for (code, is_full) in [
            ("53100", true),
            ("53200", false),
            ("13", true),
            ("4874", true),
            ("10", false),
            ("778", false),
            ("00013", false),
            ("57P03", false),
        ] {
            assert_eq!(is_full_code(code), is_full, "{code}");
        }
        let error = |kind: io::ErrorKind| Error::from(sqlx::Error::Io(kind.into()));
        let before = disk_full_errors();
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert!(error(kind).is_full() && error(kind).is_unavailable());
        }
        assert!(disk_full_errors() >= before + 2);
        assert!(!error(io::ErrorKind::BrokenPipe).is_full());
    }

    #[test]
    fn only_transient_errors_are_unavailable() {
        for (code, is_transient) in [
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
            assert_eq!(is_transient_code(code), is_transient, "{code}");
        }
        assert!(Error::from(sqlx::Error::PoolTimedOut).is_unavailable());
        assert!(!Error::from(sqlx::Error::RowNotFound).is_unavailable());
    }
}
