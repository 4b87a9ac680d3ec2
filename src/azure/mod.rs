//! What Azure says: the thin client of Microsoft Entra and Azure Resource Manager. Knows nothing of Rancher.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;

mod cloud;
mod credential;
mod error;
mod refusal;
pub mod resources;
mod tenant;

pub use cloud::Cloud;
pub use credential::{Credential, Fingerprint};
pub use error::{Error, Reason, Service};
pub use refusal::{LoginRefusal, Refusal};
pub use resources::{
    kubernetes_versions, locations, managed_clusters, skus, subscriptions, virtual_networks, vm_sizes,
};
pub use tenant::{Discovery, DiscoveryError};

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

/// The way to Azure: one pool of connections, one cache of tokens. Clones share both.
#[derive(Clone, Debug)]
pub struct Azure(());

impl Azure {
    /// Builds the client. Sends nothing.
    pub fn new(_options: Options) -> Result<Self, BuildError> {
        unimplemented!("comes with the transport")
    }

    /// The way to Resource Manager for one use case, which must be done by `deadline`. Sends nothing: a token
    /// is fetched when the first request needs it.
    pub fn arm(&self, credential: &Arc<Credential>, deadline: Instant) -> Result<Arm, Error> {
        credential.check()?;
        Ok(Arm { credential: Arc::clone(credential), deadline })
    }

    /// Forgets the token of a credential, and that it could not get one.
    pub fn forget_token(&self, _credential: &Credential) {
        unimplemented!("comes with the token cache")
    }

    #[expect(clippy::unused_async, reason = "the calls come next")]
    /// The id of the tenant that a subscription belongs to, found without a credential. Never takes longer
    /// than five seconds.
    pub async fn discover_tenant(
        &self,
        _cloud: Cloud,
        _subscription_id: &str,
        _how: Discovery,
        _deadline: Instant,
    ) -> Result<String, DiscoveryError> {
        unimplemented!("comes with the transport")
    }
}

/// Resource Manager as one credential sees it, until a deadline.
#[derive(Clone, Debug)]
pub struct Arm {
    credential: Arc<Credential>,
    #[expect(dead_code, reason = "read by the calls, which come next")]
    deadline: Instant,
}

impl Arm {
    /// The same with a token of its own, fetched anew, whatever is remembered about the credential.
    #[must_use]
    pub fn with_new_token(self) -> Self {
        self
    }

    /// Whose eyes these are.
    pub fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }
}
