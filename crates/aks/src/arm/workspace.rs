//! A Log Analytics workspace of `Microsoft.OperationalInsights/workspaces`.

use super::lenient::objects;

objects! {
    /// A workspace.
    Workspace {
        /// The resource id, in Azure's spelling of the day.
        id: Option<String>,
        /// The region.
        location: Option<String>,
        /// Everything else.
        properties: Option<WorkspaceProperties>,
    }

    /// The properties of a workspace.
    WorkspaceProperties {
        /// For example `Succeeded`, `Creating`.
        provisioning_state: Option<String>,
    }
}
