//! Problems from public reports about provisioning AKS: each with the input that causes it, related inputs and a valid one.

mod changes;
mod imports;
mod networks;
mod regions;
mod versions;

use azure_sandbox::Quota;
use serde_json::{Value, json};

use crate::norman::{NormanError, norman_error};
use crate::provisioning::ClusterSetup;
use crate::support::app::TestResponse;

/// The body of a cluster that another client creates in the simulated Azure.
pub(super) fn azure_cluster(name: &str, overrides: Value) -> Value {
    let mut properties = json!({
        "kubernetesVersion": "1.32.7", "dnsPrefix": name, "networkProfile": {"networkPlugin": "azure"},
        "agentPoolProfiles": [azure_pool(json!({}))],
    });
    properties.as_object_mut().unwrap().extend(overrides.as_object().unwrap().clone());
    json!({"location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": properties})
}

/// A pool of [`azure_cluster`].
pub(super) fn azure_pool(overrides: Value) -> Value {
    let mut pool = json!({"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_D4s_v5", "maxPods": 30,
        "osDiskSizeGB": 128, "osDiskType": "Managed", "osType": "Linux", "type": "VirtualMachineScaleSets"});
    pool.as_object_mut().unwrap().extend(overrides.as_object().unwrap().clone());
    pool
}

impl ClusterSetup {
    /// Creates a cluster in the simulated Azure, as the portal would.
    pub(super) async fn create_in_azure(&self, name: &str, overrides: Value) {
        let body = azure_cluster(name, overrides);
        self.change_in_azure(http::Method::PUT, &crate::provisioning::cluster_path(name), Some(&body)).await;
        self.app.settle().await;
    }

    /// Raises the vCPU quotas, so that only subnets limit the number of nodes.
    pub(super) fn raise_quotas(&self) {
        for name in ["cores", "standardDSv2Family", "standardDSv5Family"] {
            let quota = Quota { region: "eastus".to_owned(), name: name.to_owned(), limit: 10_000 };
            self.app.control.set_quota(&self.account.subscription_id, quota);
        }
    }

    /// Creates a cluster in the simulated Azure and imports it; returns its ID.
    pub(super) async fn create_import(&self, name: &str, overrides: Value) -> String {
        self.create_in_azure(name, overrides).await;
        self.create_active(&self.import_body(name, json!({}))).await
    }

    /// Posts a cluster that is rejected; returns the field and the message.
    pub(super) async fn post_rejected(&self, body: &Value) -> (String, String) {
        field_and_message(&self.app.post("/v3/clusters").json(body).send().await)
    }

    /// Sends a rejected change of `aksConfig`; returns the field and the message. The stored specification is unchanged.
    pub(super) async fn put_rejected(&self, id: &str, config: Value) -> (String, String) {
        let before = self.get(id).await["aksConfig"].clone();
        let rejection = field_and_message(&self.update(id, config).await);
        assert_eq!(self.get(id).await["aksConfig"], before);
        rejection
    }

    /// The findings for a POST body, as `rule severity`.
    pub(super) async fn review(&self, body: &Value) -> Vec<String> {
        let response = self.app.post("/api/v1/aks/review").json(body).send().await.expect(200);
        findings(&response.json())
    }

    /// The versions that `aksUpgrades` returns for a cluster, with a `+` after each that is enabled.
    pub(super) async fn upgrades(&self, id: &str) -> Vec<String> {
        let path = format!("/meta/aksUpgrades?cloudCredentialId={}&clusterId={id}", self.credential);
        let response = self.app.get(&path).header("cache-control", "no-cache").send().await.expect(200);
        let version_and_mark = |upgrade: &Value| {
            let enabled = if upgrade["enabled"] == true { "+" } else { "" };
            format!("{}{enabled}", upgrade["version"].as_str().unwrap())
        };
        response.json()["upgrades"].as_array().unwrap().iter().map(version_and_mark).collect()
    }
}

/// The findings of a review except advice, as `rule severity`.
pub(super) fn findings(review: &Value) -> Vec<String> {
    let all = review["findings"].as_array().unwrap_or_else(|| panic!("{review}")).iter();
    let relevant = all.filter(|finding| finding["severity"] != "advice");
    relevant
        .map(|finding| {
            format!("{} {}", finding["rule"].as_str().unwrap(), finding["severity"].as_str().unwrap())
        })
        .collect()
}

/// The field and the message of a 422.
pub(super) fn field_and_message(response: &TestResponse) -> (String, String) {
    assert_eq!(response.status, 422, "{}", response.text());
    let NormanError { field, message, .. } = norman_error(response);
    assert!(message.contains(": "), "{message:?} should have a remedy");
    (field, message)
}
