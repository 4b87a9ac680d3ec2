//! Encryption of the snapshot of cached lists, which is in a file instead of the database.

use super::Secrets;
use crate::store::EncryptedColumns;
use crate::vault::{self, Sealed};

/// The encryption context of a snapshot of cached lists.
fn snapshot_context(version: &str) -> String {
    format!("snapshots/lists/{version}")
}

impl Secrets {
    /// Encrypts a snapshot of cached lists for a version of its format.
    ///
    /// # Errors
    /// [`vault::Error::Encryption`] only.
    pub fn encrypt_snapshot(&self, version: &str, plain: Vec<u8>) -> Result<EncryptedColumns, vault::Error> {
        self.inner.vault.seal_bytes(&snapshot_context(version), plain).map(EncryptedColumns::from)
    }

    /// Decrypts a snapshot of cached lists.
    ///
    /// # Errors
    /// [`vault::Error::MissingKey`], [`vault::Error::Tampered`].
    pub fn decrypt_snapshot(
        &self,
        version: &str,
        encrypted: EncryptedColumns,
    ) -> Result<Vec<u8>, vault::Error> {
        let EncryptedColumns { key_id, wrapped_key, ciphertext } = encrypted;
        let sealed = Sealed { key_id, wrapped_key, ciphertext };
        self.inner.vault.open_bytes(&snapshot_context(version), sealed)
    }
}
