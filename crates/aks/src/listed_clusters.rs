//! AKS clusters as `aksClusters` lists them (`docs/contract/meta-actions.md#aksclusters`).

use super::{arm, resource_group};

/// An AKS cluster of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCluster<'a> {
    /// Taken from the resource ID; empty if Azure sends none.
    pub resource_group: &'a str,
    /// The name of the cluster.
    pub name: &'a str,
    /// Whether Kubernetes RBAC is on.
    pub rbac_enabled: bool,
    /// The region.
    pub location: &'a str,
}

impl<'a> ListedCluster<'a> {
    /// Reads one cluster of Azure's list; the error is Rancher's message, which wrongly mentions a network.
    pub fn read(cluster: &'a arm::ManagedCluster) -> Result<Self, &'static str> {
        let resource_group = match cluster.id.as_deref() {
            Some(id) => resource_group::from_id(id).ok_or("could not parse virtual network ID")?,
            None => "",
        };
        Ok(Self {
            resource_group,
            name: cluster.name.as_deref().unwrap_or_default(),
            rbac_enabled: cluster
                .properties
                .as_ref()
                .and_then(|properties| properties.enable_rbac)
                .unwrap_or_default(),
            location: cluster.location.as_deref().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_fields_are_empty() {
        for (json, expected) in [
            (
                r#"{"id":"/subscriptions/s/resourcegroups/g/x","name":"n","location":"eastus","properties":{"enableRBAC":true}}"#,
                Ok(("g", "n", true, "eastus")),
            ),
            ("{}", Ok(("", "", false, ""))),
            (r#"{"id":"/x"}"#, Err("could not parse virtual network ID")),
        ] {
            let cluster: arm::ManagedCluster = serde_json::from_str(json).unwrap();
            let listed =
                ListedCluster::read(&cluster).map(|c| (c.resource_group, c.name, c.rbac_enabled, c.location));
            assert_eq!(listed, expected, "{json}");
        }
    }
}
