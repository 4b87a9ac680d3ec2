//! `Microsoft.Authorization/policyAssignments`, `policyDefinitions` and `policySetDefinitions` (initiatives). The role Reader
//! is sufficient.

use aks::arm::{Initiative, PolicyAssignment, PolicyDefinition, Resource};
use reqwest::Url;

use crate::arm::Arm;
use crate::error::Error;
use crate::page::read_authorization;
use crate::request_name::RequestName;
use crate::resource;

/// Lists the assignments that apply to a resource group, or to the subscription: those on it and above it (REST: Policy
/// Assignments - List For Resource Group, and List). `None` if the group does not exist.
pub async fn list_assignments(
    arm: &Arm,
    group: Option<&str>,
) -> Result<Option<Vec<PolicyAssignment>>, Error> {
    let query = [("$filter", "atScope()"), ("api-version", "2022-06-01")];
    read_authorization(arm, RequestName::ListPolicyAssignments, group, "policyAssignments", &query).await
}

/// Gets a definition by its resource ID: a built-in one, or one of a subscription or management group (REST: Policy
/// Definitions - Get Built In, Get, and Get At Management Group).
///
/// # Errors
/// [`Error::BadUrl`] if the ID is not that of a policy definition.
pub async fn get_definition(arm: &Arm, id: &str) -> Result<Resource<PolicyDefinition>, Error> {
    let url = definition_url(arm, id, "policyDefinitions")?;
    resource::get(arm, RequestName::GetPolicyDefinition, &url).await
}

/// Gets an initiative by its resource ID: a built-in one, or one of a subscription or management group (REST: Policy Set
/// Definitions - Get Built In, Get, and Get At Management Group).
///
/// # Errors
/// [`Error::BadUrl`] if the ID is not that of an initiative.
pub async fn get_initiative(arm: &Arm, id: &str) -> Result<Initiative, Error> {
    let url = definition_url(arm, id, "policySetDefinitions")?;
    Ok(resource::get::<Initiative>(arm, RequestName::GetPolicySetDefinition, &url).await?.view)
}

/// The URL of a definition, whose ID must be in this collection.
fn definition_url(arm: &Arm, id: &str, collection: &str) -> Result<Url, Error> {
    let segments: Vec<&str> = id.trim_matches('/').split('/').collect();
    let is_definition = matches!(segments.as_slice(), [.., providers, namespace, id_collection, _]
        if providers.eq_ignore_ascii_case("providers")
            && namespace.eq_ignore_ascii_case("Microsoft.Authorization")
            && id_collection.eq_ignore_ascii_case(collection));
    if !is_definition {
        return Err(Error::BadUrl(id.to_owned()));
    }
    arm.tenant_url(&segments, &[("api-version", "2023-04-01")])
}
