//! `runCommand` and `commandResults`.

use http::StatusCode;
use serde_json::{Value, json};

use super::lookup::get_cluster;
use crate::arm::call::Call;
use crate::arm::error::ArmError;
use crate::json;
use crate::operation::{FinalStatus, LongOperation, OperationKind, Target, format_rfc3339};
use crate::response::SandboxResponse;
use crate::run_command::{Command, RunCommandRequest};

/// Starts a command; its result has a separate URL.
pub(super) fn start(call: &mut Call<'_>, name: &str) -> Result<SandboxResponse, ArmError> {
    let request: RunCommandRequest =
        serde_json::from_value(call.body_object()?).map_err(|error| invalid_body(&error.to_string()))?;
    if request.command.trim().is_empty() {
        return Err(ArmError::invalid("command", "it is empty"));
    }
    request.files().map_err(|error| ArmError::invalid("context", &error.to_string()))?;
    let cluster = get_cluster(call, name)?;
    if json::is_true(&cluster.body, "/properties/apiServerAccessProfile/disableRunCommand") {
        let text =
            "Run command is disabled on this managed cluster (apiServerAccessProfile.disableRunCommand).";
        return Err(ArmError::from_aks(StatusCode::BAD_REQUEST, "OperationNotAllowed", text));
    }
    let host = cluster.api_host().unwrap_or_default();
    if !call.sandbox.kube.exists(&host) {
        let text = format!("Could not find the control plane of the managed cluster '{}'.", cluster.name);
        return Err(ArmError::from_aks(StatusCode::NOT_FOUND, "ControlPlaneNotFound", text));
    }
    let target = Target::resource(&cluster.group, &cluster.name);
    let region = cluster.location().to_owned();
    let mut operation = LongOperation::new(OperationKind::RunCommand, target, &region);
    operation.command = Some(Command::Pending(request));
    let operation = call.start(operation);
    call.sandbox.kube.create_command_pod(&host, &operation.id);
    let id = json::text(&get_cluster(call, name)?.body, "/id").unwrap_or_default().to_owned();
    let location = format!(
        "https://{}{id}/commandResults/{}?api-version={}",
        call.request.cloud.names().management,
        operation.id.replace('-', ""),
        call.api_version
    );
    Ok(call.with_retry_after(SandboxResponse::empty(StatusCode::ACCEPTED).with("location", &location)))
}

/// The result of a command, with status 202 while it runs.
pub(crate) fn result(call: &Call<'_>, name: &str, id: &str) -> Result<SandboxResponse, ArmError> {
    let cluster = get_cluster(call, name)?;
    let is_requested = |operation: &&LongOperation| {
        operation.kind == OperationKind::RunCommand
            && operation.target.is_within(&cluster.group, &cluster.name)
            && operation.id.replace('-', "").eq_ignore_ascii_case(id)
    };
    let operation = call.resources.operations.iter().find(is_requested).ok_or_else(|| {
        let text = format!("Command result '{id}' was not found.");
        ArmError::from_aks(StatusCode::NOT_FOUND, "NotFound", text)
    })?;
    if operation.ended_ms.is_none() {
        let response = SandboxResponse::empty(StatusCode::ACCEPTED).with("location", &call.own_url());
        return Ok(call.with_retry_after(response));
    }
    Ok(SandboxResponse::json(StatusCode::OK, &json!({"id": id, "properties": properties(operation)})))
}

/// The properties of a finished command. A command that did not run has a reason instead of an exit code.
fn properties(operation: &LongOperation) -> Value {
    let mut properties = json!({
        "startedAt": format_rfc3339(operation.started_ms),
        "finishedAt": format_rfc3339(operation.ended_ms.unwrap_or_default()),
    });
    if let Some(Command::Done(output)) = &operation.command {
        json::set(&mut properties, "/provisioningState", "Succeeded");
        json::set(&mut properties, "/exitCode", output.exit_code);
        json::set(&mut properties, "/logs", output.logs.as_str());
        return properties;
    }
    let status = operation.final_status().filter(|status| *status == FinalStatus::Canceled);
    json::set(&mut properties, "/provisioningState", status.unwrap_or(FinalStatus::Failed).as_str());
    let error = operation.error().unwrap_or_default();
    let error_property = |pointer| json::text(&error, pointer).unwrap_or_default();
    json::set(
        &mut properties,
        "/reason",
        format!("{}: {}", error_property("/code"), error_property("/message")),
    );
    properties
}

fn invalid_body(why: &str) -> ArmError {
    let text = format!("The request body is invalid: {why}");
    ArmError::from_aks(StatusCode::BAD_REQUEST, "InvalidParameter", text)
}
