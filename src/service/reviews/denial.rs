//! Errors of Azure that deny every use of a credential. They are reported before a cluster is saved.

use aks::review::{Denial, DenialKind};
use azure::{ArmError, DiscoveryError, EntraError, Error};

use crate::service::credentials::AccessError;
use crate::service::explain;

/// Entra's numbers for a wrong secret and an unknown application. A new secret or application takes some minutes
/// to propagate.
const RECENT_LOGIN_ERRORS: [u64; 2] = [7_000_215, 700_016];

/// Entra's numbers for its own errors, regardless of the HTTP status: external server error, request timeout, request budget
/// exceeded, and directory service unavailable (learn.microsoft.com/entra/identity-platform/reference-error-codes).
const TRANSIENT_LOGIN_ERRORS: [u64; 4] = [90_006, 90_012, 90_024, 90_033];

/// Codes of Resource Manager about a subscription that cannot be used with this login.
const SUBSCRIPTION_CODES: [&str; 6] = [
    "DisabledSubscription",
    "InvalidAuthenticationTokenTenant",
    "InvalidSubscriptionId",
    "ReadOnlyDisabledSubscription",
    "SubscriptionDisabled",
    "SubscriptionNotFound",
];

/// The denial for a failed login, which any request may report.
pub(in crate::service) fn from_login_error(error: &Error) -> Option<Denial> {
    match error {
        Error::Login(login) if error.is_login_rejected() => from_entra_error(login, error),
        Error::InvalidTenant | Error::EmptySecret | Error::EmptyClient | Error::EmptySubscription => Some(
            denial(DenialKind::Credential, &error.to_string(), explain::request_error(error).hint, false),
        ),
        _ => None,
    }
}

/// The denial for a failed request for the cluster itself. Resource Manager's errors for other requests are not denials,
/// because those requests read the subscription, on which an application that manages only one resource group needs no rights.
pub(in crate::service) fn from_cluster_error(error: &Error) -> Option<Denial> {
    from_login_error(error).or_else(|| match error {
        Error::Arm(arm) if arm.foreign_reason.is_none() => from_arm_error(arm, error),
        _ => None,
    })
}

/// The denial for a failed discovery of the tenant, which uses the subscription.
pub(in crate::service) fn from_access_error(error: &AccessError) -> Option<Denial> {
    let AccessError::TenantDiscovery { error, .. } = error else { return None };
    let is_rejected = matches!(
        error,
        DiscoveryError::Unexpected(error)
            if error.foreign_reason.is_none() && matches!(error.status, 400 | 404)
    );
    let explained = explain::stored_discovery_error(error);
    is_rejected.then(|| {
        let code = explained.code.map_or_else(String::new, |code| format!(" ({code})"));
        let message = format!("its tenant cannot be discovered{code}");
        denial(DenialKind::Subscription, &message, explained.hint, false)
    })
}

fn from_entra_error(login: &EntraError, error: &Error) -> Option<Denial> {
    let is_one_of = |numbers: &[u64]| login.aadsts.iter().any(|number| numbers.contains(number));
    if is_one_of(&TRANSIENT_LOGIN_ERRORS) {
        return None;
    }
    let message = login.description.as_deref().and_then(|description| description.lines().next());
    let message = message.map_or_else(|| login.to_string(), str::to_owned);
    let hint = explain::request_error(error).hint;
    Some(denial(DenialKind::Credential, &message, hint, is_one_of(&RECENT_LOGIN_ERRORS)))
}

fn from_arm_error(arm: &ArmError, error: &Error) -> Option<Denial> {
    let code = arm.code.as_deref().unwrap_or_default();
    let is_code = |expected: &str| code.eq_ignore_ascii_case(expected);
    let (kind, may_be_recent) = if is_code("AuthorizationFailed") && arm.status == 403 {
        (DenialKind::Role, true)
    } else if SUBSCRIPTION_CODES.into_iter().any(is_code) {
        (DenialKind::Subscription, is_code("SubscriptionNotFound"))
    } else {
        return None;
    };
    Some(denial(kind, code, explain::request_error(error).hint, may_be_recent))
}

fn denial(kind: DenialKind, message: &str, hint: Option<String>, may_be_recent: bool) -> Denial {
    let remedy = hint.unwrap_or_else(|| "correct the cloud credential".to_owned());
    // The remedy is appended to the message in the same sentence.
    Denial { kind, message: message.trim_end_matches(['.', ' ']).to_owned(), remedy, may_be_recent }
}
