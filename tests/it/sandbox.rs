//! The simulated Azure, called as the real one: over TLS and HTTP/2, with Azure's host names. Most tests advance its clock.

mod clusters;
mod control;
mod entra;
mod errors;
mod faults;
mod gateway;
mod groups;
mod inside;
mod listings;
mod pools;
mod programs;
mod recordings;
mod restart;
mod run_command;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use azure_sandbox::{Account, Control, Options, Sandbox, Seed};
use clock::Clock;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::azure_client;

const PUBLIC: &str = "https://management.azure.com";
const PUBLIC_SCOPE: &str = "https://management.core.windows.net//.default openid offline_access profile";
const AKS: &str = "Microsoft.ContainerService/managedClusters";

/// A sandbox, and a client that is logged in with one of its accounts.
struct Azure {
    sandbox: Sandbox,
    client: reqwest::Client,
    clock: Clock,
    account: Account,
    token: String,
}

struct ArmResponse {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl ArmResponse {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The items of an Azure list.
    fn items(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()["value"].as_array().unwrap().clone()
    }

    /// The items of a Kubernetes list.
    fn items_of_list(&self) -> Vec<Value> {
        self.at("/items").as_array().unwrap_or_else(|| panic!("{}", self.text)).clone()
    }

    /// The value at a JSON pointer.
    fn at(&self, pointer: &str) -> Value {
        self.json().pointer(pointer).cloned().unwrap_or_default()
    }

    /// `provisioningState`.
    fn state(&self) -> String {
        self.at("/properties/provisioningState").as_str().unwrap_or_default().to_owned()
    }

    /// The status and the error code, which is either nested in `error` or at the top level.
    fn error(&self) -> (u16, String) {
        let body = self.json();
        let code = body.pointer("/error/code").or_else(|| body.get("code"));
        (self.status.as_u16(), code.and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    #[track_caller]
    fn assert_error(&self, status: u16, code: &str, words: &str) {
        assert_eq!(self.error(), (status, code.to_owned()), "{}", self.text);
        assert!(self.text.contains(words), "{words:?} is not in {}", self.text);
    }
}

impl Azure {
    async fn start() -> Self {
        Self::start_as("ready").await
    }

    async fn start_as(account: &str) -> Self {
        Self::start_with(account, Clock::manual(1_790_000_000_000), None).await
    }

    async fn start_with(account: &str, clock: Clock, state_dir: Option<&Path>) -> Self {
        let state_dir = state_dir.map(Path::to_owned);
        Self::start_with_options(account, Options { clock, state_dir, ..Options::default() }).await
    }

    /// Starts with the control API.
    async fn start_controlled() -> Self {
        let control_listen = Some("127.0.0.1:0".parse().unwrap());
        Self::start_with_options("ready", Options { control_listen, ..Options::default() }).await
    }

    async fn start_with_options(account: &str, options: Options) -> Self {
        let clock = options.clock.clone();
        let sandbox = Sandbox::start(options).await.unwrap();
        let client = azure_client::builder(&sandbox).build().unwrap();
        let account = find_account(&sandbox, account);
        let mut azure = Self { sandbox, client, clock, account, token: String::new() };
        azure.log_in().await;
        azure
    }

    /// Switches to another account.
    async fn switch_account(&mut self, name: &str) {
        self.account = self.account(name);
        self.log_in().await;
    }

    fn account(&self, name: &str) -> Account {
        find_account(&self.sandbox, name)
    }

    async fn log_in(&mut self) {
        self.token = self.token_of(&self.account).await;
    }

    async fn token_of(&self, account: &Account) -> String {
        let (host, _, scope) = cloud(account);
        let secret = &account.secrets[0];
        let response = self.login(host, &account.tenant_id, &account.client_id, secret, scope).await;
        response.expect(200).json()["access_token"].as_str().unwrap().to_owned()
    }

    async fn post_form(&self, url: &str, form: &[(&str, &str)]) -> ArmResponse {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded");
        read(request.body(body).send().await.unwrap()).await
    }

    async fn login(
        &self,
        host: &str,
        tenant: &str,
        client_id: &str,
        secret: &str,
        scope: &str,
    ) -> ArmResponse {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", secret),
            ("scope", scope),
        ];
        self.post_form(&format!("https://{host}/{tenant}/oauth2/v2.0/token"), &form).await
    }

    /// Sends a GET to a complete URL.
    async fn fetch(&self, url: &str, token: Option<&str>) -> ArmResponse {
        let mut request = self.client.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        read(request.send().await.unwrap()).await
    }

    /// Sends a request to the control API.
    async fn send_to_control(&self, method: &str, path: &str, body: Option<&str>) -> ArmResponse {
        let url = format!("http://{}{path}", self.sandbox.control_address().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.request(method.parse().unwrap(), url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        read(request.send().await.unwrap()).await
    }

    fn control(&self) -> Control {
        self.sandbox.control()
    }

    fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.account.subscription_id)
    }

    /// Builds a request to a URL, or to a path below the subscription, which may omit `api-version`.
    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::RequestBuilder {
        let lower = path.to_ascii_lowercase();
        let version = if lower.contains("containerservice/") && !lower.ends_with("/register") {
            "2024-02-01"
        } else if lower.contains("microsoft.network/") {
            "2023-11-01"
        } else if lower.contains("operationalinsights/") {
            "2021-12-01-preview"
        } else if lower.contains("microsoft.compute/") {
            "2024-03-01"
        } else {
            "2021-04-01"
        };
        let url = if path.starts_with("https://") {
            path.to_owned()
        } else {
            let separator = if path.contains('?') { '&' } else { '?' };
            let version = if path.contains("api-version") {
                String::new()
            } else {
                format!("{separator}api-version={version}")
            };
            format!("{}{}{path}{version}", cloud(&self.account).1, self.subscription())
        };
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        request
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> ArmResponse {
        read(self.request(method, path, body).send().await.unwrap()).await
    }

    async fn get(&self, path: &str) -> ArmResponse {
        self.send(Method::GET, path, None).await
    }

    async fn put(&self, path: &str, body: &Value) -> ArmResponse {
        self.send(Method::PUT, path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> ArmResponse {
        self.send(Method::DELETE, path, None).await
    }

    async fn post(&self, path: &str) -> ArmResponse {
        self.send(Method::POST, path, None).await
    }

    fn advance_secs(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Polls the operation that `response` started; returns its status and the whole body.
    async fn status_of(&self, response: &ArmResponse) -> (String, Value) {
        let body = self.get(response.header("azure-asyncoperation")).await.expect(200).json();
        (body["status"].as_str().unwrap().to_owned(), body)
    }

    /// Advances the clock by 30 seconds, after which the operation that `response` started must have succeeded.
    async fn finish(&self, response: &ArmResponse) {
        assert_eq!(self.status_of(response).await.0, "InProgress");
        self.advance_secs(30);
        assert_eq!(self.status_of(response).await.0, "Succeeded");
    }

    /// Creates a cluster, finishes the operation, and returns the cluster.
    async fn create_cluster(&self, name: &str, body: &Value) -> ArmResponse {
        let path = cluster(name);
        let response = self.put(&path, body).await.expect(201);
        self.finish(&response).await;
        self.get(&path).await.expect(200)
    }
}

fn find_account(sandbox: &Sandbox, name: &str) -> Account {
    sandbox.control().accounts().iter().find(|account| account.name == name).unwrap().clone()
}

fn seed() -> Seed {
    Sandbox::seed()
}

async fn read(response: reqwest::Response) -> ArmResponse {
    let (status, headers) = (response.status(), response.headers().clone());
    ArmResponse { status, headers, text: response.text().await.unwrap() }
}

fn cluster(name: &str) -> String {
    format!("/resourceGroups/rancher/providers/{AKS}/{name}")
}

fn pool(cluster_name: &str, name: &str) -> String {
    format!("{}/agentPools/{name}", cluster(cluster_name))
}

/// The body that creates a small cluster.
fn small() -> Value {
    json!({
        "location": "eastus",
        "identity": {"type": "SystemAssigned"},
        "tags": {"team": "tests"},
        "properties": {
            "kubernetesVersion": "1.32.7",
            "dnsPrefix": "small",
            "agentPoolProfiles": [{"name": "system", "count": 1, "vmSize": "Standard_DS2_v2", "mode": "System"}],
            "networkProfile": {"networkPlugin": "kubenet"},
        },
    })
}

/// The body, with a value set at a JSON pointer.
fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
    parent.as_object_mut().unwrap().insert(key.to_owned(), value);
    body
}

/// A PUT body: that of the response, with a value set at a JSON pointer.
fn changed(response: &ArmResponse, pointer: &str, value: Value) -> Value {
    with(response.json(), pointer, value)
}

/// The login host, the URL of Resource Manager, and the scope of an account's cloud.
fn cloud(account: &Account) -> (&'static str, &'static str, &'static str) {
    match serde_json::to_value(account.environment).unwrap().as_str().unwrap() {
        "AzureChinaCloud" => (
            "login.chinacloudapi.cn",
            "https://management.chinacloudapi.cn",
            "https://management.core.chinacloudapi.cn//.default",
        ),
        "AzureUSGovernmentCloud" => (
            "login.microsoftonline.us",
            "https://management.usgovcloudapi.net",
            "https://management.usgovcloudapi.net/.default",
        ),
        _ => ("login.microsoftonline.com", PUBLIC, PUBLIC_SCOPE),
    }
}

/// The minor versions in a response, by name.
fn versions_of(response: &ArmResponse) -> HashMap<String, Value> {
    let minors = response.json()["values"].as_array().unwrap().clone();
    minors.into_iter().map(|minor| (minor["version"].as_str().unwrap().to_owned(), minor)).collect()
}

fn assert_no_placeholder(items: &[Value]) {
    for item in items {
        for placeholder in ["{subscription}", "{tenant}", "{location}", "{other_location}"] {
            assert!(!item.to_string().contains(placeholder), "{placeholder} in {item}");
        }
    }
}
