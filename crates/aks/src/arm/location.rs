//! A region of `/subscriptions/<s>/locations`.

use super::lenient::objects;

objects! {
    /// A region. What more there is depends on the api-version: zones from `2022-12-01` on.
    Location {
        /// For example `eastus`.
        name: Option<String>,
        /// For example `East US`.
        display_name: Option<String>,
        /// Tells physical regions from logical ones.
        metadata: Option<Metadata>,
        /// The zones as this subscription numbers them; empty where the region has none.
        availability_zone_mappings: Vec<ZoneMapping>,
    }

    /// What kind of region it is.
    Metadata {
        /// `Physical` or `Logical`; a logical region, such as `europe`, can never host a cluster.
        region_type: Option<String>,
    }

    /// One zone of a region.
    ZoneMapping {
        /// The number under which this subscription knows the zone, for example `1`.
        logical_zone: Option<String>,
        /// Azure's name of the zone, for example `eastus-az3`.
        physical_zone: Option<String>,
    }
}
