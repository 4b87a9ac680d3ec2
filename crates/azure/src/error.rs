//! How Azure fails. What a user is told is made from these fields elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::refusal::{LoginRefusal, Refusal};

/// An error of a layer below, shared between all who get the same [`Error`].
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Codes that come with 404 and do not speak of the resource that was asked for.
const OTHER_404: [&str; 6] = [
    "SubscriptionNotFound",
    "InvalidSubscriptionId",
    "InvalidResourceType",
    "InvalidResourceNamespace",
    "NoRegisteredProviderFound",
    "TenantNotFound",
];

/// A failed request to Azure, or one that was not sent. Cheap to clone; holds no secret, token or query.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Resource Manager answered, and not with success.
    #[error("Azure Resource Manager answered {}", .0)]
    Arm(Box<Refusal>),
    /// The login service answered, and not with a token.
    #[error("the Azure login service answered {}", .0)]
    Login(Box<LoginRefusal>),
    /// There was no answer, or only a part of it.
    #[error("{method} {url}: {reason}")]
    NoAnswer {
        /// Who did not answer.
        to: Service,
        /// The method of the request.
        method: Method,
        /// The address without its query.
        url: String,
        /// What happened, as far as it can be told.
        reason: Reason,
        /// The transport's own error, without the address.
        source: Cause,
    },
    /// The caller's deadline passed.
    #[error("no answer from {to} in the time that was given")]
    TimedOut {
        /// Who was waited for.
        to: Service,
    },
    /// The tenant is neither an id nor a domain name. The words are those of Azure's libraries.
    #[error(
        "invalid tenantID. You can locate your tenantID by following the instructions listed here: https://learn.microsoft.com/partner-center/find-ids-and-domain-names"
    )]
    InvalidTenant,
    /// The client secret is empty.
    #[error("secret can't be empty string")]
    EmptySecret,
    /// The client id is empty.
    #[error("parameter clientID cannot be empty")]
    EmptyClient,
    /// The subscription is empty.
    #[error("parameter client.subscriptionID cannot be empty")]
    EmptySubscription,
    /// The region is empty.
    #[error("parameter location cannot be empty")]
    EmptyRegion,
    /// A text that cannot be a part of an address; holds the text.
    #[error("{0:?} cannot be part of an address of Azure")]
    BadUrl(String),
    /// A list or an operation goes on at an address that is not Resource Manager's: it was not followed.
    #[error("Azure names an address at {host:?}, which is not Azure Resource Manager")]
    ForeignLink {
        /// The host that was named; empty where the link is no address at all.
        host: String,
    },
    /// The list does not end: a page came a second time, or there are too many.
    #[error("the list does not end: {pages} pages were read")]
    Endless {
        /// The pages that were read.
        pages: usize,
    },
    /// The answer is a success, but not of the expected form.
    #[error("{method} {url}: the answer cannot be read")]
    Decode {
        /// The method of the request.
        method: Method,
        /// The address without its query.
        url: String,
        /// Where and why.
        source: Cause,
    },
    /// The answer is larger than anything that Azure sends.
    #[error("{method} {url}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// The method of the request.
        method: Method,
        /// The address without its query.
        url: String,
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// Whether the same request may well succeed a little later: no answer, 408, 429, 5xx, deadline.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Arm(_) | Self::Login(_) => matches!(self.upstream_status(), Some(408 | 429 | 500..=599)),
            Self::NoAnswer { .. } | Self::TimedOut { .. } => true,
            _ => false,
        }
    }

    /// Whether Azure, or the way to it, took too long: our deadline, a silent connection, 408 or 504.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::NoAnswer { reason: Reason::Timeout, .. } => true,
            _ => matches!(self.upstream_status(), Some(408 | 504)),
        }
    }

    /// Whether the response is a success that cannot be used: not of the expected form, too large, without an end, or
    /// leading elsewhere; or a response of any status that is not Azure's. A proxy or a portal in between answers like that;
    /// it says nothing about the resource.
    pub fn is_unusable_response(&self) -> bool {
        let is_unreadable = matches!(
            self,
            Self::Decode { .. } | Self::TooLarge { .. } | Self::Endless { .. } | Self::ForeignLink { .. }
        );
        is_unreadable || self.foreign().is_some()
    }

    /// Whether the login service refused the credential itself.
    pub fn is_login_refusal(&self) -> bool {
        matches!(self, Self::Login(_)) && !self.is_transient() && self.foreign().is_none()
    }

    /// The content type of an answer that is not Azure's; `None` for every other failure.
    pub fn foreign(&self) -> Option<&str> {
        match self {
            Self::Arm(refusal) => refusal.foreign.as_deref(),
            Self::Login(refusal) => refusal.foreign.as_deref(),
            _ => None,
        }
    }

    /// Whether Azure says that the resource is not there: a 404 of Resource Manager that speaks of the resource. A
    /// 404 that speaks of the subscription or the resource type says nothing about it, and one without a word
    /// of Azure's comes from somebody on the way.
    pub fn is_absence(&self) -> bool {
        let Self::Arm(refusal) = self else { return false };
        refusal.status == 404
            && refusal.foreign.is_none()
            && match refusal.code.as_deref() {
                Some(code) => !OTHER_404.iter().any(|other| code.eq_ignore_ascii_case(other)),
                // A HEAD is answered without a body, and so without a code.
                None => refusal.method == Method::HEAD && refusal.request_id.is_some(),
            }
    }

    /// Whether Azure may have begun to do what the request asked for, although the answer was this. `false` is
    /// certain: the request never left, or was turned away at the door. After `true`, look at the resource.
    pub fn may_have_been_taken(&self) -> bool {
        match self {
            // Azure's own answer may have been exchanged on the way.
            Self::Arm(refusal) if refusal.foreign.is_some() => true,
            Self::Arm(refusal) => match refusal.status {
                408 => true,
                503 => refusal.retry_after.is_none(),
                status => status >= 500,
            },
            Self::NoAnswer { to: Service::Arm, source, .. } => {
                let source: &(dyn std::error::Error + 'static) = &**source;
                !source.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect)
            }
            Self::TimedOut { to: Service::Arm } | Self::Decode { .. } | Self::TooLarge { .. } => true,
            _ => false,
        }
    }

    /// How long Azure asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Arm(refusal) => refusal.retry_after,
            Self::Login(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// The status of Azure's answer.
    pub fn upstream_status(&self) -> Option<u16> {
        match self {
            Self::Arm(refusal) => Some(refusal.status),
            Self::Login(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// Azure's code, for example `AuthorizationFailed`; for the login service `AADSTS7000215`, or `invalid_client`
    /// where there is no number.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Arm(refusal) => refusal.code.as_deref(),
            Self::Login(refusal) => refusal.code.as_deref(),
            _ => None,
        }
    }

    /// Under which id Azure has the request in its own log.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Arm(refusal) => refusal.request_id.as_deref(),
            Self::Login(refusal) => refusal.request_id.as_deref(),
            _ => None,
        }
    }
}

/// One of the two services behind the name Azure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Azure Resource Manager.
    Arm,
    /// Microsoft Entra, which gives out tokens.
    Login,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arm => "Azure Resource Manager",
            Self::Login => "the Azure login service",
        })
    }
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The host name has no address.
    Dns,
    /// Nobody accepts connections there.
    Connect,
    /// The two sides do not agree about TLS: most often an untrusted certificate.
    Tls,
    /// The connection ended in the middle.
    Reset,
    /// The connection, or the next part of the answer, took too long.
    Timeout,
    /// Anything else.
    Other,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "the host name cannot be resolved",
            Self::Connect => "the connection was not accepted",
            Self::Tls => "no secure connection could be made",
            Self::Reset => "the connection was cut",
            Self::Timeout => "no answer in time",
            Self::Other => "the request failed",
        })
    }
}
