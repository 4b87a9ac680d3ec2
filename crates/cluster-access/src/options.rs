//! Options of the connections to clusters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::agents::AgentSessions;

/// Resolves a host name; `None` if the name does not exist.
pub type Resolver = Arc<dyn Fn(&str) -> Option<SocketAddr> + Send + Sync>;

/// Options of [`ClusterAccess`](crate::ClusterAccess). The default is for clusters in Azure.
#[derive(Clone)]
pub struct Options {
    /// Replaces DNS and proxies. Its addresses are not checked.
    pub resolver: Option<Resolver>,
    /// The sessions of agents.
    pub sessions: AgentSessions,
    /// The time limit for opening a connection, with DNS and TLS.
    pub connect_timeout: Duration,
    /// The time limit for reading version and number of nodes, and for checking this server's rights.
    pub info_timeout: Duration,
    /// The time limit for removing the service account, applying the agent's manifest, and deleting secrets of the agent.
    pub setup_timeout: Duration,
    /// The time limit for reading or changing the rights in a cluster, and for deleting all objects of this server.
    pub roles_timeout: Duration,
    /// The time limit for listing nodes.
    pub nodes_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resolver: None,
            sessions: AgentSessions::default(),
            connect_timeout: Duration::from_secs(30),
            info_timeout: Duration::from_secs(40),
            setup_timeout: Duration::from_mins(1),
            roles_timeout: Duration::from_mins(1),
            nodes_timeout: Duration::from_secs(20),
        }
    }
}
