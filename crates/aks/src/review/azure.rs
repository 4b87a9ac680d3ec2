//! The data that rules read from Azure, in parts that may each be missing.

use crate::arm::{KubernetesVersion, Location, Permission, Subscription, Usage, VirtualNetwork, VmSku};
use crate::cluster_details::ClusterDetails;
use crate::spec::AksConfig;

/// A part of the data, which is read from Azure when needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Read<T> {
    /// It was not requested.
    #[default]
    NotRequested,
    /// The request failed; contains the reason.
    Unknown(String),
    /// The data.
    Known(T),
}

impl<T> Read<T> {
    /// The data, if it was read.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(data) => Some(data),
            Self::NotRequested | Self::Unknown(_) => None,
        }
    }
}

/// The Azure data that rules read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AzureData {
    /// The Kubernetes versions of the region.
    pub versions: Read<Vec<KubernetesVersion>>,
    /// The targets in the cluster's own upgrade profile, if it was read ([`super::needs_own_targets`]).
    pub own_targets: Vec<String>,
    /// The VM sizes of the region; sizes that the specification does not use may be missing.
    pub sizes: Read<Vec<VmSku>>,
    /// The networks that [`super::networks()`] lists.
    pub networks: Read<Vec<ReadNetwork>>,
    /// The quotas of the subscription in the region.
    pub usages: Read<Vec<Usage>>,
    /// The regions that the subscription can use.
    pub regions: Read<Vec<Location>>,
    /// Whether the requested node resource group already exists.
    pub node_group: Read<bool>,
    /// The cluster with this name in the resource group.
    pub cluster: Read<Option<ExistingCluster>>,
    /// The subscription of the credential.
    pub subscription: Read<Subscription>,
    /// The actions that the application may perform in the scope in which the cluster is created.
    pub permissions: Read<Permissions>,
    /// The resource provider of AKS.
    pub provider: Read<ProviderState>,
    /// The error that Azure returns to every request with the credential.
    pub denial: Option<Denial>,
}

/// An error of Azure that affects every use of the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The kind of error.
    pub kind: DenialKind,
    /// Azure's message, without a full stop.
    pub message: String,
    /// The remedy.
    pub remedy: String,
    /// Whether Azure also returns this error for some minutes after an object was created.
    pub may_be_recent: bool,
}

/// The kind of a [`Denial`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialKind {
    /// The login service rejects the credential.
    Credential,
    /// The subscription cannot be used with the credential.
    Subscription,
    /// The application lacks a role.
    Role,
}

/// The permissions of the application at a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// The client ID of the application.
    pub client_id: String,
    /// The resource ID of the resource group, or of the subscription if the group does not exist yet.
    pub scope: String,
    /// Whether the resource group exists.
    pub group_exists: bool,
    /// The actions of each role.
    pub roles: Vec<Permission>,
}

/// The registration of the resource provider of AKS, and whether the application may register it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderState {
    /// Whether it is registered, or is being registered.
    pub registered: bool,
    /// The permissions of the application in the subscription; `None` if unknown.
    pub subscription_roles: Option<Vec<Permission>>,
}

/// A part of [`AzureData`] that is read, or missing, as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DataPart {
    /// [`AzureData::cluster`]
    Cluster,
    /// [`AzureData::networks`]
    Networks,
    /// [`AzureData::node_group`]
    NodeGroup,
    /// [`AzureData::permissions`]
    Permissions,
    /// [`AzureData::provider`]
    Provider,
    /// [`AzureData::regions`]
    Regions,
    /// [`AzureData::sizes`]
    Sizes,
    /// [`AzureData::subscription`]
    Subscription,
    /// [`AzureData::usages`]
    Usages,
    /// [`AzureData::versions`]
    Versions,
}

/// A reference to a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetworkRef {
    /// The subscription in lower case, if it is not that of the credential.
    pub subscription: Option<String>,
    /// The resource group, in lower case.
    pub group: String,
    /// The name of the network, in lower case.
    pub name: String,
}

/// The result of reading a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadNetwork {
    /// The requested network.
    pub reference: NetworkRef,
    /// `None` if it does not exist.
    pub network: Option<VirtualNetwork>,
}

/// A cluster that exists in Azure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExistingCluster {
    /// Its state with the keys of `aksConfig`.
    pub spec: AksConfig,
    /// Its other properties.
    pub details: ClusterDetails,
    /// Whether its creation failed, so that every field may still be changed.
    pub failed: bool,
    /// Whether local accounts are disabled, so that Azure provides no static credentials for the cluster.
    pub local_accounts_disabled: bool,
}

impl AzureData {
    /// The cluster with this name in the resource group, if it was read and exists.
    pub(super) fn existing(&self) -> Option<&ExistingCluster> {
        self.cluster.known()?.as_ref()
    }

    /// The reason why a part is unknown; `None` if it is known.
    pub(super) fn unknown_reason(&self, part: DataPart) -> Option<&str> {
        fn reason<T>(read: &Read<T>) -> Option<&str> {
            match read {
                Read::Known(_) => None,
                Read::Unknown(reason) => Some(reason),
                Read::NotRequested => Some("not requested from Azure"),
            }
        }
        match part {
            DataPart::Cluster => reason(&self.cluster),
            DataPart::Networks => reason(&self.networks),
            DataPart::NodeGroup => reason(&self.node_group),
            DataPart::Permissions => reason(&self.permissions),
            DataPart::Provider => reason(&self.provider),
            DataPart::Subscription => reason(&self.subscription),
            DataPart::Regions => reason(&self.regions),
            DataPart::Sizes => reason(&self.sizes),
            DataPart::Usages => reason(&self.usages),
            DataPart::Versions => reason(&self.versions),
        }
    }

    /// Data in which all parts are unknown for the same reason.
    pub fn unknown(reason: &str) -> Self {
        fn unknown_part<T>(reason: &str) -> Read<T> {
            Read::Unknown(reason.to_owned())
        }
        Self {
            versions: unknown_part(reason),
            own_targets: Vec::new(),
            sizes: unknown_part(reason),
            networks: unknown_part(reason),
            usages: unknown_part(reason),
            regions: unknown_part(reason),
            node_group: unknown_part(reason),
            cluster: unknown_part(reason),
            subscription: unknown_part(reason),
            permissions: unknown_part(reason),
            provider: unknown_part(reason),
            denial: None,
        }
    }
}

/// The items of a list; empty if it is unknown.
pub(super) fn items_or_empty<T>(read: &Read<Vec<T>>) -> &[T] {
    read.known().map_or(&[], Vec::as_slice)
}
