//! What to do about a failure of Azure: one sentence for people, by Azure's code.

use crate::azure::{DiscoveryError, Error};

/// The hint for a failed call; `None` where Azure's own text says it all.
pub(super) fn of(error: &Error) -> Option<String> {
    let status = error.upstream_status();
    match error {
        Error::Login(refusal) => of_login(refusal.code.as_deref()),
        Error::Arm(refusal) => of_code(refusal.code.as_deref(), refusal.message.as_deref()),
        Error::NoAnswer { to, .. } => Some(format!(
            "{to} could not be reached: check the server's network, proxy (HTTPS_PROXY) and DNS"
        )),
        Error::TimedOut { to } => Some(format!("{to} is slow at the moment; try again shortly")),
        Error::InvalidTenant => Some(
            "tenantId is the Directory (tenant) ID, or a domain of it; leave it out to have it found"
                .to_owned(),
        ),
        Error::Decode { .. } | Error::TooLarge { .. } => Some(
            "the response is not one of Azure's: look for a proxy or a portal between the server and Azure (HTTPS_PROXY), and try again"
                .to_owned(),
        ),
        Error::EmptySecret => Some("store the clientSecret in the cloud credential".to_owned()),
        _ => None,
    }
    .or_else(|| of_status(status))
}

/// The hint for a tenant that was not found.
pub(super) fn of_discovery(error: &DiscoveryError) -> Option<String> {
    match error {
        DiscoveryError::NoAnswer(error) => of(error),
        DiscoveryError::Unexpected(refusal) => of_code(refusal.code.as_deref(), refusal.message.as_deref())
            .or_else(|| of_status(Some(refusal.status))),
        DiscoveryError::HeaderMissing | DiscoveryError::NoMatch { .. } => {
            Some("name the tenantId, so that it need not be found".to_owned())
        }
    }
}

fn of_login(code: Option<&str>) -> Option<String> {
    let hint = match code? {
        "AADSTS7000215" => {
            "the client secret is wrong: use the value of the secret, not its id, and update the cloud credential"
        }
        "AADSTS7000222" => {
            "the client secret has expired: make a new one (az ad app credential reset --id <clientId>) and update the cloud credential"
        }
        "AADSTS700016" => {
            "the tenant has no application with this clientId: check clientId, tenantId and environment"
        }
        "AADSTS90002" | "AADSTS900021" | "AADSTS900023" => {
            "the tenant does not exist: check tenantId and environment, or leave the tenant out to have it found"
        }
        "AADSTS7000112" => {
            "the application is disabled: an administrator of the tenant must enable its sign-in"
        }
        "AADSTS7000229" | "AADSTS500011" => {
            "the application has no service principal in this tenant: make one (az ad sp create --id <clientId>)"
        }
        "AADSTS53003" | "AADSTS530032" => {
            "a conditional access policy of the tenant refuses the sign-in: let it admit this application from this server"
        }
        "AADSTS900144" => "the request lacks a part: check that clientId and clientSecret are set",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn of_code(code: Option<&str>, message: Option<&str>) -> Option<String> {
    let message = message.unwrap_or_default();
    let hint = match code? {
        "AuthorizationFailed" | "LinkedAuthorizationFailed" => return Some(missing_role(message)),
        "SubscriptionNotFound" => {
            "the subscription does not exist for this login: check subscriptionId, that it belongs to the tenant, and environment"
        }
        "InvalidSubscriptionId" => "subscriptionId has the form 00000000-0000-0000-0000-000000000000",
        "InvalidAuthenticationTokenTenant" => {
            "the tenant of the credential is not the subscription's: correct tenantId, or leave it out to have it found"
        }
        "InvalidAuthenticationToken" | "ExpiredAuthenticationToken" => {
            "Azure did not accept the token: check that environment names the subscription's cloud"
        }
        "MissingSubscriptionRegistration" | "SubscriptionNotRegistered" => {
            let namespace = quoted_after(message, "namespace").unwrap_or("Microsoft.ContainerService");
            return Some(format!(
                "the subscription does not use this service yet: register it (az provider register --namespace {namespace}) and try again in a few minutes"
            ));
        }
        "ReadOnlyDisabledSubscription" | "SubscriptionDisabled" | "DisabledSubscription" => {
            "the subscription is disabled: its owner must enable it in the Azure portal (often a matter of billing)"
        }
        "NoRegisteredProviderFound"
        | "LocationNotAvailableForResourceType"
        | "InvalidLocation"
        | "InvalidLocationParameter"
        | "LocationNotAvailable" => "the region does not offer this: choose one that aksLocations names",
        "ErrCode_InsufficientVCPUQuota" => {
            "ask Azure for more quota in the region, or use fewer or smaller nodes"
        }
        "RequestDisallowedByPolicy" => {
            "a policy of the subscription forbids this: ask who administers its Azure Policy"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn of_status(status: Option<u16>) -> Option<String> {
    let hint = match status? {
        429 => "Azure throttles this subscription or application: wait as long as Retry-After says",
        408 | 500..=599 => "Azure has a problem of its own; try again shortly (status.azure.com tells more)",
        401 => "Azure did not accept the login: check the credential and its environment",
        403 => "the application may not do this: check its role assignments on the subscription",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Names the action and the scope that Azure's sentence tells.
fn missing_role(message: &str) -> String {
    let action = quoted_after(message, "action");
    let scope = quoted_after(message, "scope");
    let reads = action.is_some_and(|action| action.ends_with("/read"));
    let role = if reads { "Reader (to look) or Contributor (to create clusters)" } else { "Contributor" };
    let on = scope.map_or_else(|| "the subscription".to_owned(), ToOwned::to_owned);
    let lacks = action.map_or_else(|| "a role".to_owned(), |action| format!("the right {action}"));
    format!(
        "the application lacks {lacks}: give it the role {role} on {on} (az role assignment create); a new role takes a few minutes to work"
    )
}

/// The first text in single quotes behind `word`.
fn quoted_after<'a>(message: &'a str, word: &str) -> Option<&'a str> {
    let (_, behind) = message.split_once(word)?;
    let (_, quoted) = behind.split_once('\'')?;
    quoted.split_once('\'').map(|(quoted, _)| quoted).filter(|text| !text.is_empty())
}
