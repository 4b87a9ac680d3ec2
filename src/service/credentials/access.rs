//! Resolves a credential, stored or from a request body, to what Azure needs
//! (`docs/contract/credentials.md#stored-credentials-in-meta`). An [`AzureAccess`] is made only here, so every one of
//! them belongs to a caller who may use the credential.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aks::role::Role;
use aks::{ids, pasted};
use azure::{Cloud, Discovery, DiscoveryError, Fingerprint};
use moka::sync::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::{Credentials, bare_id, full_id};
use crate::service::{Caller, Error};
use crate::store::{self, CredentialRow};

/// How long a resolved credential is used without asking the database: a change made through another server
/// counts after this time at the latest.
const MEMORY: Duration = Duration::from_secs(1);

/// Resolved credentials remembered at most. One entry is about a kilobyte.
const REMEMBERED: u64 = 10_000;

/// The time limit of tenant discovery (`docs/contract/azure.md#tenant-discovery`).
const DISCOVERY_LIMIT: Duration = Duration::from_secs(5);

/// The right to ask Azure with a credential. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct AzureAccess {
    credential: Arc<azure::Credential>,
    credential_id: Option<String>,
    unknown_environment: Option<String>,
}

impl AzureAccess {
    /// The name of a cloud that there is not: the public one is asked in its place.
    pub fn unknown_environment(&self) -> Option<&str> {
        self.unknown_environment.as_deref()
    }

    /// What Azure needs.
    pub fn credential(&self) -> &Arc<azure::Credential> {
        &self.credential
    }

    /// The id of the stored credential, `cattle-global-data:cc-xxxxx`; `None` when it was sent along.
    pub fn credential_id(&self) -> Option<&str> {
        self.credential_id.as_deref()
    }
}

/// Where the credential of a request comes from.
#[derive(Debug)]
pub enum Via<'a> {
    /// It is stored.
    Stored {
        /// Its id as the caller wrote it.
        id: &'a str,
        /// A cluster of the caller that uses it.
        cluster_id: Option<&'a str>,
    },
    /// It is stored, and the caller changes a cluster that uses it: then its deletion may be pending.
    OfCluster {
        /// Its id as the cluster names it.
        id: &'a str,
        /// The cluster.
        cluster_id: &'a str,
    },
    /// It was sent along, to be used.
    Inline(InlineCredential),
    /// It was sent along, to be checked: nothing that is remembered about its tenant counts.
    Check(InlineCredential),
}

/// The stored credentials that will do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accept {
    /// Those that exist for callers.
    Existing,
    /// Also one whose deletion is pending, for the cluster that uses it.
    Pending,
}

/// A credential that was sent along. Empty texts mean "not given".
#[derive(Clone, Debug)]
pub struct InlineCredential {
    /// The Entra tenant; discovered when empty.
    pub tenant_id: String,
    /// The Azure subscription.
    pub subscription_id: String,
    /// The application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// The name of the cloud; the public one when empty.
    pub environment: String,
}

impl InlineCredential {
    /// The values as Azure writes them: without what pasting added, which a stored one may have too.
    fn tidied(mut self) -> Self {
        for id in [&mut self.tenant_id, &mut self.subscription_id, &mut self.client_id] {
            *id = pasted::owned_id(std::mem::take(id));
        }
        self
    }
}

/// Why a credential cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The id has no colon or an empty half; holds the id.
    #[error("{0:?} is no id of a cloud credential")]
    InvalidId(String),
    /// There is none of that id, as far as this caller may know.
    #[error("there is no such cloud credential")]
    NotFound,
    /// Its secret cannot be read; the cause is in the log.
    #[error("the secret of cloud credential {id} cannot be read")]
    Unusable {
        /// The id as the caller wrote it.
        id: String,
    },
    /// The tenant is not given and cannot be found out.
    #[error("the tenant in {cloud} cannot be found out")]
    TenantDiscovery {
        /// The name of the cloud.
        cloud: String,
        /// Whether there is no such cloud, so that the public one was asked.
        unknown: bool,
        /// What was tried.
        #[source]
        error: DiscoveryError,
    },
    /// Anything else.
    #[error(transparent)]
    Other(#[from] Error),
}

impl From<store::Error> for AccessError {
    fn from(error: store::Error) -> Self {
        Self::Other(error.into())
    }
}

/// What was resolved, and in which epoch.
pub(super) type Known = Cache<String, (u64, Arc<AzureAccess>)>;

pub(super) fn known() -> Known {
    Cache::builder().max_capacity(REMEMBERED).time_to_live(MEMORY).build()
}

impl Credentials {
    /// What Azure needs to be asked with this credential by this caller. A stored one that was resolved less
    /// than a second ago is taken from memory.
    pub async fn resolve(&self, caller: &Caller, via: Via<'_>) -> Result<Arc<AzureAccess>, AccessError> {
        match via {
            Via::Stored { id, cluster_id } => self.stored(caller, id, cluster_id, Accept::Existing).await,
            Via::OfCluster { id, cluster_id } => {
                self.stored(caller, id, Some(cluster_id), Accept::Pending).await
            }
            Via::Inline(inline) => self.access(inline, None, Discovery::Stored).await,
            Via::Check(inline) => self.access(inline, None, Discovery::Check).await,
        }
    }

    async fn stored(
        &self,
        caller: &Caller,
        id: &str,
        cluster_id: Option<&str>,
        accept: Accept,
    ) -> Result<Arc<AzureAccess>, AccessError> {
        if ids::split_namespaced(id).is_none() {
            return Err(AccessError::InvalidId(id.to_owned()));
        }
        // The epoch from before the look into the database: a change during the look makes the entry void.
        let epoch = self.inner.epoch.load(Ordering::Acquire);
        let key = key(caller, id, cluster_id, accept);
        if let Some((seen, access)) = self.inner.known.get(&key)
            && seen == epoch
        {
            return Ok(access);
        }
        let row = Box::pin(self.usable(caller, id, cluster_id, accept)).await?;
        let access = self.access(self.opened(row, id)?, Some(id.to_owned()), Discovery::Stored).await?;
        self.inner.known.insert(key, (epoch, Arc::clone(&access)));
        Ok(access)
    }

    /// The row, when the caller may use it: as its owner, as an administrator, or through a cluster that he owns, alone or
    /// with others.
    async fn usable(
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
            // Only its clusters still have it.
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
        let role = member.and_then(|member| Role::of(&member.role));
        if role == Some(Role::Owner) { Ok(row) } else { Err(AccessError::NotFound) }
    }

    /// What Azure needs to be asked for a cluster that uses the credential `cc-xxxxx`. No caller is asked: who may use it
    /// was decided when the cluster was saved.
    pub async fn for_cluster(&self, bare_id: &str) -> Result<Arc<AzureAccess>, AccessError> {
        let id = full_id(bare_id);
        let row = store::credentials::get(&self.inner.store, bare_id).await?.ok_or(AccessError::NotFound)?;
        self.access(self.opened(row, &id)?, Some(id), Discovery::Stored).await
    }

    fn opened(&self, row: CredentialRow, id: &str) -> Result<InlineCredential, AccessError> {
        let client_secret = match &row.secret {
            None => SecretString::default(),
            Some(sealed) => self.inner.secrets.unseal(&row.id, sealed).map_err(|error| {
                let error: &dyn std::error::Error = &error;
                tracing::error!(credential.id = row.id, error, "a stored secret cannot be opened");
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

    async fn access(
        &self,
        inline: InlineCredential,
        credential_id: Option<String>,
        how: Discovery,
    ) -> Result<Arc<AzureAccess>, AccessError> {
        let inline = inline.tidied();
        let cloud = Cloud::from_environment(&inline.environment);
        let unknown = !inline.environment.is_empty() && inline.environment != cloud.environment();
        let tenant_id = if inline.tenant_id.is_empty() {
            let deadline = Instant::now() + DISCOVERY_LIMIT;
            let discovered = self.inner.azure.discover_tenant(cloud, &inline.subscription_id, how, deadline);
            // Boxed, like everything rare and large on the way of every request: its room would be moved about each time.
            Box::pin(discovered).await.map_err(|error| {
                let named =
                    if inline.environment.is_empty() { cloud.environment() } else { &inline.environment };
                AccessError::TenantDiscovery { cloud: named.to_owned(), unknown, error }
            })?
        } else {
            inline.tenant_id
        };
        let parts =
            [cloud.environment(), &tenant_id, &inline.client_id, inline.client_secret.expose_secret()];
        let fingerprint = Fingerprint(self.inner.fingerprinter.fingerprint(&parts.map(str::as_bytes)));
        let credential = Arc::new(azure::Credential {
            cloud,
            tenant_id,
            subscription_id: inline.subscription_id,
            client_id: inline.client_id,
            client_secret: inline.client_secret,
            fingerprint,
        });
        let unknown_environment = unknown.then_some(inline.environment);
        Ok(Arc::new(AzureAccess { credential, credential_id, unknown_environment }))
    }
}

/// Ids hold no NUL, so different questions have different keys.
fn key(caller: &Caller, id: &str, cluster_id: Option<&str>, accept: Accept) -> String {
    let role = if caller.admin { "admin" } else { "" };
    let accept = if accept == Accept::Pending { "pending" } else { "" };
    [role, &caller.user_id, id, cluster_id.unwrap_or_default(), accept].join("\0")
}
