//! The domain: rules, validation and conversions as pure functions. No I/O, no async, no clock, no HTTP, no SQL.

#![warn(missing_docs)]

pub mod agent_params;
pub mod arm;
pub mod catalog;
pub mod cluster_details;
pub mod ids;
pub mod image;
pub mod input;
pub mod json_text;
pub mod left_behind;
pub mod listed_clusters;
pub mod mask;
pub mod networks;
pub mod nodes;
pub mod plain_text;
pub mod projects;
pub mod provision;
pub mod regions;
pub mod registration;
pub mod resource_group;
pub mod review;
pub mod rights;
pub mod role;
pub mod shell;
pub mod spec;
pub mod status;
pub mod system_namespaces;
#[cfg(test)]
mod testing;
pub mod upgrade_path;
pub mod upgrade_plan;
pub mod upgrades;
pub mod versions;
pub mod vm_size;
pub mod yaml;
