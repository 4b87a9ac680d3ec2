//! `Microsoft.Authorization/permissions`: the actions of the caller's role, as in Azure's built-in roles.

use http::StatusCode;
use serde_json::json;

use super::call::Call;
use crate::response::SandboxResponse;
use crate::seed::Role;

pub(crate) fn list(call: &Call<'_>) -> SandboxResponse {
    let (actions, not_actions): (&[&str], &[&str]) = match call.role {
        Role::None => (&[], &[]),
        Role::Reader => (&["*/read"], &[]),
        Role::Operator => {
            (&["*"], &["Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action"])
        }
        Role::Starter => (&["*"], &["Microsoft.ContainerService/managedClusters/commandResults/read"]),
        Role::Contributor => (
            &["*"],
            &[
                "Microsoft.Authorization/*/Delete",
                "Microsoft.Authorization/*/Write",
                "Microsoft.Authorization/elevateAccess/Action",
            ],
        ),
    };
    let role =
        json!({"actions": actions, "notActions": not_actions, "dataActions": [], "notDataActions": []});
    SandboxResponse::json(StatusCode::OK, &json!({"value": [role]}))
}
