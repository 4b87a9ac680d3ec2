//! Why a cluster cannot be used, for people and for decisions.

use std::time::Duration;

/// What went wrong on the way into a cluster, or inside.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig {0}")]
    Kubeconfig(&'static str),
    /// The name does not exist, as the names of private clusters outside their network.
    #[error("the host name {host} cannot be resolved")]
    NameUnknown {
        /// The host.
        host: String,
    },
    /// No answer in time.
    #[error("no answer within {} s", after.as_secs())]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// The cluster refuses.
    #[error("the cluster answers {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
}

impl Error {
    /// Whether the host name cannot be resolved, and that is not a passing trouble of DNS.
    pub fn is_name_unknown(&self) -> bool {
        matches!(self, Self::NameUnknown { .. })
    }

    /// Whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// Whether the cluster knows us, and does not let us do it.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { status: 403, .. })
    }
}
