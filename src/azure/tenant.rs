//! Which tenant a subscription belongs to: an unauthenticated request is refused with a header that tells.

use super::error::Error;
use super::refusal::Refusal;

/// For whom the tenant is discovered (contract, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// For `aksCheckCredentials`: always asked, up to three times.
    Check,
    /// For a credential that is in use: asked once, remembered for an hour.
    Stored,
}

/// Why the tenant is not known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// No answer, also because of the time limit, or the subscription cannot be part of an address.
    #[error("the tenant of the subscription could not be asked for")]
    NoAnswer(#[source] Error),
    /// An answer that is not the expected 401, for example 404 for an unknown subscription.
    #[error("the request for the tenant of the subscription was answered {0}")]
    Unexpected(Box<Refusal>),
    /// A 401 without `WWW-Authenticate`.
    #[error("the answer has no header WWW-Authenticate")]
    HeaderMissing,
    /// The header names no tenant.
    #[error("the header WWW-Authenticate names no tenant: {header:?}")]
    NoMatch {
        /// The header as it came.
        header: String,
    },
}
