//! From the fields of a credential to what Azure needs. An [`AzureAccess`] is made only by a [`Resolver`], whose users decide
//! first whether the caller may use the credential.

use std::sync::Arc;
use std::time::Duration;

use aks::pasted;
use azure::{Azure, Cloud, Discovery, DiscoveryError, Fingerprint};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::Error;
use crate::store;
use crate::vault::Fingerprinter;

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

/// The tenant of a credential is missing, and its discovery failed.
#[derive(Clone, Debug)]
pub struct UnknownTenant {
    cloud: String,
    unknown: bool,
    error: DiscoveryError,
}

impl From<UnknownTenant> for AccessError {
    fn from(UnknownTenant { cloud, unknown, error }: UnknownTenant) -> Self {
        Self::TenantDiscovery { cloud, unknown, error }
    }
}

impl From<store::Error> for AccessError {
    fn from(error: store::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Resolves credentials, with one key for all fingerprints of a process.
#[derive(Debug)]
pub struct Resolver {
    azure: Azure,
    fingerprinter: Fingerprinter,
}

impl Resolver {
    pub fn new(azure: Azure, fingerprinter: Fingerprinter) -> Self {
        Self { azure, fingerprinter }
    }

    /// What Azure needs for this credential, which has `credential_id` if it is stored. A missing tenant is discovered.
    pub async fn resolve(
        &self,
        inline: InlineCredential,
        credential_id: Option<String>,
        how: Discovery,
    ) -> Result<Arc<AzureAccess>, UnknownTenant> {
        let inline = inline.tidied();
        let cloud = Cloud::from_environment(&inline.environment);
        let unknown = !inline.environment.is_empty() && inline.environment != cloud.environment();
        let tenant_id = if inline.tenant_id.is_empty() {
            let deadline = Instant::now() + DISCOVERY_LIMIT;
            let discovered = self.azure.discover_tenant(cloud, &inline.subscription_id, how, deadline);
            // Boxed, like everything rare and large on the way of every request: its room would be moved about each time.
            Box::pin(discovered).await.map_err(|error| {
                let named =
                    if inline.environment.is_empty() { cloud.environment() } else { &inline.environment };
                UnknownTenant { cloud: named.to_owned(), unknown, error }
            })?
        } else {
            inline.tenant_id
        };
        let parts =
            [cloud.environment(), &tenant_id, &inline.client_id, inline.client_secret.expose_secret()];
        let fingerprint = Fingerprint(self.fingerprinter.fingerprint(&parts.map(str::as_bytes)));
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
