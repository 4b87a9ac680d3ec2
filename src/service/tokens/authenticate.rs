//! The way of every request: from a presented token to its caller, mostly out of memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Parts;
use crate::service::Caller;
use crate::store::{self, TokenRow, UserRow};
use crate::vault;

/// Younger than this, an answer from memory is as good as new.
const FRESH_MS: i64 = 800;

/// Up to this age, an answer from memory serves those who come while one of them asks the database again. With the time
/// of that question it stays under the two seconds within which a revoke holds everywhere.
const USABLE_MS: i64 = 1_600;

/// A use is written down when the last one is older than this.
const NOTED_MS: i64 = 60_000;

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 1_024;

/// Why a caller is not known.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Not of the form `<name>:<secret>`.
    #[error("the token is not of the form <name>:<secret>")]
    Malformed,
    /// There is no token of that name: it never existed, or was revoked.
    #[error("there is no token named {0}")]
    Unknown(String),
    /// The name is right, the secret is not.
    #[error("the secret of token {0} is wrong")]
    WrongSecret(String),
    /// The token was good once.
    #[error("the token {0} has expired")]
    Expired(String),
    /// The user of the token is disabled.
    #[error("the user of token {0} is disabled")]
    Disabled(String),
    /// The database cannot tell.
    #[error("the token cannot be checked")]
    Store(#[from] store::Error),
}

impl AuthError {
    /// Whether the token itself is at fault; to the caller all such reasons look the same.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Store(_))
    }
}

/// A token that was right at `checked_ms`.
pub(super) struct Known {
    caller: Arc<Caller>,
    expires_ms: i64,
    checked_ms: i64,
    renewing: AtomicBool,
}

impl Known {
    /// Whether this may answer at `now_ms`. Of those who come in its second half, the first goes to the database.
    fn serves(&self, now_ms: i64) -> bool {
        match now_ms - self.checked_ms {
            0..FRESH_MS => true,
            FRESH_MS..USABLE_MS => self.renewing.swap(true, Ordering::Relaxed),
            // Also when the clock was set back.
            _ => false,
        }
    }

    fn is_usable(&self, now_ms: i64) -> bool {
        (0..USABLE_MS).contains(&(now_ms - self.checked_ms))
    }

    fn caller(&self, now_ms: i64) -> Result<Arc<Caller>, AuthError> {
        if now_ms >= self.expires_ms {
            return Err(AuthError::Expired(self.caller.token_name.clone()));
        }
        Ok(Arc::clone(&self.caller))
    }
}

/// The two halves of a token, at the first colon.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let (name, secret) = text.split_once(':')?;
    let usable = !name.is_empty()
        && !secret.is_empty()
        && text.len() <= LONGEST
        && name.bytes().all(|byte| byte.is_ascii_graphic())
        && !secret.chars().any(char::is_control);
    usable.then_some((name, secret))
}

pub(super) async fn authenticate(parts: &Parts, presented: &str) -> Result<Arc<Caller>, AuthError> {
    let (name, secret) = split(presented).ok_or(AuthError::Malformed)?;
    let now_ms = parts.clock.now_ms();
    // Nobody finds another text of the same hash, and it is not kept where it could be read: no key is needed.
    let fingerprint = vault::token_hash(presented);
    let known = parts.known.get(&fingerprint);
    if let Some(known) = &known
        && known.serves(now_ms)
    {
        return known.caller(now_ms);
    }
    match Box::pin(look_up(parts, name, secret, now_ms)).await {
        Ok(found) => {
            let found = Arc::new(found);
            parts.known.insert(fingerprint, Arc::clone(&found));
            found.caller(now_ms)
        }
        Err(AuthError::Store(error)) => match known.filter(|known| known.is_usable(now_ms)) {
            // The one who went to renew fares no worse than those who did not.
            Some(known) => known.caller(now_ms),
            None => Err(AuthError::Store(error)),
        },
        Err(refusal) => {
            parts.known.invalidate(&fingerprint);
            Err(refusal)
        }
    }
}

async fn look_up(parts: &Parts, name: &str, secret: &str, now_ms: i64) -> Result<Known, AuthError> {
    let (token, user) =
        store::tokens::find(&parts.store, name).await?.ok_or_else(|| AuthError::Unknown(name.to_owned()))?;
    if !vault::hashes_equal(&vault::token_hash(secret), &token.hash) {
        return Err(AuthError::WrongSecret(token.name));
    }
    if !user.enabled {
        return Err(AuthError::Disabled(token.name));
    }
    let expires_ms = token.expires_ms.unwrap_or(i64::MAX);
    if now_ms < expires_ms {
        note_use(parts, &token, now_ms);
    }
    let UserRow { id: user_id, name: user_name, admin, .. } = user;
    let caller =
        Arc::new(Caller { user_id, user_name, admin, token_name: token.name, cluster_id: token.cluster_id });
    Ok(Known { caller, expires_ms, checked_ms: now_ms, renewing: AtomicBool::new(false) })
}

/// Writes down the use beside the request, which neither waits for it nor fails with it.
fn note_use(parts: &Parts, token: &TokenRow, now_ms: i64) {
    if token.last_used_ms.is_some_and(|last| now_ms - last < NOTED_MS) {
        return;
    }
    let (store, name) = (parts.store.clone(), token.name.clone());
    tokio::spawn(async move {
        if let Err(error) = store::tokens::touch(&store, &name, now_ms).await {
            tracing::debug!(token = name, error = &error as &dyn std::error::Error, "a use was not noted");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_splits_at_its_first_colon_and_needs_two_usable_halves() {
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
            assert_eq!(split(text), expected, "{text:?}");
        }
        assert!(split(&format!("n:{}", "s".repeat(LONGEST - 2))).is_some());
        assert!(split(&format!("n:{}", "s".repeat(LONGEST - 1))).is_none());
    }

    #[test]
    fn in_its_second_half_a_known_token_sends_exactly_one_to_the_database() {
        let caller = Caller {
            user_id: "user-a".to_owned(),
            user_name: "a".to_owned(),
            admin: false,
            token_name: "t".to_owned(),
            cluster_id: None,
        };
        let known = Known {
            caller: Arc::new(caller),
            expires_ms: i64::MAX,
            checked_ms: 10_000,
            renewing: AtomicBool::new(false),
        };
        assert!(known.serves(10_000) && known.serves(10_799));
        assert!(!known.serves(10_800), "the first renews");
        assert!(known.serves(10_801) && known.serves(11_599), "the others need not wait");
        assert!(!known.serves(11_600) && !known.serves(11_601), "too old for anybody");
        assert!(!known.serves(9_999), "a clock set back proves nothing");
    }
}
