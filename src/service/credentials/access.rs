//! Resolves a stored or inline credential to an [`AzureAccess`], if the caller may use the credential
//! (`docs/contract/credentials.md#stored-credentials-in-meta`).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aks::ids;
use aks::role::Role;
use azure::DiscoveryPurpose;
use moka::sync::Cache;
use secrecy::SecretString;

use super::Credentials;
use super::id::{bare_id, full_id};
use crate::service::Caller;
use crate::service::azure_access::{AccessError, AzureAccess, InlineCredential};
use crate::store::{self, CredentialRow};

/// The TTL of a resolved credential. A change through another server takes effect after at most this time.
const RESOLVED_TTL: Duration = Duration::from_secs(1);

/// The maximum number of cached credentials. An entry is about 1 KB.
const CACHE_CAPACITY: u64 = 10_000;

/// The source of a credential.
#[derive(Debug)]
pub enum CredentialSource<'a> {
    /// A stored credential.
    Stored {
        /// Its ID as the caller wrote it.
        id: &'a str,
        /// A cluster that uses it; owners of the cluster may then use the credential too.
        cluster_id: Option<&'a str>,
    },
    /// The stored credential of a cluster, which owners of the cluster may use. Its deletion may be pending.
    OfCluster {
        /// Its ID as in the cluster.
        id: &'a str,
        /// The cluster.
        cluster_id: &'a str,
    },
    /// A credential in the request body.
    Inline(InlineCredential),
}

/// The stored credentials that are accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accept {
    /// Only credentials that are not deleted.
    Existing,
    /// Also a credential whose deletion is pending, for a cluster that uses it.
    Pending,
}

/// Resolved credentials with the epoch in which they were resolved.
pub(super) type ResolvedCache = Cache<String, (u64, Arc<AzureAccess>)>;

pub(super) fn new_cache() -> ResolvedCache {
    Cache::builder().max_capacity(CACHE_CAPACITY).time_to_live(RESOLVED_TTL).build()
}

impl Credentials {
    /// Resolves a credential for this caller. Stored credentials are cached for one second.
    pub async fn resolve(
        &self,
        caller: &Caller,
        source: CredentialSource<'_>,
    ) -> Result<Arc<AzureAccess>, AccessError> {
        match source {
            CredentialSource::Stored { id, cluster_id } => {
                self.resolve_stored(caller, id, cluster_id, Accept::Existing).await
            }
            CredentialSource::OfCluster { id, cluster_id } => {
                self.resolve_stored(caller, id, Some(cluster_id), Accept::Pending).await
            }
            CredentialSource::Inline(inline) => {
                Ok(self.inner.resolver.resolve(inline, None, DiscoveryPurpose::Stored).await?)
            }
        }
    }

    async fn resolve_stored(
        &self,
        caller: &Caller,
        id: &str,
        cluster_id: Option<&str>,
        accept: Accept,
    ) -> Result<Arc<AzureAccess>, AccessError> {
        if ids::split_namespaced(id).is_none() {
            return Err(AccessError::InvalidId(id.to_owned()));
        }
        // Read the epoch before the database: a change during the query invalidates the entry.
        let epoch = self.inner.epoch.load(Ordering::Acquire);
        let key = cache_key(caller, id, cluster_id, accept);
        if let Some((cached_epoch, access)) = self.inner.access_cache.get(&key)
            && cached_epoch == epoch
        {
            return Ok(access);
        }
        let row = Box::pin(self.usable_row(caller, id, cluster_id, accept)).await?;
        let access = self
            .inner
            .resolver
            .resolve(self.decrypt(row, id)?, Some(id.to_owned()), DiscoveryPurpose::Stored)
            .await?;
        self.inner.access_cache.insert(key, (epoch, Arc::clone(&access)));
        Ok(access)
    }

    /// The row, if the caller may use it: as its owner, as an administrator, or through a cluster of which the caller is an
    /// owner.
    async fn usable_row(
        &self,
        caller: &Caller,
        id: &str,
        cluster_id: Option<&str>,
        accept: Accept,
    ) -> Result<CredentialRow, AccessError> {
        let bare = bare_id(id).ok_or(AccessError::NotFound)?;
        let row = store::credentials::get(&self.inner.store, bare).await?.ok_or(AccessError::NotFound)?;
        match (row.deleted_ms, accept) {
            (None, _) if caller.may_see(&row.owner) => return Ok(row),
            // A credential whose deletion is pending is used only for its clusters.
            (Some(_), Accept::Existing) => return Err(AccessError::NotFound),
            _ => {}
        }
        let cluster = match cluster_id {
            Some(cluster_id) => store::clusters::get(&self.inner.store, cluster_id).await?,
            None => None,
        };
        let cluster = cluster.filter(|cluster| cluster.credential_id.as_deref() == Some(bare));
        let cluster = cluster.ok_or(AccessError::NotFound)?;
        if caller.may_see(&cluster.owner) {
            return Ok(row);
        }
        let member = store::members::find(&self.inner.store, &cluster.id, &caller.user_id).await?;
        let role = member.and_then(|member| Role::from_name(&member.role));
        if role == Some(Role::Owner) { Ok(row) } else { Err(AccessError::NotFound) }
    }

    /// Resolves the credential `cc-xxxxx` for a cluster that uses it. No caller is checked: permission was checked when the
    /// cluster was saved.
    pub async fn for_cluster(&self, bare_id: &str) -> Result<Arc<AzureAccess>, AccessError> {
        let id = full_id(bare_id);
        let row = store::credentials::get(&self.inner.store, bare_id).await?.ok_or(AccessError::NotFound)?;
        Ok(self.inner.resolver.resolve(self.decrypt(row, &id)?, Some(id), DiscoveryPurpose::Stored).await?)
    }

    fn decrypt(&self, row: CredentialRow, id: &str) -> Result<InlineCredential, AccessError> {
        let client_secret = match &row.secret {
            None => SecretString::default(),
            Some(sealed) => self.inner.secrets.unseal(&row.id, sealed).map_err(|error| {
                let error: &dyn std::error::Error = &error;
                tracing::error!(credential.id = row.id, error, "cannot decrypt a stored secret");
                AccessError::Unusable { id: id.to_owned() }
            })?,
        };
        Ok(InlineCredential {
            tenant_id: row.tenant_id.unwrap_or_default(),
            subscription_id: row.subscription_id.unwrap_or_default(),
            client_id: row.client_id.unwrap_or_default(),
            client_secret,
            environment: row.environment.unwrap_or_default(),
        })
    }
}

/// The cache key. IDs contain no NUL, so keys are unique.
fn cache_key(caller: &Caller, id: &str, cluster_id: Option<&str>, accept: Accept) -> String {
    let role = if caller.admin { "admin" } else { "" };
    let accept = if accept == Accept::Pending { "pending" } else { "" };
    [role, &caller.user_id, id, cluster_id.unwrap_or_default(), accept].join("\0")
}
