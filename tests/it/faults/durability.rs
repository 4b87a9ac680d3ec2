//! The real executable, killed ten times while eight clients write. Every acknowledged change is stored afterwards, and has its
//! audit record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::Database;
use crate::support::call::string_at;
use crate::support::databases;
use crate::support::program::{Reply, Server, command, sandbox_file, stdout_of};

const KILLS: usize = 10;
const WRITERS: usize = 8;
/// The number of acknowledged changes before each kill.
const CHANGES_PER_KILL: usize = 48;
/// Longer than the changes before a kill take on a machine that is busy with other tests.
const ROUND_TIMEOUT: Duration = Duration::from_mins(3);

/// The directory of a server, and its PostgreSQL database, if it has one.
struct Installation {
    directory: TempDir,
    database: Option<databases::TestDb>,
}

impl Installation {
    async fn new(database: Database) -> Self {
        let directory = TempDir::new().unwrap();
        let database = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(database.create().await),
        };
        if let Some(database) = &database {
            std::fs::write(directory.path().join("keys"), &database.keys).unwrap();
            std::fs::write(directory.path().join("database-url"), &database.url).unwrap();
        }
        Self { directory, database }
    }

    fn arguments<'a>(&self, command: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = command.to_vec();
        arguments.extend(["--sandbox", "--data-dir=data"]);
        if self.database.is_some() {
            arguments.push("--database-url-file=database-url");
        }
        arguments
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn start(&self) -> Server {
        let mut arguments = self.arguments(&["serve", "--listen=127.0.0.1:0"]);
        if self.database.is_some() {
            arguments.push("--encryption-key-file=keys");
        }
        Server::spawn(&mut command(self.path(), &arguments))
    }

    /// The value of `key` in the sandbox's `sandbox.json`.
    fn sandbox_value(&self, key: &str) -> String {
        string_at(&sandbox_file(&self.path().join("data")), key)
    }

    /// All audit records, as `audit list` prints them.
    fn audit_records(&self) -> Vec<Value> {
        let lines =
            stdout_of(self.path(), &self.arguments(&["audit", "list", "--format=json", "--limit=1000000"]));
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The state of an object that a client created.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ObjectState {
    /// It exists, with this description.
    Exists(String),
    /// It was deleted.
    Deleted,
    /// A change was sent, and no response was received.
    Unknown,
}

/// The acknowledged requests of one client, and the states of the objects that it created.
#[derive(Default)]
struct ChangeLog {
    /// The IDs of the acknowledged requests.
    request_ids: Vec<String>,
    /// The objects by path.
    objects: BTreeMap<String, ObjectState>,
}

/// A client that writes until the server is killed.
struct Writer {
    http: reqwest::Client,
    url: String,
    token: String,
    /// The ID of the sandbox's stored credential.
    credential_id: String,
    creates_clusters: bool,
    log: ChangeLog,
    acknowledged: Arc<AtomicUsize>,
}

impl Writer {
    /// Sends a change; `None` if the server was killed before it responded.
    async fn send(&mut self, method: Method, path: &str, body: Option<&Value>) -> Option<Reply> {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let reply = Reply { status, headers, text: response.text().await.ok()? };
        assert!((200..300).contains(&reply.status), "{path}: {}", reply.text);
        self.log.request_ids.push(reply.header("x-request-id").to_owned());
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        Some(reply)
    }

    /// Sends a change of an object, whose state is unknown until the response arrives.
    async fn change(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        new_state: ObjectState,
    ) -> Option<()> {
        self.log.objects.insert(path.to_owned(), ObjectState::Unknown);
        self.send(method, path, body).await?;
        self.log.objects.insert(path.to_owned(), new_state);
        Some(())
    }

    async fn create(&mut self, collection: &str, body: &Value) -> Option<String> {
        let created = self.send(Method::POST, collection, Some(body)).await?.json();
        let path = format!("{collection}/{}", created["id"].as_str().unwrap());
        let description = created["description"].as_str().unwrap_or_default().to_owned();
        self.log.objects.insert(path.clone(), ObjectState::Exists(description));
        Some(path)
    }

    /// Creates, updates and deletes credentials, tokens and, in some clients, a cluster, and changes a setting, until the server is
    /// killed. Always returns `None`.
    async fn write_until_killed(&mut self, name: &str) -> Option<()> {
        for number in 0.. {
            let description = format!("{name} {number}");
            let azure = json!({"clientId": "c", "clientSecret": "not a secret", "subscriptionId": "s"});
            let body = json!({"name": name, "description": "first", "azurecredentialConfig": azure});
            let credential = self.create("/v3/cloudCredentials", &body).await?;
            let body = json!({"name": name, "description": description});
            self.change(Method::PUT, &credential, Some(&body), ObjectState::Exists(description.clone()))
                .await?;
            let token = self.create("/v3/tokens", &json!({"description": description})).await?;
            let image = json!({"value": format!("agent:{number}")});
            self.send(Method::PUT, "/v3/settings/agent-image", Some(&image)).await?;
            if number % 2 == 0 {
                self.change(Method::DELETE, &credential, None, ObjectState::Deleted).await?;
                self.change(Method::DELETE, &token, None, ObjectState::Deleted).await?;
            }
            if number == 0 && self.creates_clusters {
                let mut body = super::small_cluster(name, &self.credential_id);
                body["description"] = json!("first");
                let cluster = self.create("/v3/clusters", &body).await?;
                // Not `change`: the path of the request has a query, the key of the object has none.
                let forced = format!("{cluster}?force=true");
                self.log.objects.insert(cluster.clone(), ObjectState::Unknown);
                self.send(Method::DELETE, &forced, None).await?;
                self.log.objects.insert(cluster, ObjectState::Deleted);
            }
        }
        None
    }
}

/// Starts the server and the clients, and kills the server once enough changes are acknowledged; returns the clients' logs.
async fn run_round(installation: &Installation, number: usize) -> Vec<ChangeLog> {
    let server = installation.start();
    let (token, credential_id) =
        (installation.sandbox_value("token_key"), installation.sandbox_value("credential_id"));
    let acknowledged = Arc::<AtomicUsize>::default();
    let mut writers = JoinSet::new();
    for index in 0..WRITERS {
        let mut writer = Writer {
            http: server.http.clone(),
            url: server.url.clone(),
            token: token.clone(),
            credential_id: credential_id.clone(),
            creates_clusters: index < 2,
            log: ChangeLog::default(),
            acknowledged: Arc::clone(&acknowledged),
        };
        writers.spawn(async move {
            writer.write_until_killed(&format!("k{number}-w{index}")).await;
            writer.log
        });
    }
    let enough_changes = async {
        while acknowledged.load(Ordering::Relaxed) < CHANGES_PER_KILL {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(ROUND_TIMEOUT, enough_changes)
        .await
        .expect("enough acknowledged changes before the timeout");
    server.signal("KILL");
    let (status, _) = server.wait_for_exit();
    assert!(!status.success());
    writers.join_all().await
}

async fn kills_lose_no_acknowledged_change(database: Database) {
    let installation = Installation::new(database).await;
    let mut logs = Vec::new();
    for number in 0..KILLS {
        logs.extend(run_round(&installation, number).await);
    }
    let server = installation.start();
    let token = installation.sandbox_value("token_key");
    let mut mismatches = Vec::new();
    for (path, expected) in logs.iter().flat_map(|log| &log.objects) {
        let reply = server.get(path, &token).await;
        let actual = match reply.status {
            200 => ObjectState::Exists(reply.json()["description"].as_str().unwrap_or_default().to_owned()),
            404 => ObjectState::Deleted,
            _ => panic!("{path}: {}", reply.text),
        };
        if *expected != ObjectState::Unknown && *expected != actual {
            mismatches.push(format!("{path}: expected {expected:?}, found {actual:?}"));
        }
    }
    assert!(mismatches.is_empty(), "{mismatches:#?}");

    let records = installation.audit_records();
    let done: Vec<&Value> = records.iter().filter(|record| record["outcome"] == "done").collect();
    let recorded: BTreeSet<&str> = done.iter().filter_map(|record| record["requestId"].as_str()).collect();
    let request_ids: Vec<&String> = logs.iter().flat_map(|log| &log.request_ids).collect();
    let lost = request_ids.iter().filter(|id| !recorded.contains(id.as_str())).count();
    assert_eq!(lost, 0, "acknowledged changes without an audit record, of {}", request_ids.len());
    assert!(request_ids.len() >= KILLS * CHANGES_PER_KILL);

    // No credential exists without an audit record of its creation, whether or not the creation was acknowledged.
    let created: BTreeSet<&str> = done
        .iter()
        .filter(|record| record["action"] == "create")
        .filter_map(|record| record["objectId"].as_str())
        .collect();
    let credentials = server.get("/v3/cloudCredentials?limit=10000", &token).await.json();
    let ids = credentials["data"].as_array().unwrap().iter().filter_map(|object| object["id"].as_str());
    assert_eq!(ids.filter(|id| !created.contains(id)).count(), 0);
    server.stop();
}

on_both_databases!(kills_lose_no_acknowledged_change);
