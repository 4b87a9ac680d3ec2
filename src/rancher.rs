//! The client of a Rancher that this server runs beside (`docs/contract/beside-rancher.md`). Its requests carry the caller's
//! own token or cookie, so it reads nothing that the caller could not read, and has no rights itself.
//!
//! `client` sends requests, `session` is the token or cookie of a caller, `secret` and `cluster` read two kinds of Rancher's
//! objects, `breaker` stops requests to a Rancher that does not respond.

mod breaker;
mod client;
mod cluster;
mod error;
mod secret;
mod session;
mod trust;

pub use self::client::{ForwardedResponse, LOOKUP_TIMEOUT, Lookup, Options, Rancher, is_own_via};
pub use self::cluster::Cluster;
pub use self::error::{BuildError, Error, LOOP_REMEDY};
pub use self::secret::{CredentialFields, Secret};
pub use self::session::Session;
pub use self::trust::Trust;
