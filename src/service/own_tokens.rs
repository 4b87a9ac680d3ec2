//! The caller's own tokens, for `/v3/tokens`. Callers never see tokens of other users here; administrators list and revoke
//! those on the command line. Expired tokens are not found.

use std::sync::Arc;
use std::time::Duration;

use super::actor::Actor;
use super::audit::{Action, AuditLog};
use super::clusters::Clusters;
use super::metadata::{Metadata, MetadataChange};
use super::tokens::{OBJECT_TYPE, PlainToken, TokenInfo, TokenSpec, Tokens};
use super::{Caller, Error, Invalid, Result};

/// The maximum TTL: 100 years, as on the command line.
const MAX_TTL: Duration = Duration::from_hours(36_500 * 24);

/// Parameters of a new token.
#[derive(Clone, Debug, Default)]
pub struct NewOwnToken {
    /// The description.
    pub description: String,
    /// The time to live in milliseconds; 0 if it does not expire.
    pub ttl_ms: i64,
    /// Restricts the token to one cluster.
    pub cluster_id: Option<String>,
    /// Labels and annotations.
    pub metadata: MetadataChange,
}

/// The tokens of callers. Clones share everything.
#[derive(Clone)]
pub struct OwnTokens {
    inner: Arc<Inner>,
}

struct Inner {
    tokens: Tokens,
    clusters: Clusters,
    audit_log: AuditLog,
}

impl OwnTokens {
    /// The tokens of this database.
    pub fn new(tokens: Tokens, clusters: Clusters, audit_log: AuditLog) -> Self {
        Self { inner: Arc::new(Inner { tokens, clusters, audit_log }) }
    }

    /// The caller's tokens, oldest first.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<TokenInfo>> {
        self.inner.tokens.list_valid(&caller.user_id).await
    }

    /// A token of the caller by its name.
    pub async fn get(&self, caller: &Caller, name: &str) -> Result<TokenInfo> {
        let token = self.inner.tokens.find(&caller.user_id, name).await?;
        token.ok_or_else(|| Error::NotFound { id: without_secret(name).to_owned() })
    }

    /// Creates a token for the caller. Only the result contains its secret.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an invalid time to live or description, [`Error::ReferenceNotFound`] for a cluster that the
    /// caller does not see.
    pub async fn create(&self, by: &Actor, token: NewOwnToken) -> Result<(TokenInfo, PlainToken)> {
        let result = self.insert(by, token).await;
        self.inner.audit_log.record_failure(by, Action::Create, OBJECT_TYPE, "", result).await
    }

    async fn insert(&self, by: &Actor, token: NewOwnToken) -> Result<(TokenInfo, PlainToken)> {
        let caller = &by.caller;
        let ttl = ttl_from_ms(token.ttl_ms)?;
        if let Some(id) = &token.cluster_id {
            self.inner.clusters.get(caller, id).await.map_err(Error::into_reference_error)?;
        }
        let spec = TokenSpec {
            prefix: "token-",
            ttl,
            description: &token.description,
            cluster_id: token.cluster_id.as_deref(),
            metadata: token.metadata.merged_into(Metadata::default())?,
        };
        let audit = |name: &str, now_ms| by.audit(Action::Create, OBJECT_TYPE, name, now_ms);
        let created = self.inner.tokens.create_for_caller(caller, &spec, audit).await?;
        Ok((self.get(caller, &created.name).await?, created))
    }

    /// Revokes a token of the caller, even the one that authenticates this request; returns it.
    pub async fn revoke(&self, by: &Actor, name: &str) -> Result<TokenInfo> {
        let result = self.remove(by, name).await;
        self.inner
            .audit_log
            .record_failure(by, Action::Delete, OBJECT_TYPE, without_secret(name), result)
            .await
    }

    async fn remove(&self, by: &Actor, name: &str) -> Result<TokenInfo> {
        let token = self.get(&by.caller, name).await?;
        if self.inner.tokens.revoke_as(by, name).await? {
            return Ok(token);
        }
        Err(Error::NotFound { id: name.to_owned() })
    }
}

/// The name of a token, even if the whole token (`<name>:<secret>`) was sent in its place. Names contain no colon.
fn without_secret(name: &str) -> &str {
    name.split_once(':').map_or(name, |(name, _)| name)
}

/// The time to live; `None` for 0, which means no expiry.
fn ttl_from_ms(ms: i64) -> Result<Option<Duration>> {
    match u64::try_from(ms).map(Duration::from_millis) {
        Ok(Duration::ZERO) => Ok(None),
        Ok(ttl) if ttl <= MAX_TTL => Ok(Some(ttl)),
        _ => {
            let message = "ttl must be a number of milliseconds, at most 100 years; 0 creates a token that does not expire";
            Err(Invalid::field("InvalidFormat", "ttl", message).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_is_in_milliseconds_and_zero_means_no_expiry() {
        for (ms, expected) in [
            (0, Some(None)),
            (1, Some(Some(Duration::from_millis(1)))),
            (3_153_600_000_000, Some(Some(MAX_TTL))),
            (3_153_600_000_001, None),
            (-1, None),
        ] {
            assert_eq!(ttl_from_ms(ms).ok(), expected, "{ms}");
        }
    }
}
