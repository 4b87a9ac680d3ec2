//! What we remember: the only SQL of the house, once for SQLite and PostgreSQL.
//!
//! One file per table, of plain functions that take the [`Store`] and plain rows with public fields. Here are the
//! rows as they lie in the tables; what they mean, and what a secret is, is known in `service`.

#[macro_use]
mod change;
#[macro_use]
mod db;

pub mod cluster_events;
pub mod cluster_secrets;
pub mod clusters;
pub mod credentials;
mod error;
pub mod events;
pub mod instance;
pub mod members;
mod migrations;
pub mod registration_tokens;
pub mod replicas;
pub mod revocations;
mod rows;
pub mod settings;
pub mod tokens;
pub mod users;
pub mod watches;

pub use cluster_events::{ClusterEventRow, NewClusterEvent};
pub use clusters::{ClusterRow, NameScope, Wake, WorkColumns};
pub use credentials::{CredentialRow, SealedColumns};
pub use db::{Kind, Options, Store, sqlite_url};
pub use error::{Error, Unique, full_errors};
pub use events::AuditRow;
pub use instance::Stamp;
pub use members::MemberRow;
pub use migrations::Migrated;
pub use registration_tokens::RegistrationTokenRow;
pub use replicas::ReplicaRow;
pub use revocations::RevocationRow;
pub use settings::SettingRow;
pub use tokens::TokenRow;
pub use users::UserRow;
