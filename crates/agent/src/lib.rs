//! The tunnel's client in a cluster.
//!
//! The agent opens one WebSocket to its server and keeps it open. Through it, the server reaches the API server of the agent's
//! cluster, which is otherwise unreachable. The agent only forwards bytes: TLS and HTTP run end to end between the server and the
//! API server, so the agent sees only ciphertext, and needs no permissions in the cluster.
//!
//! - [`Settings`] are read from the variables and files of an import manifest, with Rancher's names.
//! - [`run()`] connects and reconnects until it is stopped. It reports each change as an [`Event`], whose message contains the
//!   problem and the remedy. [`Status`] derives readiness from events.
//! - [`Network`] opens TCP connections; simulations replace it.
//!
//! # Addresses that the server reaches
//!
//! Only the API server of the cluster, at the address that Kubernetes sets in pods (`KUBERNETES_SERVICE_HOST` and `_PORT`). The
//! server requests the public or private name of the API server, because it verifies the certificate for that name, but it cannot
//! choose the target of the connection. A compromised or deceived server must not reach the cloud's metadata service, nodes, pods
//! or other hosts in the network. The rule is in `dialer.rs`.
//!
//! # Trust in the server
//!
//! Without a checksum, the system's certificate authorities are trusted. With `CATTLE_CA_CHECKSUM`, only the authorities that the
//! server publishes at `/v3/settings/cacerts` and that match the SHA-256 checksum are trusted. That request is sent without
//! verification and without credentials; the checksum verifies its response. The WebSocket, which transmits the registration
//! token, is opened only after verification, including the host name.

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

pub use event::{Event, Observer};
pub use network::Network;
pub use run::{RunError, run};
pub use settings::{Settings, SettingsError};
pub use status::Status;
