//! A region of `/subscriptions/<s>/locations`.

use super::lenient::lenient_structs;

lenient_structs! {
    /// A region. The zones are returned since API version `2022-12-01`.
    #[derive(serde::Serialize)]
    Location {
        /// For example `eastus`.
        name: Option<String>,
        /// For example `East US`.
        display_name: Option<String>,
        /// The kind of region.
        metadata: Option<Metadata>,
        /// The zones with their numbers in this subscription; empty if the region has none.
        availability_zone_mappings: Vec<ZoneMapping>,
    }

    /// The kind of a region.
    #[derive(serde::Serialize)]
    Metadata {
        /// `Physical` or `Logical`; a logical region, such as `europe`, cannot have clusters.
        region_type: Option<String>,
    }

    /// One zone of a region.
    #[derive(serde::Serialize)]
    ZoneMapping {
        /// The number of the zone in this subscription, for example `1`.
        logical_zone: Option<String>,
        /// Azure's name of the zone, for example `eastus-az3`.
        physical_zone: Option<String>,
    }
}

impl Location {
    /// Whether it can have clusters: it is physical, or Azure does not report its type.
    pub fn is_physical(&self) -> bool {
        let region_type = self.metadata.as_ref().and_then(|metadata| metadata.region_type.as_deref());
        region_type.is_none_or(|region_type| region_type.eq_ignore_ascii_case("Physical"))
    }
}
