//! How Azure writes a size, in the long list (`skus`) and in the short one (`vmSizes`).

use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sku<'a> {
    pub(super) resource_type: &'a str,
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) tier: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) size: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) family: &'a str,
    pub(super) locations: [&'a str; 1],
    pub(super) location_info: [LocationInfo<'a>; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) capabilities: Vec<Capability>,
    pub(super) restrictions: Vec<Restriction<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LocationInfo<'a> {
    pub(super) location: &'a str,
    pub(super) zones: Vec<String>,
    pub(super) zone_details: Vec<ZoneDetails>,
}

/// Azure writes this one key with a capital.
#[derive(Serialize)]
pub(super) struct ZoneDetails {
    #[serde(rename = "Name")]
    pub(super) name: Vec<String>,
    pub(super) capabilities: Vec<Capability>,
}

#[derive(Serialize)]
pub(super) struct Capability {
    pub(super) name: &'static str,
    pub(super) value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Restriction<'a> {
    pub(super) r#type: &'static str,
    pub(super) values: [&'a str; 1],
    #[serde(rename = "restrictionInfo")]
    pub(super) info: RestrictionInfo<'a>,
    pub(super) reason_code: &'static str,
}

#[derive(Serialize)]
pub(super) struct RestrictionInfo<'a> {
    pub(super) locations: [&'a str; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) zones: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VmSize<'a> {
    pub(super) name: &'a str,
    pub(super) number_of_cores: u32,
    #[serde(rename = "osDiskSizeInMB")]
    pub(super) os_disk: u32,
    #[serde(rename = "resourceDiskSizeInMB")]
    pub(super) temp_disk: u64,
    #[serde(rename = "memoryInMB")]
    pub(super) memory: u64,
    pub(super) max_data_disk_count: u32,
}
