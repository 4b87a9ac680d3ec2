//! `Microsoft.Authorization/policyAssignments` and the definitions that they refer to: the policy that requires a tag.
//! Subscriptions have definitions and initiatives of their own only in recordings.

use http::StatusCode;
use serde_json::{Value, json};

use super::call::Call;
use super::error::ArmError;
use crate::request::AzureRequest;
use crate::response::SandboxResponse;
use crate::state::{Audience, SandboxState};

/// The name of the built-in definition "Require a tag on resources".
const DEFINITION: &str = "871b6d14-10aa-478d-b590-94f262ecfa99";

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

/// Responds to a request for a built-in definition, which belongs to no subscription: every caller with a token may read it.
pub(crate) fn get_built_in(
    sandbox: &SandboxState,
    request: &AzureRequest,
    version: &str,
    name: &str,
) -> Result<SandboxResponse, ArmError> {
    let versions = sandbox.catalog.api_versions.get("microsoft.authorization/policydefinitions");
    if !versions.is_some_and(|versions| versions.iter().any(|supported| supported == version)) {
        let text = format!("The api-version '{version}' is invalid for the type 'policyDefinitions'.");
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

pub(crate) fn no_definition(name: &str) -> ArmError {
    let text = format!("The policy definition '{name}' could not be found.");
    ArmError::new(StatusCode::NOT_FOUND, "PolicyDefinitionNotFound", text)
}

pub(crate) fn no_initiative(name: &str) -> ArmError {
    let text = format!("The policy set definition '{name}' could not be found.");
    ArmError::new(StatusCode::NOT_FOUND, "PolicySetDefinitionNotFound", text)
}

fn built_in_definition(name: &str) -> Result<SandboxResponse, ArmError> {
    if !name.eq_ignore_ascii_case(DEFINITION) {
        return Err(no_definition(name));
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
