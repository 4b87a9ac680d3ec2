//! Hashes of tokens, fingerprints of credentials, and random bytes.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac, rand};

/// SHA-256 of the secret half of a token. Tokens are long and random, so that no slow password hash is needed.
pub fn token_hash(secret: &str) -> [u8; 32] {
    to_array(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref())
}

/// SHA-256 over the parts, each with its length before it, as two halves. For names of public content: it has no key.
pub fn content_hash(parts: &[&[u8]]) -> [[u8; 16]; 2] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let hash = to_array(context.finish().as_ref());
    let mut halves = [[0; 16]; 2];
    for (to, from) in halves.as_flattened_mut().iter_mut().zip(hash) {
        *to = from;
    }
    halves
}

/// Whether two hashes are equal, in a time that does not tell where they differ.
pub fn hashes_equal(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// `N` bytes that nobody can guess.
///
/// # Panics
/// Never: AWS-LC ends the process rather than return weak randomness.
#[expect(clippy::expect_used, reason = "cannot fail, see above")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("random bytes");
    bytes
}

/// Names a list of texts by 32 bytes from which the texts cannot be found, and which mean nothing without its key. For cache
/// keys that depend on a secret. Clones give the same names.
#[derive(Clone)]
pub struct Fingerprinter {
    key: hmac::Key,
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprinter")
    }
}

impl Default for Fingerprinter {
    fn default() -> Self {
        Self::new()
    }
}

impl Fingerprinter {
    /// With a new random key: the names mean nothing to another process.
    pub fn new() -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()) }
    }

    /// With a key derived from an encryption key: the names are the same in every process that has it.
    pub(super) fn derive(key: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let derived = hmac::sign(&key, b"norman-aks credential fingerprint");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) }
    }

    /// HMAC-SHA-256 over the parts, each with its length before it: `["ab", "c"]` and `["a", "bc"]` differ.
    pub fn fingerprint(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        to_array(context.sign().as_ref())
    }
}

/// Both algorithms give exactly 32 bytes.
fn to_array(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    for (to, from) in array.iter_mut().zip(bytes) {
        *to = *from;
    }
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_token_is_sha_256() {
        let hex = token_hash("abc").iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(hashes_equal(&token_hash("abc"), &token_hash("abc")));
        assert!(!hashes_equal(&token_hash("abc"), &token_hash("abd")));
        assert!(!hashes_equal(&token_hash("abc"), &[]));
    }

    #[test]
    fn a_fingerprint_depends_on_every_part_and_on_where_parts_end() {
        let one = Fingerprinter::new();
        let print = one.fingerprint(&[b"ab", b"c"]);
        assert_eq!(print, one.clone().fingerprint(&[b"ab", b"c"]));
        for other in
            [&[b"a".as_slice(), b"bc"] as &[&[u8]], &[b"abc"], &[b"ab", b"c", b""], &[b"ab", b"d"], &[]]
        {
            assert_ne!(print, one.fingerprint(other));
        }
        assert_ne!(print, Fingerprinter::new().fingerprint(&[b"ab", b"c"]), "another process, another name");
    }

    #[test]
    fn derived_fingerprints_depend_on_the_encryption_key_alone() {
        let print = |key: u8| Fingerprinter::derive(&[key; 32]).fingerprint(&[b"a"]);
        assert_eq!(print(1), print(1));
        assert_ne!(print(1), print(2));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let direct = Fingerprinter { key }.fingerprint(&[b"a"]);
        assert_ne!(print(1), direct, "the encryption key itself is not used");
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random::<16>(), random::<16>());
    }
}
