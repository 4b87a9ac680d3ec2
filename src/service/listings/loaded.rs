//! The contents of cache entries.

use std::sync::{Arc, Weak};

use aks::arm::{KubernetesVersion, Location, Usage, VmSku};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::encoded::{Encoded, Tag, tag};

/// A loaded list, rendered as far as the result does not depend on the request.
#[derive(Debug)]
pub(super) enum Loaded {
    /// The body of the response of an action, which is empty if no action returns the list, and the list itself.
    Body { body: Arc<Encoded>, list: TypedList },
    /// The reason why no response can be rendered from Azure's list.
    Unusable(&'static str),
    /// The versions that Azure upgrades a cluster to.
    UpgradeTargets(Vec<String>),
    /// A page of the catalog, which is valid as long as the lists from which it was computed are cached.
    Page { body: Arc<Encoded>, sources: Vec<Weak<Self>> },
    /// Elements, which requests select by region, and a hash of all of them.
    ByRegion { elements: Vec<Element>, tag: Tag },
}

/// The list from which a body was rendered, if other responses are computed from it too.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum TypedList {
    /// Only the body is used.
    Unused,
    /// Normalized names.
    AksRegions(Vec<String>),
    Regions(Vec<Location>),
    Usages(Vec<Usage>),
    Versions(Vec<KubernetesVersion>),
    VmSizes(Vec<VmSku>),
}

/// An element of a response: its JSON, or the reason why it cannot be rendered.
#[derive(Debug)]
pub(super) struct Element {
    /// Normalized.
    pub(super) region: String,
    pub(super) json: Result<Bytes, &'static str>,
}

impl Element {
    fn hashed_parts(&self) -> [&[u8]; 2] {
        let content: &[u8] = match &self.json {
            Ok(json) => json,
            Err(reason) => reason.as_bytes(),
        };
        [self.region.as_bytes(), content]
    }
}

impl Loaded {
    pub(super) fn body(json: Bytes, list: TypedList) -> Self {
        Self::Body { body: Arc::new(Encoded::new(json)), list }
    }

    pub(super) fn by_region(elements: Vec<Element>) -> Self {
        let hashed: Vec<&[u8]> = elements.iter().flat_map(Element::hashed_parts).collect();
        let tag = tag(&hashed);
        Self::ByRegion { elements, tag }
    }

    /// The approximate size in bytes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Body { body, list } => body.weight() + list.weight(),
            Self::Page { body, .. } => body.weight(),
            Self::Unusable(_) => 0,
            Self::UpgradeTargets(targets) => targets.len() * 32,
            Self::ByRegion { elements, .. } => {
                elements.iter().map(|element| 96 + element.json.as_ref().map_or(0, Bytes::len)).sum()
            }
        }
    }
}

impl TypedList {
    /// The approximate size in bytes; the factors are typical sizes of one element.
    fn weight(&self) -> usize {
        match self {
            Self::Unused => 0,
            Self::AksRegions(list) => list.len() * 40,
            Self::Regions(list) => list.len() * 512,
            Self::Usages(list) => list.len() * 192,
            Self::Versions(list) => list.len() * 2_048,
            Self::VmSizes(list) => list.iter().map(VmSku::weight).sum(),
        }
    }
}
