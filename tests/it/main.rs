//! One test binary; behaviour is tested through the router, in process.

// The lints of the library's own code are relaxed by `cfg(test)`; this binary contains only tests.
#[cfg(test)]
mod access;
#[cfg(test)]
mod admission;
#[cfg(test)]
mod agents;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod api_document;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod around_clusters;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod azure;
#[cfg(test)]
mod azure_fake;
#[cfg(test)]
mod azure_run_command;
#[cfg(test)]
mod azure_writes;
#[cfg(test)]
mod beside;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod cloud_credentials;
#[cfg(test)]
mod cluster_access;
#[cfg(test)]
mod cluster_events;
#[cfg(test)]
mod cluster_force_delete;
#[cfg(test)]
mod cluster_plan;
#[cfg(test)]
mod clusters;
#[cfg(test)]
mod config;
#[cfg(test)]
mod connection_limits;
#[cfg(test)]
mod control_characters;
#[cfg(test)]
mod database_lock;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod foreign_origin;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod kubeconfig;
#[cfg(test)]
mod kubernetes_proxy;
#[cfg(test)]
mod kubernetes_streams;
#[cfg(test)]
mod member_rights;
#[cfg(test)]
mod members;
#[cfg(test)]
mod meta;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod norman;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod provisioning;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod review;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod smoke;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod stable_names;
#[cfg(test)]
mod store_contract;
#[cfg(test)]
mod support;
#[cfg(test)]
mod terraform_replay;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod tunnel;
#[cfg(test)]
mod unsupported;
#[cfg(test)]
mod users;
