//! `norman-aks`: Rancher's AKS actions, Azure cloud credentials and AKS clusters as one small server.
//!
//! The rooms of the house, each answering one question:
//!
//! | room | question |
//! |---|---|
//! | [`domain`] | what is true (pure: no I/O, no async) |
//! | [`azure`] | what Azure says (the thin Resource Manager client) |
//! | [`store`] | what we remember (the only SQL) |
//! | [`vault`] | how secrets are sealed |
//! | [`downstream`] | what is inside a cluster |
//! | [`service`] | what a caller may ask |
//! | [`provision`] | what happens by itself |
//! | [`api`] | how it looks on the wire; `api/meta` holds the nine actions |
//! | [`sandbox`] | what stands in for Azure |
//! | [`app`] | how it is put together; [`cli`], [`config`], [`telemetry`], [`listen`] around it |
//!
//! `docs/architecture.md` has the table of who may use whom; a test holds it against the code.

pub mod api;
pub mod app;
pub mod azure;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod downstream;
pub mod listen;
pub mod provision;
pub mod sandbox;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod vault;
