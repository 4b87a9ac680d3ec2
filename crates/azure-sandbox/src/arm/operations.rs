//! The URLs of long-running operations.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::json;

use super::call::Call;
use super::error::ArmError;
use super::route::Provider;
use crate::operation::{FinalStatus, LongOperation};
use crate::response::SandboxResponse;

/// The `Location` of the deletion of a resource group.
pub(crate) fn group_result_url(call: &Call<'_>, operation: &LongOperation) -> String {
    let job = json!({"jobId": operation.id, "jobLocation": operation.region}).to_string();
    format!(
        "https://{}/subscriptions/{}/operationresults/{}?api-version={}",
        call.request.cloud.names().management,
        call.subscription,
        BASE64_URL_SAFE_NO_PAD.encode(job),
        call.api_version,
    )
}

/// The response at the `Azure-AsyncOperation` URL, always with status 200.
pub(crate) fn status(call: &Call<'_>, id: &str) -> Result<SandboxResponse, ArmError> {
    let operation = find_signed(call, id)?;
    let response = SandboxResponse::json(StatusCode::OK, &operation.status_body());
    Ok(if operation.ended_ms.is_none() { call.with_retry_after(response) } else { response })
}

/// The response at the `Location` URL, with status 202 while the operation is running.
pub(crate) fn result(call: &Call<'_>, provider: Provider, id: &str) -> Result<SandboxResponse, ArmError> {
    if provider == Provider::Resources {
        return group_deletion_result(call, id);
    }
    let operation = find_signed(call, id)?;
    Ok(match operation.final_status() {
        None => {
            let response = SandboxResponse::json(StatusCode::ACCEPTED, &operation.status_body());
            call.with_retry_after(response.with("location", &call.own_url()))
        }
        Some(FinalStatus::Succeeded) => SandboxResponse::empty(StatusCode::NO_CONTENT),
        Some(_) => SandboxResponse::json(StatusCode::CONFLICT, &json!({"error": operation.error()})),
    })
}

fn group_deletion_result(call: &Call<'_>, id: &str) -> Result<SandboxResponse, ArmError> {
    let job = BASE64_URL_SAFE_NO_PAD.decode(id).ok();
    let job = job.and_then(|job| serde_json::from_slice::<serde_json::Value>(&job).ok());
    let id = job.as_ref().and_then(|job| job.get("jobId")?.as_str()).unwrap_or_default();
    let operation = find_operation(call, id)?;
    Ok(match (operation.final_status(), operation.error()) {
        (None, _) => {
            let response = SandboxResponse::empty(StatusCode::ACCEPTED).with("location", &call.own_url());
            call.with_retry_after(response)
        }
        (Some(FinalStatus::Succeeded), _) => SandboxResponse::empty(StatusCode::OK),
        (Some(_), error) => {
            // The keys of this error start with capital letters.
            let error_property =
                |key| error.as_ref().and_then(|error| error.get(key)).cloned().unwrap_or_default();
            let error = json!({
                "Code": error_property("code"), "Target": null, "Message": error_property("message"), "Details": null,
                "AdditionalInfo": null,
            });
            SandboxResponse::json(StatusCode::CONFLICT, &json!({"Error": error}))
        }
    })
}

fn find_operation<'a>(call: &'a Call<'_>, id: &str) -> Result<&'a LongOperation, ArmError> {
    let operation = call.resources.operations.iter().find(|operation| operation.id.eq_ignore_ascii_case(id));
    operation.ok_or_else(|| {
        ArmError::from_provider(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("The entity '{id}' was not found."),
        )
    })
}

/// The operation, if the signature in the URL is valid.
fn find_signed<'a>(call: &'a Call<'_>, id: &str) -> Result<&'a LongOperation, ArmError> {
    let operation = find_operation(call, id)?;
    let parameter = |name| call.request.parameter(name).unwrap_or_default();
    if format!("{}{}", parameter("c"), parameter("s")) == operation.signature {
        return Ok(operation);
    }
    let text =
        "The URL of the operation is not the one that was returned: its signature is missing or wrong.";
    Err(ArmError::new(StatusCode::BAD_REQUEST, "InvalidOperationAddress", text))
}
