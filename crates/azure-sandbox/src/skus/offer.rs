//! Availability of VM sizes for AKS.

/// The minimum number of vCPUs of a node.
const MIN_CORES: u32 = 2;

/// A VM size in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SizeOffer {
    /// The family, which is also the name of the quota.
    pub(crate) family: String,
    /// The number of vCPUs, including inactive ones.
    pub(crate) cores: u32,
    /// The zones in which the subscription can use the size.
    pub(crate) zones: Vec<String>,
    /// Whether the subscription cannot use the size in the region.
    pub(crate) restricted: bool,
}

impl SizeOffer {
    /// Whether AKS supports the size for nodes.
    pub(crate) fn is_for_nodes(&self) -> bool {
        !self.restricted && self.cores >= MIN_CORES && !self.family.starts_with("basic")
    }
}
