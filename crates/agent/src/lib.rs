//! The tunnel's end inside a cluster.
//!
//! The agent opens one WebSocket to its server and keeps it open. Through it, the server reaches the API server of the
//! agent's own cluster, which it could not reach from outside. The agent only forwards bytes: TLS and HTTP run end to
//! end between server and API server, so the agent sees ciphertext, and it needs neither a token nor rights in the
//! cluster.
//!
//! - [`Settings`] are read from the variables and files of an import manifest, under Rancher's names.
//! - [`run()`] connects and reconnects until it is stopped. It reports each change as an [`Event`], whose text says what
//!   is wrong and what to do. [`Status`] turns events into readiness.
//! - [`Network`] opens TCP connections; a simulation replaces it.
//!
//! # Which addresses the server reaches
//!
//! One: the API server of the cluster, at the address that Kubernetes gives to pods (`KUBERNETES_SERVICE_HOST` and
//! `_PORT`). The server asks for the public or private name of the API server, since it verifies the certificate of
//! that name, but it cannot choose where the agent connects: a server that was taken over, or a request that it was
//! tricked into, must not reach the cloud's metadata service, nodes, pods or other hosts in the network. `dialer.rs` has
//! the rule.
//!
//! # Trust in the server
//!
//! Without a checksum, the certificate authorities of the system are trusted. With `CATTLE_CA_CHECKSUM`, only those are
//! that the server publishes at `/v3/settings/cacerts` and whose SHA-256 is the checksum. That one request is made
//! without verification and without a credential: the checksum decides. The WebSocket, which carries the registration
//! token, is opened only after verification, host name included.

mod connection;
mod dialer;
mod event;
mod fetch;
mod network;
mod params;
mod proxy;
mod run;
mod settings;
mod status;
mod trust;

pub use event::Event;
pub use network::Network;
pub use run::{Observer, RunError, run};
pub use settings::{Settings, SettingsError};
pub use status::Status;
