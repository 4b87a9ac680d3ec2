//! Keys with which the servers of one installation authenticate to each other. They are derived from an encryption key,
//! which cannot be computed from them.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::Ed25519KeyPair;
use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::Error;

/// A TLS key and a token, derived from one encryption key.
#[derive(Clone)]
pub struct ReplicaKey {
    /// Seed and token are the HMAC-SHA-256 of two labels, with the encryption key.
    seed: Arc<Zeroizing<[u8; 32]>>,
    token: Arc<Zeroizing<String>>,
}

impl fmt::Debug for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplicaKey")
    }
}

impl ReplicaKey {
    pub(super) fn derive(key: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let derive_bytes = |label: &str| {
            let mut bytes = Zeroizing::new([0; 32]);
            let tag = hmac::sign(&key, label.as_bytes());
            bytes.iter_mut().zip(tag.as_ref()).for_each(|(byte, derived)| *byte = *derived);
            bytes
        };
        let token = Zeroizing::new(STANDARD.encode(derive_bytes("norman-aks replica token").as_ref()));
        Self { seed: Arc::new(derive_bytes("norman-aks replica tls")), token: Arc::new(token) }
    }

    /// The seed of the Ed25519 key for TLS.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The token with which a client authenticates.
    pub fn token(&self) -> SecretString {
        SecretString::from(self.token.as_str())
    }

    /// Compares the token in constant time.
    pub fn is_token(&self, token: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(self.token.as_bytes(), token).is_ok()
    }
}

/// The Ed25519 key with this seed, in PKCS #8.
///
/// # Errors
/// [`Error::Encryption`] only.
pub fn ed25519_pkcs8(seed: &[u8; 32]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::Encryption)?;
    let document: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| Error::Encryption)?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn keys_depend_only_on_the_encryption_key_and_are_not_printed() {
        let (one, same, other) =
            (ReplicaKey::derive(&[1; 32]), ReplicaKey::derive(&[1; 32]), ReplicaKey::derive(&[2; 32]));
        let token = one.token();
        assert_eq!((one.seed(), token.expose_secret()), (same.seed(), same.token().expose_secret()));
        assert_ne!(one.seed(), other.seed());
        assert!(one.is_token(token.expose_secret().as_bytes()));
        assert!(!other.is_token(token.expose_secret().as_bytes()) && !one.is_token(b""));
        assert!(!format!("{one:?}").contains(token.expose_secret()));
        assert!(ed25519_pkcs8(one.seed()).is_ok());
    }
}
