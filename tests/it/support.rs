//! Test support. Most tests use [`app::TestApp`]: a server in process, with a database, a sandbox as its Azure and a clock
//! that the test advances.
//!
//! - [`app`]: the server, and requests to it
//! - [`test_clusters`]: clusters that the worker creates in the sandbox
//! - [`kubernetes`], [`connected`]: a fake Kubernetes API, and a server with a connected cluster on it
//! - [`listener`]: servers on ports; [`agent`]: an agent that connects to one
//! - [`databases`]: SQLite and PostgreSQL databases, for tests that run on both
//! - [`fault`]: faults of the sandbox; [`azure_client`]: requests to its Azure
//! - [`program`]: the real executable
//! - [`repository`]: the files of the repository, for tests of documents
//! - [`fixtures`]: recordings and data; [`schema`]: responses against the API document

use std::time::Duration;

use norman_aks::store::AuditRow;
use serde_json::Value;

pub(crate) mod agent;
pub(crate) mod app;
pub(crate) mod azure_client;
pub(crate) mod call;
pub(crate) mod connected;
pub(crate) mod databases;
pub(crate) mod fault;
pub(crate) mod fixtures;
pub(crate) mod kubernetes;
pub(crate) mod listener;
pub(crate) mod program;
pub(crate) mod repository;
pub(crate) mod schema;
pub(crate) mod test_clusters;

/// A condition of a cluster object; `null` if it is absent.
pub(crate) fn condition<'a>(cluster: &'a Value, condition_type: &str) -> &'a Value {
    let conditions = cluster["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == condition_type).unwrap_or(&Value::Null)
}

/// Advances tokio's time, by which timeouts of requests and connections expire. Sockets are real, so time must not be paused
/// while a socket is awaited. The runtime must have a single thread.
pub(crate) async fn advance_time(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Awaits `future` while tokio's time advances by `step` every 50 ms of real time, which sockets need.
pub(crate) async fn while_time_passes<T>(step: Duration, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        tokio::select! {
            output = &mut future => return output,
            () = tokio::time::sleep(Duration::from_millis(50)) => advance_time(step).await,
        }
    }
}

/// An audit record with a unique ID, for changes that a test makes in the store.
pub(crate) fn audit_row() -> AuditRow {
    AuditRow { id: uuid::Uuid::now_v7().to_string(), ..AuditRow::default() }
}
