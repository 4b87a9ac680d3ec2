//! The database. All SQL of the server is here and in `migrations/`. Outside the migrations, almost every statement runs
//! unchanged on SQLite and PostgreSQL.
//!
//! Each table has one module, some with submodules. A module has functions that take the [`Store`], and rows with public
//! fields. `service` interprets the rows and encrypts secrets.

#[macro_use]
mod rows;
#[macro_use]
mod statement;
#[macro_use]
mod transaction;

pub mod agent_sessions;
pub mod audit;
mod azure_backend;
pub mod cluster_events;
pub mod cluster_secrets;
pub mod clusters;
pub mod credentials;
mod db;
mod error;
pub mod instance;
pub mod members;
mod migrations;
pub mod registration_tokens;
pub mod replicas;
pub mod revocations;
pub mod settings;
pub mod tokens;
pub mod users;
pub mod watches;

pub use audit::AuditRow;
pub use azure_backend::AzureBackend;
pub use cluster_events::{ClusterEventRow, NewClusterEvent};
pub use clusters::{ClusterRow, NameScope, NextRun, ReconcileColumns};
pub use credentials::{CredentialRow, EncryptedColumns};
pub use db::{DatabaseKind, Options, Store, sqlite_url};
pub use error::{Error, UniqueConstraint, disk_full_errors};
pub use members::MemberRow;
pub use migrations::MigrationResult;
pub use registration_tokens::RegistrationTokenRow;
pub use replicas::ReplicaRow;
pub use revocations::RevocationRow;
pub use settings::SettingRow;
pub use tokens::TokenRow;
pub use users::UserRow;
