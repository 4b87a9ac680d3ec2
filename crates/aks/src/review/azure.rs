//! What Azure said in this request, in parts that may each be missing, and which parts a review needs.

use std::collections::BTreeSet;

use super::case::{Case, Purpose};
use crate::arm::{KubernetesVersion, Location, Permission, Subscription, Usage, VirtualNetwork, VmOffer};
use crate::cluster_details::ClusterDetails;
use crate::spec::{self, AksConfig, given};

/// A part of what Azure may say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Read<T> {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// There is no answer; holds why, for people.
    Unknown(String),
    /// The answer.
    Known(T),
}

impl<T> Read<T> {
    /// The answer, when there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(answer) => Some(answer),
            Self::NotAsked | Self::Unknown(_) => None,
        }
    }
}

/// Everything that rules may look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AzureData {
    /// The Kubernetes versions of the region.
    pub versions: Read<Vec<KubernetesVersion>>,
    /// The versions that Azure names as targets of this very cluster, where the list of the region does not say enough.
    pub own_upgrades: Vec<String>,
    /// The sizes of the region; those that the specification does not name may be left out.
    pub sizes: Read<Vec<VmOffer>>,
    /// The networks that [`super::networks()`] names.
    pub networks: Read<Vec<ReadNetwork>>,
    /// The quotas of the subscription in the region.
    pub usages: Read<Vec<Usage>>,
    /// The regions that the subscription sees.
    pub regions: Read<Vec<Location>>,
    /// Whether the node resource group that is asked for is there already.
    pub node_group: Read<bool>,
    /// The cluster of that name in the resource group.
    pub cluster: Read<Option<ExistingCluster>>,
    /// The subscription of the credential.
    pub subscription: Read<Subscription>,
    /// The actions that the application may perform where the cluster is to be created.
    pub permissions: Read<Permissions>,
    /// The resource provider of AKS.
    pub provider: Read<ProviderState>,
    /// The error that Azure answers to everything that is done with the credential.
    pub denial: Option<Denial>,
}

/// An error of Azure that concerns everything that the credential is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What is wrong.
    pub kind: DenialKind,
    /// Azure's own words, without a full stop.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// Whether Azure answers like that for some minutes to what was created just now.
    pub may_be_recent: bool,
}

/// What a [`Denial`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialKind {
    /// The login service rejects the credential.
    Credential,
    /// The subscription cannot be used with it.
    Subscription,
    /// The application lacks a role.
    Role,
}

/// What the application may do at a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// The application.
    pub client_id: String,
    /// The resource ID of the resource group, or of the subscription when there is no such group yet.
    pub scope: String,
    /// Whether the resource group is there.
    pub group_exists: bool,
    /// The actions of each role.
    pub roles: Vec<Permission>,
}

/// Whether the subscription may use the resource provider of AKS, and if not, whether the application may change that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderState {
    /// Whether it is registered, or is being registered.
    pub registered: bool,
    /// What the application may do in the subscription; `None` where that is not known.
    pub subscription_roles: Option<Vec<Permission>>,
}

/// A part of [`AzureData`] that is asked for as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
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

/// A network by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetworkRef {
    /// When it is another one than the credential's; in lower case.
    pub subscription: Option<String>,
    /// The resource group, in lower case.
    pub group: String,
    /// The network, in lower case.
    pub name: String,
}

/// A network as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadNetwork {
    /// Which one was looked for.
    pub reference: NetworkRef,
    /// `None` when there is none.
    pub network: Option<VirtualNetwork>,
}

/// A cluster that Azure has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExistingCluster {
    /// In the words of `aksConfig`.
    pub spec: AksConfig,
    /// What else Azure says of it.
    pub details: ClusterDetails,
    /// Whether making it failed, so that everything about it may still be changed.
    pub failed: bool,
    /// Whether Azure hands out no static credentials for it.
    pub local_accounts_disabled: bool,
}

impl AzureData {
    /// Why a part is not known; `None` when it is.
    pub(super) fn missing(&self, block: Block) -> Option<&str> {
        fn of<T>(read: &Read<T>) -> Option<&str> {
            match read {
                Read::Known(_) => None,
                Read::Unknown(reason) => Some(reason),
                Read::NotAsked => Some("Azure was not asked"),
            }
        }
        match block {
            Block::Cluster => of(&self.cluster),
            Block::Networks => of(&self.networks),
            Block::NodeGroup => of(&self.node_group),
            Block::Permissions => of(&self.permissions),
            Block::Provider => of(&self.provider),
            Block::Subscription => of(&self.subscription),
            Block::Regions => of(&self.regions),
            Block::Sizes => of(&self.sizes),
            Block::Usages => of(&self.usages),
            Block::Versions => of(&self.versions),
        }
    }

    /// Notes for every part why it cannot be had.
    pub fn unknown(reason: &str) -> Self {
        fn none<T>(reason: &str) -> Read<T> {
            Read::Unknown(reason.to_owned())
        }
        Self {
            versions: none(reason),
            own_upgrades: Vec::new(),
            sizes: none(reason),
            networks: none(reason),
            usages: none(reason),
            regions: none(reason),
            node_group: none(reason),
            cluster: none(reason),
            subscription: none(reason),
            permissions: none(reason),
            provider: none(reason),
            denial: None,
        }
    }
}

/// What a part holds; nothing where it is not known.
pub(super) fn list<T>(read: &Read<Vec<T>>) -> &[T] {
    read.known().map_or(&[], Vec::as_slice)
}

pub(super) fn needed(case: &Case<'_>) -> BTreeSet<Block> {
    let spec = &case.spec;
    let mut blocks = BTreeSet::new();
    let mut need = |block: Block, when: bool| {
        if when {
            blocks.insert(block);
        }
    };
    let located = given(spec.resource_location.as_ref()).is_some();
    let named = given(spec.resource_group.as_ref()).is_some() && given(spec.cluster_name.as_ref()).is_some();
    let pools = case.pools();
    let grown = pools.iter().any(|pool| pool.growth() > 0);
    match case.purpose {
        Purpose::Import => {
            need(Block::Cluster, named);
            need(Block::Subscription, true);
            return blocks;
        }
        Purpose::Create => {
            need(Block::Cluster, named);
            need(Block::Subscription, true);
            need(Block::Permissions, named);
            need(Block::Provider, true);
            need(Block::Regions, located);
            need(Block::NodeGroup, given(spec.node_resource_group.as_ref()).is_some());
        }
        Purpose::Update(before) => {
            let unseen = before.upstream.is_none() && before.applied.is_none();
            // Azure has to do something, which it may refuse to this credential.
            let changes = !spec::same(before.stored, case.said);
            need(Block::Cluster, named && (unseen || grown || changes || case.versions_change()));
            need(Block::Subscription, changes);
            need(Block::Regions, located && unseen);
        }
    }
    let sized = pools.iter().any(|pool| pool.is_new() && given(pool.wanted.vm_size.as_ref()).is_some());
    need(Block::Versions, located && case.versions_change());
    need(Block::Sizes, located && (sized || grown));
    need(Block::Usages, located && grown);
    need(Block::Networks, !case.networks().is_empty() && (grown || case.networks_change()));
    blocks
}
