//! Tokens in plain text.

use aks::ids;
use secrecy::{ExposeSecret as _, SecretString};

use crate::vault;

/// The maximum length of a presented token, in bytes.
const MAX_TOKEN_LEN: usize = 1_024;

/// A token in plain text, `<name>:<secret>`. Only a hash is stored, so the plain text is known only when a token is created or
/// presented.
#[derive(Debug)]
pub struct PlainToken {
    /// The public half, such as `token-xxxxx`.
    pub name: String,
    /// The secret half.
    pub(super) secret: SecretString,
}

impl PlainToken {
    /// A token with a new secret.
    pub(super) fn generate(name: String) -> Self {
        Self { name, secret: ids::token_secret(vault::random()).into() }
    }

    /// The two halves of a presented token, divided by the first colon; `None` if it is malformed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, secret) = text.split_once(':')?;
        let is_valid = !name.is_empty()
            && !secret.is_empty()
            && text.len() <= MAX_TOKEN_LEN
            && name.bytes().all(|byte| byte.is_ascii_graphic())
            && !secret.chars().any(char::is_control);
        is_valid.then(|| Self { name: name.to_owned(), secret: secret.into() })
    }

    /// The token as callers present it: `<name>:<secret>`.
    pub fn to_bearer(&self) -> SecretString {
        format!("{}:{}", self.name, self.secret.expose_secret()).into()
    }

    /// The hash of the secret half.
    pub(super) fn hash(&self) -> [u8; 32] {
        vault::token_hash(self.secret.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_splits_at_the_first_colon() {
        for (text, expected) in [
            ("token-abcde:secret", Some(("token-abcde", "secret"))),
            ("kubeconfig-u-x.c-y:a:b", Some(("kubeconfig-u-x.c-y", "a:b"))),
            ("n:ü ", Some(("n", "ü "))),
            ("secret", None),
            (":secret", None),
            ("name:", None),
            ("na me:secret", None),
            ("na\0me:secret", None),
            ("name:sec\nret", None),
            ("", None),
        ] {
            let parsed = PlainToken::parse(text);
            let halves = parsed.as_ref().map(|token| (token.name.as_str(), token.secret.expose_secret()));
            assert_eq!(halves, expected, "{text:?}");
        }
        assert!(PlainToken::parse(&format!("n:{}", "s".repeat(MAX_TOKEN_LEN - 2))).is_some());
        assert!(PlainToken::parse(&format!("n:{}", "s".repeat(MAX_TOKEN_LEN - 1))).is_none());
    }
}
