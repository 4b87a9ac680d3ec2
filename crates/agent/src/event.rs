//! The events of an agent, with messages for its log and its readiness.

use std::sync::Arc;
use std::time::Duration;

/// A change of the agent's state, a failed attempt to reach the server, which the agent repeats, or a failed or denied
/// connection to the API server.
///
/// `Display` writes the problem and its remedy. No event contains the token or the credentials of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Event {
    /// An attempt to connect starts.
    #[error("connecting to {}", route(server, proxy.as_deref()))]
    Connecting {
        /// The server, `https://host[:port]`.
        server: String,
        /// The proxy, without its credentials.
        proxy: Option<String>,
    },
    /// A session is open.
    #[error("connected to {server}, which can now reach the cluster's API server")]
    Connected {
        /// The server, `https://host[:port]`.
        server: String,
    },
    /// The session has ended.
    #[error("disconnected: {reason}; connecting again")]
    Disconnected {
        /// The reason.
        reason: String,
    },
    /// The server rejects the agent.
    #[error(
        "rejected by the server with status {status} ({}); {}",
        if text.is_empty() { "no response body" } else { text },
        rejection_remedy(*status)
    )]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The start of the response's body.
        text: String,
    },
    /// The server cannot be reached (without a proxy).
    #[error(
        "cannot connect to {address}: {reason}; check the address, DNS, and that firewalls and network policies allow TCP \
         connections to it"
    )]
    Unreachable {
        /// The host and port.
        address: String,
        /// The reason.
        reason: String,
    },
    /// The proxy cannot be reached, or does not connect to the server.
    #[error("cannot connect to the server through the proxy {proxy}: {reason}; {}", proxy_remedy(*status))]
    ProxyFailed {
        /// The proxy, without its credentials.
        proxy: String,
        /// Its status, if it responded.
        status: Option<u16>,
        /// The reason.
        reason: String,
    },
    /// The TLS handshake failed, for a reason other than the certificate.
    #[error(
        "TLS handshake with {address} failed: {reason}; check that it is the port for HTTPS, and that no firewall interrupts \
         TLS"
    )]
    TlsFailed {
        /// The host and port.
        address: String,
        /// The reason.
        reason: String,
    },
    /// The certificate of the server or of the proxy is not trusted.
    #[error("the certificate of {address} is not trusted: {reason}; {remedy}")]
    NotTrusted {
        /// The host and port.
        address: String,
        /// The reason.
        reason: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// The server's certificate authorities cannot be read.
    #[error(
        "cannot read the server's certificate authorities: GET /v3/settings/cacerts: {reason}; check that CATTLE_SERVER is \
         the URL of the server and that a gateway in front of it passes this path without login"
    )]
    AuthoritiesUnavailable {
        /// The reason.
        reason: String,
    },
    /// The server's certificate authorities do not match the checksum.
    #[error("{}", checksum_mismatch_message(expected, actual.as_deref()))]
    ChecksumMismatch {
        /// The checksum in the settings.
        expected: String,
        /// The checksum of the server's `cacerts`; `None` if the server has none.
        actual: Option<String>,
    },
    /// The WebSocket handshake failed, for example because the response is not from a server for agents.
    #[error("WebSocket handshake failed: {reason}; check that CATTLE_SERVER is the URL of the server")]
    HandshakeFailed {
        /// The reason.
        reason: String,
    },
    /// The connection attempt timed out.
    #[error(
        "connecting took longer than {} s; check that firewalls, proxies and network policies allow it",
        after.as_secs()
    )]
    TimedOut {
        /// The time limit.
        after: Duration,
    },
    /// The server requested an address that is not allowed. Reported at most once in ten seconds.
    #[error(
        "denied {count} connection(s) that the server requested, the last one to {network}/{address}: {reason}"
    )]
    DialDenied {
        /// The network, such as `tcp`.
        network: String,
        /// The address.
        address: String,
        /// The reason.
        reason: &'static str,
        /// The number of requests since the previous event, including this one.
        count: u64,
    },
    /// The cluster's API server cannot be reached. Reported at most once in ten seconds.
    #[error(
        "cannot connect to the cluster's API server at {address} ({count} failed attempt(s)): {reason}; check that network \
         policies allow this pod to connect to it"
    )]
    ApiServerUnreachable {
        /// The address in the cluster.
        address: String,
        /// The reason.
        reason: String,
        /// The number of failures since the previous event, including this one.
        count: u64,
    },
    /// The agent is stopping; running connections may finish.
    #[error("stopping: {connections} open connection(s) may finish, new ones are denied")]
    Draining {
        /// The number of open connections.
        connections: usize,
    },
    /// The agent has stopped.
    #[error("stopped")]
    Stopped,
}

/// Receives each [`Event`] of an agent. It must not block.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// The maximum length of a reported text from another program, in characters.
const MAX_REPORTED_LEN: usize = 300;

/// The start of `text`, with control characters replaced by spaces.
pub(crate) fn shorten(text: &str) -> String {
    text.trim().chars().take(MAX_REPORTED_LEN).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Event {
    /// Whether the event is a failure.
    pub fn is_failure(&self) -> bool {
        !matches!(
            self,
            Self::Connecting { .. } | Self::Connected { .. } | Self::Draining { .. } | Self::Stopped
        )
    }
}

/// The server, and the proxy in front of it if there is one.
fn route(server: &str, proxy: Option<&str>) -> String {
    match proxy {
        None => server.to_owned(),
        Some(proxy) => format!("{server} through the proxy {proxy}"),
    }
}

fn rejection_remedy(status: u16) -> &'static str {
    match status {
        400 | 401 => {
            "the registration token is not valid: the cluster was deleted on the server, or its token was replaced; \
             apply the cluster's import manifest again, or remove the agent"
        }
        403 | 407 => {
            "a proxy or gateway in front of the server may deny the request; allow WebSocket upgrades of /v3/connect"
        }
        404 | 405 | 200..=299 | 426 => {
            "the address is not that of a server for agents, or a gateway in front of it does not pass WebSocket \
             upgrades; check CATTLE_SERVER, which must be the URL of the root of the server"
        }
        300..=399 => "agents do not follow redirects; set CATTLE_SERVER to the server's final URL",
        429 | 431 | 500.. => {
            "the server, or a gateway in front of it, cannot serve the agent now; see its log"
        }
        _ => "see the server's log",
    }
}

fn proxy_remedy(status: Option<u16>) -> &'static str {
    match status {
        Some(407) => "add the user and password to HTTPS_PROXY, as http://user:password@host:port",
        Some(403) => "allow CONNECT to the server in the proxy, or add the server to NO_PROXY",
        Some(_) => {
            "check that the proxy can reach the server and allows CONNECT, or add the server to NO_PROXY"
        }
        None => "check the address in HTTPS_PROXY, or add the server to NO_PROXY",
    }
}

fn checksum_mismatch_message(expected: &str, actual: Option<&str>) -> String {
    match actual {
        Some(actual) => format!(
            "the server's certificate authorities have the SHA-256 {actual}, but CATTLE_CA_CHECKSUM is {expected}; if they were \
             replaced on the server, apply the cluster's import manifest again, otherwise this is another server"
        ),
        None => format!(
            "CATTLE_CA_CHECKSUM is {expected}, but the server publishes no certificate authority; set `cacerts` there, or apply \
             the cluster's import manifest again if the server's certificate is now from a public authority"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reported_texts_are_short_and_have_one_line() {
        assert_eq!(shorten(" a\r\nb\n"), "a  b");
        assert_eq!(shorten(&"x".repeat(1000)).len(), MAX_REPORTED_LEN);
    }
}
