//! Why there is no response of Rancher.

use std::time::Duration;

use http::StatusCode;

/// The settings of the client cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the file of rancher-ca-file contains no certificate in PEM")]
    NoCertificate,
    #[error("the certificates of rancher-ca-file cannot be used")]
    Certificate(#[source] reqwest::Error),
    #[error("the HTTP client of Rancher cannot be built")]
    Client(#[source] reqwest::Error),
}

/// A request to Rancher that has no usable response.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("Rancher did not answer within {} s", limit.as_secs())]
    TimedOut { limit: Duration },
    #[error("Rancher did not answer completely")]
    NoAnswer(#[source] reqwest::Error),
    #[error("the response is larger than {limit} bytes")]
    TooLarge { limit: usize },
    /// A proxy in between, or another program.
    #[error("status {status} is not an answer of Rancher, because it lacks the header X-API-Cattle-Auth")]
    NotRancher { status: StatusCode },
    #[error(
        "{status} leads elsewhere; rancher-url must be the Service of Rancher, with https or with the port for http"
    )]
    Redirect { status: StatusCode },
    #[error(
        "the request came back to norman-aks; set rancher-url to the Service of Rancher (https://rancher.cattle-system.svc) \
         and rancher-host to its public name"
    )]
    Loop,
    #[error("Rancher did not answer the last requests; the next one is sent in a moment")]
    Suspended,
    #[error("the request was interrupted")]
    Interrupted,
    /// Another path would be requested than the caller sent.
    #[error("the path has dot segments")]
    Path,
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(
        "Rancher publishes other certificates than those of rancher-ca-checksum (their SHA-256 is {actual})"
    )]
    Checksum { actual: String },
    #[error("the certificates that Rancher publishes cannot be used: {0}")]
    Certificates(String),
}

impl Error {
    pub(super) fn of_transport(error: reqwest::Error) -> Self {
        Self::NoAnswer(error.without_url())
    }
}
