//! Options of the client.

use std::net::SocketAddr;
use std::time::Duration;

use clock::Clock;

/// Options of [`Azure`](crate::Azure). The default is the real Azure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The clock by which tokens, tenants and budgets expire.
    pub clock: Clock,
    /// Addresses for host names, instead of DNS.
    pub resolve: Vec<(String, SocketAddr)>,
    /// Certificate authorities (PEM) to trust in addition to the system's.
    pub extra_roots_pem: Option<String>,
    /// Whether to use the proxy that the environment variables configure.
    pub use_proxy: bool,
    /// The value of the header `User-Agent`.
    pub user_agent: String,
    /// The time limit for opening a connection.
    pub connect_timeout: Duration,
    /// The time limit for the next part of a response.
    pub read_timeout: Duration,
    /// The delay before the first retry; later delays grow from it.
    pub retry_base_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            resolve: Vec::new(),
            extra_roots_pem: None,
            use_proxy: true,
            user_agent: concat!("norman-aks/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            retry_base_delay: Duration::from_millis(800),
        }
    }
}

/// The client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// `extra_roots_pem` contains no certificate (`None`) or an invalid one.
    #[error("the extra certificate authorities are not valid PEM certificates")]
    Roots(#[source] Option<reqwest::Error>),
    /// The HTTP client rejects its options, or the system's certificate authorities cannot be read.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}
