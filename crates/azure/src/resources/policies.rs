//! `Microsoft.Authorization/policyAssignments`, `policyDefinitions` and `policySetDefinitions` (initiatives). The role Reader is
//! sufficient.

use aks::arm::{Initiative, PolicyAssignment, PolicyDefinition, Resource};
use http::Method;
use reqwest::Url;

use crate::arm::Arm;
use crate::error::Error;
use crate::page::read_all;
use crate::request_name::RequestName;
use crate::resource::{self, none_if_absent};

/// Lists the assignments that apply to a resource group, or to the subscription: those on it and above it (REST: Policy
/// Assignments - List For Resource Group, and - List). `None` if the group does not exist.
pub async fn list_assignments(
    arm: &Arm,
    group: Option<&str>,
) -> Result<Option<Vec<PolicyAssignment>>, Error> {
    let mut path = group.map_or_else(Vec::new, |group| vec!["resourcegroups", group]);
    path.extend(["providers", "Microsoft.Authorization", "policyAssignments"]);
    let url = arm.url(&path, &[("$filter", "atScope()"), ("api-version", "2022-06-01")])?;
    let assignments = read_all(arm, RequestName::ListPolicyAssignments, url).await;
    if group.is_some() { none_if_absent(assignments) } else { assignments.map(Some) }
}

/// Gets a definition by its resource ID: a built-in one, or one of a subscription or management group (REST: Policy Definitions
/// - Get Built In, - Get, and - Get At Management Group).
///
/// # Errors
/// [`Error::BadUrl`] if the ID is not that of a policy definition.
pub async fn get_definition(arm: &Arm, id: &str) -> Result<Resource<PolicyDefinition>, Error> {
    let url = definition_url(arm, id, "policyDefinitions")?;
    let response = arm.get(RequestName::GetPolicyDefinition, &url).await?;
    resource::parse(Method::GET, &url, &response)
}

/// Gets an initiative by its resource ID: a built-in one, or one of a subscription or management group (REST: Policy Set
/// Definitions - Get Built In, - Get, and - Get At Management Group).
///
/// # Errors
/// [`Error::BadUrl`] if the ID is not that of an initiative.
pub async fn get_initiative(arm: &Arm, id: &str) -> Result<Initiative, Error> {
    let url = definition_url(arm, id, "policySetDefinitions")?;
    let response = arm.get(RequestName::GetPolicySetDefinition, &url).await?;
    Ok(resource::parse::<Initiative>(Method::GET, &url, &response)?.view)
}

/// The URL of a definition of this kind.
fn definition_url(arm: &Arm, id: &str, kind: &str) -> Result<Url, Error> {
    let segments: Vec<&str> = id.trim_matches('/').split('/').collect();
    let is_definition = matches!(segments.as_slice(), [.., providers, namespace, id_kind, _]
        if providers.eq_ignore_ascii_case("providers")
            && namespace.eq_ignore_ascii_case("Microsoft.Authorization")
            && id_kind.eq_ignore_ascii_case(kind));
    if !is_definition {
        return Err(Error::BadUrl(id.to_owned()));
    }
    arm.tenant_url(&segments, &[("api-version", "2023-04-01")])
}
