//! A Log Analytics workspace of `Microsoft.OperationalInsights/workspaces`.

use super::lenient::lenient_structs;

lenient_structs! {
    /// A workspace.
    Workspace {
        /// The resource ID; its letter case varies.
        id: Option<String>,
        /// The region.
        location: Option<String>,
        /// The other properties.
        properties: Option<WorkspaceProperties>,
    }

    /// The properties of a workspace.
    WorkspaceProperties {
        /// For example `Succeeded`, `Creating`.
        provisioning_state: Option<String>,
    }
}
