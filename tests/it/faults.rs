//! Provisioning with faults, on SQLite and on PostgreSQL: the requests to Azure, the state that users see, and the result. The
//! tests advance the clock; they wait in real time only for requests that are delayed on purpose.

/// Defines a test on each database for each of the functions.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            use crate::faults::Database;
            $(#[tokio::test] async fn $name() {
                super::$name(Database::Sqlite).await;
            })*
        }
        mod postgres {
            use crate::support::databases;
            use crate::faults::Database;
            $(#[tokio::test] async fn $name() {
                if databases::has_postgres() {
                    super::$name(Database::Postgres).await;
                }
            })*
        }
    };
}

mod absence;
mod agent;
mod claims;
mod credentials;
mod durability;
mod failed_operations;
mod inside;
mod kill;
mod lost;
mod meanwhile;
mod names;
mod private;
mod refusals;
mod sharing;

use std::time::Duration;

use azure_sandbox::{Effect, Operation, RecordedRequest};
use serde_json::{Value, json};

use crate::support::app::{TICK, TestApp, TestAppBuilder};
use crate::support::condition;
use crate::support::databases::{self, TestDb};
use crate::support::fault;

/// Azure's message for throttling in these tests.
const THROTTLED: &str = "The request is being throttled: too many requests of this subscription";

/// The longest wait for a state of a cluster, on the test's clock.
const MAX_WAIT: Duration = Duration::from_mins(30);

/// A kind of database.
#[derive(Clone, Copy, Debug)]
enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    /// A new, empty database.
    async fn create(self) -> TestDb {
        match self {
            Self::Sqlite => databases::sqlite().await,
            Self::Postgres => databases::postgres().await.expect("a PostgreSQL server"),
        }
    }
}

/// A server with its sandbox, a credential and a cluster object.
struct TestCluster {
    app: TestApp,
    db: TestDb,
    /// The ID of the credential.
    credential: String,
    /// The path of the cluster object.
    path: String,
}

/// The body of a small cluster in a resource group that does not exist yet.
fn small_cluster(name: &str, credential: &str) -> Value {
    json!({"name": name, "aksConfig": {
        "azureCredentialSecret": credential, "clusterName": name, "resourceGroup": format!("group-of-{name}"),
        "resourceLocation": "eastus", "dnsPrefix": name, "kubernetesVersion": "1.32.7", "networkPlugin": "kubenet",
        "nodePools": [system_pool()],
    }})
}

/// The pool of a small cluster.
fn system_pool() -> Value {
    json!({"name": "system", "count": 1, "maxPods": 110, "mode": "System", "osDiskSizeGB": 128, "osDiskType": "Managed",
        "osType": "Linux", "vmSize": "Standard_DS2_v2"})
}

/// A user pool, to append to the pools of a small cluster.
fn pool(name: &str, count: u32) -> Value {
    json!({"name": name, "count": count, "maxPods": 110, "mode": "User", "osDiskSizeGB": 128, "osDiskType": "Managed",
        "osType": "Linux", "vmSize": "Standard_DS2_v2"})
}

impl TestCluster {
    /// Creates the object of [`small_cluster`] without running a step.
    async fn create(database: Database) -> Self {
        Self::create_with(database, TestApp::builder(), |_| ()).await
    }

    /// As [`Self::create`], with a change to the body of the object.
    async fn create_with(
        database: Database,
        builder: TestAppBuilder,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let db = database.create().await;
        // These tests are about the worker, so the review must not reject the body.
        let app = builder.advisory_review().database(&db).start().await;
        let credential = app.store_credential(&app.admin).await;
        let mut body = small_cluster("one", &credential);
        change(&mut body);
        let path = create_object(&app, &body).await;
        app.control.clear_requests();
        Self { app, db, credential, path }
    }

    /// Creates an active cluster.
    async fn create_active(database: Database) -> Self {
        let cluster = Self::create(database).await;
        cluster.wait_until_active().await;
        cluster.app.control.clear_requests();
        cluster
    }

    /// The cluster object as returned to users; it must not contain a secret.
    async fn object(&self) -> Value {
        get_object(&self.app, &self.path).await
    }

    async fn progress(&self) -> Progress {
        progress_of(&self.object().await)
    }

    /// Runs the worker while advancing the clock.
    async fn advance_secs(&self, seconds: u64) {
        self.app.advance(Duration::from_secs(seconds)).await;
    }

    /// Advances time until the cluster object meets the condition, at most half an hour.
    async fn wait_until(&self, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        self.wait_in_steps(MAX_WAIT, what, is_met).await
    }

    /// Like [`Self::wait_until`], but advances the clock tick by tick. For events in real time, such as the end of an agent's
    /// session: a longer advance could run the next scheduled step before the event.
    async fn wait_in_ticks_until(&self, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        self.wait_in_steps(TICK, what, is_met).await
    }

    async fn wait_in_steps(&self, max_step: Duration, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        let find = async || Some(self.object().await).filter(&is_met);
        if let Some(object) = self.app.advance_until(MAX_WAIT, max_step, find).await {
            return object;
        }
        panic!("not within half an hour: {what}\n{:#}\n{:#?}", self.object().await, self.sent_writes());
    }

    async fn wait_until_active(&self) -> Value {
        self.wait_until("active", |object| object["state"] == "active").await
    }

    /// Advances time until the cluster object is deleted.
    async fn wait_until_deleted(&self) {
        let find = async || (self.app.get(&self.path).send().await.status == 404).then_some(());
        if self.app.advance_until(MAX_WAIT, MAX_WAIT, find).await.is_some() {
            return;
        }
        panic!("still there: {:#}\n{:#?}", self.object().await, self.sent_writes());
    }

    /// Updates the cluster object.
    async fn update(&self, config: Value) -> Value {
        let response =
            self.app.put(&self.path).json(&json!({"name": "one", "aksConfig": config})).send().await;
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }

    async fn delete(&self) {
        let response = self.app.delete(&self.path).send().await;
        assert_eq!((response.status.as_u16(), &response.json()["state"]), (200, &json!("removing")));
    }

    fn id(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }

    /// The token with which agents of the cluster connect.
    async fn registration_token(&self) -> String {
        let path = format!("/v3/clusterregistrationtokens/{}:default-token", self.id());
        self.app.get(&path).send().await.json()["token"].as_str().unwrap().to_owned()
    }

    /// The host name of the API of the first cluster in Azure whose host name starts with `prefix`.
    fn api_host(&self, prefix: &str) -> String {
        let clusters = self.app.control.kubernetes();
        let cluster = clusters.iter().find(|cluster| cluster.fqdn.starts_with(prefix));
        cluster.unwrap_or_else(|| panic!("{prefix}: {clusters:?}")).fqdn.clone()
    }

    /// All write requests to Azure, regardless of their result.
    fn sent_writes(&self) -> Vec<String> {
        sent_writes(&self.app).iter().map(short_line).collect()
    }

    /// The write requests that Azure accepted.
    fn accepted_writes(&self) -> Vec<String> {
        let is_accepted =
            |request: &&RecordedRequest| request.status.is_some_and(|status| (200..300).contains(&status));
        sent_writes(&self.app).iter().filter(is_accepted).map(short_line).collect()
    }

    /// The number of requests of an operation with this method.
    fn request_count(&self, operation: Operation, method: &str) -> usize {
        let requests = self.app.control.requests();
        requests.iter().filter(|request| request.operation == operation && request.method == method).count()
    }

    fn add_fault(&self, operation: Operation, method: &str, effect: Effect) {
        self.app.control.add_fault(fault::for_request(operation, method, effect));
    }

    /// As [`Self::add_fault`], once.
    fn add_fault_once(&self, operation: Operation, method: &str, effect: Effect) {
        self.app.control.add_fault(fault::once(fault::for_request(operation, method, effect)));
    }
}

/// Creates a cluster object; returns its path.
async fn create_object(app: &TestApp, body: &Value) -> String {
    let response = app.post("/v3/clusters").json(body).send().await.expect(201);
    format!("/v3/clusters/{}", response.id())
}

async fn get_object(app: &TestApp, path: &str) -> Value {
    let response = app.get(path).send().await.expect(200);
    let text = response.text();
    let seed = &app.seed;
    for secret in [seed.client_secret, seed.client_secret_2, "Bearer ", "api-version=", "PRIVATE KEY"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    response.json()
}

/// The state of a cluster object, as users see it.
#[derive(Debug, PartialEq)]
struct Progress {
    state: String,
    transitioning: String,
    message: String,
}

impl Progress {
    /// The progress of an active cluster.
    fn active() -> Self {
        Self { state: "active".to_owned(), transitioning: "no".to_owned(), message: String::new() }
    }
}

fn progress_of(object: &Value) -> Progress {
    let field = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    Progress {
        state: field("state"),
        transitioning: field("transitioning"),
        message: field("transitioningMessage"),
    }
}

/// The write requests to Azure, without requests for kubeconfigs, which use POST but change nothing.
fn sent_writes(app: &TestApp) -> Vec<RecordedRequest> {
    let mut writes = app.control.writes();
    writes.retain(|request| {
        ![Operation::AdminCredential, Operation::UserCredential].contains(&request.operation)
    });
    writes
}

/// The method and target of a request, such as `PUT cluster` or `DELETE pool more`.
fn short_line(request: &RecordedRequest) -> String {
    let name = request.path.rsplit('/').next().unwrap_or_default();
    let target = match request.operation {
        Operation::ManagedCluster => "cluster".to_owned(),
        Operation::AgentPool => format!("pool {name}"),
        Operation::ResourceGroup => "group".to_owned(),
        Operation::RegisterProvider => "register".to_owned(),
        Operation::Workspace => "workspace".to_owned(),
        other => format!("{other:?} {}", request.path),
    };
    format!("{} {target}", request.method)
}

/// Waits until Azure has received this request, which is delayed on purpose.
async fn wait_until_received(app: &TestApp, operation: Operation, method: &str) {
    let is_pending = |request: &RecordedRequest| {
        request.operation == operation && request.method == method && request.status.is_none()
    };
    for _ in 0..3_000 {
        if app.control.requests().iter().any(is_pending) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {method} of {operation:?} was received: {:#?}", app.control.requests());
}
