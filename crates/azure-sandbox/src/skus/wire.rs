//! VM sizes in Azure's responses: the long list (`skus`) and the short one (`vmSizes`).

use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sku<'a> {
    pub(crate) resource_type: &'a str,
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) tier: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) size: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) family: &'a str,
    pub(crate) locations: [&'a str; 1],
    pub(crate) location_info: [LocationInfo<'a>; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) restrictions: Vec<Restriction<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LocationInfo<'a> {
    pub(crate) location: &'a str,
    pub(crate) zones: Vec<String>,
    pub(crate) zone_details: Vec<ZoneDetails>,
}

#[derive(Serialize)]
pub(crate) struct ZoneDetails {
    /// The key has a capital letter in Azure.
    #[serde(rename = "Name")]
    pub(crate) name: Vec<String>,
    pub(crate) capabilities: Vec<Capability>,
}

#[derive(Serialize)]
pub(crate) struct Capability {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Restriction<'a> {
    pub(crate) r#type: &'static str,
    pub(crate) values: [&'a str; 1],
    #[serde(rename = "restrictionInfo")]
    pub(crate) info: RestrictionInfo<'a>,
    pub(crate) reason_code: &'static str,
}

#[derive(Serialize)]
pub(crate) struct RestrictionInfo<'a> {
    pub(crate) locations: [&'a str; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) zones: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VmSize<'a> {
    pub(crate) name: &'a str,
    pub(crate) number_of_cores: u32,
    #[serde(rename = "osDiskSizeInMB")]
    pub(crate) os_disk: u32,
    #[serde(rename = "resourceDiskSizeInMB")]
    pub(crate) temp_disk: u64,
    #[serde(rename = "memoryInMB")]
    pub(crate) memory: u64,
    pub(crate) max_data_disk_count: u32,
}
