//! Envelope encryption of stored secrets.

/// A secret that cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key that sealed the secret is not in the key file.
    #[error("the encryption key {0} is missing")]
    MissingKey(String),
}
