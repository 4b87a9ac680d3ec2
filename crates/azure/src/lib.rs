//! A thin client for Microsoft Entra and Azure Resource Manager. Independent of Rancher.

mod arm;
mod budget;
mod cloud;
mod credential;
mod entra;
mod error;
mod error_response;
mod foreign_response;
mod long_running;
mod options;
mod page;
mod redact;
mod request;
mod request_name;
mod resource;
pub mod resources;
mod response;
mod retry;
mod single_flight;
mod tenant;
mod token;
mod transport;
mod url;
mod write;

use std::sync::Arc;

use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout_at};

use crate::budget::Budgets;
use crate::tenant::TenantCache;
use crate::token::TokenCache;
use crate::transport::Transport;

pub use crate::arm::Arm;
pub use crate::budget::{CallerId, Priority};
pub use crate::cloud::Cloud;
pub use crate::credential::{Credential, Fingerprint};
pub use crate::error::{Cause, Error, Reason, Service};
pub use crate::error_response::{ArmError, EntraError, ServiceError};
pub use crate::long_running::{LongRunningOperation, OperationStatus, Progress, UnreadableOperation};
pub use crate::options::{BuildError, Options};
pub use crate::request_name::RequestName;
pub use crate::resources::{
    agent_pools, kubernetes_versions, locations, managed_clusters, permissions, providers, resource_groups,
    run_command, skus, subscriptions, usages, virtual_networks, vm_sizes, workspaces,
};
pub use crate::single_flight::SharedTask;
pub use crate::tenant::{DiscoveryError, DiscoveryPurpose};
pub use crate::write::WriteResponse;

/// The client: a connection pool, caches of tokens and tenants, and the remaining requests of each application. Clones share
/// them.
#[derive(Clone, Debug)]
pub struct Azure(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    transport: Transport,
    tokens: TokenCache,
    tenants: TenantCache,
    budgets: Budgets,
}

impl Azure {
    /// Builds the client. Sends no request.
    pub fn new(options: Options) -> Result<Self, BuildError> {
        let transport = Transport::new(options)?;
        let tokens = TokenCache::new(transport.clone());
        let tenants = TenantCache::new(transport.clone());
        let budgets = Budgets::new(transport.clock.clone());
        Ok(Self(Arc::new(Inner { transport, tokens, tenants, budgets })))
    }

    /// A client of Resource Manager for one task, whose requests must finish by `deadline`. Sends nothing yet; a token is
    /// fetched for the first request.
    ///
    /// # Errors
    /// [`Error::InvalidTenant`], [`Error::EmptySecret`], [`Error::EmptyClient`], [`Error::EmptySubscription`].
    pub fn arm(&self, credential: &Arc<Credential>, deadline: Instant) -> Result<Arm, Error> {
        credential.check()?;
        let Inner { transport, tokens, budgets, .. } = &*self.0;
        let (source, budget) = (tokens.for_arm(credential), budgets.get(credential));
        Ok(Arm::new(transport.clone(), credential, source, budget, deadline))
    }

    /// Updates the gauges of the remaining requests.
    pub fn set_gauges(&self) {
        self.0.budgets.set_gauges();
    }

    /// A token for an application other than Resource Manager, from the cache if possible. `tenant_id` is the tenant of that
    /// application, which may differ from the credential's; `scope` is `<application ID>/.default`. `rejected` is a token that
    /// the application rejected: it is evicted first.
    pub async fn entra_token(
        &self,
        credential: &Arc<Credential>,
        tenant_id: &str,
        scope: &str,
        rejected: Option<&SecretString>,
        deadline: Instant,
    ) -> Result<SecretString, Error> {
        let credential = Credential { tenant_id: tenant_id.to_owned(), ..Credential::clone(credential) };
        credential.check()?;
        let source = self.0.tokens.for_scope(&Arc::new(credential), scope.to_owned());
        if let Some(rejected) = rejected {
            source.evict(rejected.expose_secret());
        }
        Ok(source.token(deadline).await?.as_str().into())
    }

    /// Discovers the tenant of a subscription without a credential, in at most five seconds
    /// (`docs/contract/azure.md#tenant-discovery`).
    pub async fn discover_tenant(
        &self,
        cloud: Cloud,
        subscription_id: &str,
        purpose: DiscoveryPurpose,
        deadline: Instant,
    ) -> Result<String, DiscoveryError> {
        self.0.tenants.discover(cloud, subscription_id, purpose, deadline).await
    }

    /// Checks that a service of a cloud responds, with any status, to a request without a token.
    pub async fn reach(&self, cloud: Cloud, service: Service, deadline: Instant) -> Result<(), Error> {
        let origin = match service {
            Service::Arm => cloud.arm_origin(),
            Service::Login => cloud.login_authority(),
        };
        let url = reqwest::Url::parse(origin).map_err(|_| Error::BadUrl(origin.to_owned()))?;
        let request = request::new_request(Method::GET, &url);
        let exchange = self.0.transport.exchange(service, RequestName::Reach, request);
        timeout_at(deadline, exchange).await.unwrap_or(Err(Error::TimedOut { to: service })).map(drop)
    }
}
