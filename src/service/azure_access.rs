//! Turns the fields of a credential into access to Azure. Only a [`Resolver`] creates an [`AzureAccess`]; code that uses the
//! resolver checks first that the caller may use the credential.

use std::sync::Arc;
use std::time::Duration;

use aks::input;
use azure::{Azure, Cloud, DiscoveryError, DiscoveryPurpose, Fingerprint};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::{Caller, Error};
use crate::store;
use crate::vault::Fingerprinter;

/// The time limit of tenant discovery (`docs/contract/azure.md#tenant-discovery`).
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Access to Azure with a credential. `Debug` prints no secret.
#[derive(Clone, Debug)]
pub struct AzureAccess {
    credential: Arc<azure::Credential>,
    credential_id: Option<String>,
    unknown_environment: Option<String>,
}

impl AzureAccess {
    /// The name of the credential's cloud if it is unknown; the public cloud is used instead.
    pub fn unknown_environment(&self) -> Option<&str> {
        self.unknown_environment.as_deref()
    }

    /// The credential for requests to Azure.
    pub fn credential(&self) -> &Arc<azure::Credential> {
        &self.credential
    }

    /// The ID of the stored credential, `cattle-global-data:cc-xxxxx`; `None` for an inline credential.
    pub fn credential_id(&self) -> Option<&str> {
        self.credential_id.as_deref()
    }

    /// The key of the caller's permits for requests to Azure: the user, the token alongside Rancher, or the credential if
    /// neither is known.
    pub(super) fn permit_key(&self, caller: &Caller) -> String {
        let Caller { user_id, token_name, .. } = caller;
        match (user_id.as_str(), token_name.as_str()) {
            ("", "") => format!("credential/{}", self.credential_id().unwrap_or(&self.credential.client_id)),
            ("", token) => format!("token/{token}"),
            (user, _) => format!("user/{user}"),
        }
    }
}

/// The fields of a credential, from a request or a stored credential. Empty strings mean "not set".
#[derive(Clone, Debug, Default)]
pub struct InlineCredential {
    /// The Entra tenant; discovered when empty.
    pub tenant_id: String,
    /// The Azure subscription.
    pub subscription_id: String,
    /// The ID of the application.
    pub client_id: String,
    /// The client secret.
    pub client_secret: SecretString,
    /// The name of the cloud; the public cloud if empty.
    pub environment: String,
}

impl InlineCredential {
    /// Removes characters that pasting can add to IDs; stored IDs may have them too.
    fn with_trimmed_ids(mut self) -> Self {
        for id in [&mut self.tenant_id, &mut self.subscription_id, &mut self.client_id] {
            *id = input::trim_owned_id(std::mem::take(id));
        }
        self
    }
}

/// Errors of resolving a credential.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The ID has no colon, or nothing before or after it. Contains the ID.
    #[error("{0:?} is not the ID of a cloud credential")]
    InvalidId(String),
    /// The credential does not exist, or the caller may not see it.
    #[error("the cloud credential does not exist")]
    NotFound,
    /// The secret of the credential cannot be decrypted; the log has the cause.
    #[error("the secret of cloud credential {id} cannot be read")]
    Unusable {
        /// The ID as the caller wrote it.
        id: String,
    },
    /// The tenant is not set, and its discovery failed.
    #[error("the tenant in {cloud} cannot be discovered")]
    TenantDiscovery {
        /// The name of the cloud.
        cloud: String,
        /// Whether the cloud is unknown, so that the public cloud was used.
        unknown: bool,
        /// The error of the discovery.
        #[source]
        error: DiscoveryError,
    },
    /// Any other error.
    #[error(transparent)]
    Other(#[from] Error),
}

/// The tenant of a credential is missing, and its discovery failed.
#[derive(Clone, Debug)]
pub struct UnknownTenant {
    cloud: String,
    is_unknown_cloud: bool,
    error: DiscoveryError,
}

impl From<UnknownTenant> for AccessError {
    fn from(UnknownTenant { cloud, is_unknown_cloud, error }: UnknownTenant) -> Self {
        Self::TenantDiscovery { cloud, unknown: is_unknown_cloud, error }
    }
}

impl From<store::Error> for AccessError {
    fn from(error: store::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Resolves credentials, and computes their fingerprints for cache keys.
#[derive(Debug)]
pub struct Resolver {
    azure: Azure,
    fingerprinter: Fingerprinter,
}

impl Resolver {
    pub fn new(azure: Azure, fingerprinter: Fingerprinter) -> Self {
        Self { azure, fingerprinter }
    }

    /// Resolves a credential; `credential_id` is set for a stored one. A missing tenant is discovered.
    pub async fn resolve(
        &self,
        fields: InlineCredential,
        credential_id: Option<String>,
        purpose: DiscoveryPurpose,
    ) -> Result<Arc<AzureAccess>, UnknownTenant> {
        let fields = fields.with_trimmed_ids();
        let cloud = Cloud::from_environment(&fields.environment);
        let is_unknown_cloud = !fields.environment.is_empty() && fields.environment != cloud.environment();
        let tenant_id = if fields.tenant_id.is_empty() {
            let deadline = Instant::now() + DISCOVERY_TIMEOUT;
            let discover = self.azure.discover_tenant(cloud, &fields.subscription_id, purpose, deadline);
            // Boxed, because this future is large and rarely needed; unboxed, every request would copy it.
            Box::pin(discover).await.map_err(|error| {
                let cloud_name =
                    if fields.environment.is_empty() { cloud.environment() } else { &fields.environment };
                UnknownTenant { cloud: cloud_name.to_owned(), is_unknown_cloud, error }
            })?
        } else {
            fields.tenant_id
        };
        let hash_input =
            [cloud.environment(), &tenant_id, &fields.client_id, fields.client_secret.expose_secret()];
        let fingerprint = Fingerprint(self.fingerprinter.fingerprint(&hash_input.map(str::as_bytes)));
        let credential = Arc::new(azure::Credential {
            cloud,
            tenant_id,
            subscription_id: fields.subscription_id,
            client_id: fields.client_id,
            client_secret: fields.client_secret,
            fingerprint,
        });
        let unknown_environment = is_unknown_cloud.then_some(fields.environment);
        Ok(Arc::new(AzureAccess { credential, credential_id, unknown_environment }))
    }
}
