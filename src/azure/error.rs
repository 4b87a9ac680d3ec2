//! How Azure fails.

/// A failed request to Azure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request took longer than it may.
    #[error("no answer in time")]
    TimedOut,
}
