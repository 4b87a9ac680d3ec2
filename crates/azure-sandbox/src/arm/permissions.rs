//! `Microsoft.Authorization/permissions`: the actions of each role of the caller on the scope.

use http::StatusCode;
use serde_json::{Value, json};

use super::call::Call;
use crate::response::SandboxResponse;

pub(crate) fn list(call: &Call<'_>) -> SandboxResponse {
    let group = call.target.group.as_deref();
    let roles = call.roles.iter().filter(|role| role.holds_in(group)).map(|role| {
        json!({
            "actions": role.actions,
            "notActions": role.not_actions,
            "dataActions": [],
            "notDataActions": [],
        })
    });
    SandboxResponse::json(StatusCode::OK, &json!({"value": roles.collect::<Vec<Value>>()}))
}
