//! `Microsoft.OperationalInsights/workspaces`: where the monitoring of clusters is kept.

use aks::arm::{Resource, Workspace};
use reqwest::Url;
use serde_json::json;

use crate::{Arm, Error, Written, one};

/// A workspace; `None` when there is none of that name in the group, or no such group.
pub async fn get(arm: &Arm, group: &str, name: &str) -> Result<Option<Resource<Workspace>>, Error> {
    one::find(arm, "workspace", &address(arm, group, name)?).await
}

/// Creates a workspace in a region, with the price plan that Rancher takes.
pub async fn put(arm: &Arm, group: &str, name: &str, location: &str) -> Result<Written, Error> {
    let body = json!({ "location": location, "properties": { "sku": { "name": "Standalone" } } });
    arm.put("workspace put", &address(arm, group, name)?, &body).await
}

fn address(arm: &Arm, group: &str, name: &str) -> Result<Url, Error> {
    let path = ["resourcegroups", group, "providers", "Microsoft.OperationalInsights", "workspaces", name];
    arm.address(&path, &[("api-version", "2021-12-01-preview")])
}
