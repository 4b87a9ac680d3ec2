//! `Microsoft.OperationalInsights/workspaces`: Log Analytics workspaces.

use aks::arm::{Resource, Workspace};
use http::Method;
use reqwest::Url;
use serde_json::json;

use crate::arm::Arm;
use crate::error::Error;
use crate::request_name::RequestName;
use crate::resource;
use crate::write::WriteResponse;

/// Gets a workspace; `None` if the workspace or its group does not exist (REST: Workspaces - Get).
pub async fn get(arm: &Arm, group: &str, name: &str) -> Result<Option<Resource<Workspace>>, Error> {
    resource::find(arm, RequestName::GetWorkspace, &url(arm, group, name)?).await
}

/// Creates a workspace in a region, with Rancher's pricing tier (REST: Workspaces - Create Or Update).
pub async fn put(arm: &Arm, group: &str, name: &str, location: &str) -> Result<WriteResponse, Error> {
    let body = json!({ "location": location, "properties": { "sku": { "name": "Standalone" } } });
    arm.change(Method::PUT, RequestName::PutWorkspace, &url(arm, group, name)?, &body).await
}

fn url(arm: &Arm, group: &str, name: &str) -> Result<Url, Error> {
    let path = ["resourcegroups", group, "providers", "Microsoft.OperationalInsights", "workspaces", name];
    arm.url(&path, &[("api-version", "2021-12-01-preview")])
}
