//! `norman-aks`: Rancher's AKS actions, Azure cloud credentials and AKS clusters as one small server.
//!
//! | module | content |
//! |---|---|
//! | [`api`] | HTTP; `api/meta` has the nine actions, one file each |
//! | [`service`] | the use cases: what a caller may request |
//! | [`provision`] | the worker that reconciles clusters |
//! | [`store`] | the database; the only SQL |
//! | [`vault`] | encryption of stored secrets |
//! | [`app`] | assembly of the server; [`cli`], [`config`] and [`telemetry`] around it |
//!
//! What knows nothing of the server is in crates of its own: `aks` (rules and decisions, pure), `azure` (the client of
//! Azure), `cluster-access` (the Kubernetes APIs of clusters), `serve` (the accept loop), `clock`, and `azure-sandbox` (the
//! simulated Azure). `docs/architecture.md` lists who may use whom; a test compares it with the code.

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod provision;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod vault;
