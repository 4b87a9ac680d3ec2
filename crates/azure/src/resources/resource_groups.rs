//! `Microsoft.Resources/resourceGroups`. Nothing here deletes one.

use http::Method;
use reqwest::Url;
use serde_json::json;

use crate::call::{Ask, present};
use crate::{Arm, Error, Written};

/// Whether the group is there.
pub async fn exists(arm: &Arm, group: &str) -> Result<bool, Error> {
    let url = address(arm, group)?;
    let asked = Ask::reading("resourceGroup", Method::HEAD, &url).any_success();
    Ok(present(arm.send(&asked).await)?.is_some())
}

/// Creates the group in a region. A group that is there already stays where it is; Azure refuses another region.
/// Ask [`exists`] first: the tags of a group that is there would be lost.
pub async fn put(arm: &Arm, group: &str, location: &str) -> Result<Written, Error> {
    let body = json!({ "name": group, "location": location });
    arm.put("resourceGroup put", &address(arm, group)?, &body).await
}

fn address(arm: &Arm, group: &str) -> Result<Url, Error> {
    arm.address(&["resourcegroups", group], &[("api-version", "2021-04-01")])
}
