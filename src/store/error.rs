//! How the database fails, in our own words.

/// A failed statement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The driver's error.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}
