//! Hints for errors of Resource Manager and of the services behind it.

use aks::shell;
use azure::ServiceError;
use serde_json::Value;

use super::roles::{linked_hint, missing_right_hint, quoted_after, unparsed_linked_hint};

/// The format of Azure's IDs.
pub(super) const ID_FORM: &str = "00000000-0000-0000-0000-000000000000";

/// The hint for an error; `url` is that of the failed request, `None` for an operation.
pub(super) fn hint(error: &ServiceError, url: Option<&str>) -> Option<String> {
    let code = error.code.as_deref().unwrap_or_default();
    let message = error.message.as_deref().unwrap_or_default();
    // If an identity of the cluster lacks a right on a linked resource, services report that under their own codes.
    if let Some(hint) = linked_hint(message, code == "LinkedAuthorizationFailed") {
        return Some(hint);
    }
    for_code(code, message, url).or_else(|| for_details(error, url))
}

/// The hint for the first nested error that has one.
fn for_details(error: &ServiceError, url: Option<&str>) -> Option<String> {
    error.details.as_ref()?.as_array()?.iter().find_map(|detail| {
        let text = |key: &str| detail.get(key).and_then(Value::as_str).map(str::to_owned);
        let detail = ServiceError { code: text("code"), message: text("message"), ..ServiceError::default() };
        hint(&detail, url)
    })
}

fn for_code(code: &str, message: &str, url: Option<&str>) -> Option<String> {
    let hint = match code {
        "AuthorizationFailed" => return Some(missing_right_hint(message)),
        "LinkedAuthorizationFailed" => return Some(unparsed_linked_hint()),
        "SubscriptionNotFound" => {
            "the subscription does not exist for this credential: check subscriptionId, that it belongs to the tenant, and environment"
        }
        "InvalidSubscriptionId" => {
            return Some(format!("subscriptionId has the form {ID_FORM}, without braces or whitespace"));
        }
        "InvalidAuthenticationTokenTenant" => {
            "the tenant of the credential is not the subscription's: correct tenantId, or omit it to have it discovered"
        }
        "InvalidAuthenticationToken" | "ExpiredAuthenticationToken" => {
            "Azure did not accept the token: check that environment names the subscription's cloud"
        }
        "MissingSubscriptionRegistration" | "SubscriptionNotRegistered" => {
            let namespace = quoted_after(message, "namespace").unwrap_or("Microsoft.ContainerService");
            let register = shell::command(&["az", "provider", "register", "--namespace", namespace]);
            return Some(format!(
                "the subscription does not use this service yet: register it ({register}) and try again in a few minutes"
            ));
        }
        "ReadOnlyDisabledSubscription" | "SubscriptionDisabled" | "DisabledSubscription" => {
            "the subscription is disabled: its owner must enable it in the Azure portal (often because of billing)"
        }
        "NoRegisteredProviderFound"
        | "LocationNotAvailableForResourceType"
        | "InvalidLocation"
        | "InvalidLocationParameter"
        | "LocationNotAvailable" => "the region does not offer this: use one that aksLocations lists",
        "ErrCode_InsufficientVCPUQuota" => {
            "ask Azure for more quota in the region, or use fewer or smaller nodes"
        }
        "ResourceGroupNotFound" => {
            // Matches both "Resource group" and "Resource Group".
            let group = quoted_after(message, "roup").map(|name| format!(" {name}")).unwrap_or_default();
            return Some(format!(
                "the resource group{group} does not exist: create it, or correct the name of the group in aksConfig"
            ));
        }
        "RequestDisallowedByPolicy" => return Some(denied_by_policy(message, url)),
        "RequestDisallowedByAzure" => {
            "Azure does not offer this region to the subscription: choose another region, or contact Azure support"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The hint for a policy that denies the request. The server creates resource groups without tags, and clusters with
/// `aksConfig.tags`.
fn denied_by_policy(message: &str, url: Option<&str>) -> String {
    let policies = policy_names(message);
    let names = if policies.is_empty() { String::new() } else { format!(" ({})", policies.join(", ")) };
    if let Some(group) = url.and_then(resource_group) {
        return format!(
            "a policy{names} does not allow this server to create the resource group {group}; create it yourself, with the \
             tags that the policy requires; the server then uses it unchanged"
        );
    }
    let is_cluster = url.is_some_and(|url| url.to_ascii_lowercase().contains("/managedclusters/"));
    if is_cluster && policies.iter().any(|policy| policy.to_ascii_lowercase().contains("tag")) {
        return format!("a policy{names} requires tags: set them in aksConfig.tags");
    }
    format!(
        "a policy of the subscription{names} forbids this: change the specification, or ask an administrator of its Azure Policy"
    )
}

/// The resource group's name, if the URL is that of a resource group.
fn resource_group(url: &str) -> Option<&str> {
    let (rest, name) = url.trim_end_matches('/').rsplit_once('/')?;
    rest.to_ascii_lowercase().ends_with("/resourcegroups").then_some(name)
}

/// The distinct names of policy assignments in Azure's message.
fn policy_names(message: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for part in message.split("\"policyAssignment\"").skip(1) {
        let name = part.split_once("\"name\":").and_then(|(_, rest)| rest.trim_start().strip_prefix('"'));
        let name = name.and_then(|rest| rest.split_once('"')).map(|(name, _)| name);
        if let Some(name) = name.filter(|name| !name.is_empty() && !names.contains(name)) {
            names.push(name);
        }
    }
    names
}
