//! An entry of `Microsoft.Compute/locations/<region>/usages`: the usage of a quota.

use super::lenient::lenient_structs;

lenient_structs! {
    /// The usage of a quota.
    #[derive(serde::Serialize)]
    Usage {
        /// The name of the quota.
        name: Option<UsageName>,
        /// The current usage.
        current_value: Option<i64>,
        /// The limit.
        limit: Option<i64>,
    }

    /// The name of the quota.
    #[derive(serde::Serialize)]
    UsageName {
        /// The identifier: `cores`, or the family of a size such as `standardDSv5Family`.
        value: Option<String>,
        /// The display name, for example `Total Regional vCPUs`.
        localized_value: Option<String>,
    }
}
