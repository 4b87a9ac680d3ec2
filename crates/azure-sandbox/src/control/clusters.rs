//! Changes of managed clusters that Azure itself makes, over HTTP.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Control;
use super::response::{ControlError, parse_json};
use crate::json;

/// A change of managed clusters, as Azure itself would make it. Nothing is validated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterEdit {
    /// Merged into the properties.
    #[serde(default)]
    properties: Map<String, Value>,
    /// Merged into the profiles of node pools, by name.
    #[serde(default)]
    pools: HashMap<String, Map<String, Value>>,
}

pub(super) async fn edit_cluster(
    State(control): State<Control>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<StatusCode, ControlError> {
    let ClusterEdit { properties, pools } = parse_json(&body)?;
    let is_found = control.edit_cluster(&name, |cluster| {
        let Some(cluster_properties) = cluster.get_mut("properties") else { return };
        json::overlay(cluster_properties, &Value::Object(properties.clone()));
        let profiles = cluster_properties.get_mut("agentPoolProfiles").and_then(Value::as_array_mut);
        for profile in profiles.into_iter().flatten() {
            let change = profile.get("name").and_then(Value::as_str).and_then(|name| pools.get(name));
            if let Some(change) = change.cloned() {
                json::overlay(profile, &Value::Object(change));
            }
        }
    });
    if is_found { Ok(StatusCode::NO_CONTENT) } else { Err(ControlError::no_cluster(&name)) }
}
