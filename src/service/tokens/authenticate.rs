//! Authenticates presented tokens, usually from the cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Inner, PlainToken, Tokens};
use crate::service::Caller;
use crate::store::{self, TokenRow, UserRow};
use crate::vault;

/// The age up to which a cached token is fresh.
const FRESH_MS: i64 = 800;

/// The age up to which a cached token is accepted while one request reads it again. It is below two seconds by enough time for
/// that query, because every server must reject a revoked token within two seconds.
const MAX_AGE_MS: i64 = 1_600;

/// The minimum time between two recorded uses of a token.
const USE_INTERVAL_MS: i64 = 60_000;

/// Errors of authentication.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Not of the form `<name>:<secret>`.
    #[error("the token is not of the form <name>:<secret>")]
    Malformed,
    /// No such token: it never existed, or was revoked.
    #[error("token {0} not found")]
    Unknown(String),
    /// The name is right, the secret is not.
    #[error("the secret of token {0} is wrong")]
    WrongSecret(String),
    /// The token has expired.
    #[error("the token {0} has expired")]
    Expired(String),
    /// The user of the token is disabled.
    #[error("the user of token {0} is disabled")]
    Disabled(String),
    /// A database error.
    #[error("the token cannot be checked")]
    Store(#[from] store::Error),
}

impl AuthError {
    /// Whether the token itself is rejected; the response does not distinguish the reasons.
    pub fn is_rejected(&self) -> bool {
        !matches!(self, Self::Store(_))
    }
}

/// A token that was valid at `checked_ms`.
pub(super) struct CachedToken {
    caller: Arc<Caller>,
    expires_ms: i64,
    checked_ms: i64,
    is_refreshing: AtomicBool,
}

impl CachedToken {
    /// Whether to accept the token at `now_ms` without a query. The first call after the token is no longer fresh returns
    /// false: its caller must read the token again.
    fn accept_without_query(&self, now_ms: i64) -> bool {
        match now_ms - self.checked_ms {
            0..FRESH_MS => true,
            FRESH_MS..MAX_AGE_MS => self.is_refreshing.swap(true, Ordering::Relaxed),
            // Too old, or the clock was set back.
            _ => false,
        }
    }

    /// Whether the token can be accepted if the database fails.
    fn is_young_enough(&self, now_ms: i64) -> bool {
        (0..MAX_AGE_MS).contains(&(now_ms - self.checked_ms))
    }

    /// The caller, unless the token has expired.
    fn caller(&self, now_ms: i64) -> Result<Arc<Caller>, AuthError> {
        if now_ms >= self.expires_ms {
            return Err(AuthError::Expired(self.caller.token_name.clone()));
        }
        Ok(Arc::clone(&self.caller))
    }
}

impl Tokens {
    /// Authenticates `<name>:<secret>`. Successful checks are cached for 1.6 s, so that every server rejects a revoked token
    /// within two seconds.
    ///
    /// # Errors
    /// See [`AuthError`]: rejected tokens, and database errors.
    pub async fn authenticate(&self, presented: &str) -> Result<Arc<Caller>, AuthError> {
        let now_ms = self.inner.clock.now_ms();
        // SHA-256 is collision-resistant and the cache is not stored, so no key is needed.
        let cache_key = vault::token_hash(presented);
        let cached = self.inner.cache.get(&cache_key);
        if let Some(cached) = &cached
            && cached.accept_without_query(now_ms)
        {
            return cached.caller(now_ms);
        }
        // A cached token need not be parsed: it is well-formed, and parsing would copy its halves.
        let token = PlainToken::parse(presented).ok_or(AuthError::Malformed)?;
        match Box::pin(look_up(&self.inner, &token, now_ms)).await {
            Ok(token) => {
                let token = Arc::new(token);
                self.inner.cache.insert(cache_key, Arc::clone(&token));
                token.caller(now_ms)
            }
            Err(AuthError::Store(error)) => match cached.filter(|cached| cached.is_young_enough(now_ms)) {
                // This includes the request that had to read the token again.
                Some(cached) => cached.caller(now_ms),
                None => Err(AuthError::Store(error)),
            },
            Err(rejected) => {
                self.inner.cache.invalidate(&cache_key);
                Err(rejected)
            }
        }
    }
}

async fn look_up(inner: &Inner, presented: &PlainToken, now_ms: i64) -> Result<CachedToken, AuthError> {
    let row = store::tokens::find(&inner.store, &presented.name).await?;
    let (token, user) = row.ok_or_else(|| AuthError::Unknown(presented.name.clone()))?;
    if !vault::hashes_equal(&presented.hash(), &token.hash) {
        return Err(AuthError::WrongSecret(token.name));
    }
    if !user.enabled {
        return Err(AuthError::Disabled(token.name));
    }
    let expires_ms = token.expires_ms.unwrap_or(i64::MAX);
    if now_ms < expires_ms {
        record_use(inner, &token, now_ms);
    }
    let UserRow { id: user_id, name: user_name, admin, .. } = user;
    let caller =
        Arc::new(Caller { user_id, user_name, admin, token_name: token.name, cluster_id: token.cluster_id });
    Ok(CachedToken { caller, expires_ms, checked_ms: now_ms, is_refreshing: AtomicBool::new(false) })
}

/// Records the use in the background; the request neither waits for it nor fails with it.
fn record_use(inner: &Inner, token: &TokenRow, now_ms: i64) {
    if token.last_used_ms.is_some_and(|last| now_ms - last < USE_INTERVAL_MS) {
        return;
    }
    let (store, name) = (inner.store.clone(), token.name.clone());
    tokio::spawn(async move {
        if let Err(error) = store::tokens::touch(&store, &name, now_ms).await {
            tracing::debug!(
                token = name,
                error = &error as &dyn std::error::Error,
                "cannot update last_used"
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_cached_token_is_read_again_by_one_request() {
        let caller = Caller {
            user_id: "user-a".to_owned(),
            user_name: "a".to_owned(),
            admin: false,
            token_name: "t".to_owned(),
            cluster_id: None,
        };
        let cached = CachedToken {
            caller: Arc::new(caller),
            expires_ms: i64::MAX,
            checked_ms: 10_000,
            is_refreshing: AtomicBool::new(false),
        };
        assert!(cached.accept_without_query(10_000) && cached.accept_without_query(10_799));
        assert!(!cached.accept_without_query(10_800), "the first caller reads it again");
        assert!(
            cached.accept_without_query(10_801) && cached.accept_without_query(11_599),
            "the others do not wait"
        );
        assert!(!cached.accept_without_query(11_600) && !cached.accept_without_query(11_601), "too old");
        assert!(!cached.accept_without_query(9_999), "the clock was set back");
    }
}
