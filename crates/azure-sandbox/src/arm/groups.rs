//! `Microsoft.Resources/resourceGroups`.

use http::{Method, StatusCode};

use super::call::Call;
use super::error::ArmError;
use super::operations;
use crate::operation::{LongOperation, OperationKind, Target};
use crate::response::SandboxResponse;
use crate::subscription::Group;

const MAX_NAME_LEN: usize = 90;

pub(crate) fn list(call: &Call<'_>) -> Result<SandboxResponse, ArmError> {
    call.page(call.resources.groups.iter().map(|group| group.json(call.subscription)))
}

pub(crate) fn handle_group(call: &mut Call<'_>) -> Result<SandboxResponse, ArmError> {
    let name = call.target.group.clone().unwrap_or_default();
    if call.request.method == Method::PUT {
        return create_or_update(call, &name);
    }
    let Some(group) = call.resources.group(&name).cloned() else {
        return Err(ArmError::group_not_found(&name));
    };
    match call.request.method {
        Method::HEAD => Ok(SandboxResponse::empty(StatusCode::NO_CONTENT)),
        Method::DELETE => Ok(delete(call, &group)),
        _ => Ok(SandboxResponse::json(StatusCode::OK, &group.json(call.subscription))),
    }
}

fn create_or_update(call: &mut Call<'_>, name: &str) -> Result<SandboxResponse, ArmError> {
    let body = call.body_object()?;
    let location = call.parse_location(&body, "Microsoft.Resources/resourceGroups")?;
    let is_allowed = |c: char| c.is_alphanumeric() || "-_().".contains(c);
    if name.chars().count() > MAX_NAME_LEN || name.ends_with('.') || !name.chars().all(is_allowed) {
        let text = format!(
            "The provided resource group name '{name}' has these invalid characters or is too long: it may have \
             alphanumeric characters, periods, underscores, hyphens and parenthesis, and not end with a period."
        );
        return Err(ArmError::new(StatusCode::BAD_REQUEST, "InvalidResourceGroupName", text));
    }
    let tags = Call::tags(&body);
    let subscription = call.subscription;
    let Some(group) = call.resources.group_mut(name) else {
        let group = Group { name: name.to_owned(), location, tags, managed_by: None, deleting: false };
        let response = SandboxResponse::json(StatusCode::CREATED, &group.json(subscription));
        call.resources.groups.push(group);
        return Ok(response);
    };
    if group.location != location {
        let text = format!(
            "Invalid resource group location '{location}'. The Resource group already exists in location '{}'.",
            group.location
        );
        return Err(ArmError::new(StatusCode::CONFLICT, "InvalidResourceGroupLocation", text));
    }
    if group.deleting {
        return Err(deleting_error(group));
    }
    // A PUT without tags removes them.
    group.tags = tags;
    Ok(SandboxResponse::json(StatusCode::OK, &group.json(subscription)))
}

/// The error for a change of a group that is being deleted, or of its resources.
pub(crate) fn deleting_error(group: &Group) -> ArmError {
    let text = format!(
        "The resource group '{}' is in deprovisioning state and cannot perform this operation.",
        group.name
    );
    ArmError::new(StatusCode::CONFLICT, "ResourceGroupBeingDeleted", text)
}

fn delete(call: &mut Call<'_>, group: &Group) -> SandboxResponse {
    let is_deletion = |operation: &&LongOperation| {
        operation.kind == OperationKind::DeleteGroup && operation.target.is_in_group(&group.name)
    };
    let running = call.resources.running().find(is_deletion).cloned();
    let operation = running.unwrap_or_else(|| {
        call.resources.mark_deleting(&group.name, call.now_ms);
        let target = Target::group(&group.name);
        call.start(LongOperation::new(OperationKind::DeleteGroup, target, &group.location))
    });
    let location = operations::group_result_url(call, &operation);
    call.with_retry_after(SandboxResponse::empty(StatusCode::ACCEPTED).with("location", &location))
}
