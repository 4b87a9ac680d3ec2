//! `Microsoft.ContainerService/managedClusters/<cluster>/agentPools`.

use aks::arm::{AgentPool, Resource};
use http::Method;
use reqwest::Url;
use serde_json::Value;

use super::managed_clusters::{API_VERSION, path};
use crate::arm::Arm;
use crate::error::Error;
use crate::page::read_all;
use crate::request_name::RequestName;
use crate::resource;
use crate::write::WriteResponse;

/// Lists the pools of a cluster in Azure's order (REST: Agent Pools - List). Fails if the cluster does not exist
/// ([`Error::is_not_found`]).
pub async fn list(arm: &Arm, group: &str, cluster: &str) -> Result<Vec<AgentPool>, Error> {
    let url = arm.url(&path(group, cluster, &["agentPools"]), &[API_VERSION])?;
    read_all(arm, RequestName::ListAgentPools, url).await
}

/// Gets a pool; `None` if the pool or the cluster does not exist (REST: Agent Pools - Get).
pub async fn get(
    arm: &Arm,
    group: &str,
    cluster: &str,
    pool: &str,
) -> Result<Option<Resource<AgentPool>>, Error> {
    resource::find(arm, RequestName::GetAgentPool, &url(arm, group, cluster, pool)?).await
}

/// Creates or changes a pool (REST: Agent Pools - Create Or Update). `body` is an object with `properties`.
pub async fn put(
    arm: &Arm,
    group: &str,
    cluster: &str,
    pool: &str,
    body: &Value,
) -> Result<WriteResponse, Error> {
    arm.change(Method::PUT, RequestName::PutAgentPool, &url(arm, group, cluster, pool)?, body).await
}

/// Deletes a pool with its nodes; `None` if it does not exist (REST: Agent Pools - Delete).
pub async fn delete(
    arm: &Arm,
    group: &str,
    cluster: &str,
    pool: &str,
) -> Result<Option<WriteResponse>, Error> {
    arm.delete(RequestName::DeleteAgentPool, &url(arm, group, cluster, pool)?).await
}

fn url(arm: &Arm, group: &str, cluster: &str, pool: &str) -> Result<Url, Error> {
    arm.url(&path(group, cluster, &["agentPools", pool]), &[API_VERSION])
}
