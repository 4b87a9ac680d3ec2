//! The result of a measurement.

/// Errors are printed as text.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
