//! Envelope encryption of stored secrets, and other cryptography: hashes of tokens, fingerprints, random bytes.
//!
//! Each secret is encrypted with its own random data key, which is encrypted (wrapped) with a key of the key file. Both
//! encryptions use AES-256-GCM with the context of the secret (`credentials/cc-x/clientSecret`) as associated data, so that
//! a sealed secret that is copied to another row cannot be opened. Wrapping also authenticates the ID of the key that wraps.
//! When another key becomes active, data keys are wrapped again and ciphertexts stay unchanged.
//! `service::secrets` reads the key file.

mod digest;
mod keyring;
mod replica_key;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

pub use digest::{Fingerprinter, content_hash, hashes_equal, random, token_hash};
pub use keyring::{KeyLineProblem, KeyRing};
pub use replica_key::{ReplicaKey, ed25519_pkcs8};

/// The length of the keys in the key file and of data keys, in bytes.
const KEY_LEN: usize = 32;

/// An error of sealing or opening a secret, or of reading the text of a key file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key that sealed the secret is not in the key file.
    #[error("the encryption key {0} is missing")]
    MissingKey(String),
    /// The sealed bytes were altered, or were sealed for another context or with another key of the same ID.
    #[error(
        "the sealed secret was altered, belongs to another record, or was sealed with another key with the ID {key_id}"
    )]
    Tampered {
        /// The ID of the key that wraps the data key.
        key_id: String,
    },
    /// The opened secret is not UTF-8.
    #[error("the sealed secret is not UTF-8")]
    NotUtf8,
    /// The key file contains no key.
    #[error("the key file contains no key")]
    NoKey,
    /// A line of the key file is invalid.
    #[error("line {line} of the key file {problem}")]
    KeyLine {
        /// The number of the line, from 1.
        line: usize,
        /// The reason.
        problem: KeyLineProblem,
    },
    /// The cryptography library returned an error.
    #[error("encryption failed")]
    Encryption,
}

/// A sealed secret, which can be stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The ID of the key that wraps the data key.
    pub key_id: String,
    /// Nonce, encrypted data key and tag: 60 bytes.
    pub wrapped_key: Vec<u8>,
    /// Nonce, encrypted text and tag: 28 bytes more than the text.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Seals and opens secrets with the keys of a [`KeyRing`], which can be replaced at any time. Clones share it.
#[derive(Clone, Debug)]
pub struct Vault {
    ring: Arc<ArcSwap<KeyRing>>,
}

impl Vault {
    /// Creates a vault with these keys.
    pub fn new(ring: KeyRing) -> Self {
        Self { ring: Arc::new(ArcSwap::from_pointee(ring)) }
    }

    /// Replaces the keys with those of another vault.
    pub fn use_keys_of(&self, other: &Self) {
        self.ring.store(other.ring.load_full());
    }

    /// The IDs of all keys, the active one first.
    pub fn key_ids(&self) -> Vec<String> {
        self.ring.load().ids().map(str::to_owned).collect()
    }

    /// The keys with which servers with the same key file authenticate to each other, the active one first.
    pub fn replica_keys(&self) -> Vec<ReplicaKey> {
        self.ring.load().replica_keys().cloned().collect()
    }

    /// The fingerprinter of credentials, with a key that is derived from the active key. It keeps that key even if another one
    /// becomes active later.
    pub fn fingerprinter(&self) -> Fingerprinter {
        self.ring.load().fingerprinter().clone()
    }

    /// The ID of the active key.
    pub fn active_key_id(&self) -> String {
        self.ring.load().active().0.to_owned()
    }

    /// Seals `plain` for `context`, for example `credentials/cc-x/clientSecret`.
    ///
    /// # Errors
    /// [`Error::Encryption`] only.
    pub fn seal(&self, context: &str, plain: &SecretString) -> Result<Sealed, Error> {
        let ring = self.ring.load();
        let (key_id, key) = ring.active();
        seal(key_id, key, context, plain)
    }

    /// Seals bytes of any length for `context`, in place. They must not be secret, because copies are not erased.
    ///
    /// # Errors
    /// [`Error::Encryption`] only.
    pub fn seal_bytes(&self, context: &str, plain: Vec<u8>) -> Result<Sealed, Error> {
        let ring = self.ring.load();
        let (key_id, key) = ring.active();
        let (data_key, cipher) = new_data_key()?;
        let ciphertext = encrypt_in_place(&cipher, &data_aad(context), plain)?;
        let wrapped_key = encrypt(key, &wrap_aad(context, key_id), data_key.as_ref())?;
        Ok(Sealed { key_id: key_id.to_owned(), wrapped_key, ciphertext })
    }

    /// Opens bytes that [`Vault::seal_bytes`] sealed for `context`.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::Tampered`].
    pub fn open_bytes(&self, context: &str, sealed: Sealed) -> Result<Vec<u8>, Error> {
        let data_key = self.unwrap_key(context, &sealed)?;
        let Sealed { key_id, ciphertext, .. } = sealed;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &data_key).ok();
        let plain = cipher.and_then(|cipher| decrypt_in_place(&cipher, &data_aad(context), ciphertext));
        plain.ok_or(Error::Tampered { key_id })
    }

    /// Seals with a key that need not be the active one.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::Encryption`].
    pub fn seal_with_key(&self, key_id: &str, context: &str, plain: &SecretString) -> Result<Sealed, Error> {
        let ring = self.ring.load();
        let key = ring.get(key_id).ok_or_else(|| Error::MissingKey(key_id.to_owned()))?;
        seal(key_id, key, context, plain)
    }

    /// Whether the data key can be unwrapped, which means that the key `key_id` wrapped it for `context`.
    pub fn can_unwrap(&self, context: &str, sealed: &Sealed) -> bool {
        self.unwrap_key(context, sealed).is_ok()
    }

    /// Opens a secret that was sealed for `context`.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::Tampered`]; [`Error::NotUtf8`] cannot occur for a secret that [`Vault::seal`]
    /// sealed.
    pub fn open(&self, context: &str, sealed: &Sealed) -> Result<SecretString, Error> {
        let tampered = || Error::Tampered { key_id: sealed.key_id.clone() };
        let data_key = self.unwrap_key(context, sealed)?;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &data_key).map_err(|_| tampered())?;
        let plain = decrypt(&cipher, &data_aad(context), &sealed.ciphertext).ok_or_else(tampered)?;
        let text = std::str::from_utf8(&plain).map_err(|_| Error::NotUtf8)?;
        Ok(SecretString::from(text))
    }

    /// Wraps the data key of a secret with the active key; the ciphertext is unchanged.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::Tampered`], [`Error::Encryption`].
    pub fn rewrap(&self, context: &str, sealed: &Sealed) -> Result<Sealed, Error> {
        let data_key = self.unwrap_key(context, sealed)?;
        let ring = self.ring.load();
        let (key_id, key) = ring.active();
        let wrapped_key = encrypt(key, &wrap_aad(context, key_id), &data_key)?;
        Ok(Sealed { key_id: key_id.to_owned(), wrapped_key, ciphertext: sealed.ciphertext.clone() })
    }

    fn unwrap_key(&self, context: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Error> {
        let ring = self.ring.load();
        let key = ring.get(&sealed.key_id).ok_or_else(|| Error::MissingKey(sealed.key_id.clone()))?;
        decrypt(key, &wrap_aad(context, &sealed.key_id), &sealed.wrapped_key)
            .ok_or_else(|| Error::Tampered { key_id: sealed.key_id.clone() })
    }
}

fn seal(
    key_id: &str,
    key: &RandomizedNonceKey,
    context: &str,
    plain: &SecretString,
) -> Result<Sealed, Error> {
    let (data_key, cipher) = new_data_key()?;
    let ciphertext = encrypt(&cipher, &data_aad(context), plain.expose_secret().as_bytes())?;
    let wrapped_key = encrypt(key, &wrap_aad(context, key_id), data_key.as_ref())?;
    Ok(Sealed { key_id: key_id.to_owned(), wrapped_key, ciphertext })
}

fn new_data_key() -> Result<(Zeroizing<[u8; KEY_LEN]>, RandomizedNonceKey), Error> {
    let data_key = Zeroizing::new(random::<KEY_LEN>());
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, data_key.as_ref()).map_err(|_| Error::Encryption)?;
    Ok((data_key, cipher))
}

/// Encrypts `plain`; returns nonce, ciphertext and tag.
fn encrypt(key: &RandomizedNonceKey, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
    let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + 16));
    buffer.extend_from_slice(plain);
    let nonce = key.seal_in_place_append_tag(Aad::from(aad), &mut *buffer).map_err(|_| Error::Encryption)?;
    let mut sealed = Vec::with_capacity(NONCE_LEN + buffer.len());
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(&buffer);
    Ok(sealed)
}

fn decrypt(key: &RandomizedNonceKey, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let length = key.open_in_place(nonce, Aad::from(aad), &mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

/// Like [`encrypt`], without a second buffer.
fn encrypt_in_place(key: &RandomizedNonceKey, aad: &[u8], plain: Vec<u8>) -> Result<Vec<u8>, Error> {
    let mut sealed = plain;
    sealed.reserve_exact(NONCE_LEN + AES_256_GCM.tag_len());
    sealed.splice(..0, [0; NONCE_LEN]);
    let (nonce, plaintext) = sealed.split_at_mut_checked(NONCE_LEN).ok_or(Error::Encryption)?;
    let (used_nonce, tag) =
        key.seal_in_place_separate_tag(Aad::from(aad), plaintext).map_err(|_| Error::Encryption)?;
    nonce.copy_from_slice(used_nonce.as_ref());
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

fn decrypt_in_place(key: &RandomizedNonceKey, aad: &[u8], sealed: Vec<u8>) -> Option<Vec<u8>> {
    let mut plain = sealed;
    let (nonce, ciphertext) = plain.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let length = key.open_in_place(nonce, Aad::from(aad), ciphertext).ok()?.len();
    plain.truncate(NONCE_LEN + length);
    plain.drain(..NONCE_LEN);
    Some(plain)
}

fn data_aad(context: &str) -> Vec<u8> {
    length_prefixed(&["norman-aks/1/secret", context])
}

fn wrap_aad(context: &str, key_id: &str) -> Vec<u8> {
    length_prefixed(&["norman-aks/1/data-key", key_id, context])
}

/// The parts, each preceded by its length, so that different lists of parts never result in the same bytes.
fn length_prefixed(parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests;
