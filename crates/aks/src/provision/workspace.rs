//! The Log Analytics workspace for monitoring a cluster (`docs/contract/provisioning.md#log-analytics-workspace`). For a
//! cluster in a region that is not in Rancher's table, the workspace is in the same region, because Azure now offers workspaces
//! in all regions.

use crate::regions;
use crate::spec::AksConfig;

/// The location of an existing or new workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceLocation {
    /// Its resource group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
}

/// Rancher's table: the region of the workspace, the code in its name, and the regions of the clusters that use it.
const REGIONS: [(&str, &str, &[&str]); 33] = [
    ("australiacentral", "CAU", &["australiacentral", "australiacentral2"]),
    ("australiaeast", "EAU", &["australiaeast"]),
    ("australiasoutheast", "ASE", &["australiasoutheast"]),
    ("brazilsouth", "CQ", &["brazilsouth"]),
    ("brazilsoutheast", "BRSE", &["brazilsoutheast"]),
    ("canadacentral", "CCA", &["canadacentral", "canadaeast"]),
    ("centralindia", "CIN", &["centralindia", "southindia", "westindia"]),
    ("centralus", "CUS", &["centralus"]),
    ("chinaeast2", "EAST2", &["chinaeast", "chinaeast2", "chinanorth", "chinanorth2"]),
    ("eastasia", "EA", &["eastasia"]),
    ("eastus", "EUS", &["eastus", "westcentralus"]),
    ("eastus2", "EUS2", &["eastus2"]),
    ("eastus2euap", "EAP", &["eastus2euap"]),
    ("francecentral", "PAR", &["francecentral", "francesouth"]),
    ("germanywestcentral", "DEWC", &["germanywestcentral", "germanynorth"]),
    ("japaneast", "EJP", &["japaneast", "japanwest"]),
    ("koreacentral", "SE", &["koreacentral", "koreasouth"]),
    ("northcentralus", "NCUS", &["northcentralus"]),
    ("northeurope", "NEU", &["northeurope"]),
    ("norwayeast", "NOE", &["norwayeast", "norwaywest"]),
    ("southafricanorth", "JNB", &["southafricanorth", "southafricawest"]),
    ("southcentralus", "SCUS", &["southcentralus"]),
    ("southeastasia", "SEA", &["southeastasia"]),
    ("switzerlandnorth", "CHN", &["switzerlandnorth"]),
    ("switzerlandwest", "CHW", &["switzerlandwest"]),
    ("uaecentral", "AUH", &["uaecentral"]),
    ("uaenorth", "DXB", &["uaenorth"]),
    ("uksouth", "SUK", &["uksouth"]),
    ("ukwest", "WUK", &["ukwest"]),
    ("westeurope", "WEU", &["westeurope"]),
    ("westus", "WUS", &["westus"]),
    ("westus2", "WUS2", &["westus2"]),
    ("usgovvirginia", "USBN1", &["usgovvirginia"]),
];

/// The maximum length of the name of a workspace.
const MAX_NAME_LEN: usize = 63;

/// The location of the workspace in the specification, or the default one next to the cluster.
pub fn location(spec: &AksConfig) -> WorkspaceLocation {
    let cluster_group = spec.resource_group.as_deref().unwrap_or_default();
    let normalized = regions::normalize(spec.resource_location.as_deref().unwrap_or_default());
    let entry = REGIONS.iter().find(|(_, _, regions)| regions.contains(&normalized.as_str()));
    let (region, code) = entry
        .map_or((normalized.clone(), normalized.to_ascii_uppercase()), |(region, code, _)| {
            ((*region).to_owned(), (*code).to_owned())
        });
    let specified = spec.log_analytics_workspace_name.clone();
    let name = specified.unwrap_or_else(|| {
        let max_prefix_len = MAX_NAME_LEN.saturating_sub(code.chars().count() + 1);
        let prefix: String = cluster_group.chars().take(max_prefix_len).collect();
        format!("{prefix}-{code}")
    });
    let group = spec.log_analytics_workspace_group.as_deref().unwrap_or(cluster_group).to_owned();
    WorkspaceLocation { group, name, region }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspace_is_the_specified_or_the_default_one() {
        let spec = |location: &str, group: Option<&str>, name: Option<&str>| AksConfig {
            resource_group: Some("g".to_owned()),
            resource_location: Some(location.to_owned()),
            log_analytics_workspace_group: group.map(str::to_owned),
            log_analytics_workspace_name: name.map(str::to_owned),
            ..AksConfig::default()
        };
        for (spec, expected) in [
            (spec("eastus", None, None), ("g", "g-EUS", "eastus")),
            (spec("West Central US", None, None), ("g", "g-EUS", "eastus")),
            (spec("canadaeast", Some("logs"), Some("w")), ("logs", "w", "canadacentral")),
            (spec("swedencentral", None, None), ("g", "g-SWEDENCENTRAL", "swedencentral")),
        ] {
            let location = location(&spec);
            assert_eq!((location.group.as_str(), location.name.as_str(), location.region.as_str()), expected);
        }
    }

    #[test]
    fn name_is_truncated_to_the_maximum_length() {
        let group = Some("g".repeat(90));
        let spec = AksConfig {
            resource_group: group,
            resource_location: Some("eastus".into()),
            ..AksConfig::default()
        };
        assert_eq!(location(&spec).name.chars().count(), MAX_NAME_LEN);
    }
}
