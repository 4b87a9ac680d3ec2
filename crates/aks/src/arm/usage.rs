//! An entry of `Microsoft.Compute/locations/<region>/usages`: how much of a quota is used.

use serde::Deserialize;

use super::lenient::{maybe, read_from_object};

/// How much of a quota is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Usage {
    /// What is counted.
    #[serde(deserialize_with = "maybe")]
    pub name: Option<UsageName>,
    /// In use now.
    #[serde(deserialize_with = "maybe")]
    pub current_value: Option<i64>,
    /// The most there may be.
    #[serde(deserialize_with = "maybe")]
    pub limit: Option<i64>,
}

/// What is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UsageName {
    /// For programs: `cores`, or the family of a size such as `standardDSv5Family`.
    #[serde(deserialize_with = "maybe")]
    pub value: Option<String>,
    /// For people, for example `Total Regional vCPUs`.
    #[serde(deserialize_with = "maybe")]
    pub localized_value: Option<String>,
}

read_from_object!(Usage, UsageName);
