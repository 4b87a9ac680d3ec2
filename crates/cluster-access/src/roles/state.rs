//! The current rights in a cluster, and their comparison with the desired ones.

use aks::system_namespaces::SystemNamespaces;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::api::ListParams;

use super::desired::{self, CLUSTER_ROLES, CurrentObjects, NAMESPACE_EDIT, Plan};
use super::objects::{list, name, resource_version};
use crate::error::Error;
use crate::kube_client::KubeClient;

/// The label by which an owner opens a namespace for the members of the cluster.
pub const MEMBERS_LABEL: &str = "norman-aks.io/members=edit";

/// The label of the roles and bindings that are maintained.
pub const MANAGED_LABEL: &str = "app.kubernetes.io/managed-by=norman-aks";

/// The rights in a cluster.
pub struct RoleState {
    objects: CurrentObjects,
    pub(super) versions: Versions,
}

/// The resource versions of the lists, at which watches start.
#[derive(Clone, Debug)]
pub(super) struct Versions {
    pub(super) cluster_roles: String,
    pub(super) cluster_bindings: String,
    pub(super) namespace_bindings: String,
    pub(super) namespaces: String,
}

/// The changes that give a cluster the desired rights.
pub struct RoleChanges(pub(super) Plan);

impl RoleState {
    /// Compares the rights with the desired ones. System namespaces are never opened.
    pub fn changes(&self, system: &SystemNamespaces) -> RoleChanges {
        RoleChanges(desired::plan(&self.objects, system))
    }

    /// The changes that remove everything that this server maintains.
    pub(crate) fn removal(&self) -> RoleChanges {
        RoleChanges(desired::removal_plan(&self.objects))
    }

    /// System namespaces that an owner labeled for members; they stay closed.
    pub fn labeled_system_namespaces<'a>(
        &'a self,
        system: &'a SystemNamespaces,
    ) -> impl Iterator<Item = &'a str> {
        self.objects.labeled_namespaces.iter().map(String::as_str).filter(|name| system.contains(name))
    }
}

impl RoleChanges {
    /// Whether nothing has to change.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether members lose the rights of earlier versions: `edit` in all namespaces.
    pub fn ends_edit_everywhere(&self) -> bool {
        self.0.ends_edit_everywhere
    }

    /// Namespaces that the changes open for members, or whose binding they correct.
    pub fn opened(&self) -> &[String] {
        &self.0.opened
    }

    /// Namespaces that the changes close for members.
    pub fn closed(&self) -> &[String] {
        &self.0.closed
    }
}

/// Reads the rights in a cluster.
pub(crate) async fn read(kube: &KubeClient) -> Result<RoleState, Error> {
    // The version is read before the roles, so that the watch reports changes between the two requests.
    let role_api = kube.api::<ClusterRole>();
    let first_page = role_api.list_metadata(&ListParams::default().limit(1)).await;
    let cluster_roles_version = resource_version(&first_page.map_err(|error| kube.to_error(error))?);
    let mut cluster_roles = Vec::new();
    for name in CLUSTER_ROLES {
        cluster_roles.extend(role_api.get_opt(name).await.map_err(|error| kube.to_error(error))?);
    }
    let all = ListParams::default();
    let (mut cluster_bindings, cluster_bindings_version) =
        list(kube, &kube.api::<ClusterRoleBinding>(), all).await?;
    cluster_bindings.retain(|binding| desired::is_own_cluster_binding(name(&binding.metadata)));
    let by_name = ListParams::default().fields(&format!("metadata.name={NAMESPACE_EDIT}"));
    let (namespace_bindings, namespace_bindings_version) =
        list(kube, &kube.api::<RoleBinding>(), by_name).await?;
    let by_label = ListParams::default().labels(MEMBERS_LABEL);
    let (namespaces, namespaces_version) = list(kube, &kube.api::<Namespace>(), by_label).await?;
    let labeled_namespaces = namespaces
        .into_iter()
        .filter(|namespace| namespace.metadata.deletion_timestamp.is_none())
        .filter_map(|namespace| namespace.metadata.name)
        .collect();
    let versions = Versions {
        cluster_roles: cluster_roles_version,
        cluster_bindings: cluster_bindings_version,
        namespace_bindings: namespace_bindings_version,
        namespaces: namespaces_version,
    };
    let objects = CurrentObjects { cluster_roles, cluster_bindings, namespace_bindings, labeled_namespaces };
    Ok(RoleState { objects, versions })
}
