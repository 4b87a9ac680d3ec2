//! A size as AKS looks at it: whether it may be used here, in which zones, and what quota it takes.

/// What AKS does not run on, whatever the region offers.
const LEAST_CORES: u32 = 2;

/// A size of one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Offer {
    /// The name of the quota.
    pub(in crate::sandbox) family: String,
    /// Processors that count.
    pub(in crate::sandbox) cores: u32,
    /// Zones in which the subscription may use it.
    pub(in crate::sandbox) zones: Vec<String>,
    /// The subscription may not use it here at all.
    pub(in crate::sandbox) restricted: bool,
}

impl Offer {
    /// Whether nodes may be of this size.
    pub(in crate::sandbox) fn is_for_nodes(&self) -> bool {
        !self.restricted && self.cores >= LEAST_CORES && !self.family.starts_with("basic")
    }
}
