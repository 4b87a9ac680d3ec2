//! A Log Analytics workspace of `Microsoft.OperationalInsights/workspaces`.

use serde::Deserialize;

use super::lenient::{maybe, read_from_object};

/// A workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Workspace {
    /// The resource id, in Azure's spelling of the day.
    #[serde(deserialize_with = "maybe")]
    pub id: Option<String>,
    /// The region.
    #[serde(deserialize_with = "maybe")]
    pub location: Option<String>,
    /// Everything else.
    #[serde(deserialize_with = "maybe")]
    pub properties: Option<WorkspaceProperties>,
}

/// The properties of a workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkspaceProperties {
    /// For example `Succeeded`, `Creating`.
    #[serde(deserialize_with = "maybe")]
    pub provisioning_state: Option<String>,
}

read_from_object!(Workspace, WorkspaceProperties);
