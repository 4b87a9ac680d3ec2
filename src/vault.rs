//! Envelope encryption of stored secrets, and the other uses of cryptography: hashes of tokens, fingerprints, randomness.
//!
//! Each secret has a data key of its own, drawn at random; the data key is wrapped by a named key of the key file.
//! Both layers are AES-256-GCM and are bound to the place where the secret belongs (`credentials/cc-x/clientSecret`),
//! the wrapping also to the name of its key: a sealed secret that is copied to another row cannot be opened. Changing
//! the key of the key file wraps the data key anew and leaves the ciphertext as it is.
//! Reading the key file from disk is not here: see `service::secrets`.

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
pub use keyring::{KeyLine, KeyRing};
pub use replica_key::{ReplicaKey, ed25519_pkcs8};

/// The length of keys, of those in the key file as of data keys, in bytes.
const KEY_LEN: usize = 32;

/// A secret that cannot be sealed or opened, or a key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key that sealed the secret is not in the key file.
    #[error("the encryption key {0} is missing")]
    MissingKey(String),
    /// The sealed bytes are not what was sealed, or were sealed for another place, or by another key of the same name.
    #[error("the sealed secret was altered, belongs elsewhere, or was sealed by another key named {key_id}")]
    Tampered {
        /// The name of the key that wraps it.
        key_id: String,
    },
    /// What was sealed is no text.
    #[error("the sealed secret is no text")]
    NoText,
    /// The key file holds no key at all.
    #[error("there is no key in the key file")]
    NoKey,
    /// A line of the key file cannot be used.
    #[error("line {line} of the key file {problem}")]
    KeyLine {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: KeyLine,
    },
    /// The cryptography library refused to work.
    #[error("encryption failed")]
    Broken,
}

/// A sealed secret: what may be stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The key that wraps the data key.
    pub key_id: String,
    /// Nonce, wrapped data key, tag: 60 bytes.
    pub wrapped_key: Vec<u8>,
    /// Nonce, encrypted text, tag: 28 bytes more than the text.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Seals and opens secrets with the keys of a [`KeyRing`] that can be exchanged while it works. Clones share it.
#[derive(Clone, Debug)]
pub struct Vault {
    ring: Arc<ArcSwap<KeyRing>>,
}

impl Vault {
    /// A vault with these keys.
    pub fn new(ring: KeyRing) -> Self {
        Self { ring: Arc::new(ArcSwap::from_pointee(ring)) }
    }

    /// Works with the keys of another vault from now on.
    pub fn adopt(&self, other: &Self) {
        self.ring.store(other.ring.load_full());
    }

    /// The names of all keys, the active one first.
    pub fn key_ids(&self) -> Vec<String> {
        self.ring.load().ids().map(str::to_owned).collect()
    }

    /// The keys by which servers with the same key file know each other, the active one first.
    pub fn replica_keys(&self) -> Vec<ReplicaKey> {
        self.ring.load().replica_keys().cloned().collect()
    }

    /// Fingerprints of credentials, by a key that is derived from the active one. They stay the same if another key becomes active later.
    pub fn fingerprinter(&self) -> Fingerprinter {
        self.ring.load().fingerprinter().clone()
    }

    /// The name of the key that seals.
    pub fn active_id(&self) -> String {
        self.ring.load().active().0.to_owned()
    }

    /// Seals `plain` for the place `context`, for example `credentials/cc-x/clientSecret`.
    ///
    /// # Errors
    /// [`Error::Broken`] only.
    pub fn seal(&self, context: &str, plain: &SecretString) -> Result<Sealed, Error> {
        let ring = self.ring.load();
        let (key_id, key) = ring.active();
        seal(key_id, key, context, plain)
    }

    /// Seals bytes of any length for the place `context`, in place. They must not be secrets, because copies are not erased.
    ///
    /// # Errors
    /// [`Error::Broken`] only.
    pub fn seal_bytes(&self, context: &str, plain: Vec<u8>) -> Result<Sealed, Error> {
        let ring = self.ring.load();
        let (key_id, key) = ring.active();
        let (data_key, cipher) = new_data_key()?;
        let ciphertext = encrypt_in_place(&cipher, &data_aad(context), plain)?;
        let wrapped_key = encrypt(key, &wrap_aad(context, key_id), data_key.as_ref())?;
        Ok(Sealed { key_id: key_id.to_owned(), wrapped_key, ciphertext })
    }

    /// Opens what [`Vault::seal_bytes`] sealed for `context`.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::Tampered`].
    pub fn open_bytes(&self, context: &str, sealed: Sealed) -> Result<Vec<u8>, Error> {
        let data_key = self.unwrap_key(context, &sealed)?;
        let Sealed { key_id, ciphertext, .. } = sealed;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &data_key).map_err(|_| Error::Broken)?;
        decrypt_in_place(&cipher, &data_aad(context), ciphertext).ok_or(Error::Tampered { key_id })
    }

    /// Seals by a key that need not be the active one.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::Broken`].
    pub fn seal_by(&self, key_id: &str, context: &str, plain: &SecretString) -> Result<Sealed, Error> {
        let ring = self.ring.load();
        let key = ring.get(key_id).ok_or_else(|| Error::MissingKey(key_id.to_owned()))?;
        seal(key_id, key, context, plain)
    }

    /// Whether the wrapping opens: the key of that name is the one that sealed it, and it was sealed for `context`.
    pub fn unwraps(&self, context: &str, sealed: &Sealed) -> bool {
        self.unwrap_key(context, sealed).is_ok()
    }

    /// Opens what was sealed for `context`.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::Tampered`]; [`Error::NoText`] cannot come from what [`Vault::seal`] made.
    pub fn open(&self, context: &str, sealed: &Sealed) -> Result<SecretString, Error> {
        let tampered = || Error::Tampered { key_id: sealed.key_id.clone() };
        let data_key = self.unwrap_key(context, sealed)?;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &data_key).map_err(|_| tampered())?;
        let plain = decrypt(&cipher, &data_aad(context), &sealed.ciphertext).ok_or_else(tampered)?;
        let text = std::str::from_utf8(&plain).map_err(|_| Error::NoText)?;
        Ok(SecretString::from(text))
    }

    /// The same secret under the active key; the ciphertext stays.
    ///
    /// # Errors
    /// [`Error::MissingKey`] and [`Error::Tampered`], as for opening the wrapping.
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
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, data_key.as_ref()).map_err(|_| Error::Broken)?;
    Ok((data_key, cipher))
}

/// The nonce, then what `plain` became, then the tag.
fn encrypt(key: &RandomizedNonceKey, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
    let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + 16));
    buffer.extend_from_slice(plain);
    let nonce = key.seal_in_place_append_tag(Aad::from(aad), &mut *buffer).map_err(|_| Error::Broken)?;
    let mut sealed = Vec::with_capacity(NONCE_LEN + buffer.len());
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(&buffer);
    Ok(sealed)
}

fn decrypt(key: &RandomizedNonceKey, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut buffer = Zeroizing::new(rest.to_vec());
    let length = key.open_in_place(nonce, Aad::from(aad), &mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

/// As [`encrypt`], without a second buffer.
fn encrypt_in_place(key: &RandomizedNonceKey, aad: &[u8], plain: Vec<u8>) -> Result<Vec<u8>, Error> {
    let mut sealed = plain;
    sealed.reserve_exact(NONCE_LEN + AES_256_GCM.tag_len());
    sealed.splice(..0, [0; NONCE_LEN]);
    let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN).ok_or(Error::Broken)?;
    let (used, tag) = key.seal_in_place_separate_tag(Aad::from(aad), text).map_err(|_| Error::Broken)?;
    nonce.copy_from_slice(used.as_ref());
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

fn decrypt_in_place(key: &RandomizedNonceKey, aad: &[u8], sealed: Vec<u8>) -> Option<Vec<u8>> {
    let mut plain = sealed;
    let (nonce, rest) = plain.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let length = key.open_in_place(nonce, Aad::from(aad), rest).ok()?.len();
    plain.truncate(NONCE_LEN + length);
    plain.drain(..NONCE_LEN);
    Some(plain)
}

fn data_aad(context: &str) -> Vec<u8> {
    bound(&["norman-aks/1/secret", context])
}

fn wrap_aad(context: &str, key_id: &str) -> Vec<u8> {
    bound(&["norman-aks/1/data-key", key_id, context])
}

/// Parts with their lengths, so that no two lists of parts give the same bytes.
fn bound(parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests;
