//! The schema: the embedded files of `migrations/sqlite` and `migrations/postgres`, and their application.

use std::collections::BTreeSet;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection as _, SqlSafeStr as _};

use super::db::Db;
use super::{DatabaseKind, Error, Store};

/// A migration, with its SQL for either database.
struct Step {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! step {
    ($version:literal, $name:literal, $file:literal) => {
        Step {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $file)),
            postgres: include_str!(concat!("../../migrations/postgres/", $file)),
        }
    };
}

/// All migrations in order. A released file is never changed.
const STEPS: [Step; 12] = [
    step!(1, "first", "0001_first.sql"),
    step!(2, "provisioning", "0002_provisioning.sql"),
    step!(3, "audit_detail", "0003_audit_detail.sql"),
    step!(4, "identity_proved", "0004_identity_proved.sql"),
    step!(5, "users", "0005_users.sql"),
    step!(6, "replica_capabilities", "0006_replica_capabilities.sql"),
    step!(7, "cluster_rights", "0007_cluster_rights.sql"),
    step!(8, "pending_deletions", "0008_pending_deletions.sql"),
    step!(9, "metadata_and_roles", "0009_metadata_and_roles.sql"),
    step!(10, "administrator_revocations", "0010_administrator_revocations.sql"),
    step!(11, "counted_uses", "0011_counted_uses.sql"),
    step!(12, "agents", "0012_agents.sql"),
];

/// The result of [`Store::migrate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationResult {
    /// The migrations that were applied, `0001_first` and so on.
    pub applied: Vec<String>,
}

impl Store {
    /// Migrates the schema to this version. If several servers start this concurrently, one migrates, and the others wait.
    pub async fn migrate(&self) -> Result<MigrationResult, Error> {
        let applied = self.pending_migrations().await?;
        match &self.db {
            Db::Sqlite { writer, .. } => {
                // One transaction holds the write lock from the start: a second process waits, and a failure changes nothing.
                // Each migration is a savepoint in it.
                let mut transaction = writer.begin_with("begin immediate").await?;
                migrator(|step| step.sqlite).run_direct(None, &mut *transaction, false).await?;
                transaction.commit().await?;
            }
            Db::Postgres(pool) => {
                // A failed run holds its advisory lock until its connection is closed, so the pool must not reuse the connection.
                let mut connection = pool.acquire().await?.detach();
                let outcome = migrator(|step| step.postgres).run_direct(None, &mut connection, false).await;
                connection.close().await.ok();
                outcome?;
            }
        }
        Ok(MigrationResult { applied })
    }

    /// The migrations that the database lacks, `0001_first` and so on. Ignores newer ones in the database, so that running
    /// servers continue while others are upgraded.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, Error> {
        let applied = self.applied_migrations().await?;
        Ok(STEPS
            .iter()
            .filter(|step| !applied.contains(&step.version))
            .map(|step| format!("{:04}_{}", step.version, step.name))
            .collect())
    }

    /// Fails if a newer version of this program has migrated the schema. [`Store::migrate`] does the same.
    ///
    /// # Errors
    /// [`Error::Newer`] with the first migration that this program does not contain.
    pub async fn reject_newer_schema(&self) -> Result<(), Error> {
        let is_included = |version: &i64| STEPS.iter().any(|step| step.version == *version);
        let newer = self.applied_migrations().await?.into_iter().find(|version| !is_included(version));
        newer.map_or(Ok(()), |version| Err(Error::Newer(version)))
    }

    /// The numbers of the applied migrations.
    async fn applied_migrations(&self) -> Result<BTreeSet<i64>, Error> {
        let exists = match self.kind() {
            DatabaseKind::Sqlite => {
                "select exists (select 1 from sqlite_schema where name = '_sqlx_migrations')"
            }
            DatabaseKind::Postgres => "select to_regclass('_sqlx_migrations') is not null",
        };
        if !self.fetch_one::<bool>(exists, args![]).await? {
            return Ok(BTreeSet::new());
        }
        let versions = "select version from _sqlx_migrations where success";
        Ok(self.fetch_all::<i64>(versions, args![]).await?.into_iter().collect())
    }
}

fn migrator(sql: impl Fn(&Step) -> &'static str) -> Migrator {
    let migrations = STEPS.iter().map(|step| {
        let sql = sql(step).into_sql_str();
        Migration::new(step.version, step.name.into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dialect: &str) -> Vec<String> {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/").to_owned() + dialect;
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .expect("directory")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("name"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn both_databases_have_the_same_files_and_every_file_is_a_step() {
        assert_eq!(files("sqlite"), files("postgres"));
        let steps: Vec<String> =
            STEPS.iter().map(|step| format!("{:04}_{}.sql", step.version, step.name)).collect();
        assert_eq!(files("sqlite"), steps);
    }

    #[test]
    fn both_databases_have_the_same_tables_and_columns() {
        fn tables(sql: &str) -> Vec<(String, Vec<String>)> {
            sql.split("create table ")
                .skip(1)
                .map(|table| {
                    let (name, body) = table.split_once(" (\n").expect("body");
                    let columns = body
                        .lines()
                        .take_while(|line| !line.starts_with(')'))
                        .filter_map(|line| line.split_whitespace().next().map(str::to_owned));
                    (name.to_owned(), columns.collect())
                })
                .collect()
        }
        for step in &STEPS {
            // SQLite cannot alter every constraint: some tables are rebuilt as `<table>_new`, and renamed.
            let mut sqlite_tables = tables(step.sqlite);
            sqlite_tables.retain(|(table, _)| !table.ends_with("_new"));
            assert_eq!(sqlite_tables, tables(step.postgres), "{}", step.name);
        }
        assert!(
            tables(STEPS[0].sqlite).iter().any(|(name, columns)| name == "clusters" && columns.len() == 11)
        );
    }

    #[test]
    fn every_sqlite_table_is_strict() {
        for Step { name, sqlite, .. } in &STEPS {
            assert_eq!(sqlite.matches("create table").count(), sqlite.matches(") strict").count(), "{name}");
        }
    }
}
