//! The keys of a key file with lines `id:base64`, the first of which is the active one. `service::secrets` reads the
//! file.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::replica_key::ReplicaKey;
use super::{Error, Fingerprinter, KEY_LEN, random};

/// The maximum length of the ID of a key, in characters.
const MAX_ID_LEN: usize = 64;

/// At least one key. The first key of the file is active and seals new secrets; all of them open secrets.
pub struct KeyRing {
    active: Key,
    others: Vec<Key>,
}

struct Key {
    id: String,
    cipher: RandomizedNonceKey,
    replica: ReplicaKey,
    fingerprinter: Fingerprinter,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// The reason why a line of a key file is invalid. The message never contains a part of the line, which may be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyLineProblem {
    /// The line has no colon: it must be `id:base64`.
    #[error("has no colon; it must be id:base64-of-32-bytes")]
    NoColon,
    /// The ID is empty, too long, or contains other characters than letters, digits, `.`, `_` and `-`.
    #[error(
        "has an invalid ID before the colon; use 1 to {MAX_ID_LEN} letters, digits, dots, hyphens or underscores"
    )]
    InvalidId,
    /// An earlier line has the same ID.
    #[error("repeats the ID of an earlier line")]
    DuplicateId,
    /// The text after the colon is not base64.
    #[error("has no valid base64 after the colon")]
    InvalidBase64,
    /// The decoded key has this many bytes instead of 32.
    #[error("has a key of {0} bytes; it must have {KEY_LEN}")]
    InvalidLength(usize),
}

impl KeyRing {
    /// Parses the text of a key file. Empty lines and lines that start with `#` are ignored.
    ///
    /// # Errors
    /// [`Error::KeyLine`] for the first invalid line, [`Error::NoKey`] if there is no key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = Key::parse(line).and_then(|key| {
                let is_duplicate = keys.iter().any(|other| other.id == key.id);
                if is_duplicate { Err(KeyLineProblem::DuplicateId) } else { Ok(key) }
            });
            keys.push(key.map_err(|problem| Error::KeyLine { line: index + 1, problem })?);
        }
        let mut keys = keys.into_iter();
        Ok(Self { active: keys.next().ok_or(Error::NoKey)?, others: keys.collect() })
    }

    /// A line with a new key and a new ID, without a line break.
    pub fn generate() -> SecretString {
        let key = Zeroizing::new(random::<KEY_LEN>());
        let encoded = Zeroizing::new(STANDARD.encode(key.as_ref()));
        let id = u32::from_be_bytes(random());
        SecretString::from(format!("key-{id:08x}:{}", *encoded))
    }

    /// The IDs of the keys, the active one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.active).chain(&self.others).map(|key| key.id.as_str())
    }

    pub(super) fn replica_keys(&self) -> impl Iterator<Item = &ReplicaKey> {
        std::iter::once(&self.active).chain(&self.others).map(|key| &key.replica)
    }

    pub(super) fn fingerprinter(&self) -> &Fingerprinter {
        &self.active.fingerprinter
    }

    pub(super) fn active(&self) -> (&str, &RandomizedNonceKey) {
        (&self.active.id, &self.active.cipher)
    }

    pub(super) fn get(&self, id: &str) -> Option<&RandomizedNonceKey> {
        std::iter::once(&self.active).chain(&self.others).find(|key| key.id == id).map(|key| &key.cipher)
    }
}

impl Key {
    fn parse(line: &str) -> Result<Self, KeyLineProblem> {
        let (id, encoded) = line.split_once(':').ok_or(KeyLineProblem::NoColon)?;
        let id = id.trim_end();
        let is_id_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if id.is_empty() || id.len() > MAX_ID_LEN || !id.chars().all(is_id_char) {
            return Err(KeyLineProblem::InvalidId);
        }
        let bytes =
            Zeroizing::new(STANDARD.decode(encoded.trim()).map_err(|_| KeyLineProblem::InvalidBase64)?);
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &bytes)
            .map_err(|_| KeyLineProblem::InvalidLength(bytes.len()))?;
        let replica = ReplicaKey::derive(&bytes);
        let fingerprinter = Fingerprinter::derive(&bytes);
        Ok(Self { id: id.to_owned(), cipher, replica, fingerprinter })
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const KEY: &str = "Q0FOQVJZLUNBTkFSWS1DQU5BUlktQ0FOQVJZLUNBTkE=";

    #[test]
    fn first_key_is_the_active_one() {
        let text = format!("# keys\n\n new : {KEY} \r\nold:{KEY}\n#gone:{KEY}\n");
        let ring = KeyRing::parse(&text).expect("ring");
        assert_eq!(ring.ids().collect::<Vec<_>>(), ["new", "old"]);
        assert_eq!(ring.active().0, "new");
        assert!(ring.get("old").is_some() && ring.get("gone").is_none());
        assert_eq!(format!("{ring:?}"), r#"["new", "old"]"#);
    }

    #[test]
    fn error_contains_the_line_number_and_no_key() {
        for (text, line, problem) in [
            (KEY.to_owned(), 1, KeyLineProblem::NoColon),
            (format!("a:{KEY}\n\n# x\n:{KEY}"), 4, KeyLineProblem::InvalidId),
            (format!("a b:{KEY}"), 1, KeyLineProblem::InvalidId),
            (format!("{}:{KEY}", "a".repeat(65)), 1, KeyLineProblem::InvalidId),
            (format!("a:{KEY}\na:{KEY}"), 2, KeyLineProblem::DuplicateId),
            ("a:CANARY!".to_owned(), 1, KeyLineProblem::InvalidBase64),
            ("a:Q0FOQVJZ".to_owned(), 1, KeyLineProblem::InvalidLength(6)),
            ("a:".to_owned(), 1, KeyLineProblem::InvalidLength(0)),
        ] {
            let error = KeyRing::parse(&text).expect_err(&text);
            assert!(
                matches!(&error, Error::KeyLine { line: l, problem: p } if *l == line && *p == problem),
                "{text}: {error}"
            );
            assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
            assert!(!format!("{error} {error:?}").contains("Q0FOQVJZ"), "{error}");
        }
        assert!(matches!(KeyRing::parse("# nothing\n"), Err(Error::NoKey)));
    }

    #[test]
    fn generated_keys_are_valid_and_differ() {
        let (one, two) = (KeyRing::generate(), KeyRing::generate());
        assert_ne!(one.expose_secret(), two.expose_secret());
        let ring =
            KeyRing::parse(&format!("{}\n{}", one.expose_secret(), two.expose_secret())).expect("ring");
        assert_eq!(ring.ids().count(), 2);
        assert!(ring.active().0.starts_with("key-"));
    }
}
