//! `agent`: runs the agent in a private cluster, the cluster's end of the tunnel.

use super::error::Error;
use super::runtime::{load, run_agent};
use crate::app;
use crate::config::{self, Flags};

/// The text after the flags in `--help`: the environment of a pod.
pub(super) const HELP: &str = "\
In the environment, as an import manifest sets it:
  CATTLE_SERVER  the server, https://host[:port]; or the file /cattle-credentials/url
  CATTLE_TOKEN  the registration token; or the file /cattle-credentials/token
  CATTLE_CA_CHECKSUM  SHA-256 of the server's cacerts; without it, the authorities of the image are trusted
  NORMAN_AKS_API_SERVER  the only host:port that the server may request; by default any host with port 443
  HTTPS_PROXY, NO_PROXY  the proxy to the server
  SSL_CERT_FILE, SSL_CERT_DIR  the trusted certificate authorities
  RUST_LOG  log filter

Connections always go to the API server of the pod's own cluster, whatever host the server requests. /readyz, /livez
and /healthz are at health-listen, or else at listen.";

pub(super) fn run(flags: &Flags) -> Result<(), Error> {
    let loaded = load(flags)?.without_server_warnings();
    run_agent(loaded.config, |config| app::run_agent(config, loaded.warnings, config::environment()))
}
