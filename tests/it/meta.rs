//! The nine actions through the router: requests, responses, and the requests to Azure.

mod answers;
mod cache;
mod check_credentials;
mod conditional;
mod credentials;
mod failures;
mod http;
mod rubbish;
mod upgrades;

use azure_sandbox::Account;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp};

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

/// The hint in an error.
fn hint(answer: &Answer) -> String {
    answer.json()["hint"].as_str().unwrap_or_default().to_owned()
}

/// The body of a request with the credential of one of the sandbox's accounts.
fn account_body(app: &TestApp, name: &str, more: &Value) -> Value {
    let accounts = app.control.accounts();
    let account: &Account = accounts.iter().find(|account| account.name == name).unwrap();
    let secret = account.secrets.first().or(account.expired_secrets.first()).unwrap();
    let mut body = json!({
        "subscriptionId": account.subscription_id,
        "tenantId": account.tenant_id,
        "clientId": account.client_id,
        "clientSecret": secret,
        "environment": account.environment,
    });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    body
}
