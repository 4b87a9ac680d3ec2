//! `Microsoft.Authorization/permissions`: the permissions of the application. For a resource group they are documented in
//! the REST reference ("Permissions - List For Resource Group"), for a subscription in "Use Resource Manager authentication
//! API to access subscriptions".

use aks::arm::Permission;

use crate::arm::Arm;
use crate::error::Error;
use crate::page::read_authorization;
use crate::request_name::RequestName;

/// Lists the permissions in a resource group, or in the subscription. `None` if the group does not exist.
pub async fn list(arm: &Arm, group: Option<&str>) -> Result<Option<Vec<Permission>>, Error> {
    let query = [("api-version", "2022-04-01")];
    read_authorization(arm, RequestName::ListPermissions, group, "permissions", &query).await
}
