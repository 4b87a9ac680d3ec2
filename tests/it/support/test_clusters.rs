//! Clusters that the worker creates or imports in the sandbox.

use serde_json::{Value, json};

use super::app::TestApp;

/// The body of a new cluster with a stored credential.
pub(crate) fn body(name: &str, credential: &str) -> Value {
    json!({"name": name, "aksConfig": {
        "azureCredentialSecret": credential, "clusterName": name, "resourceGroup": "shops", "resourceLocation": "eastus",
        "dnsPrefix": name, "kubernetesVersion": "1.32.7", "networkPlugin": "azure", "tags": {"team": "a"},
        "nodePools": [{
            "name": "system", "count": 1, "maxPods": 60, "mode": "System", "osDiskSizeGB": 128, "osDiskType": "Managed",
            "osType": "Linux", "vmSize": "Standard_D2s_v3",
        }],
    }})
}

/// The body that imports the cluster of the sandbox's seed data.
pub(crate) fn import_body(app: &TestApp, name: &str, credential: &str) -> Value {
    json!({"name": name, "aksConfig": {
        "imported": true, "azureCredentialSecret": credential, "clusterName": app.seed.imported_cluster_name,
        "resourceGroup": app.seed.resource_group, "resourceLocation": app.seed.location,
    }})
}

/// The body that imports a cluster that does not exist.
pub(crate) fn absent_body(name: &str, credential: &str) -> Value {
    json!({"name": name, "aksConfig": {"clusterName": name, "resourceGroup": "g", "resourceLocation": "eastus",
        "imported": true, "azureCredentialSecret": credential}})
}

/// Creates a cluster; returns its ID.
pub(crate) async fn create(app: &TestApp, token: &str, body: &Value) -> String {
    app.post("/v3/clusters").token(token).json(body).send().await.expect(201).id()
}

/// Imports the cluster of the sandbox's seed data, with a new credential; returns its ID.
pub(crate) async fn import(app: &TestApp, token: &str, name: &str) -> String {
    let credential = app.store_credential(token).await;
    create(app, token, &import_body(app, name, &credential)).await
}

/// Imports a cluster that does not exist; returns its ID.
pub(crate) async fn import_absent(app: &TestApp, token: &str, name: &str, credential: &str) -> String {
    create(app, token, &absent_body(name, credential)).await
}

/// Creates a cluster and waits until it is active; returns its ID and that of its credential.
pub(crate) async fn create_active(app: &TestApp, token: &str, name: &str) -> (String, String) {
    let credential = app.store_credential(token).await;
    let id = create(app, token, &body(name, &credential)).await;
    app.advance(std::time::Duration::from_mins(10)).await;
    let cluster = app.get(&format!("/v3/clusters/{id}")).send().await.json();
    assert_eq!(cluster["state"], "active", "{cluster}");
    (id, credential)
}

/// The token of a new user with a role in the cluster.
pub(crate) async fn add_member(app: &TestApp, cluster: &str, name: &str, role: &str) -> String {
    let token = app.token(name).await;
    let user = app.user_id(&token).await;
    let binding = json!({"clusterId": cluster, "userId": user, "roleTemplateId": role});
    app.post("/v3/clusterroletemplatebindings").json(&binding).send().await.expect(201);
    token
}

/// Replaces the secret of a stored credential by one that Azure rejects.
pub(crate) async fn invalidate_credential(app: &TestApp, credential: &str) {
    let wrong = json!({"azurecredentialConfig": {"clientSecret": "Sandbox~a~secret~that~nobody~knows~0009"}});
    app.put(&format!("/v3/cloudcredentials/{credential}")).json(&wrong).send().await.expect(200);
}
