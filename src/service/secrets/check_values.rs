//! Check values: a known text, sealed by each key of the key file, in the table `instance`. They tell the right key from a
//! wrong one of the same name, before anything is sealed by it.
//!
//! A check value is written when its key is first seen, and never removed: a name stands for one key for good. In a
//! database from before there were check values, a key must first open what was sealed by its name.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::{Error, cluster_context, context};
use crate::store::{self, Store, instance};
use crate::vault::{Sealed, Vault};

/// The text that is sealed.
const KNOWN_TEXT: &str = "norman-aks";

/// The most secrets of a table that are tried with a key; one of them may be damaged.
const SAMPLES: u32 = 20;

/// Whether missing check values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// They are.
    Write,
    /// The database stays as it is.
    Leave,
}

/// Makes sure that every key of the vault is the one that this database knows by its name.
///
/// # Errors
/// [`Error::WrongKey`], [`Error::Store`].
pub(super) async fn verify(store: &Store, vault: &Vault, path: &Path, missing: Missing) -> Result<(), Error> {
    for id in vault.key_ids() {
        let mut kept = instance::get(store, &place(&id)).await?;
        if kept.is_none() {
            verify_by_rows(store, vault, &id, path).await?;
            if missing == Missing::Write {
                let sealed = vault.seal_by(&id, &place_context(&id), &SecretString::from(KNOWN_TEXT))?;
                // Of several servers that start at once, one writes, and all hold their key against it.
                kept = Some(instance::insert_if_absent(store, &place(&id), &to_text(&sealed)).await?);
            }
        }
        if let Some(text) = kept {
            let sealed = from_text(&id, &text)?;
            vault.open(&place_context(&id), &sealed).map_err(|_| wrong(&id, path))?;
        }
    }
    Ok(())
}

/// Tries the key on secrets that were sealed by its name; without any, every key is right.
async fn verify_by_rows(store: &Store, vault: &Vault, id: &str, path: &Path) -> Result<(), Error> {
    let mut samples = Vec::new();
    for (credential, _, sealed) in store::credentials::sealed_by(store, id, SAMPLES).await? {
        samples.push((context(&credential), sealed));
    }
    for (cluster, name, sealed) in store::cluster_secrets::sealed_by(store, id, SAMPLES).await? {
        samples.push((cluster_context(&cluster, &name), sealed));
    }
    let opens = samples.iter().any(|(context, sealed)| vault.unwraps(context, &Sealed::from(sealed)));
    if samples.is_empty() || opens { Ok(()) } else { Err(wrong(id, path)) }
}

fn wrong(id: &str, path: &Path) -> Error {
    Error::WrongKey { path: path.to_owned(), id: id.to_owned() }
}

/// The key of the row in the table `instance`.
fn place(id: &str) -> String {
    format!("encryption-key/{id}")
}

/// The place that the value is sealed for.
fn place_context(id: &str) -> String {
    format!("instance/{}", place(id))
}

fn to_text(sealed: &Sealed) -> String {
    format!("{}.{}", STANDARD.encode(&sealed.wrapped_key), STANDARD.encode(&sealed.ciphertext))
}

fn from_text(id: &str, text: &str) -> Result<Sealed, Error> {
    let parsed = text.split_once('.').and_then(|(wrapped_key, ciphertext)| {
        let (wrapped_key, ciphertext) =
            (STANDARD.decode(wrapped_key).ok()?, STANDARD.decode(ciphertext).ok()?);
        Some(Sealed { key_id: id.to_owned(), wrapped_key, ciphertext })
    });
    parsed.ok_or_else(|| {
        let source = "not two base64 texts with a dot between".into();
        store::Error::Corrupt { table: "instance", column: "value", row: place(id), source }.into()
    })
}
