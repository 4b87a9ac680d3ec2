//! The nine actions through the router: requests, responses, and the requests to Azure.

mod cache;
mod check_credentials;
mod conditional;
mod credentials;
mod failures;
mod http;
mod malformed_input;
mod responses;
mod upgrades;

use serde_json::{Value, json};

use crate::support::app::{TestApp, TestResponse, account_credential};

/// The listing actions.
pub(crate) const LISTINGS: [&str; 8] = [
    "aksClusters",
    "aksLocations",
    "aksRegions",
    "aksUpgrades",
    "aksVMSizes",
    "aksVMSizesV2",
    "aksVersions",
    "aksVirtualNetworks",
];

/// The `hint` of an error; empty if there is none.
fn hint(response: &TestResponse) -> String {
    response.json()["hint"].as_str().unwrap_or_default().to_owned()
}

/// The body of a request with the credential of one of the sandbox's accounts, and extra fields.
fn account_body(app: &TestApp, name: &str, extra_fields: &Value) -> Value {
    let account = app.account(name);
    let mut body = account_credential(&account);
    body["environment"] = json!(account.environment);
    body.as_object_mut().unwrap().extend(extra_fields.as_object().cloned().unwrap_or_default());
    body
}
