//! The database. All SQL of the server is here and in `migrations/`. Outside the migrations, almost every statement runs
//! unchanged on SQLite and PostgreSQL.
//!
//! Each table has one file, with functions that take the [`Store`], and rows with public fields. The meaning of the rows, and
//! the encryption of secrets, are in `service`.

#[macro_use]
mod rows;
#[macro_use]
mod statement;
#[macro_use]
mod transaction;

pub mod agent_sessions;
pub mod audit;
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
mod server_kind;
pub mod settings;
pub mod tokens;
pub mod users;
pub mod watches;

pub use audit::AuditRow;
pub use cluster_events::{ClusterEventRow, NewClusterEvent};
pub use clusters::{ClusterRow, NameScope, Wake, WorkColumns};
pub use credentials::{CredentialRow, SealedColumns};
pub use db::{DatabaseKind, Options, Store, sqlite_url};
pub use error::{Error, Unique, disk_full_errors};
pub use members::MemberRow;
pub use migrations::Migrated;
pub use registration_tokens::RegistrationTokenRow;
pub use replicas::ReplicaRow;
pub use revocations::RevocationRow;
pub use server_kind::ServerKind;
pub use settings::SettingRow;
pub use tokens::TokenRow;
pub use users::UserRow;
