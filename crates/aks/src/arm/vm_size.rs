//! A size of `Microsoft.Compute/locations/<region>/vmSizes`, an older list than `Microsoft.Compute/skus`.

use super::lenient::lenient_structs;

lenient_structs! {
    /// A size that exists in a region, whether or not the subscription may use it.
    VmSize {
        /// For example `Standard_D2s_v5`.
        name: Option<String>,
    }
}
