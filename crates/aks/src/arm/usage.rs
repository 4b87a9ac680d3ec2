//! An entry of `Microsoft.Compute/locations/<region>/usages`: how much of a quota is used.

use super::lenient::objects;

objects! {
    /// How much of a quota is used.
    Usage {
        /// What is counted.
        name: Option<UsageName>,
        /// In use now.
        current_value: Option<i64>,
        /// The most there may be.
        limit: Option<i64>,
    }

    /// What is counted.
    UsageName {
        /// For programs: `cores`, or the family of a size such as `standardDSv5Family`.
        value: Option<String>,
        /// For people, for example `Total Regional vCPUs`.
        localized_value: Option<String>,
    }
}
