//! `Microsoft.Authorization/permissions`: the permissions of the application. For a resource group they are documented in
//! the REST reference ("Permissions - List For Resource Group"), for a subscription in "Use Resource Manager authentication
//! API to access subscriptions".

use aks::arm::Permission;

use crate::arm::Arm;
use crate::error::Error;
use crate::page::read_all;
use crate::request_name::RequestName;
use crate::resource::none_if_absent;

/// Lists the permissions in a resource group, or in the subscription. `None` if the group does not exist.
pub async fn list(arm: &Arm, group: Option<&str>) -> Result<Option<Vec<Permission>>, Error> {
    let mut path = group.map_or_else(Vec::new, |group| vec!["resourcegroups", group]);
    path.extend(["providers", "Microsoft.Authorization", "permissions"]);
    let url = arm.url(&path, &[("api-version", "2022-04-01")])?;
    let permissions = read_all(arm, RequestName::ListPermissions, url).await;
    if group.is_some() { none_if_absent(permissions) } else { permissions.map(Some) }
}
