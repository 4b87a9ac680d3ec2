//! `Microsoft.Authorization/policyAssignments` and policy definitions. The only policy is the built-in one that requires a tag;
//! definitions and initiatives of a subscription exist only in recordings.

use http::StatusCode;
use serde_json::{Value, json};

use super::call::Call;
use super::error::ArmError;
use crate::request::AzureRequest;
use crate::response::SandboxResponse;
use crate::state::{Audience, SandboxState};

/// The name of the built-in definition "Require a tag on resources".
const DEFINITION_NAME: &str = "871b6d14-10aa-478d-b590-94f262ecfa99";

/// The resource ID of the definition.
pub(crate) fn definition_id() -> String {
    format!("/providers/Microsoft.Authorization/policyDefinitions/{DEFINITION_NAME}")
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

/// Responds to a request for a built-in definition, which belongs to no subscription: every caller with a token may read it.
pub(crate) fn get_built_in(
    sandbox: &SandboxState,
    request: &AzureRequest,
    api_version: &str,
    name: &str,
) -> Result<SandboxResponse, ArmError> {
    let versions = sandbox.catalog.api_versions.get("microsoft.authorization/policydefinitions");
    if !versions.is_some_and(|versions| versions.iter().any(|supported| supported == api_version)) {
        let text = format!("The api-version '{api_version}' is invalid for the type 'policyDefinitions'.");
        return Err(ArmError::new(StatusCode::BAD_REQUEST, "InvalidApiVersionParameter", text));
    }
    let token = request.header("authorization").and_then(|header| header.split_once(' '));
    let token = token.and_then(|(_, text)| sandbox.state().tokens.get(text.trim()).cloned());
    let is_valid = token.is_some_and(|token| {
        token.cloud == request.cloud
            && token.audience == Audience::Management
            && token.expires_ms > sandbox.clock.now_ms()
    });
    if !is_valid {
        let text = "The access token is invalid.";
        return Err(ArmError::new(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", text));
    }
    built_in_definition(name)
}

pub(crate) fn definition_not_found(name: &str) -> ArmError {
    let text = format!("The policy definition '{name}' could not be found.");
    ArmError::new(StatusCode::NOT_FOUND, "PolicyDefinitionNotFound", text)
}

pub(crate) fn initiative_not_found(name: &str) -> ArmError {
    let text = format!("The policy set definition '{name}' could not be found.");
    ArmError::new(StatusCode::NOT_FOUND, "PolicySetDefinitionNotFound", text)
}

fn built_in_definition(name: &str) -> Result<SandboxResponse, ArmError> {
    if !name.eq_ignore_ascii_case(DEFINITION_NAME) {
        return Err(definition_not_found(name));
    }
    let body = json!({
        "id": definition_id(),
        "name": DEFINITION_NAME,
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
