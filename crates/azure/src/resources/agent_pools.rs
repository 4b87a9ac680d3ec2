//! `Microsoft.ContainerService/managedClusters/<cluster>/agentPools`.

use aks::arm::{AgentPool, Resource};
use reqwest::Url;
use serde_json::Value;

use super::managed_clusters::{API_VERSION, path_of};
use crate::page::read_all;
use crate::{Arm, Error, Written, one};

/// The pools of a cluster, in Azure's order. A cluster that is not there is an error
/// ([`Error::is_absence`]), not an empty list.
pub async fn list(arm: &Arm, group: &str, cluster: &str) -> Result<Vec<AgentPool>, Error> {
    let mut path = path_of(group, cluster).to_vec();
    path.push("agentPools");
    read_all(arm, "agentPools", arm.address(&path, &[API_VERSION])?).await
}

/// A pool, whole; `None` when there is none of that name, or no such cluster.
pub async fn get(
    arm: &Arm,
    group: &str,
    cluster: &str,
    pool: &str,
) -> Result<Option<Resource<AgentPool>>, Error> {
    one::find(arm, "agentPool", &address(arm, group, cluster, pool)?).await
}

/// Creates the pool or changes it into what `body` says, an object with `properties`.
pub async fn put(arm: &Arm, group: &str, cluster: &str, pool: &str, body: &Value) -> Result<Written, Error> {
    arm.put("agentPool put", &address(arm, group, cluster, pool)?, body).await
}

/// Deletes the pool with its nodes; `None` when there is none.
pub async fn delete(arm: &Arm, group: &str, cluster: &str, pool: &str) -> Result<Option<Written>, Error> {
    arm.delete("agentPool delete", &address(arm, group, cluster, pool)?).await
}

fn address(arm: &Arm, group: &str, cluster: &str, pool: &str) -> Result<Url, Error> {
    let mut path = path_of(group, cluster).to_vec();
    path.extend(["agentPools", pool]);
    arm.address(&path, &[API_VERSION])
}
