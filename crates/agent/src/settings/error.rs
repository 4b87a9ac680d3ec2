//! Errors in the settings of an agent.

use super::{API_SERVER, CA_CHECKSUM, KUBERNETES_PORT, SERVER, SERVER_FILE, TOKEN, TOKEN_FILE};

/// A missing or invalid setting. The message contains its name and the remedy, but no value that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The server's URL is missing.
    #[error(
        "the server's URL is missing: {SERVER} is not set, and {SERVER_FILE} is missing or empty; apply the cluster's import \
         manifest, which sets both"
    )]
    NoServer,
    /// The server's URL is not an `https` URL with a host.
    #[error("{origin} does not contain the URL of a server; use https://host or https://host:port")]
    InvalidServer {
        /// The variable or file.
        origin: String,
    },
    /// The server's URL starts with `http://`.
    #[error(
        "{origin} contains an http:// URL, but agents connect with TLS only; set `server-url` of the server to its https:// \
         URL and apply the cluster's import manifest again"
    )]
    PlainServer {
        /// The variable or file.
        origin: String,
    },
    /// The registration token is missing.
    #[error(
        "the registration token is missing: {TOKEN} is not set, and {TOKEN_FILE} is missing or empty; apply the cluster's import \
         manifest, which sets the file"
    )]
    NoToken,
    /// The registration token contains characters that cannot be sent.
    #[error(
        "the registration token in {origin} contains invalid characters; apply the cluster's import manifest again"
    )]
    InvalidToken {
        /// The variable or file.
        origin: String,
    },
    /// A file of the mounted secret is not UTF-8.
    #[error("{0} is not UTF-8; apply the cluster's import manifest again")]
    NotText(&'static str),
    /// The checksum is not a SHA-256 checksum.
    #[error(
        "{CA_CHECKSUM} is {0:?}, which is not 64 hexadecimal digits; apply the cluster's import manifest again, or remove the \
         variable to trust the certificate authorities of the image"
    )]
    InvalidChecksum(String),
    /// A variable that Kubernetes sets is missing.
    #[error("{0} is not set; run the agent in a pod of the cluster, where Kubernetes sets it")]
    NotInCluster(&'static str),
    /// The port of the API server is not a valid port.
    #[error("{KUBERNETES_PORT} is {0:?}, which is not a port; Kubernetes sets it, so do not override it")]
    InvalidPort(String),
    /// The value of `NORMAN_AKS_API_SERVER` is not `host:port`.
    #[error(
        "{API_SERVER} is {0:?}, which is not host:port; use the API server's address, such as name.azmk8s.io:443"
    )]
    InvalidApiServer(String),
    /// The proxy is not a valid URL.
    #[error(
        "{origin} does not contain the URL of an HTTP proxy; use http://host:port or https://host:port, with user:password@ before \
         the host if the proxy requires it"
    )]
    InvalidProxy {
        /// The variable.
        origin: String,
    },
}
