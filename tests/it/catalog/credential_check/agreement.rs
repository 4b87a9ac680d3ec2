//! Agreement of the check and the sandbox, with generated roles on the subscription and on a resource group: the sandbox denies
//! no operation that the check calls allowed, and every operation that the check calls denied.

use std::cell::Cell;

use azure_sandbox::RoleAssignment;
use http::{Method, StatusCode};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::post;
use crate::support::app::{TestApp, account_credential};
use crate::support::azure_client;

const GROUP: &str = "rancher";
const MANAGED_CLUSTERS: &str = "Microsoft.ContainerService/managedClusters";

/// The application whose roles change.
const ACCOUNT: &str = "reader";

const ACTION_PATTERNS: [&str; 16] = [
    "*",
    "*/read",
    "*/write",
    "*/action",
    "*/delete",
    "Microsoft.Authorization/*/read",
    "Microsoft.ContainerService/*",
    "microsoft.containerservice/managedclusters/*",
    "Microsoft.ContainerService/managedClusters/*/read",
    "Microsoft.ContainerService/managedClusters/agentPools/*",
    "Microsoft.Network/*",
    "Microsoft.Network/virtualNetworks/subnets/*",
    "Microsoft.Compute/*/read",
    "Microsoft.Resources/subscriptions/*",
    "Microsoft.OperationalInsights/*",
    "*/register/action",
];

fn roles() -> impl Strategy<Value = Vec<RoleAssignment>> {
    let patterns = |count| prop::sample::subsequence(ACTION_PATTERNS.to_vec(), count);
    let role =
        (any::<bool>(), patterns(1..=3), patterns(0..=2)).prop_map(|(on_group, actions, not_actions)| {
            let strings = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
            RoleAssignment {
                resource_group: on_group.then(|| GROUP.to_owned()),
                actions: strings(actions),
                not_actions: strings(not_actions),
            }
        });
    // Usually, the application may read its own permissions; otherwise, the check knows nothing.
    let permission_reader = prop::option::weighted(
        0.9,
        Just(RoleAssignment {
            actions: vec!["Microsoft.Authorization/*/read".to_owned()],
            ..RoleAssignment::default()
        }),
    );
    (prop::collection::vec(role, 0..3), permission_reader).prop_map(|(mut roles, reader)| {
        roles.extend(reader);
        roles
    })
}

/// The request that needs an action; `None` if the sandbox has no such resource. Requests change nothing: a write is invalid,
/// about a resource that does not exist, or registers a registered provider.
fn request(action: &str, in_group: bool) -> Option<(Method, String, Option<Value>)> {
    let (get, put, post, delete) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
    let group = format!("/resourceGroups/{GROUP}");
    let scope = if in_group { group.as_str() } else { "" };
    let (compute, network) = ("/providers/Microsoft.Compute", "/providers/Microsoft.Network/virtualNetworks");
    let cluster = format!("{group}/providers/{MANAGED_CLUSTERS}/not-there");
    let workspace = format!("{group}/providers/Microsoft.OperationalInsights/workspaces/not-there");
    let empty = || Some(json!({}));
    Some(match action {
        "Microsoft.Resources/subscriptions/read" => (get, "?api-version=2016-06-01".to_owned(), None),
        "Microsoft.Resources/subscriptions/locations/read" => (get, "/locations?api-version=2022-12-01".to_owned(), None),
        "Microsoft.Compute/skus/read" => {
            // For one region: the list of all regions has 70 MB.
            (get, format!("{compute}/skus?api-version=2021-07-01&$filter=location%20eq%20'eastus'"), None)
        }
        "Microsoft.Compute/locations/vmSizes/read" => {
            (get, format!("{compute}/locations/eastus/vmSizes?api-version=2024-03-01"), None)
        }
        "Microsoft.Compute/locations/usages/read" => {
            (get, format!("{compute}/locations/eastus/usages?api-version=2024-03-01"), None)
        }
        "Microsoft.ContainerService/locations/kubernetesVersions/read" => (
            get,
            "/providers/Microsoft.ContainerService/locations/eastus/kubernetesVersions?api-version=2024-02-01".to_owned(),
            None,
        ),
        "Microsoft.Resources/subscriptions/resourceGroups/read" => (get, format!("{group}?api-version=2021-04-01"), None),
        "Microsoft.Resources/subscriptions/resourceGroups/write" => {
            (put, "/resourceGroups/new?api-version=2021-04-01".to_owned(), empty())
        }
        "Microsoft.ContainerService/register/action" | "Microsoft.OperationalInsights/register/action" => {
            let namespace = action.split('/').next()?;
            (post, format!("/providers/{namespace}/register?api-version=2021-04-01"), None)
        }
        "Microsoft.Network/virtualNetworks/read" => (get, format!("{scope}{network}?api-version=2023-11-01"), None),
        "Microsoft.Network/virtualNetworks/subnets/read" => {
            (get, format!("{group}{network}/rancher-net/subnets/nodes?api-version=2023-11-01"), None)
        }
        "Microsoft.OperationalInsights/workspaces/read" => (get, format!("{workspace}?api-version=2021-12-01-preview"), None),
        "Microsoft.OperationalInsights/workspaces/write" => {
            (put, format!("{workspace}?api-version=2021-12-01-preview"), empty())
        }
        "Microsoft.ContainerService/managedClusters/read" => {
            (get, format!("{scope}/providers/{MANAGED_CLUSTERS}?api-version=2024-02-01"), None)
        }
        _ => {
            let below = action.strip_prefix(MANAGED_CLUSTERS)?;
            let (method, path) = match below {
                "/write" => (put, ""),
                "/delete" => (delete, ""),
                "/upgradeProfiles/read" => (get, "/upgradeProfiles/default"),
                "/agentPools/read" => (get, "/agentPools"),
                "/agentPools/write" => (put, "/agentPools/pool"),
                "/agentPools/delete" => (delete, "/agentPools/pool"),
                "/commandResults/read" => (get, "/commandResults/9d1f3c52-0d2b-4e6a-8c1e-000000000001"),
                _ => (post, below.strip_suffix("/action")?),
            };
            let body = if method == Method::GET || method == Method::DELETE { None } else { empty() };
            (method, format!("{cluster}{path}?api-version=2024-02-01"), body)
        }
    })
}

/// Sends requests of the application to the sandbox, without the server.
struct DirectClient {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl DirectClient {
    async fn log_in(app: &TestApp) -> Self {
        let account = app.account(ACCOUNT);
        let client = azure_client::builder(&app.sandbox).build().unwrap();
        let token = azure_client::log_in(&client, &account).await;
        let base = format!("https://management.azure.com/subscriptions/{}", account.subscription_id);
        Self { client, base, token }
    }

    /// Whether Azure denies a request for lack of a role.
    async fn is_denied(&self, method: Method, path: &str, body: Option<&Value>) -> bool {
        let mut request =
            self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_ne!(status, StatusCode::UNAUTHORIZED, "{path}: {text}");
        status == StatusCode::FORBIDDEN && text.contains("AuthorizationFailed")
    }

    /// Whether Azure denies a cluster in a subnet of the group to an application that may create clusters.
    async fn is_denied_in_subnet(&self) -> bool {
        let subscription = self.base.trim_start_matches("https://management.azure.com");
        let subnet = format!(
            "{subscription}/resourceGroups/{GROUP}/providers/Microsoft.Network/virtualNetworks/rancher-net/subnets/nodes"
        );
        // The pool has no name, so Azure does not create the cluster.
        let body =
            json!({"location": "eastus", "properties": {"agentPoolProfiles": [{"vnetSubnetID": subnet}]}});
        let path =
            format!("/resourceGroups/{GROUP}/providers/{MANAGED_CLUSTERS}/not-there?api-version=2024-02-01");
        self.is_denied(Method::PUT, &path, Some(&body)).await
    }
}

#[test]
fn check_agrees_with_the_sandbox() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let app = runtime.block_on(TestApp::start());
    let direct = runtime.block_on(DirectClient::log_in(&app));
    let (allowed, denied) = (Cell::new(0), Cell::new(0));
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&(roles(), any::<bool>()), |(roles, with_group)| {
        runtime.block_on(compare(&app, &direct, &roles, with_group, (&allowed, &denied)))
    });
    outcome.unwrap();
    assert!(allowed.get() > 50 && denied.get() > 50, "{} allowed, {} denied", allowed.get(), denied.get());
}

async fn compare(
    app: &TestApp,
    direct: &DirectClient,
    roles: &[RoleAssignment],
    with_group: bool,
    (allowed, denied): (&Cell<u32>, &Cell<u32>),
) -> Result<(), TestCaseError> {
    let account = app.account(ACCOUNT);
    app.control.set_roles(&account.subscription_id, &account.client_id, roles.to_vec());
    let query = if with_group { format!("resourceGroup={GROUP}") } else { String::new() };
    let result = post(app, &account_credential(&account), &query).await;
    let operations = result["operations"].as_array().unwrap();
    let is_allowed = |action: &str| {
        operations.iter().any(|operation| operation["action"] == action && operation["status"] == "allowed")
    };
    for operation in operations {
        let (action, status) = (operation["action"].as_str().unwrap(), operation["status"].as_str().unwrap());
        let in_group = operation["scope"].as_str().unwrap().contains("/resourceGroups/");
        let is_denied = match request(action, in_group) {
            // Without a group, only the roles of the subscription are checked, but requests in the group have more rights.
            _ if !with_group && roles.iter().any(|role| role.resource_group.is_some()) => continue,
            _ if action.ends_with("/subnets/join/action")
                && is_allowed(&format!("{MANAGED_CLUSTERS}/write")) =>
            {
                direct.is_denied_in_subnet().await
            }
            Some((method, path, body)) => direct.is_denied(method, &path, body.as_ref()).await,
            None => continue,
        };
        match status {
            "allowed" => {
                allowed.set(allowed.get() + 1);
                prop_assert!(!is_denied, "{action} is allowed, but Azure denies it: {roles:?}");
            }
            "denied" => {
                denied.set(denied.get() + 1);
                prop_assert!(is_denied, "{action} is denied, but Azure allows it: {roles:?}");
            }
            other => prop_assert_eq!(other, "unknown"),
        }
    }
    Ok(())
}
