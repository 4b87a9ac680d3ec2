//! A region of `/subscriptions/<s>/locations`.

use serde::Deserialize;

use super::lenient::{maybe, or_default, read_from_object};

/// A region. What more there is depends on the api-version: zones from `2022-12-01` on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Location {
    /// For example `eastus`.
    #[serde(deserialize_with = "maybe")]
    pub name: Option<String>,
    /// For example `East US`.
    #[serde(deserialize_with = "maybe")]
    pub display_name: Option<String>,
    /// Tells physical regions from logical ones.
    #[serde(deserialize_with = "maybe")]
    pub metadata: Option<Metadata>,
    /// The zones as this subscription numbers them; empty where the region has none.
    #[serde(deserialize_with = "or_default")]
    pub availability_zone_mappings: Vec<ZoneMapping>,
}

/// What kind of region it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// `Physical` or `Logical`; a logical region, such as `europe`, can never host a cluster.
    #[serde(deserialize_with = "maybe")]
    pub region_type: Option<String>,
}

/// One zone of a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ZoneMapping {
    /// The number under which this subscription knows the zone, for example `1`.
    #[serde(deserialize_with = "maybe")]
    pub logical_zone: Option<String>,
    /// Azure's name of the zone, for example `eastus-az3`.
    #[serde(deserialize_with = "maybe")]
    pub physical_zone: Option<String>,
}

read_from_object!(Location, Metadata, ZoneMapping);
