//! `norman-aks`: Rancher's AKS actions, Azure cloud credentials and AKS clusters as one small server.
//!
//! | module | content |
//! |---|---|
//! | [`api`] | HTTP; `api/meta` contains the nine actions, one file each |
//! | [`service`] | the use cases, with the permissions of callers |
//! | [`provision`] | the worker that reconciles clusters |
//! | [`store`] | the database, with all SQL |
//! | [`rancher`] | the client of the Rancher that this server runs beside |
//! | [`vault`] | encryption of stored secrets |
//! | [`app`] | assembles the server; uses [`config`] and [`telemetry`], and is started by [`cli`] |
//!
//! Code that is independent of the server is in its own crates: `aks` (rules and decisions, pure), `azure` (the client of
//! Azure), `cluster-access` (the Kubernetes APIs of clusters), `agent` and `remotedialer` (the tunnel into private clusters),
//! `serve` (the accept loop), `clock`, and `azure-sandbox` (the simulated Azure). `docs/architecture.md` lists the allowed
//! dependencies, and a test compares them with the code.

#![expect(unreachable_pub, reason = "in private modules, `pub` means: for the rest of the server")]

mod api;
pub mod app;
mod cli;
pub mod config;
mod provision;
mod rancher;
mod service;
pub mod store;
pub mod telemetry;
mod vault;

pub use self::api::openapi_json;
pub use self::cli::main;
pub use self::vault::{KeyRing, Vault};

/// Items of `service` that tests and benchmarks use. The rest is private, so that the compiler reports dead code.
pub mod services {
    pub use crate::service::Caller;
    pub use crate::service::actor::Actor;
    pub use crate::service::audit::{Action, AuditEvent, AuditLog, Options, Sink};
    pub use crate::service::credentials::{
        AzureChange, Change, CredentialChange, CredentialSource, InlineCredential,
    };
    pub use crate::service::public_address::HttpsEndpoint;
    pub use crate::service::registration::RegistrationToken;
    pub use crate::service::secrets::{CLUSTER_ACCESS_SECRET, SERVICE_ACCOUNT_TOKEN_SECRET, Secrets};
}
