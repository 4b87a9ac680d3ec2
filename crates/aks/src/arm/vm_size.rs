//! A size of `Microsoft.Compute/locations/<region>/vmSizes`, the older of Azure's two lists.

use serde::Deserialize;

use super::lenient::{maybe, read_from_object};

/// A size that Azure knows in a region, whether or not the subscription may use it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VmSize {
    /// For example `Standard_D2s_v5`.
    #[serde(deserialize_with = "maybe")]
    pub name: Option<String>,
}

read_from_object!(VmSize);
