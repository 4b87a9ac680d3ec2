//! Errors of Azure that stop everything that a credential is used for: what cannot work is said before a cluster is saved.

use aks::review::{Denial, DenialKind};
use azure::{ArmError, DiscoveryError, EntraError, Error};

use crate::service::credentials::AccessError;
use crate::service::explain;

/// Entra's numbers for a wrong secret and an unknown application. A new secret or application is known everywhere only after
/// some minutes.
const RECENT_LOGIN: [u64; 2] = [7_000_215, 700_016];

/// Entra's numbers for errors of its own, which it may send with a status that says otherwise: request timeout, request budget
/// exceeded, and the directory service away (learn.microsoft.com/entra/identity-platform/reference-error-codes).
const TRANSIENT_LOGIN: [u64; 4] = [90_006, 90_012, 90_024, 90_033];

/// Codes of Resource Manager about a subscription that cannot be used with this login.
const SUBSCRIPTION: [&str; 6] = [
    "DisabledSubscription",
    "InvalidAuthenticationTokenTenant",
    "InvalidSubscriptionId",
    "ReadOnlyDisabledSubscription",
    "SubscriptionDisabled",
    "SubscriptionNotFound",
];

/// The denial in the answer to any request: whoever does not log in can do nothing.
pub(super) fn of_login(error: &Error) -> Option<Denial> {
    match error {
        Error::Login(login) if error.is_login_refusal() => rejected(login, error),
        Error::InvalidTenant | Error::EmptySecret | Error::EmptyClient | Error::EmptySubscription => {
            Some(denial(DenialKind::Credential, &error.to_string(), explain::failure(error).hint, false))
        }
        _ => None,
    }
}

/// The denial in the answer to a request about the cluster itself. Other requests are about the subscription, where an
/// application with rights in a resource group alone needs none.
pub(super) fn of_cluster(error: &Error) -> Option<Denial> {
    of_login(error).or_else(|| match error {
        Error::Arm(refusal) if refusal.foreign.is_none() => of_refusal(refusal, error),
        _ => None,
    })
}

/// The denial in a tenant that was not found, which is looked for with the subscription.
pub(super) fn of_access(error: &AccessError) -> Option<Denial> {
    let AccessError::TenantDiscovery { error, .. } = error else { return None };
    let is_answer = matches!(
        error,
        DiscoveryError::Unexpected(refusal)
            if refusal.foreign.is_none() && matches!(refusal.status, 400 | 404)
    );
    let explained = explain::stored_discovery(error);
    is_answer.then(|| {
        let code = explained.code.map_or_else(String::new, |code| format!(" ({code})"));
        let said = format!("its tenant cannot be found out{code}");
        denial(DenialKind::Subscription, &said, explained.hint, false)
    })
}

fn rejected(login: &EntraError, error: &Error) -> Option<Denial> {
    let is_one_of = |numbers: &[u64]| login.aadsts.iter().any(|number| numbers.contains(number));
    if is_one_of(&TRANSIENT_LOGIN) {
        return None;
    }
    let said = login.description.as_deref().and_then(|text| text.lines().next());
    let said = said.map_or_else(|| login.to_string(), str::to_owned);
    let hint = explain::failure(error).hint;
    Some(denial(DenialKind::Credential, &said, hint, is_one_of(&RECENT_LOGIN)))
}

fn of_refusal(refusal: &ArmError, error: &Error) -> Option<Denial> {
    let code = refusal.code.as_deref().unwrap_or_default();
    let is = |other: &str| code.eq_ignore_ascii_case(other);
    let (kind, may_be_recent) = if is("AuthorizationFailed") && refusal.status == 403 {
        (DenialKind::Role, true)
    } else if SUBSCRIPTION.into_iter().any(is) {
        (DenialKind::Subscription, is("SubscriptionNotFound"))
    } else {
        return None;
    };
    Some(denial(kind, code, explain::failure(error).hint, may_be_recent))
}

fn denial(kind: DenialKind, said: &str, hint: Option<String>, may_be_recent: bool) -> Denial {
    let remedy = hint.unwrap_or_else(|| "correct the cloud credential".to_owned());
    // The remedy follows in the same sentence.
    Denial { kind, message: said.trim_end_matches(['.', ' ']).to_owned(), remedy, may_be_recent }
}
