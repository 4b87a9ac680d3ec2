//! AKS clusters as the listing shows them (`docs/contract/meta-actions.md#aksclusters`).

use super::{arm, resource_group};

/// An AKS cluster of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCluster<'a> {
    /// Taken from the resource id; empty when Azure sends none.
    pub resource_group: &'a str,
    /// The name of the cluster.
    pub name: &'a str,
    /// Whether Kubernetes checks rights by role.
    pub rbac_enabled: bool,
    /// The region.
    pub location: &'a str,
}

impl<'a> ListedCluster<'a> {
    /// Reads one cluster of Azure's list; the error is Rancher's message, which mentions networks here too.
    pub fn read(cluster: &'a arm::ManagedCluster) -> Result<Self, &'static str> {
        let resource_group = match cluster.id.as_deref() {
            Some(id) => resource_group::of(id).ok_or("could not parse virtual network ID")?,
            None => "",
        };
        Ok(Self {
            resource_group,
            name: cluster.name.as_deref().unwrap_or_default(),
            rbac_enabled: cluster.properties.as_ref().and_then(|it| it.enable_rbac).unwrap_or_default(),
            location: cluster.location.as_deref().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_read_with_whatever_azure_leaves_out() {
        for (json, expected) in [
            (
                r#"{"id":"/subscriptions/s/resourcegroups/g/x","name":"n","location":"eastus","properties":{"enableRBAC":true}}"#,
                Ok(("g", "n", true, "eastus")),
            ),
            ("{}", Ok(("", "", false, ""))),
            (r#"{"id":"/x"}"#, Err("could not parse virtual network ID")),
        ] {
            let cluster: arm::ManagedCluster = serde_json::from_str(json).unwrap();
            let read =
                ListedCluster::read(&cluster).map(|c| (c.resource_group, c.name, c.rbac_enabled, c.location));
            assert_eq!(read, expected, "{json}");
        }
    }
}
