//! The reasons why an agent may not open a session.

use aks::agent_params::InvalidParams;
use cluster_access::TooManySessions;

use crate::store;

/// The reason why an agent may not open a session. Agents log the messages, which are Rancher's where Rancher has the same
/// error.
#[derive(Debug, thiserror::Error)]
pub enum AgentRefusal {
    /// The request has no token.
    #[error("failed authentication")]
    NoToken,
    /// The token is wrong, or was deleted, possibly with its cluster.
    #[error("cluster not found")]
    Unknown,
    /// The bearer token of an embedded Rancher is wrong or deleted.
    #[error("failed authentication")]
    UnknownBearer,
    /// The parameters do not describe a cluster.
    #[error(transparent)]
    Params(#[from] InvalidParams),
    /// The cluster has the maximum number of sessions.
    #[error(transparent)]
    TooMany(#[from] TooManySessions),
    /// The server is shutting down.
    #[error("the server is shutting down; connect again")]
    Stopping,
    /// The database failed.
    #[error("the registration token cannot be checked at the moment")]
    Store(#[from] store::Error),
}

impl AgentRefusal {
    /// The values of the label `reason` of `norman_aks_agent_refusals_total`.
    pub(super) const REASONS: [&'static str; 6] =
        ["no_token", "unknown_token", "params", "too_many", "stopping", "unavailable"];

    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Unknown | Self::UnknownBearer => "unknown_token",
            Self::Params(_) => "params",
            Self::TooMany(_) => "too_many",
            Self::Stopping => "stopping",
            Self::Store(_) => "unavailable",
        }
    }
}
