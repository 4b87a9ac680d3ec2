//! Assembles all modules into the server, and runs it. [`App`] in `app/server.rs` is the server without listeners, which tests
//! build with a sandbox and their own clock; `app/run.rs` opens the listeners and handles signals and the shutdown.

mod agent;
mod beside;
#[cfg(feature = "sandbox")]
mod built_in_agent;
mod database_lock;
mod error;
mod files;
mod hosts;
mod output;
mod replicas;
mod run;
#[cfg(feature = "sandbox")]
mod sandbox;
#[cfg(not(feature = "sandbox"))]
#[path = "app/no_sandbox.rs"]
mod sandbox;
mod server;
mod snapshots;
mod storage;
mod tls;

pub use self::agent::run_agent;
pub use self::beside::{BesideRancher, client as rancher_client};
#[cfg(feature = "sandbox")]
pub use self::built_in_agent::image as built_in_agent_image;
pub use self::error::Error;
pub use self::hosts::{HostCheck, check_hosts, used_environments};
pub use self::run::{check_features, sandbox, serve};
pub use self::server::{App, Connectors};
pub use self::storage::{azure_backend, connect_store, open_secrets, open_store};
pub use self::tls::{Authority, check as check_tls};
