//! What Azure said in this request, in parts that may each be missing, and which parts a review needs.

use std::collections::BTreeSet;

use super::case::{Case, Purpose};
use crate::domain::arm::{KubernetesVersion, Location, Usage, VirtualNetwork, VmOffer};
use crate::domain::cluster_details::ClusterDetails;
use crate::domain::spec::{AksConfig, given};

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
    /// What the login service said when it refused the credential.
    pub login_refusal: Option<String>,
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
    /// [`AzureData::regions`]
    Regions,
    /// [`AzureData::sizes`]
    Sizes,
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
            login_refusal: None,
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
            return blocks;
        }
        Purpose::Create => {
            need(Block::Cluster, named);
            need(Block::Regions, located);
            need(Block::NodeGroup, given(spec.node_resource_group.as_ref()).is_some());
        }
        Purpose::Update(before) => {
            let unseen = before.upstream.is_none() && before.applied.is_none();
            need(Block::Cluster, named && (unseen || grown || case.versions_change()));
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
