//! Texts of a failed tenant discovery (`docs/contract/azure.md#texts-of-tenant-discovery`).

use std::fmt::Write as _;

use azure::{ArmError, DiscoveryError};
use serde_json::Value;

use super::{Explained, PAUSE, hints, status_of, status_of_upstream, text_of};

/// For `aksCheckCredentials`; the caller puts the prefix with the cloud's name before it.
pub fn checked_discovery(error: &DiscoveryError) -> Explained {
    let text = match error {
        DiscoveryError::NoAnswer(error) => format!("Request failed: {}", text_of(error)),
        DiscoveryError::Unexpected(refusal) => {
            format!("Unexpected response from Get Subscription: {}", one_line(refusal))
        }
        DiscoveryError::HeaderMissing => {
            "Header WWW-Authenticate not found in Get Subscription response".to_owned()
        }
        DiscoveryError::NoMatch { header } => {
            format!("Could not find the tenant ID in header: WWW-Authenticate {header:?}")
        }
    };
    explained(error, text)
}

/// For stored credentials.
pub fn stored_discovery(error: &DiscoveryError) -> Explained {
    let text = match error {
        DiscoveryError::NoAnswer(error) => format!("cannot get subscription id: {}", text_of(error)),
        // The original prints an error that it does not have; its place is kept for scripts that look for it.
        DiscoveryError::Unexpected(_) => "unexpected response from Get Subscription: <nil>".to_owned(),
        DiscoveryError::HeaderMissing => {
            "header WWW-Authenticate not found in Get Subscription response".to_owned()
        }
        DiscoveryError::NoMatch { header } => {
            format!("could not find the tenant ID in header: WWW-Authenticate {header:?}")
        }
    };
    explained(error, text)
}

fn explained(error: &DiscoveryError, text: String) -> Explained {
    let refusal = match error {
        DiscoveryError::Unexpected(refusal) => Some(&**refusal),
        _ => None,
    };
    let status = match error {
        DiscoveryError::NoAnswer(error) => status_of(error),
        _ => status_of_upstream(refusal.map(|refusal| refusal.status)),
    };
    let asked = match error {
        DiscoveryError::NoAnswer(error) => error.retry_after(),
        _ => refusal.and_then(|refusal| refusal.retry_after),
    };
    Explained {
        status,
        text,
        code: refusal.and_then(|refusal| refusal.code.clone()),
        upstream_status: refusal.map(|refusal| refusal.status),
        hint: hints::of_discovery(error),
        retry_after: (status != 400).then(|| asked.unwrap_or(PAUSE)),
        is_foreign: match error {
            DiscoveryError::NoAnswer(error) => error.foreign().is_some(),
            _ => refusal.is_some_and(|refusal| refusal.foreign.is_some()),
        },
    }
}

/// The one-line form of Azure's older libraries, which the dashboard's first rule was written for.
fn one_line(refusal: &ArmError) -> String {
    let status = refusal.status;
    let body: Value = serde_json::from_slice(&refusal.body).unwrap_or_default();
    let error = body.get("error").unwrap_or(&body);
    // Writing to a string cannot fail.
    let mut text = format!(
        "subscriptions.Client#Get: Failure responding to request: StatusCode={status} -- Original Error: \
         autorest/azure: Service returned an error. Status={status} Code={:?} Message={:?}",
        refusal.code.as_deref().unwrap_or("Unknown"),
        refusal.message.as_deref().unwrap_or("Unknown service error"),
    );
    if let Some(target) = error.get("target").and_then(Value::as_str) {
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
