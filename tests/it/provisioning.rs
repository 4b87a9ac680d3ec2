//! The worker's requests to Azure, and the status of the cluster after each step. The tests advance the clock, and make changes
//! in Azure as another user would in the portal.

mod access;
mod azure_errors;
mod converge;
mod imports;
mod lifecycle;
mod no_repeated_writes;
mod ownership;
mod prerequisites;
mod refresh;
mod unusable;
mod updates;

use std::time::Duration;

use azure_sandbox::{Account, RecordedRequest, Timing};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::app::{TestApp, TestResponse};
use crate::support::azure_client;

const AKS: &str = "Microsoft.ContainerService/managedClusters";
/// The resource group of almost all clusters in these tests.
const GROUP: &str = "rancher";
/// The client request ID of requests from the portal.
const PORTAL: &str = "portal";

/// A server with a stored credential, and a client that acts as another user in Azure's portal. It has no cluster at first.
pub(crate) struct ClusterSetup {
    pub(crate) app: TestApp,
    /// The ID of the stored credential.
    pub(crate) credential: String,
    /// The sandbox account of the credential.
    pub(crate) account: Account,
    /// The other user's client.
    client: reqwest::Client,
}

/// A write request to Azure.
#[derive(Debug)]
pub(crate) struct Write {
    /// The method and the names in the path, such as `PUT rancher/one/system`.
    pub(crate) line: String,
    pub(crate) body: Value,
}

/// The status of a cluster at one point in time.
#[derive(Clone, Debug, PartialEq)]
struct StatusSnapshot {
    state: String,
    transitioning: String,
    message: String,
    /// The name and the state of the first step that is not done, or of the last step.
    step: String,
    /// Such as `Provisioned=Unknown Ready=True`, without the conditions that are set when the object is created.
    conditions: String,
}

impl ClusterSetup {
    pub(crate) async fn start() -> Self {
        Self::start_with_account("ready").await
    }

    pub(crate) async fn start_with_account(account: &str) -> Self {
        Self::new(TestApp::start().await, account).await
    }

    pub(crate) async fn new(app: TestApp, account: &str) -> Self {
        let account = app.account(account);
        let client = azure_client::builder(&app.sandbox).build().unwrap();
        let credential = app.store_credential_of(&account.name).await;
        Self { app, credential, account, client }
    }

    /// Starts with an active small cluster; returns its ID as well.
    pub(crate) async fn start_active() -> (Self, String) {
        let setup = Self::start().await;
        let id = setup.create_active(&setup.small_cluster()).await;
        (setup, id)
    }

    /// Starts with an active cluster of two pools, `system` and `work`; returns its ID as well.
    async fn start_with_two_pools() -> (Self, String) {
        let setup = Self::start().await;
        let pools = json!({"nodePools": [pool("system", "System"), pool("work", "User")]});
        let id = setup.create_active(&setup.small_cluster_with(pools)).await;
        (setup, id)
    }

    /// The body of a request that creates a managed cluster with one pool of one node.
    pub(crate) fn small_cluster(&self) -> Value {
        json!({
            "name": "one",
            "aksConfig": {
                "azureCredentialSecret": self.credential, "clusterName": "one", "resourceGroup": GROUP,
                "resourceLocation": "eastus", "dnsPrefix": "one", "kubernetesVersion": "1.32.7", "networkPlugin": "kubenet",
                "nodePools": [pool("system", "System")],
            },
        })
    }

    /// As [`Self::small_cluster`], with additional or changed keys of `aksConfig`.
    pub(crate) fn small_cluster_with(&self, overrides: Value) -> Value {
        let mut body = self.small_cluster();
        body["aksConfig"].as_object_mut().unwrap().extend(overrides.as_object().unwrap().clone());
        body
    }

    /// The body of a request that imports a cluster, with additional or changed keys of `aksConfig`.
    pub(crate) fn import_body(&self, name: &str, overrides: Value) -> Value {
        let mut config = json!({
            "azureCredentialSecret": self.credential, "clusterName": name, "imported": true, "resourceGroup": GROUP,
            "resourceLocation": "eastus",
        });
        config.as_object_mut().unwrap().extend(overrides.as_object().unwrap().clone());
        json!({"name": name, "aksConfig": config})
    }

    /// Creates the object even if the review finds errors; returns its ID.
    pub(crate) async fn post_with_advisory_review(&self, body: &Value) -> String {
        let mut body = body.clone();
        body["annotations"] = json!({"norman-aks.io/review": "advise"});
        self.post(&body).await
    }

    /// Creates the object and runs no step; returns its ID.
    pub(crate) async fn post(&self, body: &Value) -> String {
        self.app.post("/v3/clusters").json(body).send().await.expect(201).id()
    }

    async fn post_and_settle(&self, body: &Value) -> String {
        let id = self.post(body).await;
        self.app.settle().await;
        id
    }

    async fn post_with_advisory_review_and_settle(&self, body: &Value) -> String {
        let id = self.post_with_advisory_review(body).await;
        self.app.settle().await;
        id
    }

    async fn settle_and_expect_active(&self, id: &str) {
        self.app.settle().await;
        self.expect_active(id).await;
    }

    async fn update_and_settle(&self, id: &str, config: Value) {
        assert_eq!(self.update(id, config).await.status, StatusCode::OK);
        self.settle_and_expect_active(id).await;
    }

    async fn delete_and_settle(&self, id: &str) {
        self.delete(id).await;
        self.app.settle().await;
        assert!(self.is_deleted(id).await);
    }

    async fn expect_step(&self, id: &str, step: &str, conditions: &str) {
        let status = self.status(id).await;
        assert_eq!((&*status.step, &*status.conditions), (step, conditions));
    }

    /// Creates the object and waits until it is active; clears the recorded requests.
    pub(crate) async fn create_active(&self, body: &Value) -> String {
        let id = self.post_and_settle(body).await;
        self.expect_active(&id).await;
        self.app.control.clear_requests();
        id
    }

    pub(crate) async fn get(&self, id: &str) -> Value {
        self.app.get(&format!("/v3/clusters/{id}")).send().await.expect(200).json()
    }

    pub(crate) async fn is_deleted(&self, id: &str) -> bool {
        self.app.get(&format!("/v3/clusters/{id}")).send().await.status == StatusCode::NOT_FOUND
    }

    async fn status(&self, id: &str) -> StatusSnapshot {
        StatusSnapshot::from_object(&self.get(id).await)
    }

    pub(crate) async fn expect_active(&self, id: &str) {
        let status = self.status(id).await;
        assert_eq!(
            (&*status.state, &*status.transitioning, &*status.message, &*status.step),
            ("active", "no", "", "active done"),
            "{status:?}"
        );
        assert!(status.conditions.contains("Updated=True"), "{status:?}");
    }

    /// Expects a failure in this state; returns its message.
    pub(crate) async fn expect_failure(&self, id: &str, state: &str) -> String {
        let status = self.status(id).await;
        assert_eq!((&*status.state, &*status.transitioning), (state, "error"), "{status:?}");
        status.message
    }

    pub(crate) async fn update(&self, id: &str, config: Value) -> TestResponse {
        let name = self.get(id).await["name"].clone();
        self.app
            .put(&format!("/v3/clusters/{id}"))
            .json(&json!({"name": name, "aksConfig": config}))
            .send()
            .await
    }

    /// Changes `aksConfig`, settles, and returns the writes.
    pub(crate) async fn writes_of_update(&self, id: &str, config: Value) -> Vec<Write> {
        self.app.control.clear_requests();
        let response = self.update(id, config).await;
        assert_eq!(
            (response.status, &response.json()["state"]),
            (StatusCode::OK, &json!("updating")),
            "{}",
            response.text()
        );
        self.app.settle().await;
        self.expect_active(id).await;
        self.take_writes()
    }

    /// Changes the description, which requires no step.
    pub(crate) async fn update_description(&self, id: &str) {
        let body = json!({"name": self.get(id).await["name"], "description": "other words"});
        let response = self.app.put(&format!("/v3/clusters/{id}")).json(&body).send().await;
        assert_eq!((response.status, &response.json()["state"]), (StatusCode::OK, &json!("active")));
        self.app.settle().await;
    }

    /// Sets and unsets `baseUrl`, which Azure does not have, so that the worker compares the whole specification with Azure.
    pub(crate) async fn force_comparison(&self, id: &str) {
        for base_url in [json!("https://management.azure.com/"), Value::Null] {
            let response = self.update(id, json!({"baseUrl": base_url})).await;
            assert_eq!((response.status, &response.json()["state"]), (StatusCode::OK, &json!("updating")));
            self.app.settle().await;
        }
    }

    pub(crate) async fn delete(&self, id: &str) {
        let response = self.app.delete(&format!("/v3/clusters/{id}")).send().await;
        assert_eq!((response.status, &response.json()["state"]), (StatusCode::OK, &json!("removing")));
    }

    /// Runs all due steps.
    pub(crate) async fn run_due_steps(&self) {
        let stop = CancellationToken::new();
        while self.app.server.worker.run_due(&stop).await.unwrap() > 0 {}
    }

    /// Advances the clock by `times` refresh intervals, and runs the due steps after each.
    pub(crate) async fn advance_refreshes(&self, times: u32) {
        for _ in 0..times {
            self.app.clock.advance(Duration::from_secs(301));
            self.run_due_steps().await;
        }
    }

    /// Expects no writes for 75 minutes, which is longer than the refresh and retry intervals of the worker, and none after a
    /// full comparison.
    pub(crate) async fn expect_no_writes(&self, id: &str) {
        self.expect_no_writes_during_refreshes(id, 15).await;
    }

    /// As [`Self::expect_no_writes`], with the number of refreshes, which are five minutes apart.
    async fn expect_no_writes_during_refreshes(&self, id: &str, refreshes: u32) {
        self.app.control.clear_requests();
        self.advance_refreshes(refreshes).await;
        let requests = self.app.control.requests();
        let reads = requests.iter().filter(|request| request.path.contains("managedClusters/")).count();
        assert!(reads >= usize::try_from(refreshes).unwrap(), "read {reads} times");
        self.expect_active(id).await;
        self.update_description(id).await;
        self.force_comparison(id).await;
        self.expect_active(id).await;
        assert_eq!(lines(&self.take_writes()), Vec::<String>::new());
    }

    /// The statuses during the next `seconds`, without consecutive repetitions. Ends early if the cluster is deleted.
    async fn record_statuses(&self, id: &str, seconds: u64) -> Vec<StatusSnapshot> {
        let mut statuses: Vec<StatusSnapshot> = Vec::new();
        for _ in 0..seconds {
            self.run_due_steps().await;
            let response = self.app.get(&format!("/v3/clusters/{id}")).send().await;
            if response.status == StatusCode::NOT_FOUND {
                break;
            }
            let status = StatusSnapshot::from_object(&response.expect(200).json());
            if statuses.last() != Some(&status) {
                statuses.push(status);
            }
            self.app.clock.advance(Duration::from_secs(1));
        }
        statuses
    }

    /// The server's writes since the requests were last cleared, in order. Clears them.
    pub(crate) fn take_writes(&self) -> Vec<Write> {
        let is_from_portal = |request: &RecordedRequest| request.client_request_id.as_deref() == Some(PORTAL);
        let writes = self
            .app
            .control
            .writes()
            .into_iter()
            .filter(|request| !is_from_portal(request))
            .map(|request| Write::from_request(&request));
        let writes = writes.collect();
        self.app.control.clear_requests();
        writes
    }

    /// The cluster in Azure.
    pub(crate) async fn aks_cluster(&self, name: &str) -> Option<Value> {
        let (status, body) = self.azure(Method::GET, &cluster_path(name), None).await;
        (status == 200).then_some(body)
    }

    /// A pool of the cluster in Azure.
    pub(crate) async fn pool_in_azure(&self, cluster: &str, name: &str) -> Option<Value> {
        let pools = self.aks_cluster(cluster).await?["properties"]["agentPoolProfiles"].as_array()?.clone();
        pools.into_iter().find(|pool| pool["name"] == name)
    }

    /// Makes a change in Azure that completes immediately.
    pub(crate) async fn change_in_azure(&self, method: Method, path: &str, body: Option<&Value>) {
        let timing = self.app.control.timing();
        self.app.control.set_timing(Timing { scale: 0.0, ..timing.clone() }).unwrap();
        let (status, response) = self.azure(method, path, body).await;
        assert!((200..300).contains(&status), "{status} {response}");
        // The sandbox completes due operations at the next request, so this one must precede the restored timing.
        self.azure(Method::GET, path, None).await;
        self.app.control.set_timing(timing).unwrap();
    }

    /// Sets a value of a cluster in Azure, at a JSON pointer.
    pub(crate) async fn set_in_azure(&self, name: &str, pointer: &str, value: Value) {
        let mut body = self.aks_cluster(name).await.unwrap();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        if body.pointer(parent).is_none() {
            let (grandparent, parent_key) = parent.rsplit_once('/').unwrap();
            let grandparent = body.pointer_mut(grandparent).unwrap();
            grandparent.as_object_mut().unwrap().insert(parent_key.to_owned(), json!({}));
        }
        body.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
        self.change_in_azure(Method::PUT, &cluster_path(name), Some(&body)).await;
    }

    /// Creates or changes a pool in Azure.
    pub(crate) async fn put_pool_in_azure(&self, name: &str, pool: &str, properties: Value) {
        let body = json!({"properties": properties});
        self.change_in_azure(Method::PUT, &format!("{}/agentPools/{pool}", cluster_path(name)), Some(&body))
            .await;
    }

    /// Sends a request to Azure as the other user; the path starts after the subscription.
    pub(crate) async fn azure(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let lower = path.to_ascii_lowercase();
        let version = if lower.contains("containerservice") {
            "2024-02-01"
        } else if lower.contains("operationalinsights") {
            "2021-12-01-preview"
        } else if lower.contains("microsoft.network") {
            "2023-11-01"
        } else {
            "2021-04-01"
        };
        let url = format!(
            "https://management.azure.com/subscriptions/{}{path}?api-version={version}",
            self.account.subscription_id
        );
        let request = self.client.request(method, url).bearer_auth(self.log_in().await);
        let request = request.header("x-ms-client-request-id", PORTAL);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        };
        let response = request.send().await.unwrap();
        let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    pub(crate) async fn log_in(&self) -> String {
        // An account with all permissions in the subscription.
        let accounts = self.app.control.accounts();
        let has_permissions = |candidate: &&Account| {
            candidate.subscription_id == self.account.subscription_id
                && !candidate.secrets.is_empty()
                && !matches!(&*candidate.name, "reader" | "no-role" | "disabled-app" | "throttled-login")
        };
        let account = accounts.iter().find(has_permissions).unwrap();
        azure_client::log_in(&self.client, account).await
    }
}

impl Write {
    pub(crate) fn from_request(request: &RecordedRequest) -> Self {
        let fixed_segments = [
            "subscriptions",
            "resourcegroups",
            "providers",
            "microsoft.containerservice",
            "managedclusters",
            "agentpools",
            "microsoft.operationalinsights",
        ];
        let names = request.path.split('/').filter(|part| !part.is_empty()).skip(2);
        let names: Vec<&str> =
            names.filter(|part| !fixed_segments.contains(&&*part.to_ascii_lowercase())).collect();
        let body =
            request.body.as_deref().map(|body| serde_json::from_str(body).unwrap()).unwrap_or_default();
        Self { line: format!("{} {}", request.method, names.join("/")), body }
    }

    /// The value in the body at a JSON pointer.
    pub(crate) fn at(&self, pointer: &str) -> Value {
        self.body.pointer(pointer).cloned().unwrap_or_default()
    }
}

impl StatusSnapshot {
    fn from_object(cluster: &Value) -> Self {
        let string = |key: &str| cluster[key].as_str().unwrap().to_owned();
        let steps = cluster["aksStatus"]["steps"].as_array().cloned().unwrap_or_default();
        let current = steps.iter().find(|step| step["state"] != "done").or(steps.last());
        let step = current
            .map(|step| format!("{} {}", step["name"].as_str().unwrap(), step["state"].as_str().unwrap()));
        let set_at_start = [
            "BackingNamespaceCreated",
            "DefaultProjectCreated",
            "SystemProjectCreated",
            "InitialRolesPopulated",
            "CreatorMadeOwner",
        ];
        let conditions = cluster["conditions"].as_array().unwrap().iter();
        let conditions =
            conditions.filter(|condition| !set_at_start.contains(&condition["type"].as_str().unwrap()));
        let conditions: Vec<String> = conditions
            .map(|condition| {
                format!("{}={}", condition["type"].as_str().unwrap(), condition["status"].as_str().unwrap())
            })
            .collect();
        Self {
            state: string("state"),
            transitioning: string("transitioning"),
            message: string("transitioningMessage"),
            step: step.unwrap_or_default(),
            conditions: conditions.join(" "),
        }
    }
}

pub(crate) fn lines(writes: &[Write]) -> Vec<String> {
    writes.iter().map(|write| write.line.clone()).collect()
}

/// A returned `aksConfig` without Azure's values for keys that are unset in `configured`.
pub(crate) fn without_azure_values(returned: &Value, configured: &Value) -> Value {
    let mut config = returned.clone();
    for key in ["dnsServiceIp", "loadBalancerSku", "nodeResourceGroup", "podCidr", "serviceCidr"] {
        match configured.get(key) {
            None => drop(config.as_object_mut().unwrap().remove(key)),
            Some(empty) if empty == "" => config[key] = empty.clone(),
            Some(_) => {}
        }
    }
    config
}

/// The path of a cluster in the group.
pub(crate) fn cluster_path(name: &str) -> String {
    format!("/resourceGroups/{GROUP}/providers/{AKS}/{name}")
}

/// A pool with one node.
pub(crate) fn pool(name: &str, mode: &str) -> Value {
    json!({
        "name": name, "count": 1, "maxPods": 110, "vmSize": "Standard_DS2_v2", "osDiskSizeGB": 128, "osDiskType": "Managed",
        "osType": "Linux", "mode": mode,
    })
}

/// As [`pool`], with additional or changed keys.
pub(crate) fn pool_with(name: &str, mode: &str, overrides: Value) -> Value {
    let mut pool = pool(name, mode);
    pool.as_object_mut().unwrap().extend(overrides.as_object().unwrap().clone());
    pool
}

/// The body of a request that creates a cluster in Azure.
pub(crate) fn azure_cluster_body(dns_prefix: &str, tags: Value) -> Value {
    json!({
        "location": "eastus",
        "identity": {"type": "SystemAssigned"},
        "tags": tags,
        "properties": {
            "kubernetesVersion": "1.32.7",
            "dnsPrefix": dns_prefix,
            "agentPoolProfiles": [{"name": "theirs", "count": 1, "vmSize": "Standard_DS2_v2", "mode": "System"}],
            "networkProfile": {"networkPlugin": "kubenet"},
        },
    })
}
