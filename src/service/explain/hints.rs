//! Hints for errors of Azure: one sentence each, by Azure's code.

mod arm;
mod login;
mod roles;

use self::arm::ID_FORM;
use azure::{ArmError, DiscoveryError, Error, ServiceError};

/// The hint for a failed request; `None` if Azure's message suffices.
pub(super) fn for_error(error: &Error) -> Option<String> {
    match error {
        Error::Login(login) if login.foreign_reason.is_none() => {
            login::hint(login).or_else(|| for_status(login.status))
        }
        Error::Login(login) => login.foreign_reason.as_deref().map(for_foreign_response),
        Error::Arm(arm) => for_arm_error(arm),
        Error::NoResponse { to, .. } => Some(format!(
            "{to} could not be reached: check the server's network, proxy (HTTPS_PROXY) and DNS"
        )),
        Error::TimedOut { to } => Some(format!("{to} is slow at the moment; try again shortly")),
        Error::InvalidTenant => Some(format!(
            "tenantId is the Directory (tenant) ID, in the form {ID_FORM} without braces or whitespace, or a domain of the \
             tenant; if you omit it, it is discovered"
        )),
        Error::Decode { .. } | Error::TooLarge { .. } => Some(
            "the response is not from Azure: look for a proxy or a portal between the server and Azure (HTTPS_PROXY), and try again"
                .to_owned(),
        ),
        Error::BudgetExhausted { .. } | Error::Deferred { .. } => for_status(429),
        Error::EmptySecret => Some("store the clientSecret in the cloud credential".to_owned()),
        _ => None,
    }
}

/// The hint for a failed tenant discovery.
pub(super) fn for_discovery(error: &DiscoveryError) -> Option<String> {
    match error {
        DiscoveryError::Request(error) => for_error(error),
        DiscoveryError::Unexpected(arm) => for_arm_error(arm),
        DiscoveryError::HeaderMissing | DiscoveryError::NoMatch { .. } => {
            Some("set tenantId, so that it does not have to be discovered".to_owned())
        }
    }
}

/// The hint for a failed long-running operation; `None` if Azure's message suffices.
pub fn for_operation(error: &ServiceError) -> Option<String> {
    arm::hint(error, None)
}

fn for_arm_error(arm: &ArmError) -> Option<String> {
    if let Some(reason) = &arm.foreign_reason {
        return Some(for_foreign_response(reason));
    }
    // The code may be in a header only.
    let body = arm.service_error();
    let error = ServiceError {
        code: arm.code.clone().or(body.code),
        message: arm.message.clone().or(body.message),
        ..body
    };
    arm::hint(&error, Some(&arm.url)).or_else(|| for_status(arm.status))
}

/// The hint for a response that is not from Azure, for this reason.
fn for_foreign_response(reason: &str) -> String {
    format!(
        "this response is not from Azure ({reason}): a proxy or firewall in between sent it; check HTTPS_PROXY, NO_PROXY \
         and, where a proxy intercepts TLS, SSL_CERT_FILE of the server, and allow the hosts of Azure"
    )
}

fn for_status(status: u16) -> Option<String> {
    let hint = match status {
        429 => "Azure throttles this subscription or application: wait for the time in Retry-After",
        408 | 500..=599 => "Azure has an internal problem; try again shortly (see status.azure.com)",
        401 => "Azure did not accept the sign-in: check the credential and its environment",
        403 => "Azure denied this request: check the application's role assignments on the subscription",
        _ => return None,
    };
    Some(hint.to_owned())
}
