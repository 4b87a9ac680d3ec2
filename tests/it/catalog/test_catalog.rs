//! A server with a stored credential, and responses of Azure that a test replaces.

use azure_sandbox::Page;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::app::{TestApp, TestResponse};

pub(super) struct TestCatalog {
    pub(super) app: TestApp,
    pub(super) credential: String,
}

impl TestCatalog {
    pub(super) async fn start() -> Self {
        let (app, credential) = TestApp::builder().start_with_credential().await;
        Self { app, credential }
    }

    /// The response of the catalog to a request with the stored credential.
    pub(super) async fn get(&self, resource: &str, query: &str) -> TestResponse {
        let path = format!("/api/v1/{resource}?cloudCredentialId={}&region=eastus&{query}", self.credential);
        self.app.get(&path).send().await
    }

    /// The entries of a list, which must be complete.
    pub(super) async fn list(&self, resource: &str, query: &str) -> Vec<Value> {
        let response = self.get(resource, query).await;
        assert_eq!(response.status, StatusCode::OK, "{query}: {}", response.text());
        let mut list = response.json();
        assert_eq!(list["next"], Value::Null, "{query}");
        match list["data"].take() {
            Value::Array(entries) => entries,
            other => panic!("{query}: {other}"),
        }
    }

    /// Replaces a list of Azure for the subscription of the credential.
    pub(super) fn set_list(&self, route: &str, list: &[Value]) {
        let page = json!({"body": {"value": list}}).to_string();
        let page: Page = serde_json::from_str(&page).unwrap();
        self.app.control.play(self.app.seed.subscription_id, route, vec![page]).unwrap();
    }

    /// Replaces a response of Azure with an error.
    pub(super) fn set_error(&self, route: &str, status: u16, code: &str) {
        let body = json!({"error": {"code": code, "message": format!("{code} for a test")}});
        let page: Page = serde_json::from_str(&json!({"status": status, "body": body}).to_string()).unwrap();
        self.app.control.play(self.app.seed.subscription_id, route, vec![page]).unwrap();
    }
}

/// An entry of `Microsoft.Compute/skus`, with default capabilities before the given ones.
pub(super) fn sku(name: &str, capabilities: &[(&str, &str)], zones: &[&str], restrictions: &Value) -> Value {
    let mut entries: Vec<Value> = vec![
        json!({"name": "vCPUs", "value": "4"}),
        json!({"name": "MemoryGB", "value": "16"}),
        json!({"name": "EphemeralOSDiskSupported", "value": "True"}),
        json!({"name": "CachedDiskBytes", "value": "107374182400"}),
    ];
    entries.extend(capabilities.iter().map(|(name, value)| json!({"name": name, "value": value})));
    json!({"resourceType": "virtualMachines", "name": name, "family": "standardDSv3Family", "locations": ["eastus"],
        "locationInfo": [{"location": "eastus", "zones": zones}], "capabilities": entries, "restrictions": restrictions})
}

/// An entry of `Microsoft.Compute/locations/<region>/usages`.
pub(super) fn usage(name: &str, used: i64, limit: i64) -> Value {
    json!({"name": {"value": name, "localizedValue": name}, "currentValue": used, "limit": limit, "unit": "Count"})
}
