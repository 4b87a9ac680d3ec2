//! A size as AKS looks at it: whether it may be used here, in which zones, and what quota it takes.

/// What AKS does not run on, whatever the region offers.
const LEAST_CORES: u32 = 2;

/// A size of one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The name of the quota.
    pub(crate) family: String,
    /// Processors that count.
    pub(crate) cores: u32,
    /// Zones in which the subscription may use it.
    pub(crate) zones: Vec<String>,
    /// The subscription may not use it here at all.
    pub(crate) restricted: bool,
}

impl Offer {
    /// Whether nodes may be of this size.
    pub(crate) fn is_for_nodes(&self) -> bool {
        !self.restricted && self.cores >= LEAST_CORES && !self.family.starts_with("basic")
    }
}
