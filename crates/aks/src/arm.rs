//! The types of Azure's responses, with the fields that are used.
//!
//! Every field may be missing, `null` or of the wrong type: it is then `None` or empty, and the rest of the list is still read.
//! Null elements of lists are skipped, and so are elements of the wrong type in lists inside a resource; in a list of resources
//! they are an error ([`Element`]). Unknown fields are ignored.

mod agent_pool;
mod kubernetes_version;
mod lenient;
mod location;
mod managed_cluster;
mod permission;
mod policy;
mod provider;
mod resource;
mod subscription;
mod upgrade_profile;
mod usage;
mod virtual_network;
mod vm_size;
mod vm_sku;
mod workspace;

pub use agent_pool::{AgentPool, AgentPoolProperties, PowerState, UpgradeSettings};
pub use kubernetes_version::{Capabilities, KubernetesVersion, PatchVersion};
pub use lenient::{Element, Lenient};
pub use location::{Location, Metadata, ZoneMapping};
pub use managed_cluster::{AadProfile, ApiServerAccessProfile, ManagedCluster, ManagedClusterProperties};
pub use permission::Permission;
pub use policy::{
    Initiative, InitiativeMember, InitiativeProperties, ParameterDefinition, ParameterValue,
    PolicyAssignment, PolicyAssignmentProperties, PolicyDefinition, PolicyDefinitionProperties,
    PolicyOverride, PolicyRule, PolicyThen, PolicyValue, ResourceSelector,
};
pub use provider::Provider;
pub use resource::Resource;
pub use subscription::Subscription;
pub use upgrade_profile::UpgradeProfile;
pub use usage::{Usage, UsageName};
pub use virtual_network::{
    AddressSpace, Delegation, DelegationProperties, Reference, Subnet, SubnetProperties, VirtualNetwork,
    VirtualNetworkProperties,
};
pub use vm_size::VmSize;
pub use vm_sku::{CalendarDate, MAX_EPHEMERAL_GIB, VmCapabilities, VmSku};
pub use workspace::{Workspace, WorkspaceProperties};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    /// Any JSON, with known names in expected and unexpected positions.
    fn any_json() -> impl Strategy<Value = Value> {
        let field = prop::sample::select(vec![
            "name",
            "id",
            "location",
            "displayName",
            "metadata",
            "regionType",
            "availabilityZoneMappings",
            "version",
            "isPreview",
            "capabilities",
            "supportPlan",
            "patchVersions",
            "upgrades",
            "properties",
            "enableRBAC",
            "subnets",
            "addressPrefixes",
            "resourceType",
            "locationInfo",
            "zones",
            "restrictions",
            "restrictionInfo",
            "family",
            "value",
            "tags",
            "agentPoolProfiles",
            "count",
            "availabilityZones",
            "nodeLabels",
            "powerState",
            "code",
            "aadProfile",
            "addressSpace",
            "ipConfigurations",
            "currentValue",
            "limit",
            "registrationState",
            "provisioningState",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            Just(Value::from("virtualMachines")),
        ];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            let entry = (field.clone().prop_map(str::to_owned).boxed(), inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(Value::from),
                prop::collection::vec(entry, 0..6)
                    .prop_map(|entries| Value::from(entries.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    fn object_count(list: &Value) -> usize {
        list.as_array().map_or(0, |list| list.iter().filter(|element| element.is_object()).count())
    }

    fn read_len<T>(json: &str) -> Result<usize, TestCaseError>
    where
        Lenient<Vec<T>>: for<'de> serde::Deserialize<'de>,
    {
        let list: Lenient<Vec<T>> =
            serde_json::from_str(json).map_err(|error| TestCaseError::fail(format!("{error}: {json}")))?;
        Ok(list.0.map_or(0, |list| list.len()))
    }

    proptest! {
        #[test]
        fn every_object_of_any_json_list_is_read(
            list in prop_oneof![prop::collection::vec(any_json(), 0..6).prop_map(Value::from), any_json()]
        ) {
            let json = list.to_string();
            prop_assert_eq!(read_len::<Location>(&json)?, object_count(&list));
            prop_assert_eq!(read_len::<KubernetesVersion>(&json)?, object_count(&list));
            prop_assert_eq!(read_len::<ManagedCluster>(&json)?, object_count(&list));
            prop_assert_eq!(read_len::<VirtualNetwork>(&json)?, object_count(&list));
            prop_assert_eq!(read_len::<VmSize>(&json)?, object_count(&list));
            prop_assert_eq!(read_len::<AgentPool>(&json)?, object_count(&list));
            prop_assert_eq!(read_len::<UpgradeProfile>(&json)?, object_count(&list));
            prop_assert_eq!(read_len::<Usage>(&json)?, object_count(&list));
            prop_assert_eq!(read_len::<Provider>(&json)?, object_count(&list));
            prop_assert_eq!(read_len::<Workspace>(&json)?, object_count(&list));
            prop_assert!(read_len::<VmSku>(&json)? <= object_count(&list));
        }
    }
}
