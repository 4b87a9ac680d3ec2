//! Texts of a failed tenant discovery (`docs/contract/azure.md#texts-of-tenant-discovery`).

use std::fmt::Write as _;

use azure::{ArmError, DiscoveryError};
use serde_json::Value;

use super::{DEFAULT_RETRY_AFTER, Explained, hints, status_of, status_of_upstream, text_of};

/// Explains an error for `aksCheckCredentials`; the caller adds the prefix with the cloud's name.
pub fn check_discovery_error(error: &DiscoveryError) -> Explained {
    let text = match error {
        DiscoveryError::Request(error) => format!("Request failed: {}", text_of(error)),
        DiscoveryError::Unexpected(error) => {
            format!("Unexpected response from Get Subscription: {}", one_line(error))
        }
        DiscoveryError::HeaderMissing => {
            "Header WWW-Authenticate not found in Get Subscription response".to_owned()
        }
        DiscoveryError::NoMatch { header } => {
            format!("Could not find the tenant ID in header: WWW-Authenticate {header:?}")
        }
    };
    to_explained(error, text)
}

/// Explains an error for all other requests, with stored and inline credentials.
pub fn stored_discovery_error(error: &DiscoveryError) -> Explained {
    let text = match error {
        DiscoveryError::Request(error) => format!("cannot get subscription id: {}", text_of(error)),
        // Rancher prints a nil error here; scripts may match it.
        DiscoveryError::Unexpected(_) => "unexpected response from Get Subscription: <nil>".to_owned(),
        DiscoveryError::HeaderMissing => {
            "header WWW-Authenticate not found in Get Subscription response".to_owned()
        }
        DiscoveryError::NoMatch { header } => {
            format!("could not find the tenant ID in header: WWW-Authenticate {header:?}")
        }
    };
    to_explained(error, text)
}

fn to_explained(error: &DiscoveryError, text: String) -> Explained {
    let arm = match error {
        DiscoveryError::Unexpected(arm) => Some(&**arm),
        _ => None,
    };
    let status = match error {
        DiscoveryError::Request(error) => status_of(error),
        _ => status_of_upstream(arm.map(|arm| arm.status)),
    };
    let retry_after = match error {
        DiscoveryError::Request(error) => error.retry_after(),
        _ => arm.and_then(|arm| arm.retry_after),
    };
    Explained {
        status,
        text,
        code: arm.and_then(|arm| arm.code.clone()),
        upstream_status: arm.map(|arm| arm.status),
        hint: hints::for_discovery(error),
        retry_after: (status != 400).then(|| retry_after.unwrap_or(DEFAULT_RETRY_AFTER)),
        is_foreign: match error {
            DiscoveryError::Request(error) => error.foreign_reason().is_some(),
            _ => arm.is_some_and(|arm| arm.foreign_reason.is_some()),
        },
    }
}

/// The one-line format of Azure's older libraries, which the dashboard matches.
fn one_line(arm: &ArmError) -> String {
    let status = arm.status;
    let body: Value = serde_json::from_slice(&arm.body).unwrap_or_default();
    let error = body.get("error").unwrap_or(&body);
    let mut text = format!(
        "subscriptions.Client#Get: Failure responding to request: StatusCode={status} -- Original Error: \
         autorest/azure: Service returned an error. Status={status} Code={:?} Message={:?}",
        arm.code.as_deref().unwrap_or("Unknown"),
        arm.message.as_deref().unwrap_or("Unknown service error"),
    );
    if let Some(target) = error.get("target").and_then(Value::as_str) {
        // Writing to a string cannot fail.
        let _ = write!(text, " Target={target:?}");
    }
    for (key, name) in
        [("details", "Details"), ("innererror", "InnerError"), ("additionalInfo", "AdditionalInfo")]
    {
        if let Some(part) = error.get(key).filter(|part| !part.is_null()) {
            let _ = write!(text, " {name}={part}");
        }
    }
    text
}
