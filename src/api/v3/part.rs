//! Objects that belong to a cluster; their IDs start with the cluster's: `c-x7k9z:<name>`.

use aks::ids;

use super::types::Call;
use crate::api::norman::error::Error;
use crate::service;
use crate::service::clusters::Cluster;

/// The cluster in the ID of a part, if the caller may see it, and the name after the colon.
pub(super) async fn cluster_of_part<'a>(call: &Call, id: &'a str) -> Result<(Cluster, &'a str), Error> {
    let not_found = || Error::not_found(id);
    let (cluster_id, name) = ids::split_namespaced(id).ok_or_else(not_found)?;
    match call.state.clusters.get(call.caller(), cluster_id).await {
        Err(service::Error::NotFound { .. }) => Err(not_found()),
        cluster => Ok((cluster?, name)),
    }
}
