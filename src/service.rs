//! The use cases. They do not depend on HTTP; `api` uses `store`, `vault` and Azure only through them.

#![warn(missing_docs)]

pub mod access;
pub mod actor;
pub mod agents;
pub mod audit;
pub mod azure_access;
pub mod base;
pub mod catalog;
pub mod cluster_events;
pub mod clusters;
mod concurrency;
pub mod core;
pub mod credentials;
pub mod error;
pub mod explain;
mod fresh_id;
pub mod instance;
pub mod kubeconfigs;
pub mod kubernetes;
pub mod listings;
pub mod login_failures;
pub mod members;
pub mod metadata;
pub(crate) mod name_list;
pub mod nodes;
mod notifier;
pub mod observation;
pub mod own_tokens;
mod plan_access;
pub mod plans;
pub mod public_address;
pub mod rancher_access;
pub mod readiness;
pub mod registration;
pub mod reviews;
pub mod secrets;
pub mod server_access;
pub mod settings;
mod single_flight;
pub mod tokens;
pub mod users;

pub use access::Caller;
pub use error::{Error, Invalid, Result};
