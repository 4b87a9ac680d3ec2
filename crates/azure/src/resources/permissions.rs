//! `Microsoft.Authorization/permissions`: what the application may do, as Azure sees it. Of a resource group it is documented
//! in the REST reference ("Permissions - List For Resource Group"), of a subscription in "Use Resource Manager authentication
//! API to access subscriptions".

use aks::arm::Permission;

use crate::page::read_all;
use crate::{Arm, Error};

/// What the application may do in a resource group, or in the subscription. `None` when there is no such group.
pub async fn list(arm: &Arm, group: Option<&str>) -> Result<Option<Vec<Permission>>, Error> {
    let mut path = group.map_or_else(Vec::new, |group| vec!["resourcegroups", group]);
    path.extend(["providers", "Microsoft.Authorization", "permissions"]);
    let url = arm.address(&path, &[("api-version", "2022-04-01")])?;
    match read_all(arm, "permissions", url).await {
        Err(error) if group.is_some() && error.is_absence() => Ok(None),
        found => found.map(Some),
    }
}
