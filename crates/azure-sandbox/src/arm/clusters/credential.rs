//! Kubeconfigs for administrators and users.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use serde_json::json;

use super::lookup::get_cluster;
use crate::arm::call::Call;
use crate::arm::error::ArmError;
use crate::arm::route::ClusterAction;
use crate::json;
use crate::kube::kubeconfig::UserFormat;
use crate::response::SandboxResponse;

pub(crate) fn list(call: &Call<'_>, name: &str, action: ClusterAction) -> Result<SandboxResponse, ArmError> {
    let cluster = get_cluster(call, name)?;
    let is_admin = matches!(action, ClusterAction::AdminCredential | ClusterAction::AdminProfile);
    let is_profile = matches!(action, ClusterAction::AdminProfile | ClusterAction::UserProfile);
    let has_entra = json::is_true(&cluster.body, "/properties/aadProfile/managed");
    // Without Entra, the kubeconfig of users contains a certificate too.
    if json::is_true(&cluster.body, "/properties/disableLocalAccounts") && (is_admin || !has_entra) {
        let text =
            "Getting static credential is not allowed because this cluster is set to disable local accounts.";
        return Err(ArmError::from_aks(StatusCode::BAD_REQUEST, "BadRequest", text));
    }
    let host = cluster.api_host().unwrap_or_default();
    let kubeconfig = if is_admin {
        call.sandbox.kube.admin_kubeconfig(&host, &cluster.name)
    } else {
        call.sandbox.kube.user_kubeconfig(&host, &cluster.name, requested_format(call)?)
    };
    let kubeconfig = kubeconfig.map(|text| BASE64_STANDARD.encode(text)).ok_or_else(|| {
        let text = format!("Could not find the control plane of the managed cluster '{}'.", cluster.name);
        ArmError::from_aks(StatusCode::NOT_FOUND, "ControlPlaneNotFound", text)
    })?;
    let role = if is_admin { "clusterAdmin" } else { "clusterUser" };
    let body = if is_profile {
        json!({
            "id": format!("{}/accessProfiles/{role}", json::text(&cluster.body, "/id").unwrap_or_default()),
            "location": cluster.location(),
            "name": role,
            "type": "Microsoft.ContainerService/ManagedClusters/AccessProfiles",
            "properties": {"kubeConfig": kubeconfig},
        })
    } else {
        json!({"kubeconfigs": [{"name": role, "value": kubeconfig}]})
    };
    Ok(SandboxResponse::json(StatusCode::OK, &body))
}

/// The requested format of the kubeconfig.
fn requested_format(call: &Call<'_>) -> Result<UserFormat, ArmError> {
    match call.request.parameter("format").unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "azure" => Ok(UserFormat::Azure),
        "exec" => Ok(UserFormat::Exec),
        other => Err(ArmError::invalid("format", &format!("'{other}' is neither 'azure' nor 'exec'"))),
    }
}
