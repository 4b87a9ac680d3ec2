//! API tokens: authenticating, creating, listing and revoking them.

mod authenticate;
mod bootstrap;
mod create;
mod secret;
mod ttl;

use std::sync::Arc;

use clock::Clock;
use moka::sync::Cache;

use self::authenticate::CachedToken;
use super::actor::Actor;
use super::audit::Action;
use super::metadata::Metadata;
use super::{Caller, Result};
use crate::store::{self, Store, TokenRow, UserRow};

pub use self::authenticate::AuthError;
pub(super) use self::create::TokenSpec;
pub use self::secret::PlainToken;
pub use self::ttl::parse_ttl;

/// The type of object in the audit log.
pub(super) const OBJECT_TYPE: &str = "token";

/// The user of the bootstrap token, and of the token that the first start creates.
pub const ADMINISTRATOR: &str = "admin";

/// The maximum number of cached tokens, of about 300 bytes each.
const CACHE_CAPACITY: u64 = 10_000;

/// Authentication and administration of tokens. Clones share everything.
#[derive(Clone)]
pub struct Tokens {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Clock,
    /// By the hash of the whole token.
    cache: Cache<[u8; 32], Arc<CachedToken>>,
}

/// The public metadata of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// The public half.
    pub name: String,
    /// The user's ID.
    pub user_id: String,
    /// The user's name.
    pub user_name: String,
    /// Whether the user is an administrator.
    pub admin: bool,
    /// Whether the user is enabled; tokens of disabled users are rejected.
    pub enabled: bool,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Milliseconds since 1970; `None` if the token does not expire.
    pub expires_ms: Option<i64>,
    /// Milliseconds since 1970, updated at most once a minute; `None` if never used.
    pub last_used_ms: Option<i64>,
    /// The description; may be empty.
    pub description: String,
    /// Restricts the token to one cluster.
    pub cluster_id: Option<String>,
    /// Labels and annotations.
    pub metadata: Metadata,
}

impl TokenInfo {
    fn is_valid(&self, now_ms: i64) -> bool {
        self.enabled && self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

impl From<(TokenRow, UserRow)> for TokenInfo {
    fn from((token, user): (TokenRow, UserRow)) -> Self {
        Self {
            name: token.name,
            user_id: user.id,
            user_name: user.name,
            admin: user.admin,
            enabled: user.enabled,
            created_ms: token.created_ms,
            expires_ms: token.expires_ms,
            last_used_ms: token.last_used_ms,
            description: token.description,
            cluster_id: token.cluster_id,
            metadata: Metadata::from_stored(token.labels, token.annotations),
        }
    }
}

impl Tokens {
    /// The tokens of this database.
    pub fn new(store: Store, clock: Clock) -> Self {
        let cache = Cache::builder().max_capacity(CACHE_CAPACITY).build();
        Self { inner: Arc::new(Inner { store, clock, cache }) }
    }

    /// Whether the named user is an administrator; `None` if it does not exist.
    pub async fn is_administrator(&self, user_name: &str) -> Result<Option<bool>> {
        let users = store::users::find(&self.inner.store, user_name).await?;
        Ok(users.into_iter().find(|user| user.name == user_name).map(|user| user.admin))
    }

    /// All tokens, oldest first.
    pub async fn list(&self) -> Result<Vec<TokenInfo>> {
        let tokens = store::tokens::list(&self.inner.store, None).await?;
        Ok(tokens.into_iter().map(TokenInfo::from).collect())
    }

    /// The valid tokens of a user (an ID), oldest first.
    pub(super) async fn list_valid(&self, user_id: &str) -> Result<Vec<TokenInfo>> {
        let now_ms = self.inner.clock.now_ms();
        let tokens = store::tokens::list(&self.inner.store, Some(user_id)).await?.into_iter();
        Ok(tokens.map(TokenInfo::from).filter(|token| token.is_valid(now_ms)).collect())
    }

    /// A valid token of a user, by its name.
    pub(super) async fn find(&self, user_id: &str, name: &str) -> Result<Option<TokenInfo>> {
        let now_ms = self.inner.clock.now_ms();
        let token = store::tokens::find(&self.inner.store, name).await?.map(TokenInfo::from);
        Ok(token.filter(|token| token.user_id == user_id && token.is_valid(now_ms)))
    }

    /// The caller with its current role; `None` if its token is no longer valid.
    pub(super) async fn refresh_caller(&self, caller: &Caller) -> Result<Option<Caller>> {
        let token = self.find(&caller.user_id, &caller.token_name).await?;
        Ok(token.map(|token| Caller { admin: token.admin, ..caller.clone() }))
    }

    /// Revokes a token on behalf of the command line: in this server immediately, in other servers within two seconds. False if
    /// it does not exist.
    pub async fn revoke(&self, name: &str) -> Result<bool> {
        self.revoke_as(&Actor::command_line(), name).await
    }

    /// As [`Self::revoke`], on behalf of a caller.
    pub(super) async fn revoke_as(&self, by: &Actor, name: &str) -> Result<bool> {
        let audit = by.audit(Action::Delete, OBJECT_TYPE, name, self.inner.clock.now_ms());
        let removed = store::tokens::delete(&self.inner.store, name, &audit).await?;
        self.inner.cache.invalidate_all();
        Ok(removed)
    }

    /// Clears the cache, after a change of users.
    pub(super) fn clear_cache(&self) {
        self.inner.cache.invalidate_all();
    }

    /// Deletes tokens that expired more than a week ago; returns their number. More recently expired tokens are still listed.
    pub async fn remove_expired(&self) -> Result<u64> {
        const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;
        let before_ms = self.inner.clock.now_ms().saturating_sub(WEEK_MS);
        Ok(store::tokens::delete_expired(&self.inner.store, before_ms).await?)
    }
}

#[cfg(test)]
mod tests;
