//! Provisioning with faults, on SQLite and on PostgreSQL: the requests to Azure, the status for users, and the result. The clock
//! is advanced manually; the tests only wait for requests that are delayed on purpose.

/// Defines a test on each database for each of the functions.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            use crate::faults::Base;
            $(#[tokio::test] async fn $name() {
                super::$name(Base::Sqlite).await;
            })*
        }
        mod postgres {
            use crate::support::databases;
            use crate::faults::Base;
            $(#[tokio::test] async fn $name() {
                if databases::has_postgres() {
                    super::$name(Base::Postgres).await;
                }
            })*
        }
    };
}

mod absence;
mod acknowledged;
mod agent;
mod claims;
mod credentials;
mod endings;
mod inside;
mod kill;
mod lost;
mod meanwhile;
mod names;
mod private;
mod refusals;
mod sharing;

use std::time::Duration;

use azure_sandbox::{Effect, Fault, Operation, RecordedRequest, Refusal};
use serde_json::{Value, json};

use crate::support::app::{TestApp, TestAppBuilder};
use crate::support::databases::{self, TestDb};

/// Azure's message for throttling in these tests.
const THROTTLED: &str = "The request is being throttled: too many requests of this subscription";

/// A kind of database.
#[derive(Clone, Copy, Debug)]
enum Base {
    Sqlite,
    Postgres,
}

impl Base {
    /// A new, empty database.
    async fn db(self) -> TestDb {
        match self {
            Self::Sqlite => databases::sqlite().await,
            Self::Postgres => databases::postgres().await.expect("a PostgreSQL server"),
        }
    }
}

/// A server with one cluster object and its Azure.
struct Stage {
    app: TestApp,
    db: TestDb,
    credential: String,
    /// The path of the cluster object.
    path: String,
}

/// A small cluster in a resource group that does not exist yet.
fn small(name: &str, credential: &str) -> Value {
    json!({"name": name, "aksConfig": {
        "azureCredentialSecret": credential, "clusterName": name, "resourceGroup": format!("group-of-{name}"),
        "resourceLocation": "eastus", "dnsPrefix": name, "kubernetesVersion": "1.32.7", "networkPlugin": "kubenet",
        "nodePools": [{"name": "system", "count": 1, "maxPods": 110, "mode": "System", "osDiskSizeGB": 128,
            "osDiskType": "Managed", "osType": "Linux", "vmSize": "Standard_DS2_v2"}],
    }})
}

/// Another pool, to append to the list.
fn pool(name: &str, count: u32) -> Value {
    json!({"name": name, "count": count, "maxPods": 110, "mode": "User", "osDiskSizeGB": 128, "osDiskType": "Managed",
        "osType": "Linux", "vmSize": "Standard_DS2_v2"})
}

impl Stage {
    /// Creates the object of [`small`] without running a step.
    async fn set(base: Base) -> Self {
        Self::set_with(base, TestApp::with(), |_| ()).await
    }

    /// As [`Self::set`], with a change to the body of the object.
    async fn set_with(base: Base, builder: TestAppBuilder, change: impl FnOnce(&mut Value)) -> Self {
        let db = base.db().await;
        // These tests are about the worker, so the review must not reject the body.
        let app = builder.advise().on(&db).start().await;
        let credential = app.stored_credential(&app.admin).await;
        let mut body = small("one", &credential);
        change(&mut body);
        let path = made(&app, &body).await;
        app.control.clear_requests();
        Self { app, db, credential, path }
    }

    /// Creates an active cluster.
    async fn active(base: Base) -> Self {
        let scene = Self::set(base).await;
        scene.becomes_active().await;
        scene.app.control.clear_requests();
        scene
    }

    /// The cluster object as returned to users; it must not contain a secret.
    async fn seen(&self) -> Value {
        seen(&self.app, &self.path).await
    }

    /// `state`, `transitioning` and `transitioningMessage`.
    async fn told(&self) -> (String, String, String) {
        told(&self.seen().await)
    }

    async fn pass(&self, seconds: u64) {
        self.app.pass(Duration::from_secs(seconds)).await;
    }

    /// Advances time until the cluster object meets the condition, at most half an hour.
    async fn until(&self, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..900 {
            let cluster = self.seen().await;
            if good(&cluster) {
                return cluster;
            }
            self.pass(2).await;
        }
        panic!("not within half an hour: {what}\n{:#}\n{:#?}", self.seen().await, self.sent());
    }

    async fn becomes_active(&self) -> Value {
        self.until("active", |cluster| cluster["state"] == "active").await
    }

    /// Advances time until the cluster object is deleted.
    async fn is_gone(&self) {
        for _ in 0..900 {
            if self.app.get(&self.path).send().await.status == 404 {
                return;
            }
            self.pass(2).await;
        }
        panic!("still there: {:#}\n{:#?}", self.seen().await, self.sent());
    }

    /// Updates the cluster object.
    async fn put(&self, config: Value) -> Value {
        let answer = self.app.put(&self.path).json(&json!({"name": "one", "aksConfig": config})).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    async fn delete(&self) {
        let answer = self.app.delete(&self.path).send().await;
        assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (200, &json!("removing")));
    }

    /// All write requests to Azure, regardless of their result.
    fn sent(&self) -> Vec<String> {
        sent(&self.app).iter().map(short).collect()
    }

    /// The write requests that Azure accepted.
    fn taken(&self) -> Vec<String> {
        let good = |seen: &&RecordedRequest| seen.status.is_some_and(|status| (200..300).contains(&status));
        sent(&self.app).iter().filter(good).map(short).collect()
    }

    /// The number of requests of an operation.
    fn asked(&self, operation: Operation, method: &str) -> usize {
        let requests = self.app.control.requests();
        requests.iter().filter(|seen| seen.operation == operation && seen.method == method).count()
    }

    fn fault(&self, operation: Operation, method: &str, effect: Effect) {
        self.app.control.add_fault(fault(operation, method, effect));
    }

    /// As [`Self::fault`], once.
    fn fault_once(&self, operation: Operation, method: &str, effect: Effect) {
        self.app.control.add_fault(Fault { times: Some(1), ..fault(operation, method, effect) });
    }
}

fn fault(operation: Operation, method: &str, effect: Effect) -> Fault {
    Fault {
        operation: Some(operation),
        method: Some(method.to_owned()),
        effect: Some(effect),
        ..Fault::default()
    }
}

/// An error response with a code and a message.
fn refusal(status: u16, code: &str, message: &str) -> Effect {
    Effect::Status(Refusal {
        status: Some(status),
        code: Some(code.to_owned()),
        message: Some(message.to_owned()),
        ..Refusal::default()
    })
}

/// Creates a cluster object; returns its path.
async fn made(app: &TestApp, body: &Value) -> String {
    let answer = app.post("/v3/clusters").json(body).send().await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    format!("/v3/clusters/{}", answer.json()["id"].as_str().unwrap())
}

async fn seen(app: &TestApp, path: &str) -> Value {
    let answer = app.get(path).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let seed = &app.seed;
    for secret in [seed.client_secret, seed.client_secret_2, "Bearer ", "api-version=", "PRIVATE KEY"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    answer.json()
}

fn told(cluster: &Value) -> (String, String, String) {
    let text = |key: &str| cluster[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("transitioning"), text("transitioningMessage"))
}

/// The write requests to Azure, without requests for kubeconfigs, which use POST but change nothing.
fn sent(app: &TestApp) -> Vec<RecordedRequest> {
    let mut sent = app.control.writes();
    sent.retain(|seen| ![Operation::AdminCredential, Operation::UserCredential].contains(&seen.operation));
    sent
}

/// `PUT cluster`, `DELETE pool more` and so on.
fn short(seen: &RecordedRequest) -> String {
    let name = seen.path.rsplit('/').next().unwrap_or_default();
    let what = match seen.operation {
        Operation::ManagedCluster => "cluster".to_owned(),
        Operation::AgentPool => format!("pool {name}"),
        Operation::ResourceGroup => "group".to_owned(),
        Operation::RegisterProvider => "register".to_owned(),
        Operation::Workspace => "workspace".to_owned(),
        other => format!("{other:?} {}", seen.path),
    };
    format!("{} {what}", seen.method)
}

/// Waits until Azure has received this request, which is delayed on purpose.
async fn held(app: &TestApp, operation: Operation, method: &str) {
    let is_held = |seen: &RecordedRequest| {
        seen.operation == operation && seen.method == method && seen.status.is_none()
    };
    for _ in 0..3_000 {
        if app.control.requests().iter().any(is_held) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {method} of {operation:?} was received: {:#?}", app.control.requests());
}

/// A client of the server's Azure, for changes by others.
fn azure(app: &TestApp) -> reqwest::Client {
    let authority = reqwest::Certificate::from_pem(app.sandbox.authority_pem().as_bytes()).unwrap();
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([authority]);
    let hosts = azure_sandbox::Sandbox::hosts().iter();
    hosts.fold(builder, |builder, host| builder.resolve(host, app.sandbox.address())).build().unwrap()
}

/// A token of the account `ready`.
async fn log_in(app: &TestApp, azure: &reqwest::Client) -> String {
    let seed = &app.seed;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", seed.client_id),
        ("client_secret", seed.client_secret),
        ("scope", "https://management.azure.com/.default"),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let url = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", seed.tenant_id);
    let request = azure.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    let text = request.send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}
