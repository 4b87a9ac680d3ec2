//! `Microsoft.OperationalInsights/workspaces`: Log Analytics.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Call;
use super::error::ArmError;
use crate::json;
use crate::operation::{LongOperation, OperationKind, Target, format_rfc3339};
use crate::response::SandboxResponse;
use crate::subscription::{Resource, find, find_mut, position};

const RESOURCE_TYPE: &str = "Microsoft.OperationalInsights/workspaces";
/// Pricing tiers, each in lower case and in Azure's spelling.
const PRICING_TIERS: [(&str, &str); 6] = [
    ("free", "Free"),
    ("standalone", "Standalone"),
    ("pernode", "PerNode"),
    ("pergb2018", "PerGB2018"),
    ("capacityreservation", "CapacityReservation"),
    ("lacluster", "LACluster"),
];

pub(crate) fn list(call: &Call<'_>) -> Result<SandboxResponse, ArmError> {
    call.page(call.in_scope(&call.resources.workspaces).map(|workspace| workspace.body.clone()))
}

pub(crate) fn handle_workspace(call: &mut Call<'_>, name: &str) -> Result<SandboxResponse, ArmError> {
    let group = call.group_name();
    match call.request.method {
        Method::PUT => create_or_update(call, &group, name),
        Method::DELETE => {
            let Some(index) = position(&call.resources.workspaces, &group, name) else {
                return Ok(SandboxResponse::empty(StatusCode::NO_CONTENT));
            };
            call.resources.workspaces.remove(index);
            Ok(SandboxResponse::empty(StatusCode::OK))
        }
        _ => {
            let workspace = find(&call.resources.workspaces, &group, name);
            let workspace = workspace.ok_or_else(|| ArmError::not_found(RESOURCE_TYPE, name, &group))?;
            let response = SandboxResponse::json(StatusCode::OK, &workspace.body);
            // Clients poll the workspace itself; there is no operation URL.
            Ok(if workspace.state() == "Creating" { call.with_retry_after(response) } else { response })
        }
    }
}

fn create_or_update(call: &mut Call<'_>, group: &str, name: &str) -> Result<SandboxResponse, ArmError> {
    let body = call.body_object()?;
    let location = call.parse_location(&body, RESOURCE_TYPE)?;
    let tier = pricing_tier(&body)?;
    check_name(name)?;
    match find_mut(&mut call.resources.workspaces, group, name) {
        Some(existing) if existing.location() != location => {
            Err(ArmError::location_conflict(name, existing.location(), &location, group))
        }
        Some(existing) => {
            update(existing, &body, tier, &format_rfc3339(call.now_ms));
            Ok(SandboxResponse::json(StatusCode::OK, &existing.body))
        }
        None => Ok(create(call, group, name, &location, tier, &body)),
    }
}

fn check_name(name: &str) -> Result<(), ArmError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let has_valid_edges = !name.starts_with('-') && !name.ends_with('-');
    if (4..=63).contains(&name.len()) && has_valid_edges && name.chars().all(is_allowed) {
        return Ok(());
    }
    let text = format!(
        "workspace name '{name}' is not valid: it must have 4 to 63 letters, digits and hyphens, and must not start or end \
         with a hyphen."
    );
    Err(ArmError::from_provider(StatusCode::BAD_REQUEST, "InvalidParameter", text))
}

fn update(workspace: &mut Resource, body: &Value, tier: &str, now: &str) {
    for key in ["properties", "tags"] {
        if let Some(new) = body.get(key).filter(|new| new.is_object()) {
            let mut merged = workspace.body.get(key).cloned().unwrap_or_else(|| json!({}));
            json::overlay(&mut merged, new);
            json::set(&mut workspace.body, &format!("/{key}"), merged);
        }
    }
    json::set(&mut workspace.body, "/properties/sku/name", tier);
    json::set(&mut workspace.body, "/properties/modifiedDate", now);
    workspace.set_state("Succeeded");
}

fn create(
    call: &mut Call<'_>,
    group: &str,
    name: &str,
    location: &str,
    tier: &str,
    body: &Value,
) -> SandboxResponse {
    let now = format_rfc3339(call.now_ms);
    let mut new = json!({
        "properties": {
            "customerId": Uuid::new_v4().to_string(),
            "provisioningState": "Creating",
            "sku": {"name": tier, "lastSkuUpdate": now},
            "retentionInDays": body.pointer("/properties/retentionInDays").cloned().unwrap_or_else(|| json!(30)),
            "features": {"legacy": 0, "searchVersion": 1, "enableLogAccessUsingOnlyResourcePermissions": true},
            "workspaceCapping": {"dailyQuotaGb": -1.0, "quotaNextResetTime": now, "dataIngestionStatus": "RespectQuota"},
            "publicNetworkAccessForIngestion": "Enabled",
            "publicNetworkAccessForQuery": "Enabled",
            "createdDate": now,
            "modifiedDate": now,
        },
        "location": location,
        "id": format!(
            "/subscriptions/{}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{name}",
            call.subscription
        ),
        "name": name,
        "type": RESOURCE_TYPE,
        "etag": format!("\"{}\"", Uuid::new_v4()),
    });
    if let Some(tags) = Call::tags(body) {
        json::set(&mut new, "/tags", tags);
    }
    let response = SandboxResponse::json(StatusCode::CREATED, &new);
    call.resources.workspaces.push(Resource { group: group.to_owned(), name: name.to_owned(), body: new });
    call.start(LongOperation::new(OperationKind::CreateWorkspace, Target::resource(group, name), location));
    call.with_retry_after(response)
}

/// The pricing tier in the body; defaults to PerGB2018.
fn pricing_tier(body: &Value) -> Result<&'static str, ArmError> {
    let requested = json::text(body, "/properties/sku/name").unwrap_or("pergb2018");
    let supported = PRICING_TIERS.iter().find(|(lower, _)| requested.eq_ignore_ascii_case(lower));
    supported.map(|(_, tier)| *tier).ok_or_else(|| {
        let text = format!("The pricing tier '{requested}' is not supported.");
        ArmError::from_provider(StatusCode::BAD_REQUEST, "InvalidParameter", text)
    })
}
