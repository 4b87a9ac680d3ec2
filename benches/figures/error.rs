//! The result of a measurement.

/// A result whose error is only printed.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
