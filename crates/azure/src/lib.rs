//! What Azure says: the thin client of Microsoft Entra and Azure Resource Manager. Knows nothing of Rancher.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};

use tenant::Tenants;
use token::Tokens;

mod call;
mod cloud;
mod credential;
mod entra;
mod error;
mod flight;
mod foreign;
mod one;
mod operation;
mod page;
mod refusal;
pub mod resources;
mod retry;
mod scrub;
mod tenant;
mod token;
mod transport;
mod url;
mod write;

pub use call::Arm;
pub use cloud::Cloud;
pub use credential::{Credential, Fingerprint};
pub use error::{Cause, Error, Reason, Service};
pub use operation::{Operation, Progress, Step, UnreadableOperation};
pub use refusal::{LoginRefusal, Refusal, ServiceError};
pub use resources::{
    agent_pools, kubernetes_versions, locations, managed_clusters, permissions, providers, resource_groups,
    skus, subscriptions, usages, virtual_networks, vm_sizes, workspaces,
};
pub use tenant::{Discovery, DiscoveryError};
pub use write::Written;

/// How Azure is reached. The default is the real Azure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The time of day, for the age of tokens.
    pub clock: Clock,
    /// Addresses that stand in for those of a host name.
    pub resolve: Vec<(String, SocketAddr)>,
    /// Certificate authorities, in PEM form, that are trusted beside the system's.
    pub extra_roots_pem: Option<String>,
    /// Whether the proxy of the environment is used.
    pub use_proxy: bool,
    /// The header `User-Agent`.
    pub user_agent: String,
    /// How long a connection may take.
    pub connect_limit: Duration,
    /// How long the next part of an answer may take.
    pub read_limit: Duration,
    /// The unit of the growing pause between attempts.
    pub retry_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            resolve: Vec::new(),
            extra_roots_pem: None,
            use_proxy: true,
            user_agent: concat!("norman-aks/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_limit: Duration::from_secs(10),
            read_limit: Duration::from_secs(30),
            retry_pause: Duration::from_millis(800),
        }
    }
}

/// The client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The extra certificate authorities cannot be read, or there are none.
    #[error("the extra certificate authorities are not certificates in PEM form")]
    Roots(#[source] Option<reqwest::Error>),
    /// The HTTP client refuses its settings, or the system's certificate authorities cannot be read.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}

/// The way to Azure: one pool of connections, one memory of tokens and tenants. Clones share all of it.
#[derive(Clone, Debug)]
pub struct Azure(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: reqwest::Client,
    clock: Clock,
    retry_pause: Duration,
    tokens: Tokens,
    tenants: Arc<Tenants>,
}

impl Azure {
    /// Builds the client. Sends nothing.
    pub fn new(options: Options) -> Result<Self, BuildError> {
        let client = transport::client(&options)?;
        let Options { clock, retry_pause, .. } = options;
        Ok(Self(Arc::new(Shared {
            tokens: Tokens::new(client.clone(), clock.clone(), retry_pause),
            tenants: Arc::new(Tenants::new(client.clone(), clock.clone(), retry_pause)),
            client,
            clock,
            retry_pause,
        })))
    }

    /// The way to Resource Manager for one use case, which must be done by `deadline`. Sends nothing: a token
    /// is fetched when the first request needs it. The error is what can be seen without asking:
    /// [`Error::InvalidTenant`], [`Error::EmptySecret`], [`Error::EmptyClient`], [`Error::EmptySubscription`].
    pub fn arm(&self, credential: &Arc<Credential>, deadline: Instant) -> Result<Arm, Error> {
        credential.check()?;
        Ok(Arm::new(self, credential, deadline))
    }

    /// A token of a credential that is good for something else than Resource Manager: `scope` is
    /// `<id of an application>/.default`, and the application may belong to another tenant. Cached like the other
    /// tokens, with one request for all who wait. A `rejected` token is not given again.
    pub async fn entra_token(
        &self,
        credential: &Arc<Credential>,
        tenant_id: &str,
        scope: &str,
        rejected: Option<&SecretString>,
        deadline: Instant,
    ) -> Result<SecretString, Error> {
        let there = Arc::new(Credential { tenant_id: tenant_id.to_owned(), ..Credential::clone(credential) });
        there.check()?;
        let source = self.0.tokens.of_scope(&there, scope.to_owned());
        if let Some(rejected) = rejected {
            source.drop_rejected(rejected);
        }
        source.token(deadline).await?.secret(&there)
    }

    /// Forgets the tokens of a credential, and that it could not get one.
    pub fn forget_token(&self, credential: &Credential) {
        self.0.tokens.forget(credential.fingerprint);
    }

    /// The tenant of a subscription, found without a credential in at most five seconds
    /// (`docs/contract/azure.md#tenant-discovery`).
    pub async fn discover_tenant(
        &self,
        cloud: Cloud,
        subscription_id: &str,
        how: Discovery,
        deadline: Instant,
    ) -> Result<String, DiscoveryError> {
        self.0.tenants.discover(cloud, subscription_id, how, deadline).await
    }

    /// Whether a service of a cloud answers at all, whatever it says to a request for nothing without a token.
    pub async fn reach(&self, cloud: Cloud, service: Service, deadline: Instant) -> Result<(), Error> {
        let address = match service {
            Service::Arm => cloud.arm_origin(),
            Service::Login => cloud.login_authority(),
        };
        let address = reqwest::Url::parse(address).map_err(|_| Error::BadUrl(address.to_owned()))?;
        let asked = call::anonymous(&self.0.client, &self.0.clock, service, "reach", &address);
        match timeout_at(deadline, asked).await {
            Ok(answered) => answered.map(drop),
            Err(_) => Err(Error::TimedOut { to: service }),
        }
    }
}
