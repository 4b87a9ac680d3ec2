//! `Microsoft.Resources/resourceGroups`. This client never deletes groups.

use http::Method;
use reqwest::Url;
use serde_json::json;

use crate::arm::Arm;
use crate::error::Error;
use crate::request::ArmRequest;
use crate::request_name::RequestName;
use crate::resource::none_if_absent;
use crate::write::WriteResponse;

/// Whether the group exists (REST: Resource Groups - Check Existence).
pub async fn exists(arm: &Arm, group: &str) -> Result<bool, Error> {
    let url = url(arm, group)?;
    let request = ArmRequest::read(RequestName::CheckResourceGroup, Method::HEAD, &url).any_success();
    Ok(none_if_absent(arm.send(&request).await)?.is_some())
}

/// Creates a group in a region (REST: Resource Groups - Create Or Update). Call [`exists`] first: an existing group would
/// lose its tags, and Azure rejects another region.
pub async fn put(arm: &Arm, group: &str, location: &str) -> Result<WriteResponse, Error> {
    let body = json!({ "name": group, "location": location });
    arm.change(Method::PUT, RequestName::PutResourceGroup, &url(arm, group)?, &body).await
}

fn url(arm: &Arm, group: &str) -> Result<Url, Error> {
    arm.url(&["resourcegroups", group], &[("api-version", "2021-04-01")])
}
