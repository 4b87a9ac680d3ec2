//! Errors of the access to clusters.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;
use url::Url;

use crate::hosts::{NOT_AN_AKS_HOST, WRONG_PORT};

/// Errors of the access to a cluster. They contain no secrets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig is invalid, with the reason.
    #[error("the kubeconfig {0}")]
    Kubeconfig(&'static str),
    /// The URL is not that of a Kubernetes API of AKS.
    #[error("the cluster URL with host {host:?} is not accepted: {reason}")]
    Endpoint {
        /// The host of the URL.
        host: String,
        /// The reason.
        reason: &'static str,
    },
    /// A certificate authority, certificate, key, token, URL or user name is invalid, with the message.
    #[error("{0}")]
    InvalidInput(&'static str),
    /// The host name does not exist. Names of private clusters exist only in their own network.
    #[error("the host name {host} cannot be resolved")]
    NameUnknown {
        /// The host.
        host: String,
    },
    /// DNS is unavailable.
    #[error("the host name {host} cannot be resolved at the moment")]
    NameLookup {
        /// The host.
        host: String,
        /// The error of the system's resolver.
        #[source]
        source: io::Error,
    },
    /// The name resolves only to addresses that are not allowed.
    #[error("the host name {host} resolves to {address}, which is not allowed for clusters")]
    AddressRejected {
        /// The host.
        host: String,
        /// The first of its addresses.
        address: IpAddr,
    },
    /// The connection failed.
    #[error("the cluster at {host} cannot be reached: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// The error of the transport.
        reason: String,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake with {host} failed: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// The error of rustls.
        reason: String,
    },
    /// The cluster did not respond within the time limit.
    #[error("no response from {host} within {} s", after.as_secs())]
    TimedOut {
        /// The host.
        host: String,
        /// The limit.
        after: Duration,
    },
    /// The body of the request is too large.
    #[error("the body of the request is too large")]
    BodyTooLarge,
    /// An unsuccessful response of the cluster.
    #[error("{host} returned {status}: {message}")]
    ErrorResponse {
        /// The host.
        host: String,
        /// The HTTP status.
        status: StatusCode,
        /// The cluster's message, truncated.
        message: String,
    },
    /// An object with the same name belongs to another server.
    #[error("the {object} in the cluster at {host} was deployed by another server and is not changed")]
    ForeignObject {
        /// The host.
        host: String,
        /// Kind, namespace and name.
        object: String,
    },
    /// Other clients changed the bindings of removed users during every attempt to change them.
    #[error("the role bindings in the cluster at {host} were changed concurrently in every attempt")]
    BindingsChanged {
        /// The host.
        host: String,
    },
    /// The cluster's response is invalid.
    #[error("the response of {host} is invalid: {what}")]
    Unreadable {
        /// The host.
        host: String,
        /// The problem.
        what: &'static str,
    },
}

/// The error of a request body that exceeds its limit. The request then fails with [`Error::BodyTooLarge`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body of the request is too large")]
pub struct BodyTooLarge;

impl Error {
    pub(super) fn endpoint(url: &Url, reason: &'static str) -> Self {
        Self::Endpoint { host: url.host_str().unwrap_or_default().to_owned(), reason }
    }

    /// Whether the host name does not exist.
    pub fn is_name_unknown(&self) -> bool {
        matches!(self, Self::NameUnknown { .. })
    }

    /// Whether a time limit was exceeded.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// Whether there was no connection or no response.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }

    /// Whether the cluster denies the request.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::ErrorResponse { status: StatusCode::FORBIDDEN, .. })
    }

    /// Whether the cluster rejects the token or client certificate.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::ErrorResponse { status: StatusCode::UNAUTHORIZED, .. })
    }

    /// Whether the host name, token or certificates of the access may be outdated: the token or certificate is rejected, the
    /// TLS handshake failed, or the host name does not exist. The request was not executed; it may succeed with renewed
    /// access.
    pub fn is_access_outdated(&self) -> bool {
        matches!(self, Self::Tls { .. }) || self.is_unauthorized() || self.is_name_unknown()
    }

    /// Converts an error of the transport by its first cause of a known type. Without one, the innermost cause is the reason.
    pub(super) fn from_transport(host: &str, error: &(dyn StdError + 'static)) -> Self {
        let mut innermost = None;
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(connect) = cause.downcast_ref::<ConnectError>() {
                return connect.to_error(host);
            }
            if cause.is::<BodyTooLarge>() {
                return Self::BodyTooLarge;
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                return Self::Tls { host: host.to_owned(), reason: tls.to_string() };
            }
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                // `source()` skips the inner error of an I/O error, which is often another I/O error.
                if let Some(inner) = io.get_ref() {
                    return Self::from_transport(host, inner);
                }
                if io.kind() == io::ErrorKind::TimedOut {
                    let reason = "the connection timed out".to_owned();
                    return Self::Unreachable { host: host.to_owned(), reason };
                }
            }
            innermost = Some(cause);
            next = cause.source();
        }
        let reason = innermost.map(ToString::to_string).unwrap_or_default();
        Self::Unreachable { host: host.to_owned(), reason }
    }
}

/// The error of a connection that is not allowed or cannot be opened. The HTTP client wraps it; [`Error::from_transport`] finds
/// it by its type.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{NOT_AN_AKS_HOST}")]
    NotAksHost,
    #[error("{WRONG_PORT}")]
    WrongPort,
    #[error("the name does not exist")]
    NameUnknown,
    #[error("the name cannot be looked up")]
    NameLookup(#[source] io::Error),
    #[error("connections to the address {0} are not allowed")]
    AddressRejected(IpAddr),
    #[error("no connection within {} s", .0.as_secs())]
    TimedOut(Duration),
}

impl ConnectError {
    pub(super) fn to_error(&self, host: &str) -> Error {
        let host = host.to_owned();
        match self {
            Self::NotAksHost => Error::Endpoint { host, reason: NOT_AN_AKS_HOST },
            Self::WrongPort => Error::Endpoint { host, reason: WRONG_PORT },
            Self::NameUnknown => Error::NameUnknown { host },
            // Copied, because the original cannot be moved out of the chain of causes.
            Self::NameLookup(source) => {
                Error::NameLookup { host, source: io::Error::new(source.kind(), source.to_string()) }
            }
            Self::AddressRejected(address) => Error::AddressRejected { host, address: *address },
            Self::TimedOut(after) => Error::TimedOut { host, after: *after },
        }
    }
}
