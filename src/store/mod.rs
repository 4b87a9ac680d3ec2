//! What we remember: the only SQL of the house, once for SQLite and PostgreSQL.

mod error;

pub use error::Error;
