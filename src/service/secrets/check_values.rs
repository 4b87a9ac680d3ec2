//! Check values: a fixed text, encrypted with each key of the key file, in the table `instance`. They detect a different key
//! with the same ID before anything is encrypted with it.
//!
//! A check value is written when its key is first loaded, and never deleted, so an ID always means the same key. In a database
//! of a version without check values, a key must first unwrap the data key of a secret that was encrypted under its ID.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::{Error, cluster_context, credential_context};
use crate::store::{self, Store, instance};
use crate::vault::{Sealed, Vault};

/// The text that is encrypted.
const KNOWN_TEXT: &str = "norman-aks";

/// The maximum number of secrets in each table that a key is tried on: more than one, because some may be corrupt.
const MAX_SAMPLES: u32 = 20;

/// The handling of missing check values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnMissing {
    /// Write them.
    Write,
    /// Do not change the database.
    Leave,
}

/// Checks that every key of the vault is the one that encrypted the database under its ID.
///
/// # Errors
/// [`Error::WrongKey`], [`Error::Store`].
pub(super) async fn verify(
    store: &Store,
    vault: &Vault,
    path: &Path,
    on_missing: OnMissing,
) -> Result<(), Error> {
    for id in vault.key_ids() {
        let mut check_value = instance::get(store, &row_name(&id)).await?;
        if check_value.is_none() {
            verify_by_secrets(store, vault, &id, path).await?;
            if on_missing == OnMissing::Write {
                let sealed = vault.seal_with_key(&id, &row_context(&id), &SecretString::from(KNOWN_TEXT))?;
                // If several servers start at the same time, one writes the value, and all of them check their key with it.
                check_value =
                    Some(instance::insert_if_absent(store, &row_name(&id), &encode(&sealed)).await?);
            }
        }
        if let Some(value) = check_value {
            let sealed = decode(&id, &value)?;
            vault.open(&row_context(&id), &sealed).map_err(|_| wrong_key(&id, path))?;
        }
    }
    Ok(())
}

/// Tries the key on secrets that were encrypted under its ID; if there are none, any key is valid.
async fn verify_by_secrets(store: &Store, vault: &Vault, id: &str, path: &Path) -> Result<(), Error> {
    let mut samples = Vec::new();
    for (credential, _, sealed) in store::credentials::sealed_by(store, id, MAX_SAMPLES).await? {
        samples.push((credential_context(&credential), sealed));
    }
    for (cluster, name, sealed) in store::cluster_secrets::sealed_by(store, id, MAX_SAMPLES).await? {
        samples.push((cluster_context(&cluster, &name), sealed));
    }
    let can_unwrap = samples.iter().any(|(context, sealed)| vault.can_unwrap(context, &Sealed::from(sealed)));
    if samples.is_empty() || can_unwrap { Ok(()) } else { Err(wrong_key(id, path)) }
}

fn wrong_key(id: &str, path: &Path) -> Error {
    Error::WrongKey { path: path.to_owned(), id: id.to_owned() }
}

/// The name of a key's row in the table `instance`.
fn row_name(id: &str) -> String {
    format!("encryption-key/{id}")
}

/// The encryption context of a key's check value.
fn row_context(id: &str) -> String {
    format!("instance/{}", row_name(id))
}

fn encode(sealed: &Sealed) -> String {
    format!("{}.{}", STANDARD.encode(&sealed.wrapped_key), STANDARD.encode(&sealed.ciphertext))
}

fn decode(id: &str, value: &str) -> Result<Sealed, Error> {
    let decoded = value.split_once('.').and_then(|(wrapped_key, ciphertext)| {
        let (wrapped_key, ciphertext) =
            (STANDARD.decode(wrapped_key).ok()?, STANDARD.decode(ciphertext).ok()?);
        Some(Sealed { key_id: id.to_owned(), wrapped_key, ciphertext })
    });
    decoded.ok_or_else(|| {
        let source = "expected two base64 strings separated by a dot".into();
        store::Error::Corrupt { table: "instance", column: "value", row: row_name(id), source }.into()
    })
}
