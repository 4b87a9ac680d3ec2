//! The settings of an agent, from the variables and files of an import manifest.

mod error;
mod parse;

use std::fmt;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Intercept;
use secrecy::{ExposeSecret as _, SecretString};

pub use self::error::SettingsError;
use self::parse::Environment;
pub(crate) use self::parse::parse_endpoint;

const SERVER: &str = "CATTLE_SERVER";
const TOKEN: &str = "CATTLE_TOKEN";
const CA_CHECKSUM: &str = "CATTLE_CA_CHECKSUM";
const KUBERNETES_HOST: &str = "KUBERNETES_SERVICE_HOST";
const KUBERNETES_PORT: &str = "KUBERNETES_SERVICE_PORT";
const API_SERVER: &str = "NORMAN_AKS_API_SERVER";
const HTTPS_PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The files of the mounted secret. They take precedence over the variables, as in Rancher's agent, because only the files
/// change when the token is rotated.
const SERVER_FILE: &str = "/cattle-credentials/url";
const TOKEN_FILE: &str = "/cattle-credentials/token";

/// The time in which running connections may finish after the stop signal. It is less than the 30 s after which Kubernetes
/// kills a pod.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without traffic for this long does not delay the stop: the server keeps idle ones for later requests.
const DRAIN_IDLE_TIME: Duration = Duration::from_secs(1);

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The name or IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// The settings of an agent.
#[derive(Clone)]
pub struct Settings {
    pub(crate) server: Endpoint,
    pub(crate) token: SecretString,
    pub(crate) checksum: Option<String>,
    /// The address at which the agent connects to the API server.
    pub(crate) api_server: Endpoint,
    /// The only address that the server may request; `None` allows every host with port 443.
    pub(crate) allowed_address: Option<Endpoint>,
    pub(crate) proxy: Option<Intercept>,
    pub(crate) drain_timeout: Duration,
    pub(crate) drain_idle_time: Duration,
}

impl Settings {
    /// Reads the settings. `variable` returns an environment variable, `file` the content of a file, if it exists.
    ///
    /// | Variable | File | Meaning |
    /// |---|---|---|
    /// | `CATTLE_SERVER` | `/cattle-credentials/url` | the server, `https://host[:port]`; a path is ignored |
    /// | `CATTLE_TOKEN` | `/cattle-credentials/token` | the registration token |
    /// | `CATTLE_CA_CHECKSUM` | | SHA-256 of the server's `cacerts`; without it, the system's authorities are trusted |
    /// | `KUBERNETES_SERVICE_HOST`, `KUBERNETES_SERVICE_PORT` | | the API server; Kubernetes sets them |
    /// | `NORMAN_AKS_API_SERVER` | | the only `host:port` that the server may request; by default any host with port 443 |
    /// | `HTTPS_PROXY`, `NO_PROXY` | | the proxy to the server; lower case as well |
    ///
    /// # Errors
    /// A missing or invalid value. The message contains its name and the remedy, but no secret.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
        file: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, SettingsError> {
        let environment = Environment { variable: &variable, file: &file };
        let server = environment.file_or_variable(SERVER_FILE, SERVER)?.ok_or(SettingsError::NoServer)?;
        let server = parse::parse_server(&server)?;
        let token = environment.file_or_variable(TOKEN_FILE, TOKEN)?.ok_or(SettingsError::NoToken)?;
        let checksum =
            environment.variable(CA_CHECKSUM).map(|value| parse::parse_checksum(&value.text)).transpose()?;
        let host =
            environment.variable(KUBERNETES_HOST).ok_or(SettingsError::NotInCluster(KUBERNETES_HOST))?;
        let port =
            environment.variable(KUBERNETES_PORT).ok_or(SettingsError::NotInCluster(KUBERNETES_PORT))?;
        let api_server = parse::parse_in_cluster_address(&host.text, &port.text)?;
        let allowed_address = environment
            .variable(API_SERVER)
            .map(|value| parse::parse_allowed_address(&value.text))
            .transpose()?;
        let proxy = environment.first_variable(HTTPS_PROXY);
        let no_proxy = environment.first_variable(NO_PROXY).map(|value| value.text).unwrap_or_default();
        let proxy = proxy.map(|proxy| parse::parse_proxy(&proxy, no_proxy, &server)).transpose()?.flatten();
        let token = parse::parse_token(token)?;
        Ok(Self {
            server,
            token,
            checksum,
            api_server,
            allowed_address,
            proxy,
            drain_timeout: DRAIN_TIMEOUT,
            drain_idle_time: DRAIN_IDLE_TIME,
        })
    }

    /// Changes the time in which running connections may finish after the stop signal (10 s by default), and the time without
    /// traffic after which a connection is considered idle (1 s by default).
    #[must_use]
    pub fn with_drain(mut self, timeout: Duration, idle_time: Duration) -> Self {
        (self.drain_timeout, self.drain_idle_time) = (timeout, idle_time);
        self
    }

    /// The server's URL, `https://host[:port]`.
    pub fn server(&self) -> String {
        format!("https://{}", self.host_and_port())
    }

    /// The address of the API server in the cluster, `host:port`.
    pub fn api_server(&self) -> String {
        self.api_server.to_string()
    }

    /// The only address that the server may request; `None` allows every host with port 443.
    pub fn allowed_address(&self) -> Option<String> {
        self.allowed_address.as_ref().map(ToString::to_string)
    }

    /// The proxy between the agent and its server, without its credentials.
    pub fn proxy(&self) -> Option<String> {
        let proxy = self.proxy.as_ref()?;
        Some(proxy.uri().to_string().trim_end_matches('/').to_owned())
    }

    /// The checksum of the server's certificate authorities; `None` if the system's authorities are trusted.
    pub fn checksum(&self) -> Option<&str> {
        self.checksum.as_deref()
    }

    /// The host and port as in a URL, without the default port.
    pub(crate) fn host_and_port(&self) -> String {
        let host_and_port = self.server.to_string();
        host_and_port.strip_suffix(":443").map(str::to_owned).unwrap_or(host_and_port)
    }

    /// Masks the token in `text`, because servers may echo the request.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(self.token.expose_secret(), "****")
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("server", &self.server())
            .field("api_server", &self.api_server())
            .field("allowed_address", &self.allowed_address())
            .field("proxy", &self.proxy())
            .field("checksum", &self.checksum)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
