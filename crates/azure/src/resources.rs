//! Azure's resource types, one file each. Lists are read to the last page.

pub mod agent_pools;
pub mod kubernetes_versions;
pub mod locations;
pub mod managed_clusters;
pub mod permissions;
pub mod policies;
pub mod providers;
pub mod resource_groups;
pub mod run_command;
pub mod skus;
pub mod subscriptions;
pub mod usages;
pub mod virtual_networks;
pub mod vm_sizes;
pub mod workspaces;
