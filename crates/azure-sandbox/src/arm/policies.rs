//! `Microsoft.Authorization/policyAssignments` and the definitions that they refer to: the policy that requires a tag.

use http::StatusCode;
use serde_json::{Value, json};

use super::call::Call;
use super::error::ArmError;
use crate::response::SandboxResponse;

/// The name of the built-in definition "Require a tag on resources".
pub(crate) const DEFINITION: &str = "871b6d14-10aa-478d-b590-94f262ecfa99";

/// The resource ID of the definition.
pub(crate) fn definition_id() -> String {
    format!("/providers/Microsoft.Authorization/policyDefinitions/{DEFINITION}")
}

/// The name of the assignment for a tag.
pub(crate) fn assignment_name(tag: &str) -> String {
    format!("require-{tag}")
}

pub(crate) fn list_assignments(call: &Call<'_>) -> Result<SandboxResponse, ArmError> {
    call.page(call.required_tag.map(|tag| assignment(call, tag)))
}

fn assignment(call: &Call<'_>, tag: &str) -> Value {
    let scope = format!("/subscriptions/{}", call.subscription);
    let name = assignment_name(tag);
    json!({
        "id": format!("{scope}/providers/Microsoft.Authorization/policyAssignments/{name}"),
        "name": name,
        "type": "Microsoft.Authorization/policyAssignments",
        "properties": {
            "displayName": format!("Require the tag {tag}"),
            "policyDefinitionId": definition_id(),
            "scope": scope,
            "notScopes": [],
            "parameters": {"tagName": {"value": tag}},
            "enforcementMode": "Default",
        },
    })
}

/// The built-in definition with this name.
pub(crate) fn built_in_definition(name: &str) -> Result<SandboxResponse, ArmError> {
    if !name.eq_ignore_ascii_case(DEFINITION) {
        let text = format!("The policy definition '{name}' could not be found.");
        return Err(ArmError::new(StatusCode::NOT_FOUND, "PolicyDefinitionNotFound", text));
    }
    let body = json!({
        "id": definition_id(),
        "name": DEFINITION,
        "type": "Microsoft.Authorization/policyDefinitions",
        "properties": {
            "displayName": "Require a tag on resources",
            "policyType": "BuiltIn",
            "mode": "Indexed",
            "metadata": {"category": "Tags"},
            "parameters": {"tagName": {"type": "String"}},
            "policyRule": {
                "if": {"field": "[concat('tags[', parameters('tagName'), ']')]", "exists": "false"},
                "then": {"effect": "deny"},
            },
        },
    });
    Ok(SandboxResponse::json(StatusCode::OK, &body))
}
