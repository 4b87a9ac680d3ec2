//! Errors of the client of Rancher.

use std::time::Duration;

use http::StatusCode;

/// The remedy for requests that come back to this server.
pub const LOOP_REMEDY: &str = "rancher-url leads through the ingress that sends the nine actions here; set it to the Service of \
     Rancher (https://rancher.cattle-system.svc), and rancher-host to the public name";

/// An invalid setting of the client.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("rancher-host is not a host name")]
    Host,
    #[error("the file in rancher-ca-file contains no PEM certificate")]
    NoCertificate,
    #[error("the certificates in rancher-ca-file are invalid")]
    Certificate(#[source] reqwest::Error),
    #[error("the HTTP client of Rancher cannot be built")]
    Client(#[source] reqwest::Error),
}

/// An error of a request to Rancher.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("Rancher did not respond within {} s", limit.as_secs())]
    TimedOut { limit: Duration },
    #[error(
        "the request to Rancher failed, or its response is incomplete; check rancher-url and the network"
    )]
    NoResponse(#[source] reqwest::Error),
    #[error("the response is larger than {limit} bytes")]
    TooLarge { limit: usize },
    /// The response was sent by a proxy or another program.
    #[error(
        "a response with status {status} is not Rancher's; rancher-url must be the URL of Rancher's Service"
    )]
    NotRancher { status: StatusCode },
    #[error(
        "a response with status {status} redirects; rancher-url must be the URL of Rancher's Service, with https"
    )]
    Redirect { status: StatusCode },
    #[error("the request came back to norman-aks: {LOOP_REMEDY}")]
    Loop,
    #[error("Rancher did not respond to the last requests, so this one was not sent; retry in a few seconds")]
    Suspended,
    #[error("too many requests to Rancher at once")]
    Busy,
    #[error("Rancher no longer accepts the caller's token or cookie; log in again")]
    SessionEnded,
    /// A lookup got an unexpected response ([`Lookup::Unexpected`](super::Lookup::Unexpected)) when the caller's request could
    /// no longer be forwarded to Rancher instead.
    #[error(
        "Rancher's response to a lookup has an unexpected status or format; see Rancher's log, and check that its version is \
         supported"
    )]
    UnexpectedResponse,
    /// The task of a shared lookup panicked or was shut down.
    #[error("the lookup in Rancher was aborted by an error of this server; retry")]
    Interrupted,
    /// Parsing the URL would change the path, for example because of `..`.
    #[error(
        "the path contains segments such as `..` and cannot be forwarded unchanged; send the resolved path"
    )]
    AmbiguousPath,
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(
        "the certificates that Rancher publishes do not match rancher-ca-checksum (their SHA-256 is {actual})"
    )]
    Checksum { actual: String },
    #[error("the certificates that Rancher publishes cannot be used: {0}")]
    Certificates(String),
}

impl Error {
    pub(super) fn from_transport(error: reqwest::Error) -> Self {
        Self::NoResponse(error.without_url())
    }

    /// Whether other requests would probably fail too. Responses that a single caller can cause are not an outage.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::NoResponse(_) => true,
            Self::NotRancher { status } => status.is_server_error(),
            _ => false,
        }
    }
}
