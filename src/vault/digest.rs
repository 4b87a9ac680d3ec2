//! Hashes of tokens, fingerprints of credentials, and random bytes.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac, rand};

/// SHA-256 of the secret of a token. Tokens are long and random, so a slow password hash is not necessary.
pub fn token_hash(secret: &str) -> [u8; 32] {
    to_array(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref())
}

/// The first 16 bytes of SHA-256 of the parts, each preceded by its length. It has no key, so it is for public content only.
pub fn content_hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    to_array(context.finish().as_ref())
}

/// Compares two hashes in constant time.
pub fn hashes_equal(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// `N` cryptographically secure random bytes. AWS-LC aborts the process if it has none.
#[expect(clippy::expect_used, reason = "cannot fail, see above")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("random bytes");
    bytes
}

/// Computes 32-byte fingerprints of lists of byte strings, for cache keys that depend on a secret. Without the key of the
/// fingerprinter, the bytes cannot be found by brute force. Clones compute the same fingerprints.
#[derive(Clone)]
pub struct Fingerprinter {
    key: hmac::Key,
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprinter")
    }
}

impl Fingerprinter {
    /// Creates a fingerprinter with a new random key: fingerprints differ between processes.
    pub fn random() -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()) }
    }

    /// Creates a fingerprinter with a key derived from an encryption key: every process with that key computes the same
    /// fingerprints.
    pub(super) fn derive(key: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let derived = hmac::sign(&key, b"norman-aks credential fingerprint");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) }
    }

    /// HMAC-SHA-256 of the parts, each preceded by its length: `["ab", "c"]` and `["a", "bc"]` differ.
    pub fn fingerprint(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        to_array(context.sign().as_ref())
    }
}

/// The first `N` bytes of a digest, which has 32.
fn to_array<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(digest) {
        *to = *from;
    }
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_hash_is_sha_256() {
        let hex = token_hash("abc").iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(hashes_equal(&token_hash("abc"), &token_hash("abc")));
        assert!(!hashes_equal(&token_hash("abc"), &token_hash("abd")));
        assert!(!hashes_equal(&token_hash("abc"), &[]));
    }

    #[test]
    fn fingerprint_depends_on_each_part_and_its_length() {
        let fingerprinter = Fingerprinter::random();
        let fingerprint = fingerprinter.fingerprint(&[b"ab", b"c"]);
        assert_eq!(fingerprint, fingerprinter.clone().fingerprint(&[b"ab", b"c"]));
        for other_parts in
            [&[b"a".as_slice(), b"bc"] as &[&[u8]], &[b"abc"], &[b"ab", b"c", b""], &[b"ab", b"d"], &[]]
        {
            assert_ne!(fingerprint, fingerprinter.fingerprint(other_parts));
        }
        assert_ne!(
            fingerprint,
            Fingerprinter::random().fingerprint(&[b"ab", b"c"]),
            "another process has another fingerprint"
        );
    }

    #[test]
    fn derived_fingerprints_depend_only_on_the_encryption_key() {
        let fingerprint = |key: u8| Fingerprinter::derive(&[key; 32]).fingerprint(&[b"a"]);
        assert_eq!(fingerprint(1), fingerprint(1));
        assert_ne!(fingerprint(1), fingerprint(2));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let direct = Fingerprinter { key }.fingerprint(&[b"a"]);
        assert_ne!(fingerprint(1), direct, "the encryption key itself is not used");
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random::<16>(), random::<16>());
    }
}
