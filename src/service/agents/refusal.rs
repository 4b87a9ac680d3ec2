//! Why an agent may not open a session.

use aks::agent_params::InvalidParams;
use cluster_access::TooManySessions;

use crate::store;

/// Why an agent may not open a session. The texts are Rancher's where it has the case; agents log them.
#[derive(Debug, thiserror::Error)]
pub enum AgentRefusal {
    /// The request has no token.
    #[error("failed authentication")]
    NoToken,
    /// The token is wrong or was deleted, with its cluster or alone.
    #[error("cluster not found")]
    Unknown,
    /// The bearer token of an embedded Rancher is wrong or was deleted.
    #[error("failed authentication")]
    UnknownBearer,
    /// The parameters are not those of a cluster.
    #[error(transparent)]
    Params(#[from] InvalidParams),
    /// The cluster has enough sessions.
    #[error(transparent)]
    TooMany(#[from] TooManySessions),
    /// The server stops.
    #[error("the server stops; connect again")]
    Stopping,
    /// The database does not answer.
    #[error("the registration token cannot be checked at the moment")]
    Store(#[from] store::Error),
}

impl AgentRefusal {
    /// The values of the label `reason`.
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
