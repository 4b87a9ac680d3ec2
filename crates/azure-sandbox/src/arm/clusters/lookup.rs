//! Lookup of clusters, and checks of their state and ETags.

use http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use crate::arm::call::Call;
use crate::arm::error::ArmError;
use crate::json;
use crate::subscription::{Resource, find, is_terminal};

pub(crate) const RESOURCE_TYPE: &str = "Microsoft.ContainerService/managedClusters";
/// The first api-version with ETags.
const ETAGS_SINCE: &str = "2024-09-01";

/// The named cluster in the resource group of the URL.
pub(crate) fn get_cluster<'a>(call: &'a Call<'_>, name: &str) -> Result<&'a Resource, ArmError> {
    let group = call.target.group.as_deref().unwrap_or_default();
    find(&call.resources.clusters, group, name).ok_or_else(|| ArmError::not_found(RESOURCE_TYPE, name, group))
}

/// The cluster in the representation of the api-version.
pub(crate) fn representation(call: &Call<'_>, cluster: &Value) -> Value {
    let mut cluster = cluster.clone();
    if call.api_version < ETAGS_SINCE {
        json::remove(&mut cluster, "/eTag");
        let pools = cluster.pointer_mut("/properties/agentPoolProfiles").and_then(Value::as_array_mut);
        for pool in pools.into_iter().flatten() {
            json::remove(pool, "/eTag");
        }
    }
    cluster
}

/// Checks `If-Match` and `If-None-Match`. `etag` is `None` if the resource does not exist.
pub(crate) fn check_precondition(call: &Call<'_>, etag: Option<&str>) -> Result<(), ArmError> {
    let if_match = call.request.header("if-match").map(|if_match| if_match.trim().trim_matches('"'));
    let if_none_match = call.request.header("if-none-match").map(str::trim);
    let if_match_holds =
        if_match.is_none_or(|if_match| etag.is_some_and(|etag| if_match == "*" || if_match == etag));
    let if_none_match_holds =
        if_none_match.is_none_or(|if_none_match| if_none_match != "*" || etag.is_none());
    if if_match_holds && if_none_match_holds {
        return Ok(());
    }
    let text =
        "The condition of If-Match or If-None-Match is not met: the resource has a different entity tag.";
    Err(ArmError::from_aks(StatusCode::PRECONDITION_FAILED, "EtagMismatch", text))
}

pub(crate) fn new_etag() -> String {
    Uuid::new_v4().to_string()
}

/// Whether the cluster has long-term support.
pub(crate) fn is_long_term(cluster: &Value) -> bool {
    json::text(cluster, "/properties/supportPlan") == Some("AKSLongTermSupport")
}

/// Checks that no operation is running in the cluster.
pub(crate) fn ensure_idle(cluster: &Resource) -> Result<(), ArmError> {
    let conflict = |description: String| {
        let text = format!(
            "Operation is not allowed: Another {description} is in progress, please wait for it to finish before starting a \
             new operation. See https://aka.ms/aks-pending-operation for more details"
        );
        Err(ArmError::from_aks(StatusCode::CONFLICT, "OperationNotAllowed", text))
    };
    if !is_terminal(cluster.state()) {
        return conflict(format!("operation ({})", cluster.state()));
    }
    for pool in cluster.pools() {
        let state = json::text(pool, "/provisioningState").unwrap_or_default();
        if !is_terminal(state) {
            let name = json::text(pool, "/name").unwrap_or_default();
            return conflict(format!("agentpool operation ({name} - {state})"));
        }
    }
    Ok(())
}

/// Checks that the cluster is not stopped.
pub(crate) fn ensure_running(cluster: &Resource) -> Result<(), ArmError> {
    if json::text(&cluster.body, "/properties/powerState/code") != Some("Stopped") {
        return Ok(());
    }
    let text = format!(
        "Operation is not allowed: the managed cluster '{}' is stopped, and can only be started or deleted.",
        cluster.name
    );
    Err(ArmError::from_aks(StatusCode::CONFLICT, "OperationNotAllowed", text))
}
