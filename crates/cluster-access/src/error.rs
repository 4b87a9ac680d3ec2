//! Why a cluster cannot be used, for people and for decisions.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::dial::Undialled;
use http::StatusCode;

/// What went wrong on the way into a cluster, or inside. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig cannot be used; the words say why.
    #[error("the kubeconfig {0}")]
    Kubeconfig(&'static str),
    /// The address is not one that Azure gives to a Kubernetes API.
    #[error("the address of the cluster is not used: {host:?}: {why}")]
    Endpoint {
        /// The host of the address.
        host: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The authority, certificate, key or token cannot be used; the words say which.
    #[error("{0} of the cluster cannot be used")]
    Material(&'static str),
    /// The name does not exist here, as those of private clusters outside their network.
    #[error("the host name {host} cannot be resolved")]
    NameUnknown {
        /// The host.
        host: String,
    },
    /// DNS does not say for now whether the name exists.
    #[error("the host name {host} cannot be resolved at the moment")]
    NameTrouble {
        /// The host.
        host: String,
        /// What the resolver of the system says.
        #[source]
        source: io::Error,
    },
    /// The name leads to a place that is never dialled.
    #[error("the host name {host} leads to {address}, where no cluster can be")]
    AddressRefused {
        /// The host.
        host: String,
        /// The first of its addresses.
        address: IpAddr,
    },
    /// No connection.
    #[error("the cluster at {host} cannot be reached: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// What the transport says.
        reason: String,
    },
    /// The cluster does not prove who it is, or refuses the connection itself.
    #[error("no trust between here and {host}: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// What rustls says.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer from {host} within {} s", after.as_secs())]
    TimedOut {
        /// The host.
        host: String,
        /// The limit.
        after: Duration,
    },
    /// The body of the request is larger than it may be.
    #[error("the body of the request is too large")]
    BodyTooLarge,
    /// The cluster answers, and not with success.
    #[error("{host} answers {status}: {message}")]
    Refused {
        /// The host.
        host: String,
        /// The HTTP status.
        status: StatusCode,
        /// Its words, shortened.
        message: String,
    },
    /// The answer of the cluster cannot be used; the words say which.
    #[error("{host} answers something unreadable: {what}")]
    Unreadable {
        /// The host.
        host: String,
        /// What cannot be read, in words of ours.
        what: &'static str,
    },
}

/// Fails the body of a request that is larger than it may be; the request then ends with [`Error::BodyTooLarge`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body of the request is too large")]
pub struct BodyTooLarge;

impl Error {
    /// Whether the host name cannot be resolved, and that is not a passing trouble of DNS.
    pub fn is_name_unknown(&self) -> bool {
        matches!(self, Self::NameUnknown { .. })
    }

    /// Whether the cluster does not prove to be the one that is known.
    pub fn is_untrusted(&self) -> bool {
        matches!(self, Self::Tls { .. })
    }

    /// Whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// Whether there was no connection, or no answer over it.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }

    /// Whether the cluster knows us, and does not let us do it.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::FORBIDDEN, .. })
    }

    /// Whether the cluster does not know us, or no longer.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::UNAUTHORIZED, .. })
    }

    /// Whether the cluster rejects this server's access, or is not the one that it leads to: new access may help. The
    /// request was not done.
    pub fn is_access_rejected(&self) -> bool {
        self.is_unauthorized() || self.is_untrusted() || self.is_name_unknown()
    }

    /// What a failure of the transport comes to, from the innermost cause that tells something.
    pub(super) fn of_transport(host: &str, error: &(dyn StdError + 'static)) -> Self {
        let mut last = None;
        let mut below = Some(error);
        while let Some(error) = below {
            if let Some(undialled) = error.downcast_ref::<Undialled>() {
                return undialled.told(host);
            }
            if error.is::<BodyTooLarge>() {
                return Self::BodyTooLarge;
            }
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Self::Tls { host: host.to_owned(), reason: tls.to_string() };
            }
            if let Some(io) = error.downcast_ref::<io::Error>() {
                // What an I/O error wraps is not its source but its inner error, often another I/O error.
                if let Some(inner) = io.get_ref() {
                    return Self::of_transport(host, inner);
                }
                if io.kind() == io::ErrorKind::TimedOut {
                    let reason = "the connection timed out".to_owned();
                    return Self::Unreachable { host: host.to_owned(), reason };
                }
            }
            last = Some(error);
            below = error.source();
        }
        let reason = last.map(ToString::to_string).unwrap_or_default();
        Self::Unreachable { host: host.to_owned(), reason }
    }
}
