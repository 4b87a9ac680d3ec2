//! Errors of requests to Azure. Other modules build messages for users from them.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::error_response::{ArmError, EntraError};

/// An underlying error, shared between clones of an [`Error`].
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Codes of 404 that are not about the requested resource.
const UNRELATED_404_CODES: [&str; 6] = [
    "SubscriptionNotFound",
    "InvalidSubscriptionId",
    "InvalidResourceType",
    "InvalidResourceNamespace",
    "NoRegisteredProviderFound",
    "TenantNotFound",
];

/// A request to Azure that failed or was not sent. Cheap to clone; contains no secret, token or query.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// An unsuccessful response of Resource Manager.
    #[error("Azure Resource Manager returned {}", .0)]
    Arm(Box<ArmError>),
    /// A response of the login service without a token.
    #[error("the Azure login service returned {}", .0)]
    Login(Box<EntraError>),
    /// No response, or an incomplete one.
    #[error("{method} {url}: {reason}")]
    NoResponse {
        /// The service.
        to: Service,
        /// The method of the request.
        method: Method,
        /// The URL without its query.
        url: String,
        /// The reason, if known.
        reason: Reason,
        /// The error of the transport, without its URL.
        source: Cause,
    },
    /// Our deadline passed: the caller's, or that of a shared request.
    #[error("no response from {to} before the deadline")]
    TimedOut {
        /// The service.
        to: Service,
    },
    /// Not sent: the application has used up the requests that Azure allows it in the subscription.
    #[error(
        "the requests that Azure allows this application in this subscription are used up{}",
        if *shared { ", except those reserved for other callers" } else { "" }
    )]
    BudgetExhausted {
        /// The time until a request can be sent, in whole seconds.
        retry_after: Duration,
        /// Whether the remaining requests are reserved for other callers, because this one has used its share.
        shared: bool,
    },
    /// Not sent: no caller waits for it, and few requests of the application remain in the subscription.
    #[error("deferred, because few requests of this application remain in this subscription")]
    Deferred {
        /// The time until it can be sent, in whole seconds.
        retry_after: Duration,
    },
    /// The tenant is neither an ID nor a domain name. The message is that of Azure's libraries.
    #[error(
        "invalid tenantID. You can locate your tenantID by following the instructions listed here: https://learn.microsoft.com/partner-center/find-ids-and-domain-names"
    )]
    InvalidTenant,
    /// The client secret is empty.
    #[error("secret can't be empty string")]
    EmptySecret,
    /// The client ID is empty.
    #[error("parameter clientID cannot be empty")]
    EmptyClient,
    /// The subscription is empty.
    #[error("parameter client.subscriptionID cannot be empty")]
    EmptySubscription,
    /// The region is empty.
    #[error("parameter location cannot be empty")]
    EmptyRegion,
    /// A string that cannot be part of a URL.
    #[error("{0:?} cannot be part of an Azure URL")]
    BadUrl(String),
    /// A link to the next page or to an operation that leads away from Resource Manager, and was not followed.
    #[error("Azure returned a link to {host:?}, which is not Azure Resource Manager")]
    ForeignLink {
        /// The host of the link; empty if it is not a URL.
        host: String,
    },
    /// A list with a repeated page, or with too many pages.
    #[error("the list does not end: {pages} pages were read")]
    Endless {
        /// The number of pages that were read.
        pages: usize,
    },
    /// A successful response that is not in the expected format.
    #[error("{method} {url}: the response cannot be parsed")]
    Decode {
        /// The method of the request.
        method: Method,
        /// The URL without its query.
        url: String,
        /// The cause.
        source: Cause,
    },
    /// The response is larger than any response of Azure.
    #[error("{method} {url}: the response is larger than {limit} bytes")]
    TooLarge {
        /// The method of the request.
        method: Method,
        /// The URL without its query.
        url: String,
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// Whether the request was not sent because no caller waits for it and few requests remain.
    pub fn is_deferred(&self) -> bool {
        matches!(self, Self::Deferred { .. })
    }

    /// Whether the application has too few remaining requests: 429, or not sent for that reason.
    pub fn is_throttled(&self) -> bool {
        let is_exhausted = matches!(self, Self::BudgetExhausted { .. } | Self::Deferred { .. });
        is_exhausted || self.upstream_status() == Some(429)
    }

    /// Whether the same request may succeed later: no response, 408, 429, 5xx, deadline, or not sent because too few
    /// requests are left.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Arm(_) | Self::Login(_) => matches!(self.upstream_status(), Some(408 | 429 | 500..=599)),
            Self::NoResponse { .. }
            | Self::TimedOut { .. }
            | Self::BudgetExhausted { .. }
            | Self::Deferred { .. } => true,
            _ => false,
        }
    }

    /// Whether Azure or the network took too long: our deadline, a silent connection, 408 or 504.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::NoResponse { reason: Reason::Timeout, .. } => true,
            _ => matches!(self.upstream_status(), Some(408 | 504)),
        }
    }

    /// Whether the response is unusable: a success in another format, too large, endless or with a link away from Azure, or
    /// a response of a proxy or portal instead of Azure. It contains no information about the resource.
    pub fn is_unusable_response(&self) -> bool {
        let is_unreadable = matches!(
            self,
            Self::Decode { .. } | Self::TooLarge { .. } | Self::Endless { .. } | Self::ForeignLink { .. }
        );
        is_unreadable || self.foreign_reason().is_some()
    }

    /// Whether the login service rejected the credential itself.
    pub fn is_login_rejected(&self) -> bool {
        matches!(self, Self::Login(_)) && !self.is_transient() && self.foreign_reason().is_none()
    }

    /// Describes why a response is not from Azure: its content type, or `status 407`; `None` for all other errors.
    pub fn foreign_reason(&self) -> Option<&str> {
        match self {
            Self::Arm(error) => error.foreign_reason.as_deref(),
            Self::Login(error) => error.foreign_reason.as_deref(),
            _ => None,
        }
    }

    /// Whether Azure reports that the resource does not exist: a 404 of Resource Manager about the resource. A 404 about the
    /// subscription or the resource type does not count. A 404 without a code is not from Azure, except in response to HEAD.
    pub fn is_not_found(&self) -> bool {
        let Self::Arm(error) = self else { return false };
        error.status == 404
            && error.foreign_reason.is_none()
            && match error.code.as_deref() {
                Some(code) => !UNRELATED_404_CODES.iter().any(|other| code.eq_ignore_ascii_case(other)),
                // The response to a HEAD request has no body, and so no code.
                None => error.method == Method::HEAD && error.request_id.is_some(),
            }
    }

    /// Whether Azure may have accepted the request despite the error. `false` is certain. After `true`, read the resource.
    pub fn may_have_been_accepted(&self) -> bool {
        match self {
            // A proxy may have replaced Azure's response.
            Self::Arm(error) if error.foreign_reason.is_some() => true,
            Self::Arm(error) => match error.status {
                408 => true,
                // With Retry-After, Azure was too busy to accept the request.
                503 => error.retry_after.is_none(),
                status => status >= 500,
            },
            Self::NoResponse { to: Service::Arm, source, .. } => {
                let source: &(dyn std::error::Error + 'static) = &**source;
                !source.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect)
            }
            Self::TimedOut { to: Service::Arm } | Self::Decode { .. } | Self::TooLarge { .. } => true,
            _ => false,
        }
    }

    /// The delay that Azure requests, or the time until the request can be sent.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BudgetExhausted { retry_after, .. } | Self::Deferred { retry_after } => Some(*retry_after),
            Self::Arm(error) => error.retry_after,
            Self::Login(error) => error.retry_after,
            _ => None,
        }
    }

    /// The status of Azure's response.
    pub fn upstream_status(&self) -> Option<u16> {
        match self {
            Self::Arm(error) => Some(error.status),
            Self::Login(error) => Some(error.status),
            _ => None,
        }
    }

    /// Azure's code, for example `AuthorizationFailed`. A code of the login service is `AADSTS7000215`, or `invalid_client` if
    /// the response has no number.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Arm(error) => error.code.as_deref(),
            Self::Login(error) => error.code.as_deref(),
            _ => None,
        }
    }

    /// Azure's ID of the request.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Arm(error) => error.request_id.as_deref(),
            Self::Login(error) => error.request_id.as_deref(),
            _ => None,
        }
    }
}

/// One of Azure's two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Service {
    /// Azure Resource Manager.
    #[error("Azure Resource Manager")]
    Arm,
    /// Microsoft Entra, which issues tokens.
    #[error("the Azure login service")]
    Login,
}

/// The reason for a missing response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The host name cannot be resolved.
    #[error("the host name cannot be resolved")]
    Dns,
    /// The connection could not be opened.
    #[error("cannot connect")]
    Connect,
    /// The TLS handshake failed, mostly because of an untrusted certificate.
    #[error("the TLS handshake failed")]
    Tls,
    /// The connection was closed early.
    #[error("the connection was closed early")]
    Reset,
    /// The connection or the next part of the response took too long.
    #[error("no response in time")]
    Timeout,
    /// Any other reason.
    #[error("the request failed")]
    Other,
}
