//! The client of the Rancher that this server runs beside (`docs/contract/beside-rancher.md`). The client sends the caller's
//! own token or cookie and has no rights itself, so it can only read what the caller can read.
//!
//! `client` sends requests, `session` contains the token or cookie of a caller, `secret` and `cluster` parse two kinds
//! of Rancher's objects, `breaker` suspends requests to a Rancher that does not respond. [`TlsTrust`] names the certificate
//! authorities that may have issued Rancher's certificate.

mod breaker;
mod client;
mod cluster;
mod error;
mod secret;
mod session;
mod trust;

pub use self::client::{ForwardedResponse, LOOKUP_TIMEOUT, Lookup, Options, Rancher, has_own_via};
pub use self::cluster::Cluster;
pub use self::error::{BuildError, Error, LOOP_REMEDY};
pub use self::secret::{CredentialFields, Secret};
pub use self::session::Session;
pub use self::trust::TlsTrust;
